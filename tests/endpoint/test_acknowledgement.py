"""Losses, round trips and windows, as acknowledgements tell of them."""

from __future__ import annotations

from random import Random

import pytest

from mbtest.wire import Segment
from mbtest.wire.mptcp import AddAddr, Dss
from mbtest.wire.options import MaximumSegmentSize, Sack, SackPermitted, TcpOption, Timestamps
from tests.endpoint.pair import ACK, CLIENT, MILLISECOND, SECOND, ByHand, Pair, delivers

TCP = {"mptcp": False}
DATA = Random(5).randbytes(300_000)
MSS = 1_000


def sender(*options: TcpOption, octets: int = 10 * MSS, **settings: object) -> tuple[ByHand, list[Segment]]:
    """Return a peer and the segments of 1000 octets that are under way to it, and a measured round trip."""
    hand = ByHand(**{"timestamps": False, **settings})
    hand.accept(MaximumSegmentSize(MSS), *options)
    hand.write(b"!")
    hand.now += 20 * MILLISECOND
    hand.say(ACK, 1, 2)
    sent = hand.write(bytes(octets))
    return hand, sent


def offsets(hand: ByHand, segments: list[Segment]) -> list[int]:
    """Return the number of the segment of 1000 octets that each is, from 0."""
    assert all((hand.seq(segment) - 2) % MSS == 0 for segment in segments)
    return [(hand.seq(segment) - 2) // MSS for segment in segments]


def block(hand: ByHand, first: int, after: int) -> tuple[int, int]:
    return tuple((hand.own_iss + 2 + MSS * n) & 0xFFFF_FFFF for n in (first, after))  # type: ignore[return-value]


def ack(hand: ByHand, upto: int, *blocks: tuple[int, int], options: tuple[TcpOption, ...] = ()) -> list[int]:
    """Acknowledge segments before number `upto`, report others; return which ones are sent then."""
    sack = (Sack(tuple(block(hand, *each) for each in blocks)),) if blocks else ()
    return offsets(hand, hand.say(ACK, 1, 2 + MSS * upto, options=(*sack, *options)))


# -- Fast retransmit and recovery -----------------------------------


def test_limited_transmit_then_fast_retransmit_without_sack() -> None:
    """RFC 3042, RFC 5681 §3.2."""
    hand, sent = sender(octets=30 * MSS)
    assert offsets(hand, sent) == list(range(10))
    assert [ack(hand, 0), ack(hand, 0)] == [[10], [11]]
    # Whatever the window, which has just been halved.
    assert ack(hand, 0) == [0]
    assert hand.subflow.congestion.window == 5 * MSS


def test_limited_transmit_then_fast_retransmit_with_sack() -> None:
    """RFC 6675 §5."""
    hand, _ = sender(SackPermitted(), octets=30 * MSS)
    assert [ack(hand, 0, (1, 2)), ack(hand, 0, (1, 3))] == [[10], [11]]
    assert ack(hand, 0, (1, 4)) == [0]
    assert hand.subflow.congestion.window == 5 * MSS


def test_a_partial_acknowledgement_sends_the_next_hole_at_once() -> None:
    """RFC 6582 §3.2, step 3: 0 and 2 were lost."""
    hand, _ = sender(octets=10 * MSS)
    assert [ack(hand, 0) for _ in range(8)][2] == [0]
    window = hand.subflow.congestion.window
    assert ack(hand, 2) == [2]
    assert hand.subflow.congestion.window == window
    assert ack(hand, 10) == []
    assert hand.subflow.recovery_end is None
    assert hand.subflow.congestion.window == window


def test_recovery_with_sack_sends_every_hole_once_and_shrinks_once() -> None:
    hand, _ = sender(SackPermitted())
    sent = ack(hand, 0, (1, 2)) + ack(hand, 0, (1, 2), (3, 4)) + ack(hand, 0, (1, 2), (3, 4), (5, 7))
    for upto in (8, 9, 10):
        sent += ack(hand, 0, (1, 2), (3, 4), (5, upto))
    assert sent == [0, 2, 4]
    assert hand.subflow.congestion.window == 5 * MSS
    assert ack(hand, 10) == []
    assert hand.subflow.recovery_end is None


def test_duplicate_acks_whose_sack_blocks_a_box_stripped_count_too() -> None:
    hand, _ = sender(SackPermitted())
    assert [ack(hand, 0) for _ in range(3)] == [[], [], [0]]
    assert ack(hand, 4) == [4]


def test_no_recovery_begins_for_what_a_timeout_sends_again() -> None:
    """RFC 6582 §3.2 (recover), RFC 6675 §5.1."""
    for options in ((), (SackPermitted(),)):
        hand, _ = sender(*options)
        assert len(hand.wait(300 * MILLISECOND)) == 1
        window, threshold = hand.subflow.congestion.window, hand.subflow.congestion.threshold
        assert (window, threshold) == (MSS, 5 * MSS)
        for _ in range(5):
            ack(hand, 0)
        assert (hand.subflow.congestion.window, hand.subflow.congestion.threshold) == (window, threshold)


@pytest.mark.parametrize("flags", ["window", "data", "signal"])
def test_what_is_no_duplicate_acknowledgement_is_not_counted(flags: str) -> None:
    """RFC 5681 §2; RFC 8684 §3.4.1."""
    hand, _ = sender()
    for n in range(6):
        if flags == "window":
            answers = hand.say(ACK, 1, 2, window=60_000 - n)
        elif flags == "data":
            answers = hand.say(ACK, 1 + n, 2, b"x")
        else:
            answers = hand.say(ACK, 1, 2, options=(AddAddr(1, hand.peer),))
        assert all(not segment.payload_length for segment in answers)
    assert hand.subflow.recovery_end is None


def test_duplicate_acks_with_a_dss_are_counted() -> None:
    hand, _ = sender()
    assert [ack(hand, 0, options=(Dss(5),)) for _ in range(3)][-1] == [0]


def test_a_d_sack_changes_nothing() -> None:
    """RFC 2883: what came twice is neither lost nor new."""
    hand, _ = sender(SackPermitted())
    ack(hand, 3)
    flight = hand.subflow.out.in_flight
    assert ack(hand, 3, (0, 1)) + ack(hand, 3, (2, 3)) + ack(hand, 3, (1, 3)) == []
    assert hand.subflow.out.in_flight == flight
    assert ack(hand, 3, (4, 5), (4, 6)) == []


@pytest.mark.parametrize("blocks", [((11, 12),), ((5, 2),), ((0, 1_000_000),), ((3, 3),), ((-5, -2),)])
def test_sack_blocks_of_what_was_never_sent_are_ignored(blocks: tuple[tuple[int, int], ...]) -> None:
    hand, _ = sender(SackPermitted())
    for _ in range(5):
        assert ack(hand, 0, *blocks) == []
    assert hand.subflow.out.sacked == 0


def test_octets_that_were_reported_and_then_dropped_are_sent_again_after_a_timeout() -> None:
    """RFC 2018 §8: a receiver may renege."""
    hand, _ = sender(SackPermitted(), octets=3 * MSS)
    ack(hand, 0, (1, 3))
    assert offsets(hand, hand.wait(300 * MILLISECOND)) == [0]
    assert ack(hand, 1) == [1, 2]


@pytest.mark.parametrize(
    "settings", [{}, {"sack": False}, {"timestamps": False}, {"sack": False, "timestamps": False}]
)
@pytest.mark.parametrize("loss", [0.01, 0.1])
def test_every_octet_arrives_in_spite_of_loss(settings: dict[str, object], loss: float) -> None:
    pair = Pair({**TCP, **settings}, TCP)
    chance = Random(11)
    pair.hook = lambda segment, _: [] if chance.random() < loss else [segment]
    assert delivers(pair, DATA, DATA[:50_000], seconds=600)


@pytest.mark.parametrize("sack", [True, False])
def test_one_loss_costs_no_timeout(sack: bool) -> None:
    pair = Pair({**TCP, "sack": sack}, TCP)
    lost: list[Segment] = []

    def drop(segment: Segment, who: int) -> list[Segment]:
        if who == CLIENT and segment.payload_length and not lost and len(pair.log) > 40:
            lost.append(segment)
            return []
        return [segment]

    pair.hook = drop
    client, server = pair.connect(DATA)
    subflow = client.connection.subflows[0]
    pair.run(lambda: bytes(server.got) == DATA)
    assert lost
    assert subflow.recovery_from == 0
    again = [segment for segment in pair.sent(CLIENT) if segment.seq == lost[0].seq]
    assert len(again) == 2


# -- The round trip -----------------------------------


def test_a_segment_that_was_sent_twice_gives_no_sample() -> None:
    """Karn's algorithm, RFC 6298 §3."""
    hand, _ = sender(octets=MSS)
    before = hand.subflow.rtt.srtt
    hand.wait(300 * MILLISECOND)
    ack(hand, 1)
    assert hand.subflow.rtt.srtt == before


def test_what_waited_behind_a_gap_gives_no_sample() -> None:
    hand, _ = sender(octets=2 * MSS)
    before = hand.subflow.rtt.srtt
    hand.wait(300 * MILLISECOND)
    ack(hand, 2)
    assert hand.subflow.rtt.srtt == before


def test_a_timestamp_tells_which_copy_was_acknowledged() -> None:
    """RFC 7323 §4."""
    hand = ByHand()
    hand.accept(MaximumSegmentSize(MSS), Timestamps(1, 0))
    hand.write(b"data")
    again = hand.wait(5 * SECOND)
    hand.now += 30 * MILLISECOND
    times = again[-1].option(Timestamps)
    assert times is not None
    sent_at = hand.now
    hand.say(ACK, 1, 5, options=[Timestamps(2, times.value)])
    assert hand.subflow.rtt.srtt is not None
    assert hand.subflow.rtt.srtt < sent_at


# -- The window -----------------------------------


def test_an_old_segment_does_not_change_the_window() -> None:
    """RFC 9293 §3.10.7.4: SND.WL1 and SND.WL2."""
    hand, _ = sender()
    hand.say(ACK, 1, 2 + MSS, b"new", window=50_000)
    hand.say(ACK, 1, 2 + MSS, window=9)
    assert hand.subflow.send_window == 50_000
    hand.say(ACK, 4, 2, window=9)
    hand.say(ACK, 4, 2 + MSS, window=40_000)
    assert hand.subflow.send_window == 40_000


def test_a_window_that_shrinks_under_what_was_sent_does_no_harm() -> None:
    """RFC 9293 §3.8.6: a sender is prepared for it."""
    hand, _ = sender()
    hand.say(ACK, 1, 2 + MSS, window=0)
    sent = hand.wait(3 * SECOND)
    assert set(offsets(hand, sent)) == {1}
    assert hand.connection is not None
    hand.wait(600 * SECOND)
    assert hand.connection.error == "ETIMEDOUT"


@pytest.mark.parametrize("settings", [TCP, {}])
def test_a_reader_that_comes_back_gets_everything(settings: dict[str, object]) -> None:
    pair = Pair(settings, {**settings, "receive_buffer": 20_000})
    client, server = pair.connect(DATA)
    server.reads = False
    pair.run(seconds=20)
    assert not server.got
    server.reads = True
    pair.run(lambda: server.ended)
    assert bytes(server.got) == DATA
    assert client.connection.error is None


@pytest.mark.parametrize(("threshold", "grown"), [(1 << 30, 20), (10 * MSS, 11)])
def test_the_window_grows_the_same_whether_acknowledgements_come_together_or_one_by_one(
    threshold: int, grown: int
) -> None:
    """RFC 5681 §3.1: twice in a round trip in slow start, by a segment in congestion avoidance."""
    for together in (False, True):
        hand, _ = sender(octets=40 * MSS)
        congestion = hand.subflow.congestion
        congestion.window, congestion.threshold = 10 * MSS, threshold
        for upto in range(2, 12, 2):
            segment = Segment.build(
                hand.peer, hand.own, hand.peer_port, hand.port, seq=hand.iss + 1,
                ack=hand.own_iss + 2 + upto * MSS, flags=ACK,
            )  # fmt: skip
            hand.endpoint.receive(segment.raw, hand.now)
            if not together:
                hand.answers()
        assert congestion.window == grown * MSS
