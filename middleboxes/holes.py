"""A box that lets no data pass behind a hole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, Reassembly
from mbtest.wire import Segment

MOST_DATA = 65535
"""Octets in a segment: one that fills a hole finds room beside all that is held."""


class StopAtHoles(Middlebox):
    """Holds back or drops data behind a hole, as firewalls and inspection systems do that read streams.

    What is held goes on in order, every segment as it came, once the hole is filled. Segments without
    data, a FIN aside, and data that passed before go on at once; so does all that the aim leaves out.
    """

    manner: Annotated[Literal["hold", "drop"], Parameter("what becomes of data behind a hole")] = "hold"
    limit: Annotated[int, Parameter("most data held for a flow; more is dropped", "octets", 1)] = 2**20

    def start(self) -> None:
        self._flows = FlowTable()
        self._came: dict[HalfFlow, Reassembly] = {}
        self._held: dict[HalfFlow, list[tuple[int, Segment]]] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return self._pass(segment, direction, stops=True)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Let it pass, and see that it may fill a hole."""
        return self._pass(segment, direction, stops=False)

    def _pass(self, segment: Segment, direction: Direction, stops: bool) -> Sequence[Segment]:
        """Return what goes on. stops: whether a hole stops this segment."""
        flow = self._flows.flow(segment, direction)
        start = flow.sight(segment, direction).start
        half = flow.half(segment, direction)
        came = self._came.setdefault(half, Reassembly(self.limit + MOST_DATA))
        if not (segment.payload_length or segment.fin) or not segment.checksum_is_right():
            return (segment,)
        is_stopped = stops and start > came.next
        if is_stopped and (self.manner == "drop" or came.kept + segment.payload_length > self.limit):
            self.note(segment, f"dropped it: octets from {came.next} are missing")
            return ()
        came.insert(start, segment.payload)
        if is_stopped:
            self._held.setdefault(half, []).append((start, segment))
            self.note(segment, f"held it: octets from {came.next} are missing")
            return ()
        came.discard(came.next)
        return self._with_freed(segment, half, came.next)

    def _with_freed(self, segment: Segment, half: HalfFlow, end: int) -> Sequence[Segment]:
        """Return a segment with those held behind it for which nothing is missing any more."""
        held = self._held.get(half)
        freed = sorted((one for one in held or () if one[0] <= end), key=lambda one: one[0])
        if not held or not freed:
            return (segment,)
        self._held[half] = [one for one in held if one[0] > end]
        self.note(segment, "it filled a hole, what was held behind that follows")
        return [segment, *(one for _, one in freed)]
