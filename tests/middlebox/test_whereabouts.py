from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType

import pytest

from mbtest.middlebox import BoxError, Direction, Middlebox
from mbtest.middlebox.whereabouts import at_work, raised
from mbtest.wire import Segment
from tests.middlebox.bench import Line, segment


class Looking(Middlebox):
    """Notes the stack that it is in."""

    def start(self) -> None:
        self.frame: FrameType | None = None

    def process(self, one: Segment, direction: Direction) -> Sequence[Segment]:
        self.frame = sys._getframe()
        return [one]


class Answering(Middlebox):
    """Has another box at work while it is."""

    def process(self, one: Segment, direction: Direction) -> Sequence[Segment]:
        self.send(one, direction.reverse)
        return [one]


def test_the_box_at_work_is_named_with_its_line() -> None:
    line = Line(Looking())
    line.put(segment())
    (box,) = line.chain.boxes
    assert isinstance(box, Looking)
    found = at_work(box.frame)
    assert found is not None
    assert found[0] is box
    assert found[1].startswith("test_whereabouts.py:")


def test_the_box_that_another_waits_for_is_at_work() -> None:
    line = Line(Looking(), Answering())
    line.put(segment())
    box = line.chain.boxes[0]
    assert isinstance(box, Looking)
    found = at_work(box.frame)
    assert found is not None
    assert found[0] is box


def test_outside_of_any_box_none_is_at_work() -> None:
    assert at_work(sys._getframe()) is None
    assert at_work(None) is None


def test_an_error_is_told_with_the_line_of_the_box_that_led_to_it() -> None:
    class Long(Middlebox):
        def process(self, one: Segment, direction: Direction) -> Sequence[Segment]:
            return [one.replace(nonsense=1)]

    with pytest.raises(BoxError) as caught:
        Line(Long()).put(segment())
    told = raised(Long(), caught.value.__cause__ or caught.value)
    assert "one.replace(nonsense=1)" in told
    assert "test_whereabouts.py" in told
