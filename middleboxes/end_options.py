"""A box that ends the option list early, from some moment on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions
from mbtest.wire import Segment


class EndOptions(Middlebox):
    """Puts End of Option List in place of MPTCP's options from some moment on, as a box in the field does.

    It begins with the first segment of a flow that its aim hits, and goes on to the flow's end. The first
    named option and all behind it are hidden; lengths, data and the options before it stay as they are.
    """

    forms: Annotated[Forms, Parameter("option classes; the first of these ends the list")] = ()
    rest: Annotated[Literal["zeroed", "left"], Parameter("the octets behind End of Option List")] = "zeroed"
    ways: Annotated[
        Literal["both", "one"], Parameter("both directions of the flow, or that of the segment that is hit")
    ] = "both"

    def start(self) -> None:
        self._named = NamedOptions(self.forms)
        self._flows = FlowTable()
        self._begun: set[tuple[FlowKey, Direction]] = set()

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        self._begun.add((flow, direction))
        if self.ways == "both":
            self._begun.add((flow, direction.reverse))
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Go on with flows that were begun with."""
        is_begun = (self._flows.key(segment, direction), direction) in self._begun
        return (self._ended(segment) if is_begun else segment,)

    def _ended(self, segment: Segment) -> Segment:
        block, at = segment.option_block, 0
        for option in segment.options:
            if option in self._named:
                hidden = block[at + 1 :]
                return segment.with_option_block(
                    block[:at] + b"\0" + (bytes(len(hidden)) if self.rest == "zeroed" else hidden)
                )
            at += len(option.encode())
        return segment
