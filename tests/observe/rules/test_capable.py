"""One departure for each rule on MP_CAPABLE; the handshake without it breaks none."""

import pytest

from mbtest.observe.rules import RULES
from mbtest.wire import ACK, SYN, Dss, MpCapable, MpJoinSyn, MpPrio
from tests.observe.conversation import KEYS, SYN_OPTIONS, Talk

CLIENT, SERVER = KEYS["client"], KEYS["server"]


def syn(*options) -> Talk:
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, *options, flags=SYN)
    return talk


def answered(offer: MpCapable | None, *answer) -> Talk:
    talk = syn(*([offer] if offer else []))
    talk.send("server", *SYN_OPTIONS, *answer, flags=SYN | ACK)
    return talk


def third(*options, payload: bytes = b"", checksum: bool = False) -> Talk:
    talk = Talk(checksum=checksum).handshake(until=2)
    talk.send("client", *options, payload=payload)
    return talk


def twice() -> Talk:
    """A second connection, with the server's key of the first, which is open."""
    talk = Talk().established()
    flow = talk.open()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, flow=flow)
    talk.send("server", *SYN_OPTIONS, MpCapable(1, SERVER), flags=SYN | ACK, flow=flow)
    return talk


def stripped(where: int, *, who: str = "client") -> Talk:
    """A box takes MP_CAPABLE from a SYN (0) or SYN/ACK (1); the host goes on with MPTCP."""
    talk = Talk()
    offer, answer = (*SYN_OPTIONS, MpCapable()), (*SYN_OPTIONS, MpCapable(1, SERVER))
    segment = Talk().send("client", *SYN_OPTIONS, flags=SYN)
    talk.send("client", *offer, flags=SYN, arrives=segment if where == 0 else None)
    bare = Talk().handshake(until=1)
    bare = bare.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    talk.send("server", *(answer if where else SYN_OPTIONS), flags=SYN | ACK, arrives=bare if where else None)
    talk.send("client")
    talk.data(who)
    return talk


def unconfirmed() -> Talk:
    """The third ACK loses its option on the way, and the server speaks MPTCP nevertheless."""
    talk = Talk().handshake(until=2)
    bare = Talk().handshake(until=2).send("client", lost=True)
    talk.send("client", talk.capable(), arrives=bare)
    talk.send("server", Dss(dsn=int(talk.dss("server", b"x").dsn), dsn_64=True, subflow_sequence=1, length=1),
              payload=b"x")  # fmt: skip
    return talk


def first_data_with_dss() -> Talk:
    talk = Talk().handshake()
    talk.data("client")
    return talk


def later_idsn() -> Talk:
    talk = Talk().handshake()
    talk.stream["server"] = 5
    talk.data("server")
    return talk


def other_key() -> Talk:
    talk = third(MpCapable(1, CLIENT, SERVER))
    talk.send("client", MpCapable(1, CLIENT ^ 1, SERVER, 5), payload=bytes(5))
    return talk


BROKEN = {
    "capable.syn-form": lambda: syn(MpCapable(1, CLIENT)),
    "capable.answer-form": lambda: answered(MpCapable(), MpCapable()),
    "capable.later-form": lambda: third(MpCapable(1, CLIENT)),
    "capable.length-with-data": lambda: third(MpCapable(1, CLIENT, SERVER, 5)),
    "capable.version": lambda: answered(MpCapable(version=1), MpCapable(1, SERVER, version=2)),
    "capable.unasked": lambda: answered(None, MpCapable(1, SERVER)),
    "capable.flag-b": lambda: syn(MpCapable(0x41)),
    "capable.algorithm": lambda: syn(MpCapable(0x03)),
    "capable.echoed-key": lambda: third(MpCapable(1, CLIENT, SERVER ^ 1)),
    "capable.same-key": other_key,
    "capable.unique-key": twice,
    "capable.checksum-confirmed": lambda: third(MpCapable(0x01, CLIENT, SERVER), checksum=True),
    "capable.checksum": lambda: third(MpCapable(0x81, CLIENT, SERVER, 5), payload=bytes(5), checksum=True),
    "capable.third-ack": lambda: third(Talk().dss("client", mapped=False)),
    "capable.first-data": first_data_with_dss,
    "capable.refused": lambda: stripped(1),
    "capable.unconfirmed": unconfirmed,
    "capable.on-syn": lambda: syn(MpCapable(), MpPrio()),
    "capable.first-octet": later_idsn,
}  # fmt: skip


def in_a_join() -> Talk:
    talk = Talk().established()
    flow = talk.join()
    talk.send("client", talk.capable(), flow=flow)
    return talk


BROKEN["capable.first-subflow"] = in_a_join
WITH_ANOTHER = {
    "capable.answer-to-flag-b": lambda: answered(MpCapable(0x41), MpCapable(1, SERVER)),
    "capable.answer-to-none": lambda: answered(MpCapable(0x00), MpCapable(1, SERVER)),
}
"""The opener breaks a rule of its own in these."""
OPENERS = {"capable.answer-to-flag-b": "capable.flag-b", "capable.answer-to-none": "capable.algorithm"}


@pytest.mark.parametrize("name", BROKEN)
def test_a_departure_breaks_its_rule_and_no_other(name):
    assert BROKEN[name]().broken() == {name}


@pytest.mark.parametrize("name", WITH_ANOTHER)
def test_an_answer_to_a_departure(name):
    assert WITH_ANOTHER[name]().broken() == {name, OPENERS[name]}


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("one_point", [False, True])
def test_a_handshake_breaks_none(checksum, one_point):
    assert Talk(checksum=checksum, one_point=one_point).established().exchange().close().judged() == []


@pytest.mark.parametrize("offer", [MpCapable(0x41), MpCapable(0x00)])
def test_an_offer_that_is_ignored_is_the_openers_fault_alone(offer):
    assert {breach.who for breach in answered(offer).judged()} == {"client"}


def test_a_refused_host_may_go_on_with_regular_tcp():
    talk = answered(MpCapable())
    talk.send("client")
    talk.send("client", payload=bytes(100))
    assert talk.judged() == []


def test_a_join_on_the_syn_beside_mp_capable():
    assert "capable.on-syn" in syn(MpCapable(), MpJoinSyn(1, 2, 3)).broken()


def test_each_rule_has_a_departure():
    assert {name for name in RULES if name.startswith("capable.")} == {*BROKEN, *WITH_ANOTHER}
