"""One departure for each rule on fallback and resets; what falls back as it should breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import AddAddr, Dss, MpFail, MpTcprst
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import IDSN, KEYS, MASK_64, Talk

BAD = b"another octet where one was, and a few more of them"


def infinite(talk: Talk, *, data: int | None = None, start: int | None = None, who: str = "client",
             flow: int = 0, payload: bytes = b"x", **over) -> Talk:  # fmt: skip
    """An infinite mapping from the next octet, with one octet of data."""
    offset = talk.stream[who] if data is None else data
    fields = {
        "dsn": (IDSN[who] + offset) & MASK_64, "dsn_64": True, "length": 0,
        "subflow_sequence": talk.flows[flow].next[who] if start is None else start,
        "checksum": 0 if talk.checksum else None,
    }  # fmt: skip
    talk.send(who, Dss(**{**fields, **over}), payload=payload, flow=flow)
    return talk


def failed(*, flows: int = 1) -> Talk:
    """Data from the client is changed on its way, so that its checksum is wrong for the server."""
    talk = Talk(checksum=True).established()
    for _ in range(flows - 1):
        talk.join()
        talk.wait(1)
    shadow = Talk(checksum=True)
    shadow.flows = [type(talk.flows[0])(**{**vars(talk.flows[0]), "next": {**talk.flows[0].next}})]
    good = bytes(100)
    option = talk.dss("client", good)
    changed = shadow.send("client", option, payload=BAD + good[len(BAD) :], lost=True)
    talk.send("client", option, payload=good, arrives=changed)
    talk.stream["client"] += 100
    return talk


def fail(offset: int, who: str = "client", **over) -> MpFail:
    """MP_FAIL of a number in `who`'s stream."""
    return MpFail((IDSN[who] + offset) & MASK_64, **over)


def answered() -> Talk:
    """The whole of a fallback: MP_FAIL each way, and an infinite mapping."""
    talk = failed()
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def told(then) -> Talk:
    talk = failed()
    then(talk)
    return talk


def unanswered(seconds: float) -> Talk:
    talk = failed()
    talk.ack("server", fail(101))
    return_to = talk.wait(seconds)
    return_to.send("server")
    return return_to


def untold(seconds: float) -> Talk:
    talk = failed().wait(seconds)
    talk.send("client", lost=True)
    return talk


def silent(*, then_dss: bool = False) -> Talk:
    talk = Talk().established()
    infinite(talk)
    talk.send("client", payload=b"y")
    if then_dss:
        talk.send("client", Dss(data_ack=talk.dss("client").data_ack, data_ack_64=True))
    return talk


def without_signal() -> Talk:
    talk = Talk().established()
    talk.send("client", payload=b"y")
    return talk


def mapping_after() -> Talk:
    talk = infinite(Talk().established())
    talk.stream["client"] += 1
    talk.data("client")
    return talk


def among_several(*, data_on_the_other: bool = False) -> Talk:
    talk = Talk().established()
    flow = talk.join()
    if data_on_the_other:
        talk.reset("server", MpTcprst(6), flow=flow)
        infinite(talk)
        talk.send("client", payload=b"z", flow=flow)
    else:
        infinite(talk)
    return talk


def fail_without_reset() -> Talk:
    talk = failed(flows=2)
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def causeless() -> Talk:
    talk = Talk().established()
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    return talk


def acked() -> Talk:
    talk = answered()
    talk.ack("server", data_ack=(IDSN["client"] + 201) & MASK_64)
    return talk


def goes_on() -> Talk:
    talk = answered().wait(1)
    talk.data("client", lost=True)
    return talk


def data_ack_after(seconds: float) -> Talk:
    talk = infinite(Talk().established()).wait(seconds)
    talk.ack("server")
    return talk


def path_broken(*, then: bool) -> Talk:
    """The server acknowledges the first data without a Data ACK."""
    talk = Talk().handshake()
    payload = bytes(100)
    talk.send("client", talk.capable(100), payload=payload)
    talk.stream["client"] = 101
    # A box takes the Data ACK away.
    bare = Talk().handshake()
    bare.flows[0].got["server"] = 101
    talk.ack("server", arrives=bare.send("server", lost=True))
    talk.wait(1)
    if then:
        talk.send("client", talk.capable(100), payload=payload, seq=1)
        talk.frames.pop(), talk.frames.pop()
        talk.send("client", Dss(dsn=(IDSN["client"] + 101) & MASK_64, dsn_64=True,
                                subflow_sequence=101, length=9),
                  payload=bytes(9), lost=True)  # fmt: skip
    else:
        infinite(talk)
        talk.send("client", payload=b"y")
    return talk


def reset(*options) -> Talk:
    talk = Talk().established()
    talk.reset("client", *options)
    return talk


def reset_after_failure(*options) -> Talk:
    talk = failed(flows=2)
    talk.reset("server", *options)
    return talk


def announces_after() -> Talk:
    talk = silent()
    address = __import__("ipaddress").ip_address("198.18.2.2")
    hmac = add_addr_hmac(KEYS["client"], KEYS["server"], 1, address, 0)
    talk.send("client", AddAddr(1, address, None, hmac))
    return talk


BROKEN = {
    "fallback.dss-after": lambda: silent(then_dss=True),
    "fallback.mapping-after-infinite": mapping_after,
    "fallback.infinite-checksum": lambda: infinite(Talk(checksum=True).established(), checksum=5),
    "fallback.infinite-moved": lambda: infinite(infinite(Talk().established()), data=7),
    "fallback.infinite-start": lambda: infinite(
        (talk := Talk().established(), talk.data("client", lost=True))[0], data=105, start=101
    ),
    "fallback.infinite-beyond": lambda: infinite(Talk().established(), data=500),
    "fallback.infinite-among-several": among_several,
    "fallback.one-subflow": lambda: among_several(data_on_the_other=True),
    "fallback.signalled": without_signal,
    "fallback.fail-answered": lambda: unanswered(3),
    "fallback.failure-told": lambda: untold(3),
    "fallback.failure-reset": lambda: reset_after_failure(MpTcprst(6)),
    "fallback.fail-among-several": fail_without_reset,
    "fallback.fail-dsn": lambda: told(lambda talk: talk.ack("server", fail(150))),
    "fallback.fail-cause": causeless,
    "fallback.failed-acked": acked,
    "fallback.after-fail": goes_on,
    "fallback.data-ack-after": lambda: data_ack_after(1),
    "fallback.path-broken": lambda: path_broken(then=True),
    "fallback.fail-reserved": lambda: told(lambda talk: talk.ack("server", fail(101, reserved=1))),
    "fallback.signals-after": announces_after,
    "reset.flags": lambda: reset(MpTcprst(0, 2)),
    "reset.carrier": lambda: (talk := Talk().established(), talk.ack("client", MpTcprst(0)))[0],
    "reset.reason": lambda: reset(MpTcprst(7)),
}
FOLLOWED = {
    "MP_FAIL each way": answered,
    "and an infinite mapping": lambda: infinite(answered(), data=101, start=101),
    "by an infinite mapping": silent,
    "with a checksum of zero": lambda: infinite(Talk(checksum=True).established()),
    "sent again": lambda: infinite(infinite(Talk().established()), data=101, start=101),
    "among several, by a RST": lambda: reset_after_failure(fail(101), MpTcprst(6)),
    "answered in time": lambda: unanswered(1),
    "told in time": lambda: untold(1),
    "a Data ACK on its way": lambda: data_ack_after(0),
    "a path that loses options": lambda: path_broken(then=False),
    "a RST with a reason": lambda: reset(MpTcprst(6, 1)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_allowed_breaks_none(name):
    assert FOLLOWED[name]().judged() == []


def test_what_a_box_changed_is_not_the_senders_fault():
    assert {breach.who for breach in untold(3).judged()} == {"server"}


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith(("fallback.", "reset."))} == set(BROKEN)
