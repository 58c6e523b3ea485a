"""A box that lets segments overtake others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.middlebox import MILLISECOND, Direction, Middlebox, Parameter, Timer
from mbtest.wire import Segment


@dataclasses.dataclass(eq=False)
class _Held:
    segment: Segment
    direction: Direction
    timer: Timer
    passed: int = 0


class ReorderSegments(Middlebox):
    """Holds back some segments for a time, so that others overtake them, as parallel links do.

    Nothing is lost or changed. One that is held back may be sent again by its sender meanwhile.
    """

    share: Annotated[float, Parameter("segments that are held back, of all", low=0, high=1)] = 0.1
    delay: Annotated[int, Parameter("how long they are held", "microseconds", 1)] = 2 * MILLISECOND
    behind: Annotated[
        int, Parameter("segments of its direction that let one go before its time; 0: none do", low=0)
    ] = 0

    def start(self) -> None:
        self._held: list[_Held] = []

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.random.random() >= self.share:
            return self.pass_by(segment, direction)
        self.note(segment, "held it back")
        if not self.behind:
            why = f"sent it {self.delay} us later"
            self.call_later(self.delay, partial(self.send, segment, direction, why))
            return ()
        timer = self.call_later(self.delay, lambda: self._let_go(held, f"sent it {self.delay} us later"))
        held = _Held(segment, direction, timer)
        self._held.append(held)
        return ()

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Count one that overtakes."""
        overtaken = [held for held in self._held if held.direction is direction]
        for held in overtaken:
            held.passed += 1
        if not any(held.passed >= self.behind for held in overtaken):
            return (segment,)
        self.note(segment, "sent one that was held back behind it")
        self.release(segment, direction)
        for held in overtaken:
            if held.passed >= self.behind:
                self._let_go(held, f"sent it behind the next {self.behind}")
        return ()

    def _let_go(self, held: _Held, why: str) -> None:
        held.timer.cancel()
        self._held.remove(held)
        self.send(held.segment, held.direction, why)
