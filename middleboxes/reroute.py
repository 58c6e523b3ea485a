"""A path that changes in mid-connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Annotated, Any

from mbtest.middlebox import Chain, Direction, Middlebox, Parameter, Timer
from mbtest.wire import Address, Packet, Segment

CHANGED, ON_NEW_WAY = "changed the way", "acted on the new way"


class Reroute(Middlebox):
    """Leads through some boxes at first, and through others from the first segment on that its aim hits.

    So it is where a route changes, or a host moves, in mid-connection: the boxes on the new way have seen
    nothing of what went before. What the boxes of the old way hold back still comes. Boxes in the ways
    have aims of their own; what they rewrite is not known beforehand (`delivers`).
    """

    before: Annotated[tuple[Middlebox, ...], Parameter("boxes of the first way, the client's end first")] = ()
    after: Annotated[tuple[Middlebox, ...], Parameter("boxes of the way after the change")] = ()

    def start(self) -> None:
        self._ways = [Chain(boxes, self.path, self.path_index) for boxes in (self.before, self.after)]
        for way in self._ways:
            way.attach(_Clock(self), Random(self.random.getrandbits(64)), self.path, self._later(way))
        self._way = self._ways[0]

    @property
    def addresses(self) -> frozenset[Address]:
        return frozenset[Address]().union(*(way.addresses for way in self._ways))

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self._way is not self._ways[1]:
            self._way = self._ways[1]
            self.did(CHANGED)
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Lead it along the way of now."""
        return self._forward(segment, direction)

    def process_other(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Lead it along the way of now."""
        return self._forward(packet, direction)

    def _forward(self, packet: Packet, direction: Direction) -> Sequence[Any]:
        out = self._way.forward(packet, direction)
        if self._way is self._ways[1] and (len(out) != 1 or out[0] is not packet):
            self.did(ON_NEW_WAY)
        for one in out or (packet,):
            if words := self._way.comment(one):
                self.note(one, words)
        return out

    def _later(self, way: Chain) -> Callable[[Packet, Direction], None]:
        def deliver(packet: Packet, direction: Direction) -> None:
            if way is self._ways[1]:
                self.did(ON_NEW_WAY)
            self.send(packet, direction, way.comment(packet) or "sent it on")

        return deliver


class _Clock:
    """The run's clock, as a chain wants it."""

    def __init__(self, box: Middlebox) -> None:
        self._box = box

    @property
    def now(self) -> int:
        """Microseconds since the run began."""
        return self._box.now

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` when the clock shows `when`."""
        return self._box.call_later(max(0, when - self._box.now), callback)
