"""The states of RFC 9293 §3.3.2, seen from the wire; and what a subflow lets out, and when."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from mbtest.endpoint.configuration import Configuration
from mbtest.endpoint.endpoint import Endpoint
from mbtest.endpoint.events import Kind
from mbtest.endpoint.states import Tcp
from mbtest.wire import Segment
from mbtest.wire.options import MaximumSegmentSize
from tests.endpoint.pair import (
    ACK,
    CLIENT,
    FIN,
    HOSTS,
    MILLISECOND,
    PSH,
    RST,
    SECOND,
    SERVER,
    SYN,
    ByHand,
    Chance,
    Pair,
    delivers,
)

TCP = {"mptcp": False}
DATA = Random(3).randbytes(50_000)


@pytest.fixture
def hand() -> ByHand:
    return ByHand()


# -- Opening -----------------------------------


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "settings", [TCP, {}, {**TCP, "timestamps": False, "sack": False, "window_scaling": False}]
)
def test_octets_arrive_both_ways_and_both_streams_end(family: int, settings: dict[str, object]) -> None:
    assert delivers(Pair(settings, settings, family=family), DATA, DATA[::-1])


def test_passive_open(hand: ByHand) -> None:
    hand.accept()
    assert hand.subflow.state is Tcp.ESTABLISHED


def test_active_open(hand: ByHand) -> None:
    hand.establish()
    assert hand.subflow.state is Tcp.ESTABLISHED


def test_simultaneous_open_and_data_afterwards(hand: ByHand) -> None:
    hand.connect()
    (answer,) = hand.say(SYN, 0)
    assert (answer.flags, hand.seq(answer), hand.ack(answer)) == (SYN | ACK, 0, 1)
    assert hand.subflow.state is Tcp.SYN_RECEIVED
    assert [segment.flags for segment in hand.say(SYN | ACK, 0, 1)] == [ACK]
    assert hand.subflow.state is Tcp.ESTABLISHED
    (data,) = hand.write(b"out")
    assert (hand.seq(data), data.payload) == (1, b"out")
    hand.say(ACK | PSH, 1, 4, b"in")
    assert hand.read() == b"in"


def test_simultaneous_open_completed_by_an_ack(hand: ByHand) -> None:
    hand.connect()
    hand.say(SYN, 0)
    assert hand.say(ACK, 1, 1) == []
    assert hand.subflow.state is Tcp.ESTABLISHED


def test_simultaneous_open_of_two_endpoints() -> None:
    here, there = HOSTS[4]
    ends = [
        Endpoint(Configuration(mptcp=False), [own], Chance(seed)) for seed, own in enumerate((here, there))
    ]
    # Both take the same port for their own, so that the two connections are one.
    connections = [ends[0].connect(there, 50_000, 0), ends[1].connect(here, 50_000, 0)]
    now = 0
    for _ in range(4):
        flying = [end.packets_to_send(now) for end in ends]
        now += 5 * MILLISECOND
        for receiver, segments in enumerate(reversed(flying)):
            for segment in segments:
                ends[receiver].receive(segment.raw, now)
    assert [connection.established for connection in connections] == [True, True]
    assert [end.packets_to_send(now) for end in ends] == [[], []]
    connections[0].send(b"hello", now)
    for segment in ends[0].packets_to_send(now):
        ends[1].receive(segment.raw, now)
    assert connections[1].receive(9, now) == b"hello"


def test_a_connection_to_a_port_without_listener_is_refused() -> None:
    pair = Pair(TCP, TCP)
    connection = pair.endpoints[CLIENT].connect(pair.there, 81, 0)
    pair.run(lambda: bool(connection.error))
    assert connection.error == "ECONNREFUSED"
    (reset,) = pair.sent(SERVER)
    assert (reset.flags, int(reset.ack), int(reset.seq)) == (RST | ACK, int(pair.log[0][2].seq) + 1, 0)


@pytest.mark.parametrize("flags", [ACK, ACK | FIN, SYN | ACK])
def test_a_segment_with_ack_to_nowhere_gets_a_reset_that_it_believes(hand: ByHand, flags: int) -> None:
    (reset,) = hand.say(flags, 5, 77, b"data")
    assert (reset.flags, int(reset.seq), reset.payload) == (RST, 77, b"")


def test_a_segment_without_ack_to_nowhere_gets_a_reset_that_acknowledges_it(hand: ByHand) -> None:
    hand.port = 81
    (reset,) = hand.say(SYN | FIN, 5, payload=b"data")
    assert (reset.flags, int(reset.seq), hand.ack(reset)) == (RST | ACK, 0, 5 + 6)


def test_a_reset_is_never_answered(hand: ByHand) -> None:
    for flags in (RST, RST | ACK, RST | SYN, RST | FIN | ACK):
        assert hand.say(flags, 0, 9) == []
    hand.accept()
    for seq in (0, 70_000, -70_000):
        assert hand.say(RST | ACK, seq, 99) == []


def test_half_open_discovery() -> None:
    """RFC 9293 §3.5.1, figure 9: a host that has lost its memory opens the same connection again."""
    pair = Pair(TCP, TCP)
    _, server = pair.connect(ends=False)
    fresh = Pair(TCP, TCP, seed=2)
    pair.endpoints = (fresh.endpoints[CLIENT], pair.endpoints[SERVER])
    pair.applications = [server]
    again = pair.endpoints[CLIENT].connect(pair.there, 80, pair.now)
    since = pair.now
    assert pair.run(lambda: again.established)
    kinds = [(who, segment.flags) for at, who, segment in pair.log if at >= since][:4]
    assert kinds == [(CLIENT, SYN), (SERVER, ACK), (CLIENT, RST), (CLIENT, SYN)]
    assert server.connection.error == "ECONNRESET"


def test_a_syn_that_is_never_answered_ends_in_etimedout_and_backs_off(hand: ByHand) -> None:
    hand.connect()
    times = [0]
    while hand.connection is not None and not hand.connection.error:
        times += [hand.now for _ in hand.wait(500 * MILLISECOND)]
        assert hand.now < 400 * SECOND
    assert hand.connection.error == "ETIMEDOUT"
    waits = [b - a for a, b in pairwise(times)]
    assert waits == [SECOND << n for n in range(6)]


def test_after_a_lost_syn_data_begins_with_one_segment_and_three_seconds() -> None:
    """RFC 5681 §3.1, RFC 6298 §5.7."""
    hand = ByHand(timestamps=False)
    hand.connect()
    assert len(hand.wait(SECOND)) == 1
    hand.say(SYN | ACK, 0, 1, options=(MaximumSegmentSize(1_000),))
    assert [segment.payload_length for segment in hand.write(bytes(5_000))] == [1_000]
    assert hand.subflow.rtt.rto == 3 * SECOND
    assert hand.subflow.congestion.threshold > 1_000_000


@pytest.mark.parametrize(
    ("size", "most"), [(None, 536), (0, 48), (1, 48), (200, 200), (1_460, 1_460), (65_535, 1_460)]
)
def test_the_peers_mss_is_kept_to(size: int | None, most: int) -> None:
    hand = ByHand(timestamps=False)
    hand.accept(*(() if size is None else (MaximumSegmentSize(size),)))
    sent = hand.write(bytes(4_000))
    assert max(segment.payload_length for segment in sent) == most
    # RFC 6928 §2: the initial window is of segments of that size.
    assert sum(segment.payload_length for segment in sent) <= max(10 * most, 2_920)


# -- Closing -----------------------------------


def test_the_side_that_closes_first_waits_in_time_wait(hand: ByHand) -> None:
    connection = hand.accept()
    connection.shutdown(hand.now)
    (fin,) = hand.answers()
    assert (fin.flags, hand.seq(fin)) == (FIN | ACK, 1)
    subflow = hand.subflow
    assert subflow.state is Tcp.FIN_WAIT_1
    hand.say(ACK, 1, 2)
    assert subflow.state is Tcp.FIN_WAIT_2
    (last,) = hand.say(FIN | ACK, 1, 2)
    assert (last.flags, hand.ack(last)) == (ACK, 2)
    assert subflow.state is Tcp.TIME_WAIT
    hand.wait(SECOND - 1)
    assert subflow.state is Tcp.TIME_WAIT
    hand.wait(1)
    assert subflow.state is Tcp.CLOSED
    assert connection.error is None


def test_the_side_that_closes_second_is_done_when_its_fin_is_acknowledged(hand: ByHand) -> None:
    connection = hand.accept()
    hand.say(FIN | ACK, 1, 1)
    subflow = hand.subflow
    assert subflow.state is Tcp.CLOSE_WAIT
    connection.shutdown(hand.now)
    hand.answers()
    assert subflow.state is Tcp.LAST_ACK
    hand.say(ACK, 2, 2)
    assert subflow.state is Tcp.CLOSED
    assert connection.error is None
    assert hand.endpoint.connections == []


def test_simultaneous_close(hand: ByHand) -> None:
    connection = hand.accept()
    connection.shutdown(hand.now)
    hand.answers()
    hand.say(FIN | ACK, 1, 1)
    subflow = hand.subflow
    assert subflow.state is Tcp.CLOSING
    hand.say(ACK, 2, 2)
    assert subflow.state is Tcp.TIME_WAIT
    assert connection.error is None


def test_fin_that_acknowledges_ours_goes_to_time_wait_at_once(hand: ByHand) -> None:
    hand.accept().shutdown(hand.now)
    hand.answers()
    subflow = hand.subflow
    hand.say(FIN | ACK, 1, 2)
    assert subflow.state is Tcp.TIME_WAIT


def test_half_close_lets_the_other_direction_go_on() -> None:
    pair = Pair(TCP, TCP)
    client, server = pair.connect(b"request")
    server.ends = False
    assert pair.run(lambda: server.ended)
    pair.run(seconds=30)
    server.write(DATA)
    server.ends = True
    assert pair.run(lambda: client.ended)
    assert bytes(client.got) == DATA


def test_half_close_by_the_passive_side() -> None:
    pair = Pair(TCP, TCP)
    client, server = pair.connect(b"", b"greeting")
    client.ends = False
    assert pair.run(lambda: client.ended)
    client.write(DATA)
    client.ends = True
    assert pair.run(lambda: server.ended)
    assert bytes(server.got) == DATA


def into_time_wait(hand: ByHand) -> None:
    hand.accept().shutdown(hand.now)
    hand.answers()
    hand.say(FIN | ACK, 1, 2)


def test_a_fin_again_in_time_wait_is_acknowledged_and_begins_it_anew(hand: ByHand) -> None:
    into_time_wait(hand)
    subflow = hand.subflow
    hand.wait(SECOND - 1)
    (again,) = hand.say(FIN | ACK, 1, 2)
    assert (again.flags, hand.ack(again)) == (ACK, 2)
    hand.wait(SECOND - 1)
    assert subflow.state is Tcp.TIME_WAIT
    hand.wait(1)
    assert subflow.state is Tcp.CLOSED


def test_a_later_syn_in_time_wait_opens_a_new_connection(hand: ByHand) -> None:
    """RFC 9293 §3.6.1, and only with a higher sequence number."""
    into_time_wait(hand)
    (challenge,) = hand.say(SYN, 0)
    assert challenge.flags == ACK
    (answer,) = hand.say(SYN, 1_000)
    assert (answer.flags, hand.ack(answer)) == (SYN | ACK, 1_001)


def test_a_late_fin_is_repeated_until_it_is_acknowledged(hand: ByHand) -> None:
    connection = hand.accept()
    hand.say(FIN | ACK, 1, 1)
    connection.shutdown(hand.now)
    sent = hand.answers() + hand.wait(5 * SECOND)
    assert len(sent) >= 3
    assert {(segment.flags & FIN, hand.seq(segment)) for segment in sent} == {(FIN, 1)}


# -- Letting segments out -----------------------------------


def test_data_that_nobody_acknowledges_ends_in_etimedout(hand: ByHand) -> None:
    """RFC 9293 §3.8.3: R2 is reached, and the application is told."""
    connection = hand.accept()
    assert len(hand.write(b"data")) == 1
    sent = hand.wait(600 * SECOND)
    assert connection.error == "ETIMEDOUT"
    assert [segment.flags & RST for segment in sent] == [0] * 8 + [RST]
    assert Kind.LOST in [event.kind for event in hand.endpoint.events()]


def test_a_lowered_mtu_sends_what_was_too_long_again_in_pieces() -> None:
    """RFC 1191 §6.5: and the congestion window stays."""
    hand = ByHand()
    hand.accept(MaximumSegmentSize(1_460))
    sent = hand.write(DATA[:3_000])
    window = hand.subflow.congestion.window
    assert hand.subflow.lower_mtu(1_000, int(sent[0].seq), hand.now)
    again = hand.answers()
    assert max(len(segment.raw) for segment in again) <= 1_000
    assert b"".join(segment.payload for segment in again) == DATA[: sum(len(s.payload) for s in sent[:2])]
    assert hand.subflow.congestion.window == window
    hand.say(ACK, 1, 3_001)
    assert max(len(segment.raw) for segment in hand.write(DATA[:3_000])) <= 1_000


def test_a_lowered_mtu_is_believed_only_of_what_is_under_way() -> None:
    """RFC 5927 §4.1."""
    hand = ByHand()
    hand.accept(MaximumSegmentSize(1_460))
    (first,) = hand.write(bytes(1_000))
    hand.say(ACK, 1, 1_001)
    hand.write(bytes(1_000))
    for offset in (-1, 0, 1_000, 1 << 31):
        assert not hand.subflow.lower_mtu(
            600, (int(first.seq) + (offset + 1_000 if offset > 0 else offset)), 0
        )
    assert hand.subflow.mss == 1_460
    assert not hand.subflow.lower_mtu(1_600, int(first.seq) + 1_000, 0)
    assert hand.subflow.lower_mtu(600, int(first.seq) + 1_000, 0)


def test_mptcp_data_survives_a_lowered_mtu() -> None:
    """The pieces of a segment keep the mapping that was declared (RFC 8684 §3.3.1)."""
    pair = Pair({"checksum": True})

    def router(segment: Segment, sender: int) -> list[Segment]:
        if len(segment.raw) > 900:
            subflow = client.connection.subflows[0]
            if sender == CLIENT:
                subflow.lower_mtu(900, int(segment.seq), pair.now)
            return []
        return [segment]

    client, server = pair.connect(b"", ends=False)
    pair.hook = router
    client.write(DATA)
    assert pair.run(lambda: len(server.got) == len(DATA))
    assert bytes(server.got) == DATA
    assert client.connection.is_mptcp
