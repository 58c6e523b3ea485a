from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, RST, SYN, Dss, Segment
from middleboxes.holes import StopAtHoles
from tests.middlebox.bench import TO_CLIENT, Line, segment, talk

ISN = 2**32 - 12
STREAM = bytes(range(60))


def data(at: int, size: int = 10, flags: int = ACK, **more: Any) -> Segment:
    return segment(ISN + 1 + at, STREAM[at : at + size], flags, **more)


def opened(**told: Any) -> Line:
    line = Line(StopAtHoles(**told))
    line.put(segment(ISN, flags=SYN))
    return line


def test_what_is_held_goes_on_in_order_and_as_it_came() -> None:
    line = opened()
    third, second = data(20, options=[Dss(7)]), data(10)
    assert line.put(third) == line.put(second) == []
    out = line.put(first := data(0))
    assert out == [first, second, third]
    assert [one is came for one, came in zip(out, (first, second, third), strict=True)] == [True] * 3
    assert line.put(data(30))[0].payload == STREAM[30:40]


def test_what_is_dropped_comes_only_when_it_is_sent_again() -> None:
    line = opened(manner="drop")
    assert line.put(data(10)) == []
    assert line.put(data(0)) == [data(0)]
    assert line.put(data(10)) == [data(10)]


def test_a_hole_that_is_filled_in_part_still_holds_what_is_behind_the_rest() -> None:
    line = opened()
    assert line.put(data(20)) == []
    assert line.put(data(0, 15)) == [data(0, 15)]
    assert line.put(data(10, 10)) == [data(10, 10), data(20)]


def test_a_fin_waits_for_the_data_before_it() -> None:
    line = opened()
    assert line.put(fin := data(10, 0, ACK | FIN)) == []
    assert line.put(data(0)) == [data(0), fin]


@pytest.mark.parametrize("manner", ["hold", "drop"])
def test_segments_without_data_and_old_data_pass(manner: str) -> None:
    line = opened(manner=manner)
    line.put(data(0))
    line.put(data(30))
    for one in (data(40, 0), data(40, 0, RST), data(0), data(5, 5), data(30).replace(checksum=0x1234)):
        assert line.put(one) == [one]
    answer = segment(9, b"answer", direction=TO_CLIENT)
    assert line.put(answer, TO_CLIENT) == [answer]


def test_no_more_is_held_than_told() -> None:
    line = opened(limit=20)
    assert line.put(data(10)) == line.put(data(20)) == line.put(data(30)) == []
    assert line.chain.comment(line.chain.record.actions[-1].before) == (  # type: ignore[union-attr, arg-type]
        "StopAtHoles dropped it: octets from 0 are missing"
    )
    assert [one.payload for one in line.put(data(0))] == [STREAM[:10], STREAM[10:20], STREAM[20:30]]


def test_what_the_aim_leaves_out_passes_and_may_fill_a_hole() -> None:
    line = opened(aim=Aim(from_byte=20))
    assert line.put(data(10)) == [data(10)]
    assert line.put(data(30)) == []
    assert line.put(data(20)) == []
    assert line.put(data(0)) == [data(0), data(20), data(30)]


@given(
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 20)), max_size=15),
    st.sampled_from(("hold", "drop")),
)
def test_nothing_passes_behind_a_hole_and_nothing_is_kept_from_the_front(
    story: list[tuple[int, int]], manner: str
) -> None:
    line, end, came = opened(manner=manner), 0, set[int]()
    for at, size in story:
        one = data(at, size)
        came |= set(range(at, at + one.payload_length))
        for out in line.put(one):
            start = out.seq - (segment(ISN).seq + 1)
            assert start <= end
            assert out.payload == STREAM[start : start + out.payload_length]
            end = max(end, start + out.payload_length)
        if manner == "hold":
            assert set(range(end)) == {number for number in came if set(range(number)) <= came}


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.sampled_from(("hold", "drop")))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, manner: Any) -> None:
    for connection in talk(StopAtHoles(manner), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


@pytest.mark.parametrize(
    ("told", "words"),
    [({"manner": "wait"}, "manner='wait' should be 'hold' or 'drop'"), ({"limit": 0}, "limit=0 is out of")],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^StopAtHoles: {words}"):
        StopAtHoles(**told)
