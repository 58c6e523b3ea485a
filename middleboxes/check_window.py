"""A box that looks after the receive window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, Windows
from mbtest.wire import Segment


class CheckWindow(Middlebox):
    """Drops data beyond the window that its receiver offered, as connection tracking firewalls do.

    The largest right edge counts, and a single octet beyond it passes: a probe. Firewalls that do not
    know window scaling, or missed the SYNs, take every window for its bare 16 bits. A segment without
    data always passes, and so does data as long as the receiver was not heard.
    """

    scale: Annotated[Literal["followed", "ignored"], Parameter("the scale that the SYNs agree on")] = (
        "followed"
    )

    def start(self) -> None:
        self._flows = FlowTable()
        self._windows = Windows(scaled=self.scale == "followed")

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        half, end = self._learn(segment, direction)
        edge = self._windows.edge(half)
        if not segment.payload_length or edge is None or end <= edge:
            return (segment,)
        if segment.payload_length == 1 and end == edge + 1:
            return (segment,)
        self.note(segment, f"dropped it: {end - edge} octets beyond the window")
        return ()

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Learn the window that it offers."""
        self._learn(segment, direction)
        return (segment,)

    def _learn(self, segment: Segment, direction: Direction) -> tuple[HalfFlow, int]:
        """Return the direction of a flow that `segment` belongs to, and the stream offset behind its data."""
        flow = self._flows.flow(segment, direction)
        end = flow.sight(segment, direction).end
        self._windows.learn(segment, flow, direction)
        return flow.half(segment, direction), end
