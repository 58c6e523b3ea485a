"""A box that sends more with what is retransmitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, can_join
from mbtest.wire import Segment


class _Copy:
    """Octets of one direction of a flow that passed and were not yet acknowledged."""

    def __init__(self) -> None:
        self._start = 0
        self._octets = bytearray()

    def add(self, start: int, data: bytes) -> None:
        end = self._start + len(self._octets)
        if start > end:  # beyond a hole: what is before it does not go with it
            self._start, self._octets = start, bytearray(data)
        else:
            self._octets += data[end - start :]

    def acknowledged(self, offset: int) -> None:
        if offset > self._start:
            del self._octets[: offset - self._start]
            self._start = offset

    def behind(self, offset: int, most: int) -> bytes:
        at = offset - self._start
        return bytes(self._octets[at : at + most]) if at >= 0 < most else b""


class MergeRetransmissions(Middlebox):
    """Sends retransmitted data together with what went behind it, as a proxy does that keeps a copy.

    The segment has the retransmitted one's headers and options, so that its mapping may cover but a part.
    Octets stay what they are. Segments with flags other than ACK, PSH and ECE, or with a wrong checksum,
    pass as they are, and so does all that passes for the first time.

    A segment of full size has no room for more: give `largest`, or have the sender use a small MSS.
    """

    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500

    def start(self) -> None:
        self._flows = FlowTable()
        self._copies: dict[HalfFlow, _Copy] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        behind = self._behind(segment, direction) if can_join(segment) else b""
        self.pass_by(segment, direction)
        if not behind:
            return (segment,)
        self.note(segment, f"put {len(behind)} octets behind it that had passed before")
        return (segment.replace(payload=segment.payload + behind),)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Keep the data, and forget what is acknowledged."""
        flow = self._flows.flow(segment, direction)
        half = flow.half(segment, direction)
        seen = flow.sight(segment, direction)
        if segment.checksum_is_right() and seen.end > seen.start:
            self._copies.setdefault(half, _Copy()).add(seen.start, segment.payload)
        other = flow.halves.get(direction.reverse)
        if segment.has_ack and other in self._copies:
            self._copies[other].acknowledged(other.offset(segment.ack))
        return (segment,)

    def _behind(self, segment: Segment, direction: Direction) -> bytes:
        """Return the octets that go behind a segment, none where it was not seen before."""
        half = self._flows.flow(segment, direction).half(segment, direction)
        end = half.offset(segment.seq) + segment.payload_length
        copy = self._copies.get(half)
        if copy is None or end > half.highest:
            return b""
        return copy.behind(end, self.largest - segment.end)
