"""A box that looks after acknowledgments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, Reassembly
from mbtest.wire import Segment


class CheckAcks(Middlebox):
    """Lets no acknowledgment pass for data that it did not see, as stateful firewalls and proxies do.

    Where a flow keeps to the box's path it finds nothing to do. `blind_from` and `blind_until` have data
    pass unseen, as where routing takes it another way; when it is sent again it is seen. Data, options
    (SACK and Data ACKs included) and windows stay as they are.
    """

    manner: Annotated[
        Literal["correct", "drop"], Parameter("set the number back to what was seen, or drop the segment")
    ] = "correct"
    blind_from: Annotated[int, Parameter("stream offset from which data is not seen", "octets", 0)] = 0
    blind_until: Annotated[int, Parameter("stream offset before which it is not", "octets", 0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blind_from > self.blind_until:
            places = f"blind_from={self.blind_from} is behind blind_until={self.blind_until}"
            raise UsageError(f"CheckAcks: {places}")

    def start(self) -> None:
        self._flows = FlowTable()
        self._seen: dict[HalfFlow, Reassembly] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self._see(segment, direction)
        half = self._flows.flow(segment, direction).halves.get(direction.reverse)
        if half is None or not segment.has_ack or segment.rst:
            return (segment,)
        seen = self._seen[half].next
        excess = half.offset(segment.ack) - (seen + half.fin_seen)
        if excess <= 0:
            return (segment,)
        words = f"it acknowledged {excess} octets that were not seen"
        if self.manner == "drop":
            self.note(segment, f"dropped it: {words}")
            return ()
        corrected = segment.replace(ack=half.sequence(seen))
        self.note(corrected, f"corrected it: {words}")
        return (corrected,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """See the data, and let every acknowledgment pass."""
        self._see(segment, direction)
        return (segment,)

    def _see(self, segment: Segment, direction: Direction) -> None:
        """Remember what data passes."""
        flow = self._flows.flow(segment, direction)
        sighting = flow.sight(segment, direction)
        seen = self._seen.setdefault(flow.half(segment, direction), Reassembly())
        in_blind = sighting.start < self.blind_until and sighting.end > self.blind_from
        if sighting.again or not in_blind:
            seen.insert(sighting.start, segment.payload)
            seen.discard(seen.next)
