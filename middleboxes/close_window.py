"""A box that closes the window for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import SECOND, Direction, FlowTable, HalfFlow, Middlebox, Parameter
from mbtest.wire import Segment


class CloseWindow(Middlebox):
    """Sets windows to 0 for a time, as a proxy does whose far side has come to a stop.

    Each flow is stopped once, from the first acknowledgment on that has come so far. Nothing is sent to
    open the window again: the next that the receiver says, to a probe perhaps, passes as it is. Segments
    with SYN or RST, and everything but the window, do so at any time.
    """

    after: Annotated[int, Parameter("acknowledged data at which it begins", "octets", 0)] = 0
    duration: Annotated[int, Parameter("how long it lasts", "microseconds", 1)] = SECOND

    def start(self) -> None:
        self._flows = FlowTable()
        self._until: dict[HalfFlow, int] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self._flows.sight(segment, direction)
        half = self._flows.flow(segment, direction).halves.get(direction.reverse)
        if half is None or segment.syn or segment.rst or not segment.has_ack:
            return (segment,)
        if half.offset(segment.ack) >= self.after:
            self._until.setdefault(half, self.now + self.duration)
        if self.now >= self._until.get(half, 0):
            return (segment,)
        return (segment.replace(window=0),)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Count its octets."""
        self._flows.sight(segment, direction)
        return (segment,)
