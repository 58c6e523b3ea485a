"""A box that complains of segments that are in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.errors import UsageError
from mbtest.middlebox import Complaint, Direction, Middlebox, Parameter, icmp_error
from mbtest.wire import Segment


class ForgeErrors(Middlebox):
    """Answers segments with ICMP errors, as a router does whose route flaps, or someone who forges them.

    Each error quotes its segment as it is but for the number with `shift`. The segment goes on unless it
    is to be dropped. IPv6 has no source quench: none is sent there. All else passes.
    """

    complaint: Annotated[Complaint, Parameter("what the error says")] = "host-unreachable"
    mtu: Annotated[int, Parameter("of the next hop, for too-big", "octets", 0, 65535)] = 0
    shift: Annotated[
        int, Parameter("added to the sequence number that is quoted", "octets", -(2**31), 2**31 - 1)
    ] = 0
    drop: Annotated[bool, Parameter("whether the segment is dropped as well")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mtu and self.complaint != "too-big":
            told = f"complaint={self.complaint!r}, mtu={self.mtu}"
            raise UsageError(f"ForgeErrors: {told}: only 'too-big' names an MTU")

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if segment.version == 4 or self.complaint != "source-quench":
            about = segment.replace(seq=segment.seq + self.shift) if self.shift else segment
            error = icmp_error(about, self.complaint, mtu=self.mtu)
            self.send(error, direction.reverse, f"complained: {self.complaint.replace('-', ' ')}")
        if self.drop:
            self.note(segment, "dropped it")
            return ()
        return (segment,)
