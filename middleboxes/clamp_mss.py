"""A box that lowers the MSS that hosts announce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import MaximumSegmentSize, Segment


class ClampMss(Middlebox):
    """Lowers the MSS on SYNs of both directions, as a router in front of a tunnel or PPPoE link does.

    A SYN without MSS, or with a lower one, passes as it is; so does everything that is no SYN.
    """

    size: Annotated[int, Parameter("largest MSS let through", "octets", 88, 65535)] = 1400

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        mss = segment.option(MaximumSegmentSize) if segment.syn else None
        if mss is None or mss.size <= self.size:
            return (segment,)
        clamped = MaximumSegmentSize(self.size)
        return (segment.with_options(clamped if option == mss else option for option in segment.options),)
