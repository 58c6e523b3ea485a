"""Contradictions between packets and counters: none where they agree, one for each that is off by one."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

import pytest

from mbtest.harness.witness import AT_LEAST, AT_MOST, FALLBACKS, GROUP, TABLE, contradictions
from mbtest.observe import Observation
from mbtest.results import StackState
from mbtest.wire import (
    ACK,
    SYN,
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpPrio,
    MpTcprst,
    RemoveAddr,
)
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import IDSN, KEYS, SYN_OPTIONS, TOKEN, Talk

KNOWN = tuple(GROUP + name for name in dict.fromkeys([*(line.counter for line in TABLE), *FALLBACKS]))
OPENED = {"MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}
GRANTED = {"MPCapableSYNRX": 1, "MPCapableACKRX": 1}
JOINED = {"MPJoinSynTx": 1, "MPJoinSynAckRx": 1}
LET_IN = {"MPJoinSynRx": 1, "MPJoinAckRx": 1}


class Scene(NamedTuple):
    """A conversation, and what the kernels at its ends count who count all right."""

    talk: Talk
    client: dict[str, int]
    server: dict[str, int]


def observe(talk):
    observation = Observation()
    for frame in talk.frames:
        observation.add(*frame)
    observation.finish()
    return observation


@pytest.fixture(scope="module")
def scenes():
    """Return each conversation with what was to be seen of it, put together once."""
    return [(scene := make(), observe(scene.talk)) for make in SCENES]


def state(counted=(), knows=KNOWN, **more):
    counters = {GROUP + name: value for name, value in dict(counted).items() if value}
    return StackState(name="linux", counters=counters, knows=knows, **more)


def found(scene, **changed):
    states = {"client": state(scene.client), "server": state(scene.server)} | changed
    return contradictions(observe(scene.talk), states)


# -- Conversations -------------------------------------------------------------------------------------------


def plain():
    return Scene(Talk().established().exchange().close(), OPENED, GRANTED)


def addresses():
    talk = Talk().established()
    talk.join()
    for port in (None, 8080):
        second = ip_address("198.19.2.2")
        mac = add_addr_hmac(KEYS["server"], KEYS["client"], 2, second, port or 0)
        talk.send("server", AddAddr(2, second, port, mac))
        talk.send("client", AddAddr(2, second, port, flags=1))
    talk.send("client", RemoveAddr(b"\1\2"))
    talk.send("client", MpPrio(1))
    client = OPENED | JOINED | {"AddAddr": 2, "PortAdd": 1, "EchoAddTx": 2, "RmAddrTx": 2, "MPPrioTx": 1}
    server = GRANTED | LET_IN | {"AddAddrTx": 2, "EchoAdd": 2, "PortAdd": 1, "RmAddr": 2, "MPPrioRx": 1}
    return Scene(talk.close(), client, server)


def refused_joins():
    """A token that is unknown, then a wrong HMAC of the server's, then one of the client's."""
    talk = Talk().established()
    first, second, third = (talk.open() for _ in range(3))
    talk.send("client", *SYN_OPTIONS, talk.join_syn(first, token=7, flags=1), flags=SYN, flow=first)
    talk.reset("server", MpTcprst(1), flow=first)
    for flow, over in ((second, {"hmac": 7}), (third, {})):
        talk.send("client", *SYN_OPTIONS, talk.join_syn(flow, flags=1), flags=SYN, flow=flow)
        talk.send("server", *SYN_OPTIONS, talk.join_answer(flow, **over), flags=SYN | ACK, flow=flow)
    talk.reset("client", MpTcprst(1), flow=second)
    talk.send("client", MpJoinAck(bytes(20)), flow=third)
    talk.reset("server", MpTcprst(3), flow=third)
    client = {"MPJoinSynTx": 3, "MPJoinSynAckRx": 1, "MPJoinSynAckHMacFailure": 1, "MPRstTx": 1, "MPRstRx": 2}
    server = {"MPJoinSynRx": 3, "MPJoinSynBackupRx": 3, "MPJoinNoTokenFound": 1, "MPJoinAckHMacFailure": 1}
    server |= {"MPRstTx": 2}
    return Scene(talk.close(), OPENED | client, GRANTED | server)


def refused():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    talk.send("client")
    return Scene(talk, {"MPCapableSYNTX": 1, "MPCapableFallbackSYNACK": 1}, {"MPCapableSYNRX": 1})


def given_up():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, lost=True)
    talk.send("client", *SYN_OPTIONS, flags=SYN, seq=0)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    talk.send("client")
    return Scene(talk, {"MPCapableSYNTX": 1, "MPCapableSYNTXDrop": 1, "Blackhole": 1}, {})


def unconfirmed():
    """The third ACK lost MP_CAPABLE."""
    talk = Talk().handshake(until=2)
    stripped = talk.send("client", unsent=True, lost=True)
    talk.send("client", talk.capable(), seq=1, arrives=stripped)
    return Scene(talk, OPENED, {"MPCapableSYNRX": 1, "MPCapableFallbackACK": 1})


def failure():
    """A checksum is wrong; MP_FAIL each way, and an infinite mapping."""
    talk = Talk(checksum=True).established()
    talk.data("client", payload=bytes(99) + b"!", checksum=0)
    dsn = IDSN["client"] + 101
    talk.ack("server", MpFail(dsn))
    talk.ack("client", MpFail(IDSN["server"] + 101))
    start = talk.flows[0].next["client"]
    infinite = Dss(dsn=dsn, dsn_64=True, subflow_sequence=start, length=0, checksum=0)
    talk.send("client", infinite, payload=bytes(100))
    talk.send("server")
    client = OPENED | {"MPFailTx": 1, "MPFailRx": 1, "InfiniteMapTx": 1}
    server = GRANTED | {"MPFailTx": 1, "MPFailRx": 1, "InfiniteMapRx": 1, "DataCsumErr": 1}
    return Scene(talk, client, server)


def fast_close():
    talk = Talk().established()
    talk.ack("client", MpFastclose(KEYS["server"]))
    talk.reset("server", MpTcprst(0))
    return Scene(
        talk, OPENED | {"MPFastcloseTx": 1, "MPRstRx": 1}, GRANTED | {"MPFastcloseRx": 1, "MPRstTx": 1}
    )


def reset_join():
    talk = Talk().established()
    flow = talk.join()
    talk.reset("server", MpTcprst(6), flow=flow)
    return Scene(
        talk.close(),
        OPENED | JOINED | {"MPRstRx": 1},
        GRANTED | {"MPJoinSynRx": 1, "MPJoinAckRx": 1, "MPRstTx": 1},
    )


SCENES: tuple[Callable[[], Scene], ...] = (
    plain, addresses, refused_joins, refused, given_up, unconfirmed, failure, fast_close, reset_join,
)  # fmt: skip


# -- The table -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES)
def test_who_counts_right_is_not_contradicted(scene):
    assert found(scene()) == []


@pytest.mark.parametrize("line", TABLE, ids=lambda line: f"{line.counter}-{line.comparison.name}")
def test_each_line_catches_a_counter_that_is_off(line, scenes):
    caught = [
        one
        for scene, seen in scenes
        for role in ("client", "server")
        for by in (1, -1)
        if (by == 1 and line.comparison is not AT_LEAST) or (by == -1 and line.comparison is not AT_MOST)
        if (wrong := {**getattr(scene, role)}) and line.counter in wrong
        if (wrong := wrong | {line.counter: wrong[line.counter] + by})
        for one in contradictions(seen, {role: state(wrong)})
        if one.counter == line.counter and one.host == role and line.words in one.expected
    ]
    assert caught
    assert all(one.actual.startswith("it is ") for one in caught)


def test_a_contradiction_names_host_counter_and_packets():
    scene = failure()
    (one,) = found(scene, client=state(OPENED | {"MPFailRx": 1, "InfiniteMapTx": 1}))
    assert one.host == "client"
    assert one.counter == "MPFailTx"
    assert one.expected == "MPFailTx of the client is exactly 1: MP_FAILs that it sent"
    assert one.actual == "it is 0"
    (shown,) = one.evidence
    assert "MP_FAIL" in shown.words
    number, _, _, side, sender, _ = scene.talk.frames[shown.frame - 1]
    assert (number, side, sender) == (shown.frame, "client", "client")


def test_counters_that_a_kernel_lacks_are_not_asked_for():
    scene = failure()
    assert found(scene, client=state(knows=()), server=state(knows=())) == []
    assert found(scene, client=state(OPENED | {"MPFailRx": 1}, knows=(GROUP + "MPFailRx",))) == []


def test_a_stack_without_counters_is_heard_all_the_same():
    reference = StackState(name="reference", still_mptcp=True, info={"token": TOKEN["server"]})
    (one,) = found(plain(), client=reference)
    assert (one.counter, one.actual) == ("token", f"it is {TOKEN['server']}")


# -- Where packets cannot tell -------------------------------------------------------------------------------


def test_a_host_that_fell_back_has_no_ears():
    """What reaches a host that is regular TCP, MP_FAIL and reasons of resets, is not counted by it."""
    talk = Talk(checksum=True).established()
    talk.send("client", payload=bytes(50))
    talk.ack("server", MpFail(IDSN["client"] + 101))
    talk.reset("server", MpTcprst(6))
    assert found(Scene(talk, OPENED | {"DssFallback": 1}, GRANTED | {"MPFailTx": 1, "MPRstTx": 1})) == []


def test_a_socket_that_says_tcp_has_no_ears_either():
    scene = failure()
    hears = {"MPFailRx", "InfiniteMapRx", "DataCsumErr"}
    deaf = {name: by for name, by in scene.server.items() if name not in hears}
    assert {one.counter for one in found(scene, server=state(deaf))} == hears
    assert found(scene, server=state(deaf, still_mptcp=False)) == []


def test_an_infinite_mapping_behind_a_hole_is_not_yet_looked_at():
    talk = Talk().established()
    start = talk.flows[0].next["client"]
    talk.data("client", lost=True)
    infinite = Dss(dsn=IDSN["client"] + 101, dsn_64=True, subflow_sequence=start, length=0)
    talk.send("client", infinite, payload=bytes(100))
    assert found(Scene(talk, OPENED | {"InfiniteMapTx": 1}, GRANTED)) == []


def test_a_subflow_that_was_never_one_to_the_host():
    """MP_JOIN is taken from the SYN: to the server it is TCP, which knows of no reasons for resets."""
    talk = Talk().established()
    flow = talk.open()
    stripped = talk.send("client", *SYN_OPTIONS, flags=SYN, flow=flow, unsent=True, lost=True)
    talk.send("client", *SYN_OPTIONS, talk.join_syn(flow), flags=SYN, flow=flow, seq=0, arrives=stripped)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK, flow=flow)
    talk.reset("client", MpTcprst(1), flow=flow)
    assert found(Scene(talk, OPENED | {"MPJoinSynTx": 1, "MPRstTx": 1}, GRANTED)) == []


# -- Fallback ------------------------------------------------------------------------------------------------


def test_a_fallback_that_no_packet_shows():
    (one,) = found(plain(), server=state(GRANTED | {"DSSCorruptionFallback": 1}, still_mptcp=False))
    assert (one.host, one.counter) == ("server", "DSSCorruptionFallback")
    assert one.actual == "DSSCorruptionFallback says so, and its last segment has a DSS"
    assert len(one.evidence) == 1


def test_a_fallback_that_a_reset_left_no_time_to_show():
    talk = Talk().established()
    talk.reset("server")
    assert found(Scene(talk, OPENED | {"MPCapableDataFallback": 1}, GRANTED)) == []


def test_a_socket_that_says_tcp_while_its_packets_say_mptcp():
    (one,) = found(plain(), server=state(GRANTED, still_mptcp=False))
    assert (one.host, one.counter) == ("server", "still_mptcp")


def went_on():
    """Data without a mapping, in mid-connection."""
    talk = Talk().established()
    talk.send("client", payload=bytes(50))
    return talk


def test_a_fallback_that_is_counted_is_none():
    assert found(Scene(went_on(), OPENED | {"DssFallback": 1}, GRANTED)) == []


@pytest.mark.parametrize("still", [True, None])
def test_a_fallback_that_the_stack_does_not_know_of(still):
    (one,) = found(Scene(went_on(), {}, GRANTED), client=state(OPENED, still_mptcp=still))
    assert one.host == "client"
    assert one.actual == ("its socket says MPTCP" if still else "no counter says so")


def test_a_kernel_that_does_not_count_every_way_may_be_silent():
    known = tuple(name for name in KNOWN if name != f"{GROUP}DssFallback")
    assert found(Scene(went_on(), {}, GRANTED), client=state(OPENED, knows=known)) == []


# -- The socket ----------------------------------------------------------------------------------------------


def said(**changed):
    """Return what the client's socket says after 200 octets each way, before its end."""
    top, heard = IDSN["client"] + 201, IDSN["server"] + 201
    right = {
        "token": TOKEN["client"], "csum_enabled": 0, "write_seq": top, "snd_una": top, "rcv_nxt": heard,
        "bytes_sent": 200,
    }  # fmt: skip
    info = {name: value + changed.get(name, 0) for name, value in right.items()}
    return state(OPENED, still_mptcp=True, info=info)


def test_a_socket_that_agrees():
    assert found(plain(), client=said()) == []


@pytest.mark.parametrize("by", [-20, 10**6])
@pytest.mark.parametrize("name", ["token", "csum_enabled", "write_seq", "snd_una", "rcv_nxt", "bytes_sent"])
def test_a_socket_that_is_further_on_than_its_packets_or_less_far(name, by):
    """It was asked before its last packets: it may know less than they show, but have written no less."""
    contradicted = found(plain(), client=said(**{name: by}))
    impossible = {"token": True, "csum_enabled": True, "write_seq": by < 0, "bytes_sent": by < 0}.get(
        name, by > 0
    )
    assert [one.counter for one in contradicted] == [name] * impossible


def test_a_connection_that_is_over_has_no_token():
    gone = state(OPENED, still_mptcp=True, info={"token": 0})
    assert found(plain(), client=gone) == []


def test_octets_whose_checksum_is_wrong_are_not_there():
    scene = failure()
    info = {"rcv_nxt": IDSN["client"] + 201}
    (one,) = found(scene, server=state(scene.server, still_mptcp=True, info=info))
    assert (one.host, one.counter, one.actual) == ("server", "rcv_nxt", "it is 201")
    assert [shown.words for shown in one.evidence] == ["the checksum of octets 101 on is wrong"]


def test_of_a_socket_that_fell_back_nothing_is_compared():
    talk = went_on()
    info = {"rcv_nxt": 1, "snd_una": 1, "write_seq": 1}
    client = state(OPENED | {"DssFallback": 1}, still_mptcp=False, info=info)
    assert contradictions(observe(talk), {"client": client}) == []


def test_a_host_that_saw_nothing():
    assert contradictions(Observation(), {"client": state(), "server": state()}) == []
