"""A box that merges segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import MILLISECOND, Direction, FlowKey, FlowTable, Middlebox, Parameter, Timer, can_join
from mbtest.middlebox.merging import Batch, Merging, Options
from mbtest.wire import Segment


class CoalesceSegments(Middlebox):
    """Merges segments whose data follow each other, as a card with large receive offload does.

    Data is held until the time is over, the merged packet full, PSH seen, or a segment comes that does
    not follow; none is lost and none overtakes another of its direction. Segments with flags other than
    ACK, PSH and ECE, without data, or with a wrong checksum pass as they are.

    The default `largest` is what a wire takes: have the sender use a small MSS, or small writes without
    `flush_on_push`. A card hands on what it merged to its own host, so there it may be 65535.
    """

    options: Annotated[Options, Parameter("whose options the merged segment has, while they fit")] = "first"
    only_equal: Annotated[
        bool,
        Parameter(
            "merge only under equal options and acknowledgments, and a segment shorter than the first as "
            "the last, as generic receive offload does"
        ),
    ] = False
    delay: Annotated[int, Parameter("time that data is held", "microseconds", 1)] = 5 * MILLISECOND
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500
    flush_on_push: Annotated[bool, Parameter("whether data with PSH is held no longer")] = True

    def start(self) -> None:
        self._flows = FlowTable()
        self._merging = Merging(self.options, self.only_equal, self.largest)
        self._held: dict[tuple[FlowKey, Direction], tuple[Batch, Timer]] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not can_join(segment):
            return self.pass_by(segment, direction)
        flow = self._flows.key(segment, direction), direction
        batch, _ = self._held.get(flow, (None, None))
        if batch is None or not batch.add(segment):
            self._flush(flow)
            batch = Batch(self._merging, segment)
            self._held[flow] = batch, self.call_later(self.delay, lambda: self._flush(flow))
        if not batch.ends_with(segment) and not (segment.psh and self.flush_on_push):
            self.note(segment, "held it")
            return ()
        merged, why = self._taken(flow)
        self.note(merged, why)
        return (merged,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Let what is held of the flow go first."""
        self._flush((self._flows.key(segment, direction), direction))
        return (segment,)

    def _taken(self, flow: tuple[FlowKey, Direction]) -> tuple[Segment, str]:
        """Return what was held of a flow, as one segment, and what was done to it; of one nothing."""
        batch, timer = self._held.pop(flow)
        timer.cancel()
        number = len(batch.segments)
        return batch.merged(), f"merged {number} segments" if number > 1 else ""

    def _flush(self, flow: tuple[FlowKey, Direction]) -> None:
        if flow in self._held:
            merged, why = self._taken(flow)
            if why:
                self.send(merged, flow[1], why)
            else:
                self.release(merged, flow[1])
