"""A box that cuts segments to pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter, cut, divided, sized
from mbtest.wire import RST, SYN, MptcpOption, Segment


class SplitSegments(Middlebox):
    """Cuts data segments to pieces, as a card with segmentation offload or a proxy of layer 4 does.

    The pieces put together are the segment: FIN and PSH come last, CWR first, the urgent pointer points
    where it did. Cards copy the options to every piece; other devices leave them on one. Segments of one
    piece, with SYN or RST, or with a wrong checksum pass as they are.
    """

    size: Annotated[
        int | None, Parameter("most data in a piece; none cuts to a number of pieces", "octets", 1, 65535)
    ] = None
    pieces: Annotated[int, Parameter("pieces of each segment, where no size is given", low=2, high=65535)] = 2
    options: Annotated[
        Literal["all", "first", "last", "none"], Parameter("the pieces that have the segment's options")
    ] = "all"
    lost: Annotated[Literal["every", "mptcp"], Parameter("the options that the other pieces are without")] = (
        "every"
    )

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        length = segment.payload_length
        sizes = sized(length, self.size) if self.size else divided(length, self.pieces)
        if len(sizes) == 1 or segment.flags & (SYN | RST) or not segment.checksum_is_right():
            return (segment,)
        pieces = cut(segment, sizes)
        last = len(pieces) - 1
        kept = {"all": range(last + 1), "first": (0,), "last": (last,), "none": ()}[self.options]
        return [piece if number in kept else self._bare(piece) for number, piece in enumerate(pieces)]

    def _bare(self, piece: Segment) -> Segment:
        return piece.with_options(()) if self.lost == "every" else piece.without_options(MptcpOption)
