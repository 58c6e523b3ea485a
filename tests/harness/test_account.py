"""What the packets of one host show of what its stack counts."""

from __future__ import annotations

import pytest

from mbtest.harness import account as wire
from mbtest.harness.account import Account
from mbtest.observe import Observation
from mbtest.wire import ACK, FIN, RST, SYN, Dss, MpCapable, MpFail, MpJoinAck, MpTcprst, Timestamps
from tests.observe.conversation import IDSN, SYN_OPTIONS, Talk


def account(talk, role, **more):
    observation = Observation()
    for frame in talk.frames:
        observation.add(*frame)
    observation.finish()
    return Account(observation, role, **more)


def frames(found):
    return [one.frame for one in found]


def test_each_option_that_was_sent_or_came_with_its_frame():
    talk = Talk().established()
    talk.ack("server", MpFail(7))
    last = len(talk.frames)
    assert frames(wire.sent(MpFail)(account(talk, "server"))) == [last - 1]
    assert frames(wire.received(MpFail)(account(talk, "client"))) == [last]
    assert wire.sent(MpFail)(account(talk, "client")) == []


def test_a_host_that_saw_nothing():
    nobody = Account(Observation(), "client")
    assert wire.wrong_checksums(nobody) == wire.went_on_as_tcp(nobody) == wire.infinite_in_order(nobody) == []
    assert nobody.last_word() is None


# -- Handshakes ----------------------------------------------------------------------------------------------


def test_syns_that_are_repeated_open_one_connection():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, lost=True)
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, seq=0)
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, seq=0)
    assert frames(wire.capable_opened(account(talk, "client"))) == [1]
    assert frames(wire.capable_asked(account(talk, "server"))) == [3, 5]
    assert wire.capable_given_up(account(talk, "client")) == []


@pytest.mark.parametrize("goes_on", [True, False])
def test_refused_is_who_goes_on_without(goes_on):
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    if goes_on:
        talk.send("client")
    else:
        talk.reset("client")
    assert frames(wire.capable_refused(account(talk, "client"))) == [4] * goes_on
    assert wire.capable_refused(account(talk, "server")) == []


def test_given_up_is_not_refused():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN, lost=True)
    talk.send("client", *SYN_OPTIONS, flags=SYN, seq=0)
    talk.send("server", *SYN_OPTIONS, flags=SYN | ACK)
    talk.send("client")
    client = account(talk, "client")
    assert frames(wire.capable_given_up(client)) == [2]
    assert wire.capable_refused(client) == []


def test_hosts_that_open_at_the_same_time_refuse_nothing_and_give_nothing_up():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(), flags=SYN)
    talk.send("server", *SYN_OPTIONS, MpCapable(), flags=SYN)
    for who in ("client", "server"):
        talk.send(who, *SYN_OPTIONS, flags=SYN | ACK, seq=0)
    talk.send("client")
    client = account(talk, "client")
    assert wire.capable_refused(client) == wire.capable_given_up(client) == []
    assert len(wire.capable_opened(client)) == 1


def test_a_third_ack_that_is_sent_again_after_a_wrong_one_proves_the_subflow():
    talk = Talk().established()
    flow = talk.join(until=2)
    talk.send("client", MpJoinAck(bytes(20)), flow=flow)
    assert len(wire.join_wrong_proofs(account(talk, "server"))) == 1
    talk.send("client", MpJoinAck(talk.proof("client", flow)[:20]), flow=flow, seq=1)
    server = account(talk, "server")
    assert wire.join_wrong_proofs(server) == []
    assert len(wire.join_kept(server)) == 1


def test_a_join_that_was_reset_is_not_kept():
    talk = Talk().established()
    flow = talk.join()
    talk.reset("server", MpTcprst(3), flow=flow)
    assert wire.join_kept(account(talk, "server")) == []


# -- Failures ------------------------------------------------------------------------------------------------


def wrong(times):
    talk = Talk(checksum=True).established()
    for _ in range(times):
        talk.data("client", payload=b"wrong", checksum=1)
    return talk


@pytest.mark.parametrize("times", [0, 1, 7])
def test_wrong_checksums(times):
    server = account(wrong(times), "server")
    assert len(wire.wrong_checksums(server)) == times
    assert len(wire.first_wrong_checksums(server)) == min(times, 1)


def test_of_a_mapping_that_reaches_back_nobody_knows_whether_it_was_wrong():
    talk = Talk(checksum=True).established()
    talk.data("client", subflow_sequence=93)
    assert wire.wrong_checksums(account(talk, "server")) is None


def test_of_many_wrong_checksums_the_number_is_not_known():
    assert wire.wrong_checksums(account(wrong(8), "server")) is None


def test_a_host_that_fell_back_checks_nothing_and_hears_nothing():
    talk = wrong(1)
    talk.ack("client", MpFail(7))
    server = account(talk, "server", has_fallen_back=True)
    assert wire.first_wrong_checksums(server) is None
    assert wire.failures_heard(server) is None
    assert wire.was_reset_with_reason(server) is None
    assert len(wire.failures_heard(account(talk, "server"))) == 1


def test_a_wrong_checksum_behind_a_hole_is_not_looked_at_yet():
    talk = Talk(checksum=True).established()
    talk.data("client", lost=True)
    talk.data("client", payload=b"wrong", checksum=1)
    assert wire.first_wrong_checksums(account(talk, "server")) == []


@pytest.mark.parametrize(("hole", "size"), [(False, 9), (True, 9), (False, 0)])
def test_infinite_mappings(hole, size):
    talk = Talk().established()
    start = talk.flows[0].next["client"]
    if hole:
        talk.data("client", lost=True)
    infinite = Dss(dsn=IDSN["client"] + 101, dsn_64=True, subflow_sequence=start, length=0)
    talk.send("client", infinite, payload=bytes(size))
    assert frames(wire.infinite_sent(account(talk, "client"))) == [len(talk.frames) - 1]
    acts = bool(size) and not hole
    assert frames(wire.infinite_in_order(account(talk, "server"))) == [len(talk.frames)] * acts


# -- The end -------------------------------------------------------------------------------------------------


def test_the_last_word_is_a_dss_or_none():
    talk = Talk().established()
    assert account(talk, "client").last_word().frame == len(talk.frames) - 1
    talk.reset("client")
    assert account(talk, "client").last_word() is not None
    talk.send("client", payload=bytes(9))
    client = account(talk, "client")
    assert client.last_word() is None
    assert frames(wire.went_on_as_tcp(client)) == [len(talk.frames) - 1]


@pytest.mark.parametrize("joined", [False, True])
def test_of_two_resets_that_cross_nobody_knows_which_came_first(joined):
    talk = Talk().established()
    flow = talk.join() if joined else 0
    talk.reset("client", MpTcprst(1), flow=flow)
    talk.reset("server", MpTcprst(1), flow=flow)
    assert wire.was_reset_with_reason(account(talk, "client")) == []
    assert wire.was_reset_with_reason(account(talk, "server")) == []


def test_a_half_open_join_was_reset_by_the_peer_whatever_the_host_answers():
    talk = Talk().established()
    flow = talk.join(until=3)
    talk.reset("server", MpTcprst(1), flow=flow)
    talk.reset("client", MpTcprst(0), flow=flow)
    assert len(wire.was_reset_with_reason(account(talk, "client"))) == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_reset_with_another_number_than_the_next_ends_nothing_at_once(beyond):
    talk = Talk().established()
    flow = talk.join()
    seq = talk.flows[flow].next["server"] + beyond
    talk.send("server", MpTcprst(6), MpFail(7), flags=RST | ACK, flow=flow, seq=seq)
    client = account(talk, "client")
    assert len(wire.was_reset_with_reason(client)) == (not beyond)
    assert len(wire.failures_heard(client)) == (not beyond)


def test_a_host_that_had_ended_its_side_may_be_gone():
    talk = Talk().established()
    talk.ack("client", flags=FIN | ACK)
    talk.reset("server", MpTcprst(6))
    assert wire.was_reset_with_reason(account(talk, "client")) == []


@pytest.mark.parametrize("newer", ["number", "clock", "nothing"])
def test_what_something_newer_overtook_may_be_dropped(newer):
    talk = Talk().established()
    talk.ack("server", Timestamps(9 if newer == "clock" else 7, 1))
    seq = 1 if newer == "number" else None
    talk.ack("server", MpFail(7), Timestamps(7, 1), seq=seq)
    assert bool(wire.failures_heard(account(talk, "client"))) is (newer == "nothing")


def test_a_request_is_no_subflow_that_a_host_had():
    talk = Talk().established()
    talk.join(until=2)
    for role, has in (("client", True), ("server", False)):
        host = account(talk, role)
        assert [host.had(flow) is not None for flow in host.flows.values()] == [True, has]
