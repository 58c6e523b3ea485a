"""A box that merges segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import MILLISECOND, Direction, FlowKey, FlowTable, Middlebox, Parameter, Timer
from mbtest.middlebox.pieces import can_join, follows, join, joined_options
from mbtest.wire import Segment


@dataclasses.dataclass
class _Held:
    """Data of one flow and direction that waits for what follows it."""

    segment: Segment
    timer: Timer
    count: int = 1


class CoalesceSegments(Middlebox):
    """Merges segments whose data follow each other, as a card with large receive offload does.

    Data is held until the time is over, the merged packet full, PSH seen, or a segment comes that does
    not follow; none is lost and none overtakes another of its direction. Segments with flags other than
    ACK, PSH and ECE, without data, or with a wrong checksum pass as they are.

    A link carries no packet above its MTU: with the default `largest` only small segments are merged.
    Have the sender use a small MSS, or small writes without `flush_on_push`.
    """

    options: Annotated[
        Literal["first", "last", "both"], Parameter("whose options the merged segment has, while they fit")
    ] = "first"
    only_equal: Annotated[bool, Parameter("merge only where all options are equal, as LRO does")] = False
    delay: Annotated[int, Parameter("time that data is held", "microseconds", 1)] = 5 * MILLISECOND
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500
    flush_on_push: Annotated[bool, Parameter("whether data with PSH is held no longer")] = True

    def start(self) -> None:
        self._flows = FlowTable()
        self._held: dict[tuple[FlowKey, Direction], _Held] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not can_join(segment):
            return self.pass_by(segment, direction)
        flow = self._flows.key(segment, direction), direction
        held = self._held.get(flow)
        merged = self._merged(held.segment, segment) if held else None
        if held and merged:
            held.segment, held.count = merged, held.count + 1
        else:
            self._flush(flow)
            held = _Held(segment, self.call_later(self.delay, lambda: self._flush(flow)))
            self._held[flow] = held
        if not (segment.psh and self.flush_on_push):
            self.note(segment, "held it")
            return ()
        self._take(flow)
        self.note(held.segment, f"merged {held.count} segments")
        return (held.segment,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Let what is held of the flow go first."""
        self._flush((self._flows.key(segment, direction), direction))
        return (segment,)

    def _merged(self, held: Segment, segment: Segment) -> Segment | None:
        """Return what is held with `segment` behind it, None where they do not go together."""
        is_equal = segment.option_block == held.option_block
        if not follows(segment, held) or (self.only_equal and not is_equal):
            return None
        options = {"first": held.options, "last": segment.options}.get(self.options)
        if options is None:
            options = joined_options(held.options, segment.options)
        if not segment.has_room_for(options):
            return None
        merged = join((held, segment), options)
        return merged if len(merged) <= self.largest else None

    def _take(self, flow: tuple[FlowKey, Direction]) -> _Held | None:
        held = self._held.pop(flow, None)
        if held is not None:
            held.timer.cancel()
        return held

    def _flush(self, flow: tuple[FlowKey, Direction]) -> None:
        held = self._take(flow)
        if held is not None and held.count == 1:
            self.release(held.segment, flow[1])
        elif held is not None:
            self.send(held.segment, flow[1], f"merged {held.count} segments")
