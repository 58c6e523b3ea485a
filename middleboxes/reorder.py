"""A box that lets segments overtake others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.middlebox import MILLISECOND, Direction, Middlebox, Parameter
from mbtest.wire import Segment


class ReorderSegments(Middlebox):
    """Holds back some segments for a time, so that others overtake them, as parallel links do.

    Nothing is lost or changed. One that is held back may be sent again by its sender meanwhile.
    """

    share: Annotated[float, Parameter("segments that are held back, of all", low=0, high=1)] = 0.1
    delay: Annotated[int, Parameter("how long they are held", "microseconds", 1)] = 2 * MILLISECOND

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.random.random() >= self.share:
            return (segment,)
        self.note(segment, "held it back")
        self.call_later(self.delay, partial(self.send, segment, direction, f"sent it {self.delay} us later"))
        return ()
