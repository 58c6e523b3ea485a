"""A box that sends options back to where they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions, bare, refitted
from mbtest.wire import Segment, TcpOption


class MirrorOptions(Middlebox):
    """Puts a host's own options on what comes back to it, as boxes do that echo what they do not understand.

    To that host its peer looks like one that knows MPTCP. A segment gets the options of the last one that
    went the other way on its flow, where they fit, and keeps its own of the forms that are not named. Where
    that one had none of the named forms, and in all else, it passes as it is.
    """

    forms: Annotated[Forms, Parameter("option classes that are sent back; none: MPTCP's")] = ()
    own: Annotated[Literal["replaced", "kept"], Parameter("the segment's own options of these forms")] = (
        "replaced"
    )
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500

    def start(self) -> None:
        self._named = NamedOptions(self.forms)
        self._flows = FlowTable()
        self._last: dict[tuple[FlowKey, Direction], tuple[TcpOption, ...]] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self.pass_by(segment, direction)
        mirrored = self._last.get((self._flows.key(segment, direction), direction.reverse))
        if not mirrored:
            return (segment,)
        options = bare(segment.options)
        if self.own == "replaced":
            options = tuple(option for option in options if option not in self._named)
        return (refitted(segment, (*options, *mirrored), self.largest),)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Remember what goes by, to send it back."""
        flow = self._flows.key(segment, direction)
        self._last[flow, direction] = self._named.among(segment.options)
        return (segment,)
