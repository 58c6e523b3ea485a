"""A box that sends a copy of a segment that says something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowTable, Middlebox, Parameter
from mbtest.wire import MptcpOption, Segment


class ForgeOverlap(Middlebox):
    """Sends a copy with other octets beside every segment that has a given octet, as injectors do.

    Devices at the side of a path, which see traffic and cannot stop it, put pages and advertisements in
    the place of what a server sends so. Whichever comes first is what regular TCP delivers. The segment
    itself passes as it is, and others altogether.
    """

    at: Annotated[
        int, Parameter("stream offset of the first octet that the copy has flipped", "octets", 0)
    ] = 0
    size: Annotated[int, Parameter("octets that are flipped", "octets", 1)] = 1
    order: Annotated[Literal["before", "after"], Parameter("when the copy goes, by the segment")] = "before"
    options: Annotated[Literal["copied", "without MPTCP"], Parameter("the options that the copy has")] = (
        "copied"
    )

    def start(self) -> None:
        self._flows = FlowTable()

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        start, end = self._flows.sight(segment, direction)[1:3]
        low, high = max(start, self.at), min(end, self.at + self.size)
        if low >= high or not segment.checksum_is_right():
            return (segment,)
        forged = segment.replace(payload=_flipped(segment.payload, low - start, high - start))
        if self.options == "without MPTCP":
            forged = forged.without_options(MptcpOption)
        self.note(forged, f"sent a copy with other octets {self.order} it")
        return (forged, segment) if self.order == "before" else (segment, forged)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Count its octets."""
        self._flows.sight(segment, direction)
        return (segment,)

    def delivers(self, stream: bytes, direction: Direction) -> bytes:
        """Return the stream as the copies have it, where they come first; of an aim the direction counts."""
        if self.order == "after" or (self.aim is not None and self.aim.direction not in (None, direction)):
            return stream
        return _flipped(stream, self.at, min(self.at + self.size, len(stream)))


def _flipped(octets: bytes, low: int, high: int) -> bytes:
    """Return octets with those from `low` to `high` inverted."""
    return octets[:low] + bytes(octet ^ 0xFF for octet in octets[low:high]) + octets[high:]
