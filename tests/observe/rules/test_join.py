"""One departure for each rule on MP_JOIN; a join without it breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, SYN, AddAddr, MpCapable, MpJoinAck, MpTcprst
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import KEYS, SYN_OPTIONS, TOKEN, Flow, Talk

REASON = MpTcprst(1)


def start(*, until: int = 0, opener: str = "client", **more) -> tuple[Talk, int]:
    """A connection that works, and a join as far as that."""
    talk = Talk().established()
    flow = talk.open(opener, **more)
    if until:
        talk.join(until=until, flow=flow)
    return talk, flow


def syn(**over) -> Talk:
    talk, flow = start()
    talk.send("client", *SYN_OPTIONS, talk.join_syn(flow, **over), flags=SYN, flow=flow)
    return talk


def answer(**over) -> Talk:
    talk, flow = start(until=1)
    talk.send("server", *SYN_OPTIONS, talk.join_answer(flow, **over), flags=SYN | ACK, flow=flow)
    return talk


def third(*options, payload: bytes = b"") -> Talk:
    talk, flow = start(until=2)
    talk.send("client", *(option(talk, flow) for option in options), flow=flow, payload=payload)
    return talk


def proof(talk: Talk, flow: int) -> bytes:
    return talk.proof("client", flow)[:20]


def wrong_answer(then) -> Talk:
    """The HMAC of the SYN/ACK is made wrong on its way."""
    talk, flow = start(until=1)
    good = talk.join_answer(flow)
    way = talk.flows[flow]
    bad = Flow(way.address, way.port, "client", next={**way.next}, got={**way.got}, isn=way.isn)
    other = Talk()
    other.flows = [bad]
    changed = other.send("server", *SYN_OPTIONS, talk.join_answer(flow, hmac=good.hmac ^ 1), flags=SYN | ACK)
    talk.send("server", *SYN_OPTIONS, good, flags=SYN | ACK, flow=flow, arrives=changed)
    then(talk, flow)
    return talk.wait(10)


def goes_on(talk: Talk, flow: int) -> None:
    talk.send("client", MpJoinAck(proof(talk, flow)), flow=flow)
    talk.reset("client", REASON, flow=flow)


def waits(talk: Talk, flow: int) -> None:
    talk.wait(5)
    talk.send("client")


def unasked() -> Talk:
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, talk.join_answer(0), flags=SYN | ACK)
    return talk


def early(who: str, until: int) -> Talk:
    talk, flow = start(until=until)
    talk.data(who, flow=flow)
    return talk


def before_dss(*, until: int) -> Talk:
    """A join before any data. until: how much of it."""
    talk = Talk().handshake()
    flow = talk.join(until=until)
    if until > 2:
        talk.ack("server", flow=flow)
    return talk


def dss_meanwhile() -> Talk:
    """The peer's first data comes between the SYN of a join and its third ACK."""
    talk = Talk().handshake()
    flow = talk.join(until=1)
    talk.data("server")
    talk.send("server", *SYN_OPTIONS, talk.join_answer(flow), flags=SYN | ACK, flow=flow)
    talk.send("client", MpJoinAck(talk.proof("client", flow)[:20]), flow=flow)
    talk.ack("server", flow=flow)
    return talk


def unwanted(flags: int = 0x21) -> Talk:
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, MpCapable(flags, KEYS["server"]), flags=SYN | ACK)
    talk.send("client", talk.capable())
    talk.first().join()
    return talk


def after_fallback() -> Talk:
    talk = Talk().established()
    talk.data("client", payload=b"", mapped=False, dsn=1, dsn_64=True, subflow_sequence=101, length=0)
    talk.frames.pop(), talk.frames.pop()
    talk.send("client", talk.dss("client", dsn=int(talk.dss("client", b"x").dsn), dsn_64=True,
                                 subflow_sequence=101, length=0), payload=b"x")  # fmt: skip
    talk.join(until=1)
    return talk


def same_nonce() -> Talk:
    talk, _ = start(until=4)
    flow = talk.open("client")
    talk.flows[flow].nonce["client"] = talk.flows[1].nonce["client"]
    talk.flows[flow].port["client"] += 1
    talk.join(flow=flow)
    return talk


def other_address() -> Talk:
    talk, _ = start(until=4)
    flow = talk.open("client")
    talk.flows[flow].address["client"] = "198.18.9.2"
    talk.join(flow=flow)
    return talk


def unacknowledged(seconds: float, *, again: int = 0) -> Talk:
    talk, flow = start(until=3)
    for _ in range(again):
        talk.wait(seconds / (again + 1)).send("client", MpJoinAck(proof(talk, flow)), flow=flow, lost=True)
    talk.wait(seconds).send("client")
    return talk


def lost_proof(seconds: float) -> Talk:
    talk, flow = start(until=2)
    talk.send("client", MpJoinAck(proof(talk, flow)), flow=flow, lost=True)
    talk.wait(seconds).send("client")
    return talk


def refused(*options) -> Talk:
    return wrong_answer(lambda talk, flow: talk.reset("client", *options, flow=flow))


def other_port(announced: bool) -> Talk:
    talk, flow = start(second="server", port=81)
    address = __import__("ipaddress").ip_address("198.19.2.2")
    if announced:
        hmac = add_addr_hmac(KEYS["server"], KEYS["client"], 2, address, 81)
        talk.send("server", AddAddr(2, address, 81, hmac))
        talk.send("client", AddAddr(2, address, 81, None, 1))
    talk.send("client", *SYN_OPTIONS, talk.join_syn(flow, address_id=0), flags=SYN, flow=flow)
    return talk


BROKEN = {
    "join.token": lambda: syn(token=TOKEN["server"] ^ 1),
    "join.hmac-of-answer": lambda: answer(hmac=5),
    "join.hmac-of-ack": lambda: third(lambda t, f: MpJoinAck(bytes(20))),
    "join.unasked": unasked,
    "join.third-ack": third,
    "join.data-before-ack": lambda: early("client", 3),
    "join.data-before-hmac": lambda: early("server", 2),
    "join.failed": lambda: wrong_answer(goes_on),
    "join.reset": lambda: wrong_answer(waits),
    "join.before-dss": lambda: before_dss(until=3),
    "join.unwanted": unwanted,
    "join.after-fallback": after_fallback,
    "join.reserved": lambda: syn(flags=2),
    "join.reserved-of-ack": lambda: third(lambda t, f: MpJoinAck(proof(t, f), 1)),
    "join.nonce": same_nonce,
    "join.address-id": other_address,
    "join.acknowledged": lambda: unacknowledged(3),
    "join.hmac-again": lambda: lost_proof(9),
    "join.refusal-reason": refused,
    "join.port": lambda: other_port(announced=False),
}  # fmt: skip
FOLLOWED = {
    "the SYN of a join, and no DSS so far": lambda: before_dss(until=1),
    "a DSS between the SYN of a join and its HMAC": dss_meanwhile,
    "joined": lambda: start(until=4)[0],
    "by the listener": lambda: start(until=4, opener="server")[0],
    "refused with a reason": lambda: refused(REASON),
    "to a port that was announced": lambda: other_port(announced=True),
    "not long yet": lambda: lost_proof(2),
    "without flag C": lambda: unwanted(1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith("join.")} == set(BROKEN)
