"""A box that rewrites DSCP and ECN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import AE, CWR, ECE, Segment

_ECN = 3
_MARKS = {"cleared": 0, "marked": _ECN}


class BleachTrafficClass(Middlebox):
    """Gives packets another DSCP and takes ECN away, as the edge of a provider's network does.

    "marked" says that congestion was met (CE), as an overzealous queue does, where a host has announced
    that it knows ECN. With `tcp`, flags that negotiate and echo ECN go, too, as in an old firewall.
    """

    dscp: Annotated[int | None, Parameter("class given; none leaves it", low=0, high=63)] = 0
    ecn: Annotated[
        Literal["kept", "cleared", "marked"], Parameter("what becomes of ECN in the IP header")
    ] = "cleared"
    tcp: Annotated[bool, Parameter("whether ECE, CWR and AE are cleared in the TCP header")] = False

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        before = segment.traffic_class
        dscp, ecn = before >> 2, before & _ECN
        if self.ecn == "cleared" or (self.ecn == "marked" and ecn):
            ecn = _MARKS[self.ecn]
        after = (dscp if self.dscp is None else self.dscp) << 2 | ecn
        flags = segment.flags & ~(ECE | CWR | AE) if self.tcp else segment.flags
        if (after, flags) == (before, segment.flags):
            return (segment,)
        return (segment.replace(traffic_class=after, flags=flags),)
