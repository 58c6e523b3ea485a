from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import SYN, Dss, Segment, Timestamps
from middleboxes.forge_overlap import ForgeOverlap
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

STREAM = bytes(range(50))


def data(at: int, size: int) -> Segment:
    return segment(101 + at, STREAM[at : at + size], options=[Timestamps(1, 2), Dss(4)])


def opened(**told: Any) -> Line:
    line = Line(ForgeOverlap(**told))
    line.put(segment(100, flags=SYN))
    return line


def test_a_copy_with_other_octets_goes_first() -> None:
    forged, own = opened(at=3, size=2).put(data(0, 10))
    assert own == data(0, 10)
    assert forged == own.replace(payload=b"\0\1\2\xfc\xfb\5\6\7\x08\x09")
    assert forged.checksum_is_right()


def test_or_behind_it_and_without_mptcp() -> None:
    own, forged = opened(at=3, order="after", options="without MPTCP").put(data(0, 10))
    assert own == data(0, 10)
    assert forged.options[:1] == (Timestamps(1, 2),)
    assert forged.option(Dss) is None


def test_segments_without_the_octets_pass_as_they_are() -> None:
    line = opened(at=10)
    answer = segment(1, bytes(30), direction=TO_CLIENT)
    for one in (data(0, 10), data(11, 10), segment(111), data(5, 10).replace(checksum=0x1234)):
        assert line.put(one) == [one]
    assert len(line.put(answer, TO_CLIENT)) == 2
    aimed = opened(at=10, aim=Aim(direction=TO_SERVER))
    assert aimed.put(answer, TO_CLIENT) == [answer]


def test_what_is_sent_again_is_forged_again() -> None:
    line = opened(at=10)
    assert [len(line.put(one)) for one in (data(5, 10), data(5, 10), data(10, 1))] == [2, 2, 2]


@given(st.integers(0, 60), st.integers(1, 60), st.lists(st.integers(1, 20), max_size=10), st.booleans())
def test_it_delivers_what_comes_first(at: int, size: int, sizes: list[int], before: bool) -> None:
    box = ForgeOverlap(at, size, order="before" if before else "after")
    line = Line(box)
    line.put(segment(100, flags=SYN))
    received, place = b"", 0
    for length in sizes:
        for one in line.put(data(place, length)):
            if one.seq == 101 + len(received):
                received += one.payload
        place += length
    stream = STREAM[:place]
    assert received == box.delivers(stream, TO_SERVER)
    assert (received == stream) is (not before or at >= len(stream))


def test_it_delivers_other_octets_in_the_direction_that_it_is_aimed_at() -> None:
    box = ForgeOverlap(aim=Aim(direction=TO_SERVER))
    assert box.delivers(b"abc", TO_SERVER) == b"\x9ebc"
    assert box.delivers(b"abc", TO_CLIENT) == b"abc"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"at": -1}, "at=-1 is out of range"),
        ({"size": 0}, "size=0 is out"),
        ({"order": "x"}, "order='x' should"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^ForgeOverlap: {words}"):
        ForgeOverlap(**told)
