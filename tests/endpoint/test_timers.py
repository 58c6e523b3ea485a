"""Retransmission (RFC 6298), zero-window probes (RFC 9293 §3.8.6.1)."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from mbtest.wire import Segment
from mbtest.wire.options import MaximumSegmentSize
from tests.endpoint.pair import ACK, CLIENT, MILLISECOND, RST, SECOND, SERVER, ByHand, Pair

TCP = {"mptcp": False}
DATA = Random(6).randbytes(100_000)


def sends(hand: ByHand, seconds: int) -> list[int]:
    """Return when the endpoint sends something, in microseconds from now."""
    begin, times = hand.now, []
    while hand.now < begin + seconds * SECOND:
        times += [hand.now - begin for _ in hand.wait(10 * MILLISECOND)]
    return times


def test_the_retransmission_timer_doubles_and_forgets_it_with_new_data() -> None:
    """RFC 6298 §5.5, §5.7; at least 200 ms, at most 60 s."""
    hand = ByHand(timestamps=False)
    hand.accept()
    hand.write(b"a")
    times = [0, *sends(hand, 100)]
    waits = [round((b - a) / SECOND, 1) for a, b in pairwise(times)]
    assert waits[:6] == [waits[0] * 2**n for n in range(6)]
    hand.say(ACK, 1, 2)
    hand.write(b"b")
    assert sends(hand, 1)[0] <= waits[0] * SECOND


def test_the_timer_runs_anew_from_each_acknowledgement_of_something_new() -> None:
    """RFC 6298 §5.3."""
    hand = ByHand(timestamps=False)
    hand.accept(MaximumSegmentSize(1_000))
    hand.write(bytes(2_000))
    rto = hand.subflow.rtt.rto
    hand.now += rto - 1
    hand.say(ACK, 1, 1_001)
    assert hand.endpoint.next_timer() == hand.now + hand.subflow.rtt.rto
    hand.say(ACK, 1, 2_001)
    # RFC 6298 §5.2: nothing under way, nothing to wait for.
    assert hand.endpoint.next_timer() is None


def test_a_timeout_sends_one_segment_and_starts_slowly() -> None:
    """RFC 5681 §3.1, RFC 6298 §5.4."""
    hand = ByHand(timestamps=False)
    hand.accept(MaximumSegmentSize(1_000))
    assert len(hand.write(bytes(10_000))) == 10
    (again,) = hand.wait(300 * MILLISECOND)
    assert (hand.seq(again), again.payload_length) == (1, 1_000)
    assert (hand.subflow.congestion.window, hand.subflow.congestion.threshold) == (1_000, 5_000)
    assert [hand.seq(segment) for segment in hand.say(ACK, 1, 1_001)] == [1_001, 2_001]


# -- Zero windows -----------------------------------


def probing(window: int) -> tuple[ByHand, list[Segment]]:
    """Return a peer whose window is closed, from the start or once it is full; and what it got until then."""
    hand = ByHand(timestamps=False)
    hand.accept(MaximumSegmentSize(1_000), window=window)
    sent = hand.write(DATA[:5_000])
    if window:
        hand.say(ACK, 1, 1 + window, window=0)
    return hand, sent


@pytest.mark.parametrize("window", [0, 2_000])
def test_a_closed_window_is_probed_with_one_octet_and_ever_longer_pauses(window: int) -> None:
    """RFC 9293 §3.8.6.1, MUST-35, SHLD-29, SHLD-30."""
    hand, sent = probing(window)
    assert sum(segment.payload_length for segment in sent) == window
    times, probes = [], []
    for _ in range(400):
        found = hand.wait(100 * MILLISECOND)
        probes += found
        times += [hand.now for _ in found]
        for _ in found:
            assert hand.say(ACK, 1, 1 + window, window=0) == []
    assert len(probes) >= 4
    assert {(hand.seq(probe), probe.payload) for probe in probes} == {(1 + window, DATA[window : window + 1])}
    waits = [b - a for a, b in pairwise(times)]
    assert all(b >= 2 * a - 200 * MILLISECOND for a, b in pairwise(waits))
    # Closed windows are no congestion.
    assert hand.subflow.congestion.window >= 10_000


@pytest.mark.parametrize("window", [0, 2_000])
def test_a_closed_window_is_waited_for_as_long_as_probes_are_answered(window: int) -> None:
    """RFC 9293 §3.8.6.1, MUST-37."""
    hand, _ = probing(window)
    for _ in range(3_600):
        for _ in hand.wait(SECOND):
            hand.say(ACK, 1, 1 + window, window=0)
    assert hand.connection is not None
    assert hand.connection.error is None
    sent = hand.say(ACK, 1, 1 + window, window=65_535)
    sent += hand.say(ACK, 1, 2 + window, window=65_535)
    assert b"".join(segment.payload for segment in sent) == DATA[window:5_000]


@pytest.mark.parametrize("window", [0, 2_000])
def test_probes_that_nobody_answers_end_in_etimedout(window: int) -> None:
    hand, _ = probing(window)
    sent = hand.wait(3_600 * SECOND)
    assert hand.connection is not None
    assert hand.connection.error == "ETIMEDOUT"
    assert sent[-1].flags & RST


@pytest.mark.parametrize("window", [0, 2_000])
def test_a_probe_that_was_taken_lets_the_rest_follow(window: int) -> None:
    hand, _ = probing(window)
    assert hand.wait(SECOND)
    sent = hand.say(ACK, 1, 2 + window, window=10_000)
    assert b"".join(segment.payload for segment in sent) == DATA[window + 1 : 5_000]


def test_a_window_that_opens_again_is_used_at_once_however_far_the_probes_backed_off() -> None:
    hand, _ = probing(2_000)
    for _ in range(60):
        for _ in hand.wait(SECOND):
            hand.say(ACK, 1, 2_001, window=0)
    sent = hand.say(ACK, 1, 2_001, window=1_000)
    assert b"".join(segment.payload for segment in sent) == DATA[2_000:2_001]
    sent = hand.say(ACK, 1, 2_002, window=1_000)
    assert b"".join(segment.payload for segment in sent) == DATA[2_001:3_001]


@pytest.mark.parametrize("settings", [TCP, {}])
def test_a_lost_update_of_the_window_is_made_good_by_a_probe(settings: dict[str, object]) -> None:
    pair = Pair(settings, {**settings, "receive_buffer": 20_000})
    client, server = pair.connect(DATA)
    server.reads = False
    pair.run(seconds=10)
    server.reads = True
    lost: list[Segment] = []

    def drop(segment: Segment, who: int) -> list[Segment]:
        if who == SERVER and len(lost) < 2:
            lost.append(segment)
            return []
        return [segment]

    pair.hook = drop
    pair.run(lambda: server.ended, seconds=120)
    assert len(lost) == 2
    assert bytes(server.got) == DATA
    assert client.connection.error is None


@pytest.mark.parametrize("settings", [TCP, {}])
def test_a_reader_that_sleeps_for_an_hour_loses_nothing(settings: dict[str, object]) -> None:
    pair = Pair(settings, {**settings, "receive_buffer": 20_000})
    client, server = pair.connect(DATA)
    server.reads = False
    pair.run(seconds=3_600)
    assert (client.connection.error, server.connection.error) == (None, None)
    server.reads = True
    pair.run(lambda: server.ended, seconds=200)
    assert bytes(server.got) == DATA


def test_a_fin_is_sent_into_a_closed_window() -> None:
    hand, _ = probing(2_000)
    assert hand.connection is not None
    hand.say(ACK, 1, 2_001, window=3_000)
    hand.say(ACK, 1, 5_001, window=0)
    hand.connection.shutdown(hand.now)
    (fin,) = hand.answers()
    assert fin.fin
    hand.say(ACK, 1, 5_002, window=0)
    assert hand.wait(100 * SECOND) == []


def test_data_timers_stop_with_the_subflow() -> None:
    pair = Pair(TCP, TCP)
    client, _ = pair.connect(DATA)
    client.connection.abort(pair.now)
    assert pair.endpoints[CLIENT].next_timer() is None
