"""A box that makes retransmissions say what was said first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, Reassembly
from mbtest.wire import Segment


class NormaliseData(Middlebox):
    """Has octets that are sent again be those that it saw first, as traffic normalisers do.

    Intrusion prevention systems guard themselves so against data that is overwritten behind their backs.
    Octets are remembered until they are acknowledged. Everything but the data stays as it is, and a
    segment with a wrong checksum altogether.
    """

    limit: Annotated[int, Parameter("octets remembered of each direction of a flow", low=1)] = 4 * 2**20

    def start(self) -> None:
        self._flows = FlowTable()
        self._first: dict[HalfFlow, Reassembly] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        first, start = self._read(segment, direction)
        payload = first.overlaid(start, segment.payload)
        if payload == segment.payload or not segment.checksum_is_right():
            return (segment,)
        normal = segment.replace(payload=payload)
        self.note(normal, "put back the octets that were sent first")
        return (normal,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """See what it says, and acknowledges."""
        self._read(segment, direction)
        return (segment,)

    def _read(self, segment: Segment, direction: Direction) -> tuple[Reassembly, int]:
        """Return what came first in the direction of `segment`, its own data included, and where that begins.

        Octets that it acknowledges are forgotten.
        """
        flow = self._flows.flow(segment, direction)
        start = flow.sight(segment, direction).start
        peer = flow.halves.get(direction.reverse)
        if peer in self._first and segment.has_ack:
            # What a receiver says that never came to pass here does not move the stream ahead of itself.
            self._first[peer].discard(min(peer.offset(segment.ack), peer.highest))
        first = self._first.setdefault(flow.half(segment, direction), Reassembly(self.limit))
        if segment.checksum_is_right():
            first.insert(start, segment.payload)
        return first, start
