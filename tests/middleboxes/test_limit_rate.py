from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import SYN, Packet, Segment
from middleboxes.limit_rate import LimitRate
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments

RATE = 8_000_000
"""An octet a microsecond."""


def sized(octets: int, seq: int = 0) -> Segment:
    """Return a segment in an IP packet of so many octets."""
    return segment(seq, bytes(octets - 40))


def test_what_comes_faster_waits_its_turn() -> None:
    line = Line(LimitRate(RATE, burst=0))
    assert [line.put(sized(100, at)) for at in range(3)] == [[], [], []]
    assert line.wait(99) == []
    assert line.wait(1) == [sized(100, 0)]
    assert line.wait(200) == [sized(100, 1), sized(100, 2)]


def test_a_burst_passes_at_once_after_a_pause() -> None:
    line = Line(LimitRate(RATE, burst=250))
    assert [len(line.put(sized(100, at))) for at in range(3)] == [1, 1, 0]
    assert line.wait(50) == [sized(100, 2)]
    line.wait(250)
    assert [len(line.put(sized(100, at))) for at in range(3)] == [1, 1, 0]


def test_what_finds_no_room_in_the_queue_is_dropped() -> None:
    line = Line(LimitRate(RATE, queue=250, burst=0))
    story = [sized(100, at) for at in range(3)]
    for one in story:
        line.put(one)
    assert line.wait(1000) == story[:2]
    assert line.chain.comment(story[2]) == "LimitRate dropped it: the queue is full"


def test_without_a_queue_it_is_a_policer() -> None:
    line = Line(LimitRate(RATE, queue=0, burst=250))
    assert [len(line.put(sized(100, at))) for at in range(4)] == [1, 1, 0, 0]
    assert len(line.clock) == 0
    line.wait(100)
    assert [len(line.put(sized(100, at))) for at in range(2)] == [1, 0]


def test_directions_do_not_wait_for_each_other_and_nothing_else_waits() -> None:
    line = Line(LimitRate(RATE, burst=100))
    udp = Packet(bytes.fromhex("4500001c0000000040110000c0000201c0000202") + bytes(8))
    line.put(sized(100))
    answer = segment(0, bytes(60), direction=TO_CLIENT)
    assert line.put(answer, TO_CLIENT) == [answer]
    line.put(udp)
    assert line.out[-1][0] is udp


def test_what_the_aim_leaves_out_passes_at_once() -> None:
    line = Line(LimitRate(RATE, burst=0, aim=Aim(kinds=Kind.DATA)))
    assert line.put(one := segment(flags=SYN)) == [one]


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(40, 1500)), max_size=30),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
def test_no_more_leaves_than_rate_and_burst_allow_and_all_in_order(
    story: list[tuple[int, int]], queue: int, burst: int
) -> None:
    line = Line(LimitRate(RATE, queue=queue, burst=burst))
    left: list[tuple[int, Segment]] = []

    def gather() -> None:
        left.extend((line.clock.now, one) for one in segments(line.out, TO_SERVER))
        line.out.clear()

    for number, (pause, octets) in enumerate(story):
        for _ in range(pause):
            line.clock.advance(1)
            gather()
        line.put(sized(octets, number))
        gather()
    for _ in range(queue + burst + 1500):
        line.clock.advance(1)
        gather()
    assert len(line.clock) == 0
    numbers = [int(one.seq) for _, one in left]
    assert numbers == sorted(set(numbers))
    for first in range(len(left)):
        octets = 0
        for time, one in left[first:]:
            octets += len(one)
            # A packet that leaves has been sent to its end, and timers round to the microsecond.
            assert octets <= burst + time - left[first][0] + len(left[first][1]) + 1


@pytest.mark.parametrize("told", [{"rate": 999}, {"queue": -1}, {"burst": -1}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^LimitRate: \w+=-?\d+ is out of range; give at least"):
        LimitRate(**told)
