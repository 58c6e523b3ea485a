"""The receive windows of flows, as a box works them out from what passes."""

from __future__ import annotations

from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import Flow, HalfFlow
from mbtest.wire import Segment, WindowScale

LARGEST_SHIFT = 14
"""RFC 7323 §2.3: a larger one is taken for this."""


class Windows:
    """How far each host of each flow may send.

    scaled: whether the window scale is followed that the SYNs agree on; if not, the field is the window.
    """

    def __init__(self, scaled: bool = True) -> None:
        """Begin with nothing heard."""
        self._scaled = scaled
        self._shifts: dict[HalfFlow, int] = {}
        """The scale that each host's SYN offered."""
        self._edges: dict[HalfFlow, int] = {}

    def learn(self, segment: Segment, flow: Flow, direction: Direction) -> None:
        """Take note of what `segment` says of its sender's window. Its flow must have seen it."""
        own, peer = flow.half(segment, direction), flow.halves.get(direction.reverse)
        if segment.syn and (scale := segment.option(WindowScale)):
            self._shifts[own] = min(scale.shift, LARGEST_SHIFT)
        if peer is None or not segment.has_ack or segment.rst:
            return
        # RFC 7323 §2.2: the window of a SYN is not scaled.
        shift = 0 if segment.syn else self.shift(own, peer)
        edge = peer.offset(segment.ack) + (segment.window << shift)
        self._edges[peer] = max(edge, self._edges.get(peer, edge))

    def edge(self, half: HalfFlow) -> int | None:
        """Return the stream offset that the sender of a direction may send up to, None where it is unknown.

        The largest right edge that was offered counts, whatever came of it later.
        """
        return self._edges.get(half)

    def shift(self, receiver: HalfFlow, sender: HalfFlow) -> int:
        """Return the scale of the windows that a receiver offers; 0 unless both SYNs offered one."""
        both = receiver in self._shifts and sender in self._shifts
        return self._shifts[receiver] if self._scaled and both else 0
