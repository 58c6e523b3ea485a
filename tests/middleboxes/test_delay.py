from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import SYN
from middleboxes.delay import DelaySegments
from tests.middlebox.bench import TO_CLIENT, Connection, Line, converse, segment, segments


def arrivals(line: Line, *sent: int) -> list[tuple[int, int]]:
    """Send segments at these times, in order; return the number of each and when it arrived, in order."""
    came = []
    for now in range(max(sent) + 10_000):
        came += [(int(one.seq), now) for one in line.wait(0)]
        for number, at in enumerate(sent):
            if at == now:
                came += [(int(one.seq), now) for one in line.put(segment(number))]
        came += [(int(one.seq), now + 1) for one in line.wait(1)]
    assert len(line.clock) == 0
    return came


def test_segments_come_later_by_one_delay_after_another() -> None:
    line = Line(DelaySegments((100, 300), turn=1000))
    assert arrivals(line, 1, 500, 1200, 2100) == [(0, 101), (1, 600), (2, 1500), (3, 2200)]


def test_where_the_delay_falls_segments_wait_for_those_before_them() -> None:
    assert arrivals(Line(DelaySegments((900, 0), turn=1000)), 990, 1010) == [(0, 1890), (1, 1890)]


def test_unless_they_may_overtake() -> None:
    line = Line(DelaySegments((900, 0), turn=1000, overtaking=True))
    assert arrivals(line, 990, 1010) == [(1, 1010), (0, 1890)]


def test_no_delay_is_no_deed_and_directions_do_not_wait_for_each_other() -> None:
    line = Line(DelaySegments((900, 0), turn=1000))
    line.put(segment())
    line.wait(1000)
    answer = segment(direction=TO_CLIENT)
    assert line.put(answer, TO_CLIENT)[0] is answer
    assert line.chain.deeds(DelaySegments) == 2


def test_what_the_aim_leaves_out_passes_at_once() -> None:
    line = Line(DelaySegments(900, aim=Aim(kinds=Kind.DATA)))
    assert line.put(syn := segment(flags=SYN)) == [syn]


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=4), st.lists(st.integers(0, 500), max_size=30))
def test_nothing_is_lost_and_the_order_is_kept(delays: list[int], pauses: list[int]) -> None:
    line = Line(DelaySegments(tuple(delays), turn=700))
    for number, pause in enumerate(pauses):
        line.put(segment(number))
        line.wait(pause)
    line.wait(100_000)
    assert [one.seq for one in segments(line.out)] == list(range(len(pauses)))


@given(st.integers(0, 2**32), st.booleans())
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, overtaking: bool) -> None:
    random = Random(seed)
    line = Line(
        DelaySegments((0, 3000, 12_000), turn=10_000, overtaking=overtaking, aim=Aim(kinds=Kind.DATA))
    )
    connection = Connection(line, random.randbytes(1200), random.randbytes(700), random, (5, 9), wait=10_000)
    converse([connection], random, 0.2)
    assert connection.server.received == connection.client.stream
    assert connection.client.received == connection.server.stream


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"delays": ()}, r"delays=\(\) names no delay"),
        ({"delays": (5, -1)}, r"delays=\(5, -1\) is out of range; give at least 0 microseconds"),
        ({"turn": 0}, "turn=0 is out of range; give at least 1 microseconds"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^DelaySegments: {words}$"):
        DelaySegments(**told)
