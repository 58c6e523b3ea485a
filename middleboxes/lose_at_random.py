"""A box that loses segments by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment


class LoseAtRandom(Middlebox):
    """Loses segments at random, each by a chance of its own, as a noisy link does.

    Segments that are not lost pass as they are.
    """

    share: Annotated[float, Parameter("segments that are lost, of all", low=0, high=1)] = 0.01

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.random.random() >= self.share:
            return (segment,)
        self.note(segment, "lost it")
        return ()
