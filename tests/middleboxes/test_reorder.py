from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Direction, Kind
from mbtest.wire import SYN, Segment
from middleboxes.reorder import ReorderSegments
from tests.middlebox.bench import Connection, Line, converse, segment, segments


def test_one_that_is_held_back_is_overtaken_and_comes_as_it_was() -> None:
    line = Line(ReorderSegments(1, 500, aim=Aim(nth=1)))
    first, second = segment(1, b"ab"), segment(3, b"cd")
    assert line.put(first) == []
    assert line.put(second) == [second]
    assert line.wait(499) == []
    assert line.wait(1)[0] is first
    assert line.chain.comment(first) is not None


def test_one_that_is_held_back_goes_behind_so_many_others() -> None:
    line = Line(ReorderSegments(1, 500, behind=2, aim=Aim(nth=1)))
    first, second, third, fourth = (segment(number, b"a") for number in (1, 2, 3, 4))
    assert line.put(first) == []
    assert line.put(second) == [second]
    assert line.put(back := segment(9, b"b"), Direction.TO_CLIENT) == [back]
    assert line.put(third) == [third, first]
    assert line.put(fourth) == [fourth]
    assert line.chain.deeds(ReorderSegments) == 2
    assert line.wait(10_000) == []


def test_or_when_its_time_is_over() -> None:
    line = Line(ReorderSegments(1, 500, behind=2, aim=Aim(nth=1)))
    first, second, third = (segment(number, b"a") for number in (1, 2, 3))
    assert line.put(first) == []
    assert line.put(second) == [second]
    assert line.wait(500) == [first]
    assert line.put(third) == [third]


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_nothing_is_lost_doubled_or_changed(seed: int, share: float) -> None:
    line = Line(ReorderSegments(share), seed=seed)
    story = [segment(number, b"data") for number in range(30)]
    for one in story:
        line.put(one)
        line.wait(300)
    line.wait(10_000)
    assert sorted(map(id, segments(line.out))) == sorted(map(id, story))


def test_so_large_a_share_is_held_back() -> None:
    line = Line(ReorderSegments(0.25), seed=1)
    passed: list[Segment] = []
    for number in range(1000):
        passed += line.put(segment(number))
    assert 700 < len(passed) < 800


def test_what_the_aim_leaves_out_passes() -> None:
    line = Line(ReorderSegments(1, aim=Aim(kinds=Kind.DATA)))
    assert line.put(syn := segment(flags=SYN)) == [syn]


@given(st.integers(0, 2**32))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int) -> None:
    random = Random(seed)
    line = Line(ReorderSegments(0.3, aim=Aim(kinds=Kind.DATA | Kind.PURE_ACK)), seed=seed)
    connection = Connection(line, random.randbytes(1200), random.randbytes(700), random, (5, 9), wait=1000)
    converse([connection], random, 0.2)
    assert connection.server.received == connection.client.stream
    assert connection.client.received == connection.server.stream


@pytest.mark.parametrize("told", [{"share": 2.0}, {"delay": 0}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^ReorderSegments: \w+=\S+ is out of range; give"):
        ReorderSegments(**told)
