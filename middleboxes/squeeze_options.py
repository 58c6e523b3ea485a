"""A box that fills the option space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import bare, octets, room
from mbtest.wire import MptcpOption, NoOperation, Sack, Segment, TcpOption, UnknownOption


class SqueezeOptions(Middlebox):
    """Puts an option of its own in front and leaves out MPTCP's that no longer fit, as WAN optimisers do.

    The filler takes what it can of the octets that it is given; options besides MPTCP's and padding always
    stay. Of MPTCP's each stays that fits behind those before it. SACK blocks as a filler tell of the octets
    before the acknowledgment number, as DSACK does (RFC 2883); a segment that acknowledges nothing, or has
    room for no filler, passes as it is. Numbers and data stay.
    """

    filler: Annotated[
        Literal["option", "nops", "sack"], Parameter("an unknown option, padding, or SACK blocks")
    ] = "option"
    octets: Annotated[int, Parameter("size of the filler, at most", "octets", 2, 40)] = 40
    kind: Annotated[
        int, Parameter("kind of the unknown option; 76 is a WAN optimiser's probe", "", 2, 255)
    ] = 76
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        signals = [option for option in segment.options if isinstance(option, MptcpOption)]
        others = [option for option in bare(segment.options) if not isinstance(option, MptcpOption)]
        left = room(segment, self.largest) - octets(others)
        filler = self._filler(min(self.octets, left), segment)
        if not filler:
            return (segment,)
        left -= octets(filler)
        kept: list[TcpOption] = []
        for option in signals:
            if (size := len(option.encode())) <= left:
                kept.append(option)
                left -= size
        return (segment.with_options((*filler, *others, *kept)),)

    def _filler(self, size: int, segment: Segment) -> Sequence[TcpOption]:
        """Return the filler in at most `size` octets, nothing where that is too little."""
        if size < 2:
            return ()
        if self.filler == "nops":
            return [NoOperation()] * size
        if self.filler == "option":
            return [UnknownOption(self.kind, bytes(size - 2))]
        if size < 10 or segment.syn or not segment.has_ack:
            return ()
        edges = [int(segment.ack) - 1 - number for number in range((size - 2) // 8)]
        return [Sack(tuple((edge, edge + 1) for edge in edges))]
