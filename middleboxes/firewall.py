"""A box that lets through only what belongs to a connection whose beginning it saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.forged import reset_for
from mbtest.wire import Segment


@dataclasses.dataclass
class _State:
    """What is kept of a flow."""

    last: int
    """When it was last seen, run clock, microseconds."""
    ended: set[Direction] = dataclasses.field(default_factory=set)
    """The directions in which a FIN passed."""


class FilterByState(Middlebox):
    """Lets through only segments of flows whose SYN it saw, as a stateful firewall does.

    A RST ends a flow for good; one that ended with FINs is still known, and counts no more among those
    between the hosts, which are the two at the path's ends, whatever addresses they use. Nothing is
    changed, and other protocols pass. ICMP errors do, too.
    """

    opened_by: Annotated[
        Literal["either", "client", "server"], Parameter("the hosts whose SYNs are let through")
    ] = "either"
    most: Annotated[
        int | None, Parameter("flows at a time between the two hosts; none: any number", low=1)
    ] = None
    idle: Annotated[
        int | None, Parameter("silence after which a flow is forgotten; none: never", "microseconds", 1)
    ] = None
    answer: Annotated[
        Literal["drop", "reset"], Parameter("what becomes of the rest: nothing, or a RST to its sender")
    ] = "drop"

    def start(self) -> None:
        self._flows = FlowTable()
        self._known: dict[FlowKey, _State] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        if self.idle:
            oldest = self.now - self.idle
            self._known = {key: state for key, state in self._known.items() if state.last >= oldest}
        state = self._known.get(flow)
        if state is None:
            if refusal := self._refusal(segment, direction):
                return self._refuse(segment, direction, refusal)
            state = self._known[flow] = _State(self.now)
        state.last = self.now
        if segment.fin:
            state.ended.add(direction)
        if segment.rst:
            del self._known[flow]
        return (segment,)

    def _refusal(self, segment: Segment, direction: Direction) -> str:
        """Return why a flow that is not known is not let through, empty where it is."""
        if not segment.syn or segment.has_ack:
            return "of no flow that it knows"
        opener = "client" if direction is Direction.TO_SERVER else "server"
        if self.opened_by not in ("either", opener):
            return f"the {opener} may not open"
        number = sum(len(state.ended) < 2 for state in self._known.values())
        return f"{number} flows between its hosts" if self.most is not None and number >= self.most else ""

    def _refuse(self, segment: Segment, direction: Direction, why: str) -> Sequence[Segment]:
        self.note(segment, f"dropped it: {why}")
        if self.answer == "reset" and not segment.rst:
            self.send(reset_for(segment), direction.reverse, f"reset it: {why}")
        return ()
