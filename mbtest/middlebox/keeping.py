"""Segments kept by a box that has answered for them, and sent again until their receiver has them."""

from __future__ import annotations

from mbtest.middlebox.contract import Middlebox
from mbtest.middlebox.direction import Direction
from mbtest.wire import Segment


class Keeper:
    """What the receiver of one direction of a flow has not acknowledged, as it came."""

    def __init__(self, box: Middlebox, direction: Direction, patience: int) -> None:
        """Begin with nothing.

        box: whose clock and packets they are. patience: microseconds without acknowledgment after which a
        segment is sent again.
        """
        self._box, self._direction, self._patience = box, direction, patience
        self._segments: dict[int, Segment] = {}
        """By the stream offset of their end."""

    def __len__(self) -> int:
        """Return how many segments are kept."""
        return len(self._segments)

    def keep(self, end: int, segment: Segment) -> None:
        """Keep a segment, and send it again each time that it was not acknowledged for long enough.

        end: the stream offset behind its data; another that ends there takes its place.
        """
        self._segments[end] = segment

        def look() -> None:
            if self._segments.get(end) is segment:
                why = "sent it again: the receiver did not acknowledge it"
                self._box.send(segment, self._direction, why)
                self._box.call_later(self._patience, look)

        self._box.call_later(self._patience, look)

    def forget(self, acknowledged: int) -> None:
        """Forget what the receiver has: all that ends at a stream offset or before it."""
        self._segments = {end: one for end, one in self._segments.items() if end > acknowledged}
