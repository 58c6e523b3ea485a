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
    mtu: Annotated[
        int | None,
        Parameter(
            "MTU of the link, less the headers of IP and TCP, in place of a size", "octets", 576, 65535
        ),
    ] = None

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        mss = segment.option(MaximumSegmentSize) if segment.syn else None
        size = self._size(segment)
        if mss is None or mss.size <= size:
            return (segment,)
        clamped = MaximumSegmentSize(size)
        return (segment.with_options(clamped if option == mss else option for option in segment.options),)

    def _size(self, segment: Segment) -> int:
        """Return the MSS that fits: headers without options, 20 octets of TCP, 20 of IPv4 or 40 of IPv6."""
        if self.mtu is None:
            return self.size
        return self.mtu - (40 if segment.source.version == 4 else 60)
