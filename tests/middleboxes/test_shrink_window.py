from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, SYN, WindowScale
from middleboxes.shrink_window import ShrinkWindow
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment


@given(st.integers(0, 65535), st.integers(1, 65535), st.integers(1, 65535), st.sampled_from((SYN | ACK, ACK)))
def test_a_window_is_lowered_and_nothing_else(window: int, divisor: int, most: int, flags: int) -> None:
    one = segment(1, b"data", flags, window=window, options=[WindowScale(7)])
    (out,) = Line(ShrinkWindow(divisor, most)).put(one)
    assert out == one.replace(window=out.window)
    assert out.checksum_is_right()
    assert out.window <= min(window, most)
    assert (out.window == 0) is (window == 0)
    assert out.window in (window // divisor, most, 1)


def test_a_window_that_is_small_enough_is_no_deed() -> None:
    line = Line(ShrinkWindow(most=100))
    assert line.put(one := segment(window=100))[0] is one
    assert line.chain.deeds(ShrinkWindow) == 0


def test_an_aim_names_the_direction() -> None:
    line = Line(ShrinkWindow(2, aim=Aim(direction=TO_CLIENT)))
    assert line.put(segment(window=10), TO_SERVER)[0].window == 10
    assert line.put(segment(window=10, direction=TO_CLIENT), TO_CLIENT)[0].window == 5


@pytest.mark.parametrize("told", [{"divisor": 0}, {"most": 0}, {"most": 65536}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^ShrinkWindow: \w+=\d+ is out of range; give 1 to 65535"):
        ShrinkWindow(**told)
