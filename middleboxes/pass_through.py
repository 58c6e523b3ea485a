"""A box that touches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, Middlebox
from mbtest.wire import Segment


class PassThrough(Middlebox):
    """Forwards every segment as it came, as a switch does: the control against which boxes are held."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return (segment,)
