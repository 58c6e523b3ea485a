from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Direction, Kind
from mbtest.wire import SYN
from middleboxes.duplicate import DuplicateSegments
from tests.middlebox.bench import Line, segment, talk


def test_a_segment_goes_twice_at_once() -> None:
    line = Line(DuplicateSegments())
    one = segment(1, b"data")
    assert [out is one for out in line.put(one)] == [True, True]
    assert line.chain.comment(one) == "DuplicateSegments made 2 segments of it: sent it twice"


def test_or_again_after_a_while() -> None:
    line = Line(DuplicateSegments(later=700))
    assert line.put(one := segment(1, b"data")) == [one]
    assert line.wait(699) == []
    assert line.wait(1) == [one]
    assert line.wait(10_000) == []
    assert line.chain.deeds(DuplicateSegments) == 1


def test_or_again_behind_so_many_others() -> None:
    line = Line(DuplicateSegments(behind=2, aim=Aim(nth=1)))
    first, second, third, fourth = (segment(number, b"a") for number in (1, 2, 3, 4))
    assert line.put(first) == [first]
    assert line.put(second) == [second]
    assert line.put(back := segment(9, b"b"), Direction.TO_CLIENT) == [back]
    assert line.put(third) == [third, first]
    assert line.put(fourth) == [fourth]
    assert line.chain.deeds(DuplicateSegments) == 1


def test_so_large_a_share_goes_twice() -> None:
    line = Line(DuplicateSegments(0.25), seed=1)
    assert 1200 < sum(len(line.put(segment(number))) for number in range(1000)) < 1300


def test_what_the_aim_leaves_out_goes_once() -> None:
    line = Line(DuplicateSegments(aim=Aim(kinds=Kind.DATA)))
    assert line.put(syn := segment(flags=SYN)) == [syn]


@given(st.integers(0, 2**32), st.integers(0, 5_000))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, later: int) -> None:
    for connection in talk(DuplicateSegments(0.5, later), seed=seed, trouble=0.2):
        assert connection.server.received == connection.client.stream


@pytest.mark.parametrize("told", [{"share": -1.0}, {"later": -1}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^DuplicateSegments: \w+=\S+ is out of range; give"):
        DuplicateSegments(**told)
