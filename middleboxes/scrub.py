"""A box that makes headers uniform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import URG, Segment

_RESERVED = 0xE00


class ScrubHeaders(Middlebox):
    """Rewrites header fields that could tell of the hosts behind it, as a normaliser (pf's scrub) does.

    Only what is named is changed; sequence numbers, windows, options and data never are. The IPv6 flow
    label counts as the identification.
    """

    identification: Annotated[
        Literal["kept", "zero", "random"], Parameter("IPv4 identification, or IPv6 flow label")
    ] = "random"
    ttl: Annotated[int | None, Parameter("time to live given; none leaves it", low=1, high=255)] = 64
    urgent: Annotated[
        Literal["kept", "cleared", "random"],
        Parameter("the urgent pointer: cleared with its flag; random where the flag is not set"),
    ] = "cleared"
    reserved: Annotated[bool, Parameter("whether reserved flags are cleared")] = True

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flags, urgent, identification = segment.flags, segment.urgent, None
        if self.reserved:
            flags &= ~_RESERVED
        if self.urgent == "cleared":
            flags, urgent = flags & ~URG, 0
        elif self.urgent == "random" and not flags & URG:
            urgent = self.random.getrandbits(16)
        if self.identification != "kept":
            bits = 16 if segment.version == 4 else 20
            identification = self.random.getrandbits(bits) if self.identification == "random" else 0
        changed = segment.replace(ttl=self.ttl, flags=flags, urgent=urgent, identification=identification)
        return (changed,)
