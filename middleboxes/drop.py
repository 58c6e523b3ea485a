"""A box that loses segments."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, Middlebox
from mbtest.wire import Segment


class DropSegments(Middlebox):
    """Drops the segments that its aim hits, as a full queue, a noisy link or a filter does.

    Without an aim it drops every TCP segment. Other packets pass.
    """

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self.note(segment, "dropped it")
        return ()
