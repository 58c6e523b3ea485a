"""A box that cuts IP packets to fragments."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Packet, Segment
from mbtest.wire.fragments import fragments


class FragmentPackets(Middlebox):
    """Cuts IP packets to fragments, "do not fragment" or not, as tunnels do that would rather not drop.

    IPv6 packets too, which no router may cut (RFC 8200 §5). The TCP segment in them is not touched; hosts
    put it together again. Boxes behind this one see no segment any more, and let fragments pass.
    """

    size: Annotated[int, Parameter("largest IP packet made", "octets", 256, 65535)] = 576
    order: Annotated[Literal["kept", "reversed"], Parameter("of the fragments of a packet")] = "kept"

    def start(self) -> None:
        self._identifications = count(self.random.getrandbits(16))

    def process(self, segment: Segment, direction: Direction) -> Sequence[Packet]:
        if segment.end <= self.size:
            return (segment,)
        # Numbers of its own: senders need none where nobody may fragment, and repeat them (RFC 6864 §4.1).
        pieces = fragments(segment, self.size, next(self._identifications) & 0xFFFF)
        self.note(segment, f"IP fragments of at most {self.size} octets")
        return pieces if self.order == "kept" else pieces[::-1]
