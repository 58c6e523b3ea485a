"""A link that fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Packet, Segment


class FailLink(Middlebox):
    """Loses everything from the first segment on that its aim hits, as a link does that goes down.

    ICMP is lost as well, and nobody is told. A link can fail in one direction alone, and can come back;
    it does not fail again.
    """

    outage: Annotated[
        int | None, Parameter("how long the link is down; none: to the end", "microseconds", 1)
    ] = None
    directions: Annotated[
        Literal["both", "to_server", "to_client"], Parameter("the directions in which it fails")
    ] = "both"

    def start(self) -> None:
        self._since: int | None = None

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self._since is None:
            self._since = self.now
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Lose it while the link is down."""
        if self._is_down(direction):
            self.note(segment, "lost it: the link is down")
            return ()
        return (segment,)

    def process_other(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Lose it while the link is down."""
        return () if self._is_down(direction) else (packet,)

    def _is_down(self, direction: Direction) -> bool:
        if self._since is None or self.directions not in ("both", direction.value):
            return False
        return self.outage is None or self.now < self._since + self.outage
