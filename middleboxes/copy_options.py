"""A box that copies options from one segment to others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions, bare, refitted
from mbtest.wire import Segment, TcpOption


class _Model(NamedTuple):
    """The segment whose options are copied. first, last: stream offsets at which a segment gets them."""

    first: int
    last: int
    options: tuple[TcpOption, ...]


class CopyOptions(Middlebox):
    """Copies one segment's options onto others, as proxies do that build headers after the first they saw.

    The first segment of a flow and direction that the aim hits is the model, and passes as it is. Segments
    that carry its octets again, and those that stand up to `reach` octets behind it, get its options in
    place of their own of the named forms, where they fit. Other segments pass as they are.
    """

    forms: Annotated[Forms, Parameter("option classes that are copied; none: MPTCP's")] = ()
    reach: Annotated[int, Parameter("how far behind the model", "octets of the stream", 0)] = 65535
    own: Annotated[Literal["replaced", "kept"], Parameter("the segment's own options of these forms")] = (
        "replaced"
    )
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aim is None:
            raise UsageError("CopyOptions: aim=None: give one that hits the segment whose options are copied")

    def start(self) -> None:
        self._named = NamedOptions(self.forms)
        self._flows = FlowTable()
        self._models: dict[tuple[FlowKey, Direction], _Model] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction), direction
        if flow in self._models or not (options := self._named.among(segment.options)):
            return self.pass_by(segment, direction)
        seen = self._flows.sight(segment, direction)
        self._models[flow] = _Model(seen.start, max(seen.start, seen.end - 1) + self.reach, options)
        return (segment,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Copy the options of the model, where there is one."""
        start = self._flows.sight(segment, direction).start
        model = self._models.get((self._flows.key(segment, direction), direction))
        if model is None or not model.first <= start <= model.last:
            return (segment,)
        options = bare(segment.options)
        if self.own == "replaced":
            options = tuple(option for option in options if option not in self._named)
        return (refitted(segment, (*options, *model.options), self.largest),)
