"""A box that gives flows other sequence numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter, mend_sack, quoted
from mbtest.wire import Packet, Segment, Seq32


class RewriteSequence(Middlebox):
    """Moves the sequence numbers of each flow by a number of its own, as initial-number randomisers do.

    Firewalls that distrust the initial numbers of the hosts behind them do so (Cisco PIX and ASA by
    default). The acknowledgments of the other direction are mended, SACK blocks too unless they are
    left behind. Options besides SACK, data, windows and urgent pointers stay as they are. `start_at` puts the
    wrap of the numbers where a test wants it.
    """

    offset: Annotated[
        int | None,
        Parameter("added to every number; none draws one per flow", "octets", -(2**32) + 1, 2**32 - 1),
    ] = None
    directions: Annotated[
        Literal["both", "to_server", "to_client"], Parameter("the data whose sequence numbers are moved")
    ] = "both"
    sack: Annotated[Literal["followed", "left behind"], Parameter("SACK blocks of the other direction")] = (
        "followed"
    )
    start_at: Annotated[
        int | None,
        Parameter("the first number of each direction, the SYN's, in place of an offset", "", 0, 2**32 - 1),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.offset is not None and self.start_at is not None:
            told = f"offset={self.offset} and start_at={self.start_at}"
            raise UsageError(f"RewriteSequence: {told}: either says where numbers go")

    def start(self) -> None:
        self._flows = FlowTable()
        self._offsets: dict[tuple[FlowKey, Direction], int] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.directions in ("both", direction.value):
            flow = self._flows.key(segment, direction)
            if (flow, direction) not in self._offsets:
                self._offsets[flow, direction] = self._offset(segment)
            segment = segment.replace(seq=segment.seq + self._offsets[flow, direction])
        return self.pass_by(segment, direction)

    def _offset(self, first: Segment) -> int:
        """Return what is added to the numbers of a direction, of which `first` is the first segment."""
        if self.start_at is not None:
            return self.start_at - int(first.seq)
        return self.random.getrandbits(32) if self.offset is None else self.offset

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Mend what the receiver says of data that was moved."""
        offset = self._offsets.get((self._flows.key(segment, direction), direction.reverse))
        if offset is None or not segment.has_ack:
            return (segment,)
        options = None
        if self.sack == "followed":
            options = mend_sack(segment, lambda block: (block[0] - offset, block[1] - offset))
        return (segment.replace(ack=Seq32(segment.ack - offset), options=options),)

    def process_other(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Follow a moved segment into the ICMP error about it."""
        quote = quoted(packet)
        if quote is None:
            return (packet,)
        ends = (quote.source, quote.destination)
        flow = ends if direction is Direction.TO_CLIENT else ends[::-1]
        offset = self._offsets.get((flow, direction.reverse), 0)
        return (quote.rewritten(seq=quote.seq - offset),)
