from __future__ import annotations

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import ACK, SYN, MaximumSegmentSize, SackPermitted, WindowScale
from middleboxes.window_scale import RewriteWindowScale
from tests.middlebox.bench import TO_CLIENT, Line, segment

OPTIONS = [MaximumSegmentSize(1460), WindowScale(7), SackPermitted()]


@pytest.mark.parametrize("flags", [SYN, SYN | ACK])
@pytest.mark.parametrize(("change", "shift"), [(2, 9), (-3, 4), (14, 14), (-14, 0)])
def test_another_scale_is_put_in_its_place(flags: int, change: int, shift: int) -> None:
    (out,) = Line(RewriteWindowScale(change)).put(segment(1, flags=flags, window=99, options=OPTIONS))
    others = [MaximumSegmentSize(1460), WindowScale(shift), SackPermitted()]
    assert out == segment(1, flags=flags, window=99, options=others)


def test_or_it_is_removed() -> None:
    (out,) = Line(RewriteWindowScale()).put(one := segment(1, flags=SYN, options=OPTIONS))
    assert out == one.without_options(WindowScale)


def test_what_offers_no_scale_is_left_alone() -> None:
    line = Line(RewriteWindowScale(3))
    for one in (segment(1, flags=SYN), segment(2, b"data", options=[WindowScale(7)])):
        assert line.put(one)[0] is one


def test_an_aim_names_one_of_the_two() -> None:
    line = Line(RewriteWindowScale(aim=Aim(kinds=Kind.SYN_ACK)))
    assert line.put(segment(1, flags=SYN, options=OPTIONS))[0].option(WindowScale)
    answer = segment(1, flags=SYN | ACK, options=OPTIONS, direction=TO_CLIENT)
    assert line.put(answer, TO_CLIENT)[0].option(WindowScale) is None


def test_an_impossible_change_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^RewriteWindowScale: change=15 is out of range; give -14 to 14$"):
        RewriteWindowScale(15)
