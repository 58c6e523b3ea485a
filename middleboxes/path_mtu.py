"""A box behind which the link is narrower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter, icmp_error
from mbtest.wire import Packet, Segment
from mbtest.wire.fragments import fragments, may_fragment


class LimitMtu(Middlebox):
    """Lets pass only packets that fit a narrower link, as the router in front of a tunnel does.

    What is larger is dropped and its sender told by ICMP (RFC 1191, RFC 8201), or not told: a black
    hole, as behind a filter that drops all ICMP. What a router may cut (IPv4 without "do not fragment")
    goes on in fragments. Packets of other protocols pass.
    """

    size: Annotated[int, Parameter("largest IP packet let through", "octets", 68, 65535)] = 1400
    tells: Annotated[bool, Parameter("whether the sender is told, by ICMP")] = True
    names: Annotated[
        int | None,
        Parameter(
            "size that ICMP names, 0 as before RFC 1191; none: the size let through", "octets", 0, 65535
        ),
    ] = None

    def process(self, segment: Segment, direction: Direction) -> Sequence[Packet]:
        if segment.end <= self.size:
            return (segment,)
        if may_fragment(segment):
            return fragments(segment, self.size, segment.identification)
        if self.tells:
            mtu = self.size if self.names is None else self.names
            error = icmp_error(segment, "too-big", mtu=mtu)
            self.send(error, direction.reverse, f"told the sender that {mtu} octets fit")
        self.note(segment, f"dropped it: {segment.end} octets, {self.size} fit")
        return ()
