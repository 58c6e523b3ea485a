"""A box that merges segments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import MILLISECOND, Direction, FlowKey, FlowTable, Middlebox, Parameter, Timer
from mbtest.middlebox.pieces import can_join, follows, join, joined_options
from mbtest.wire import Segment, TcpOption, encode_options


@dataclasses.dataclass
class _Held:
    """Data of one flow and direction that waits for what follows it."""

    segments: list[Segment]
    options: tuple[TcpOption, ...]
    """Those that the merged segment will have."""
    size: int
    """Octets of the merged packet."""
    timer: Timer


class CoalesceSegments(Middlebox):
    """Merges segments whose data follow each other, as a card with large receive offload does.

    Data is held until the time is over, the merged packet full, PSH seen, or a segment comes that does
    not follow; none is lost and none overtakes another of its direction. Segments with flags other than
    ACK, PSH and ECE, without data, or with a wrong checksum pass as they are.

    The default `largest` is what a wire takes: have the sender use a small MSS, or small writes without
    `flush_on_push`. A card hands on what it merged to its own host, so there it may be 65535.
    """

    options: Annotated[
        Literal["first", "last", "both"], Parameter("whose options the merged segment has, while they fit")
    ] = "first"
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
        self._held: dict[tuple[FlowKey, Direction], _Held] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not can_join(segment):
            return self.pass_by(segment, direction)
        flow = self._flows.key(segment, direction), direction
        held = self._held.get(flow)
        if held is None or not self._joins(held, segment):
            self._flush(flow)
            timer = self.call_later(self.delay, lambda: self._flush(flow))
            held = self._held[flow] = _Held([segment], segment.options, segment.end, timer)
        shorter = self.only_equal and segment.payload_length < held.segments[0].payload_length
        if not shorter and not (segment.psh and self.flush_on_push):
            self.note(segment, "held it")
            return ()
        merged, why = self._taken(flow)
        self.note(merged, why)
        return (merged,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Let what is held of the flow go first."""
        self._flush((self._flows.key(segment, direction), direction))
        return (segment,)

    def _joins(self, held: _Held, segment: Segment) -> bool:
        """Put `segment` behind what is held, and return whether they go together."""
        first, last = held.segments[0], held.segments[-1]
        if not follows(segment, last) or (self.only_equal and not _is_alike(segment, first)):
            return False
        options, size = held.options, held.size + segment.payload_length
        if self.options != "first" and segment.option_block != last.option_block:
            options = segment.options
            if self.options == "both":
                options = joined_options(held.options, segment.options)
            if not segment.has_room_for(options):
                return False
            size += len(encode_options(options)) - len(encode_options(held.options))
        if size > self.largest:
            return False
        held.segments.append(segment)
        held.options, held.size = options, size
        return True

    def _taken(self, flow: tuple[FlowKey, Direction]) -> tuple[Segment, str]:
        """Return what was held of a flow, as one segment, and what was done to it; of one nothing."""
        held = self._held.pop(flow)
        held.timer.cancel()
        number = len(held.segments)
        if number == 1:
            return held.segments[0], ""
        return join(held.segments, held.options), f"merged {number} segments"

    def _flush(self, flow: tuple[FlowKey, Direction]) -> None:
        if flow in self._held:
            merged, why = self._taken(flow)
            if why:
                self.send(merged, flow[1], why)
            else:
                self.release(merged, flow[1])


def _is_alike(segment: Segment, first: Segment) -> bool:
    """Whether a card would put `segment` to others of which this is the first."""
    return (
        segment.option_block == first.option_block
        and segment.ack == first.ack
        and segment.payload_length <= first.payload_length
    )
