"""What is acceptable and what is not: RFC 9293 §3.10.7, RFC 5961, RFC 7323."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from mbtest.endpoint.states import Tcp
from mbtest.wire import Segment
from mbtest.wire.options import MaximumSegmentSize, Timestamps, WindowScale
from mbtest.wire.packet import URG
from tests.endpoint.pair import (
    ACK,
    CLIENT,
    FIN,
    MILLISECOND,
    PSH,
    RST,
    SECOND,
    SERVER,
    SYN,
    ByHand,
    Pair,
    delivers,
)

TCP = {"mptcp": False}
DATA = Random(4).randbytes(20_000)


@pytest.fixture
def hand() -> ByHand:
    hand = ByHand()
    hand.accept()
    return hand


def acks(hand: ByHand, answers: list[Segment]) -> list[int]:
    """Return what pure ACKs acknowledge."""
    assert all(segment.flags == ACK and not segment.payload_length for segment in answers)
    return [hand.ack(segment) for segment in answers]


# -- SYN -----------------------------------


@pytest.mark.parametrize("seq", [0, 1, 500, -500, 1 << 30])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
def test_a_syn_on_an_open_connection_is_answered_with_a_challenge_and_changes_nothing(
    hand: ByHand, seq: int, flags: int
) -> None:
    """RFC 5961 §4.2, within the window and without."""
    assert acks(hand, hand.say(flags, seq, 1)) == [1]
    assert hand.subflow.state is Tcp.ESTABLISHED


def test_a_syn_again_in_syn_received_is_answered_again_with_and_without_data() -> None:
    hand = ByHand()
    (first,) = hand.say(SYN, 0)
    for payload in (b"", b"data"):
        (again,) = hand.say(SYN, 0, payload=payload)
        assert (again.flags, again.seq, hand.ack(again)) == (SYN | ACK, first.seq, 1)


def test_another_syn_in_syn_received_goes_back_to_listen() -> None:
    """RFC 9293 §3.10.7.4, fourth: and the SYN after it opens a connection."""
    hand = ByHand()
    hand.say(SYN, 0)
    assert hand.say(SYN, 9) == []
    (answer,) = hand.say(SYN, 9)
    assert (answer.flags, hand.ack(answer)) == (SYN | ACK, 10)


@pytest.mark.parametrize("ack", [0, 2, 1 << 20])
def test_a_wrong_ack_in_syn_received_is_answered_with_a_reset(ack: int) -> None:
    """RFC 9293 §3.10.7.4, fifth."""
    hand = ByHand()
    (answer,) = hand.say(SYN, 0)
    hand.own_iss = int(answer.seq)
    (reset,) = hand.say(ACK, 1, ack)
    assert (reset.flags, hand.seq(reset)) == (RST, ack)
    hand.say(ACK, 1, 1)
    assert hand.endpoint.accept(80) is not None


@pytest.mark.parametrize("flags", [ACK, SYN | ACK])
def test_a_wrong_ack_in_syn_sent_is_answered_with_a_reset(flags: int) -> None:
    hand = ByHand()
    hand.connect()
    for ack in (0, 2):
        (reset,) = hand.say(flags, 0, ack)
        assert (reset.flags, hand.seq(reset)) == (RST, ack)
    assert hand.subflow.state is Tcp.SYN_SENT


def test_data_on_a_syn_is_not_acknowledged_and_taken_when_it_comes_again() -> None:
    hand = ByHand()
    (answer,) = hand.say(SYN, 0, payload=b"early")
    assert hand.ack(answer) == 1
    hand.own_iss = int(answer.seq)
    hand.say(ACK, 1, 1)
    hand.connection = hand.endpoint.accept(80)
    hand.say(ACK | PSH, 1, 1, b"early")
    assert hand.read() == b"early"


def test_data_on_the_third_ack_is_taken() -> None:
    hand = ByHand()
    (answer,) = hand.say(SYN, 0)
    hand.own_iss = int(answer.seq)
    hand.say(ACK | PSH | FIN, 1, 1, b"all")
    hand.connection = hand.endpoint.accept(80)
    assert (hand.read(), hand.read()) == (b"all", b"")


# -- ACK (RFC 5961 §5.2) -----------------------------------


def test_an_ack_of_what_was_never_sent_is_answered_and_its_data_dropped(hand: ByHand) -> None:
    assert acks(hand, hand.say(ACK | PSH, 1, 2, b"data")) == [1]
    assert hand.read() is None


def test_an_ack_older_than_the_largest_window_is_answered_and_its_data_dropped() -> None:
    hand = ByHand()
    hand.accept(window=2_000)
    for done in range(10):
        hand.write(bytes(500))
        hand.say(ACK, 1, 1 + 500 * (done + 1), window=2_000)
    assert acks(hand, hand.say(ACK | PSH, 1, 5_001 - 2_001, b"data", window=2_000)) == [1]
    assert hand.read() is None
    hand.say(ACK | PSH, 1, 5_001 - 2_000, b"data", window=2_000)
    assert hand.read() == b"data"


def test_a_segment_without_ack_is_dropped(hand: ByHand) -> None:
    assert hand.say(PSH, 1, payload=b"data") == []
    assert hand.read() is None


@pytest.mark.parametrize(
    ("seq", "payload"), [(0, b"x"), (-9, b"123"), (1 << 24, b"x"), (0, b""), (-70_000, b""), (1 << 31, b"y")]
)
def test_what_lies_outside_of_the_window_is_answered_with_an_ack(
    hand: ByHand, seq: int, payload: bytes
) -> None:
    assert acks(hand, hand.say(ACK, seq, 1, payload)) == [1]
    assert hand.read() is None


def test_a_keep_alive_is_answered_with_and_without_an_octet(hand: ByHand) -> None:
    """RFC 9293 §3.8.4."""
    hand.say(ACK | PSH, 1, 1, b"data")
    assert acks(hand, hand.say(ACK, 4, 1)) == [5]
    assert acks(hand, hand.say(ACK, 4, 1, b"?")) == [5]
    assert hand.read() == b"data"


# -- Data -----------------------------------


def test_segments_in_any_order_and_a_fin_with_data(hand: ByHand) -> None:
    pieces = [(1, b"one", 0), (4, b"two", 0), (7, b"three", FIN)]
    for order in permutations(pieces):
        hand = ByHand()
        hand.accept()
        for seq, payload, flags in order:
            hand.say(ACK | flags, seq, 1, payload)
        assert (hand.read(), hand.read()) == (b"onetwothree", b"")
        assert hand.subflow.state is Tcp.CLOSE_WAIT


def test_of_two_copies_that_differ_the_first_counts(hand: ByHand) -> None:
    hand.say(ACK, 5, 1, b"EFGH")
    hand.say(ACK, 3, 1, b"cdefgh")
    hand.say(ACK, 1, 1, b"abcdefghij")
    hand.say(ACK, 1, 1, b"##########")
    assert hand.read() == b"abcdEFGHij"


def test_octets_beyond_the_window_are_cut_off() -> None:
    hand = ByHand(receive_buffer=4_000)
    hand.accept()
    hand.say(ACK, 1, 1, bytes(3_000))
    hand.say(ACK, 3_001, 1, bytes(3_000))
    assert acks(hand, hand.say(ACK, 4_001, 1, b"x")) == [4_001]
    assert hand.read() == bytes(4_000)


def test_a_fin_beyond_the_window_is_not_taken_with_the_octets_before_it() -> None:
    hand = ByHand(receive_buffer=4_000)
    hand.accept()
    assert acks(hand, hand.say(ACK | FIN, 1, 1, bytes(5_000))) == [4_001]
    assert hand.subflow.state is Tcp.ESTABLISHED


def test_octets_behind_a_fin_are_ignored_and_a_fin_before_octets_too(hand: ByHand) -> None:
    hand.say(ACK, 11, 1, b"later")
    hand.say(ACK | FIN, 4, 1)
    hand.say(ACK | FIN, 16, 1, b"end")
    hand.say(ACK, 19, 1, b"more")
    hand.say(ACK, 1, 1, b"0123456789")
    assert (hand.read(), hand.read()) == (b"0123456789laterend", b"")
    assert hand.ack(hand.say(ACK, 25, 1, b"x")[0]) == 20


def test_urgent_data_is_delivered_in_line(hand: ByHand) -> None:
    """RFC 6093 §4."""
    hand.say(ACK | PSH | URG, 1, 1, b"urgent!", urgent=7)
    hand.say(ACK | PSH | URG, 8, 1, b"more", urgent=65_535)
    hand.say(ACK | URG, 12, 1, urgent=1)
    hand.say(ACK | PSH, 12, 1, b" and calm", urgent=3)
    assert hand.read() == b"urgent!more and calm"


def test_every_second_full_segment_is_acknowledged_and_one_alone_after_a_while(hand: ByHand) -> None:
    """RFC 9293 §3.8.6.3; RFC 5681 §4.2."""
    full = bytes(1_460)
    assert hand.say(ACK, 1, 1, full) == []
    assert acks(hand, hand.say(ACK, 1_461, 1, full)) == [2_921]
    assert hand.say(ACK | PSH, 2_921, 1, full) == []
    assert hand.wait(39 * MILLISECOND) == []
    assert acks(hand, hand.wait(MILLISECOND)) == [4_381]
    assert hand.wait(SECOND) == []


def test_the_last_segment_of_a_burst_is_acknowledged_at_once(hand: ByHand) -> None:
    assert acks(hand, hand.say(ACK | PSH, 1, 1, b"request")) == [8]


def test_an_ack_goes_out_at_once_for_a_gap_and_when_it_is_filled(hand: ByHand) -> None:
    """RFC 5681 §4.2."""
    assert acks(hand, hand.say(ACK, 11, 1, b"x")) == [1]
    assert acks(hand, hand.say(ACK, 13, 1, b"x")) == [1]
    assert acks(hand, hand.say(ACK, 1, 1, bytes(10))) == [12]


def test_delayed_acks_ride_on_data(hand: ByHand) -> None:
    hand.say(ACK, 1, 1, bytes(1_460))
    (data,) = hand.write(b"answer")
    assert hand.ack(data) == 1_461
    assert hand.wait(100 * MILLISECOND) == []


# -- RFC 7323 -----------------------------------


@pytest.mark.parametrize(("shift", "used"), [(0, 0), (7, 7), (14, 14), (15, 14), (255, 14)])
def test_a_window_scale_above_fourteen_counts_as_fourteen(shift: int, used: int) -> None:
    """RFC 7323 §2.3."""
    hand = ByHand()
    hand.accept(WindowScale(shift), window=10)
    assert hand.subflow.send_window == 10 << used


def test_windows_are_scaled_only_if_both_sides_say_so() -> None:
    hand = ByHand(window_scaling=False)
    hand.accept(WindowScale(7), window=10)
    assert hand.subflow.send_window == 10
    hand = ByHand()
    (answer,) = hand.say(SYN, 0)
    assert answer.option(WindowScale) is None
    # RFC 7323 §2.2: the window of a SYN is never scaled.
    assert answer.window == 65_535


def timed(value: int, echo: int = 0) -> Timestamps:
    return Timestamps(value, echo)


def test_a_timestamp_older_than_the_last_is_answered_and_dropped() -> None:
    """PAWS, RFC 7323 §5.3; a RST is exempt."""
    hand = ByHand()
    hand.accept(timed(1_000))
    hand.say(ACK | PSH, 1, 1, b"a", options=[timed(1_005)])
    assert acks(hand, hand.say(ACK | PSH, 2, 1, b"old", options=[timed(999)])) == [2]
    assert hand.read() == b"a"
    hand.say(ACK | PSH, 2, 1, b"b", options=[timed(1_005)])
    assert hand.read() == b"b"
    assert hand.say(RST, 3, options=[timed(1)]) == []
    assert hand.connection is not None
    assert hand.connection.error == "ECONNRESET"


def test_a_timestamp_wraps() -> None:
    hand = ByHand()
    hand.accept(timed(0xFFFF_FFFF))
    hand.say(ACK | PSH, 1, 1, b"a", options=[timed(3)])
    assert hand.read() == b"a"


def test_an_old_timestamp_is_taken_after_24_days_of_silence() -> None:
    """RFC 7323 §5.5."""
    hand = ByHand()
    hand.accept(timed(1_000_000))
    hand.wait(24 * 24 * 3_600 * SECOND + SECOND)
    hand.say(ACK | PSH, 1, 1, b"a", options=[timed(5)])
    assert hand.read() == b"a"


def test_the_echo_is_of_the_segment_that_advances_the_window() -> None:
    """RFC 7323 §4.3: the one that is acknowledged first, and none that lies behind a gap."""
    hand = ByHand()
    hand.accept(timed(100))
    full = bytes(1_460)
    hand.say(ACK, 1, 1, full, options=[timed(101)])
    (answer,) = hand.say(ACK, 1_461, 1, full, options=[timed(102)])
    assert answer.option(Timestamps).echo == 101  # type: ignore[union-attr]
    (answer,) = hand.say(ACK, 4_000, 1, full, options=[timed(105)])
    assert answer.option(Timestamps).echo == 101  # type: ignore[union-attr]
    (answer,) = hand.say(ACK, 2_921, 1, bytes(1_079), options=[timed(110)])
    assert (hand.ack(answer), answer.option(Timestamps).echo) == (5_460, 110)  # type: ignore[union-attr]


def test_every_segment_has_timestamps_once_they_are_agreed_on() -> None:
    """RFC 7323 §3.2: a RST too."""
    pair = Pair(TCP, TCP)
    client, _ = pair.connect(b"data", ends=False)
    pair.run(seconds=1)
    client.connection.abort(pair.now)
    pair.run(seconds=1)
    assert all(segment.option(Timestamps) for _, _, segment in pair.log)
    assert pair.log[-1][2].rst
    assert delivers(Pair({**TCP, "timestamps": False}, TCP), DATA)


def test_a_connection_survives_a_box_that_strips_timestamps_later() -> None:
    pair = Pair(TCP, TCP)
    pair.hook = lambda segment, _: [segment if segment.syn else segment.without_options(Timestamps)]
    assert delivers(pair, DATA, DATA)


def test_a_hostile_echo_does_not_put_the_timer_off() -> None:
    hand = ByHand()
    hand.accept(timed(5))
    hand.write(b"data")
    hand.wait(SECOND)
    hand.say(ACK, 1, 5, options=[timed(6, 12_345)])
    assert hand.subflow.rtt.rto <= 3 * SECOND


# -- Loops -----------------------------------


def test_two_sides_that_disagree_do_not_answer_each_other_for_ever() -> None:
    """RFC 5961 §7: without a limit each ACK outside of the window brings another."""
    pair = Pair(TCP, TCP)
    pair.connect(ends=False)
    pair.run(seconds=1)
    pair.hook = lambda segment, _: [segment.replace(seq=int(segment.seq) + 100_000_000)]
    client = pair.log[-1][2]
    pair.put(client.replace(seq=int(client.seq) + 100_000_000), pair.log[-1][1])
    before = len(pair.log)
    pair.run(seconds=30)
    assert len(pair.log) - before <= 2 * 10 * 7


def test_a_reset_is_believed_when_its_sequence_number_is_right_even_with_a_closed_window() -> None:
    hand = ByHand(receive_buffer=2_304)
    hand.accept()
    hand.say(ACK, 1, 1, bytes(2_304))
    assert hand.say(RST, 2_305, payload=b"why") == []
    assert hand.connection is not None
    assert hand.connection.error == "ECONNRESET"


def test_acks_are_taken_with_a_closed_window(hand: ByHand) -> None:
    """RFC 9293 §3.10.7.4: a segment that finds no room still acknowledges."""
    hand = ByHand(receive_buffer=2_304)
    hand.accept(MaximumSegmentSize(1_460))
    hand.say(ACK, 1, 1, bytes(2_304))
    hand.write(b"data")
    assert acks(hand, hand.say(ACK, 2_305, 5, b"no room")) == [2_305]
    assert hand.wait(10 * SECOND) == []


@pytest.mark.parametrize("way", [CLIENT, SERVER])
def test_a_stray_copy_of_everything_changes_nothing(way: int) -> None:
    pair = Pair(TCP, TCP)

    def twice(segment: Segment, sender: int) -> list[Segment]:
        if sender == way:
            pair.put(segment, sender, 12 * MILLISECOND)
        return [segment]

    pair.hook = twice
    assert delivers(pair, DATA, DATA)
