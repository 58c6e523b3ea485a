"""What gateways share that change the data of a stream: numbers carried on, sizes kept, removals answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from mbtest.middlebox.contract import Middlebox
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import Flow, FlowTable, HalfFlow
from mbtest.middlebox.numbers import MovedHalf, mend_sack
from mbtest.middlebox.parameters import Parameter
from mbtest.middlebox.pieces import cut, sized
from mbtest.middlebox.stream import Edit, StreamMap
from mbtest.wire import ACK, URG, Segment, Timestamps

Change = Callable[[MovedHalf, int, bytes], bytes]
"""Takes one direction of a flow, the stream offset of some data, and the data (none before a FIN); returns
the data with changes of the same length made. May add edits to the map at or behind `settled`, which is as
far as the stream was seen before."""
Send = Callable[[Segment, Direction, str], None]


class StreamGateway:
    """Carries the segments of all flows that pass through the edits of their streams.

    mtu: largest IP packet, octets, that a segment may grow to; what grows larger is cut.
    send: sends what the gateway has to answer for itself.
    """

    def __init__(self, mtu: int, send: Send) -> None:
        """Begin with no flow."""
        self._mtu = mtu
        self._send = send
        self._flows = FlowTable()
        self._moved: dict[HalfFlow, MovedHalf] = {}

    def carry(
        self, segment: Segment, direction: Direction, change: Change | None = None
    ) -> Sequence[Segment]:
        """Return the segments to send on in place of `segment`, after `change` had a look at its data.

        A segment with a wrong checksum is passed as it is: its receiver will discard it.
        """
        if not segment.checksum_is_right():
            return (segment,)
        flow = self._flows.flow(segment, direction)
        moved = self._half(flow, segment, direction)
        start, data = moved.half.offset(segment.seq + segment.syn), segment.payload
        if change is not None and (data or segment.fin):
            data = change(moved, start, data)
        end = flow.sight(segment, direction).end
        if data or segment.fin:
            moved.settled = max(moved.settled, end)
        if segment.fin:
            moved.length = end
        if moved.length is not None:
            moved.edits.close(moved.length)
        out = self._answered(segment, flow, direction)
        if moved.edits:
            out = self._shifted(out, moved, start)
            data = moved.edits.rewrite(start, data)
        if data == segment.payload:
            return (out,)
        out = out.replace(payload=data)
        if not data and not segment.fin:
            self._acknowledge(moved, end, flow, direction)
        room = max(segment.payload_length, self._mtu - segment.payload_offset)
        return cut(out, sized(len(data), room)) if len(data) > room else (out,)

    def _half(self, flow: Flow, segment: Segment, direction: Direction) -> MovedHalf:
        half = flow.half(segment, direction)
        if half not in self._moved:
            self._moved[half] = MovedHalf(half, StreamMap())
        return self._moved[half]

    def _answered(self, segment: Segment, flow: Flow, direction: Direction) -> Segment:
        """Return `segment` with what it acknowledges in the numbers of the data's sender."""
        half = flow.halves.get(direction.reverse)
        if half is None or not segment.has_ack:
            return segment
        moved = self._moved[half]
        if moved.answer is None or segment.ack >= moved.answer.ack:
            moved.answer = segment
        if not moved.edits:
            return segment
        return segment.replace(ack=moved.backward(segment.ack), options=mend_sack(segment, moved.block))

    def _shifted(self, segment: Segment, moved: MovedHalf, start: int) -> Segment:
        """Return `segment` with its own numbers in the numbers of its receiver."""
        urgent = None
        if segment.flags & URG:
            urgent = moved.edits.forward(start + segment.urgent) - moved.edits.forward(start)
        return segment.replace(seq=moved.forward(segment.seq), urgent=urgent)

    def _acknowledge(self, moved: MovedHalf, end: int, flow: Flow, direction: Direction) -> None:
        """Acknowledge data of which nothing is left, where its receiver has all before it: it never will."""
        last = moved.answer
        if last is None or moved.half.offset(ack := moved.backward(last.ack)) < end:
            return
        seq = self._half(flow, last, direction.reverse).forward(last.next_seq)
        stamps = [option for option in last.options if isinstance(option, Timestamps)]
        answer = last.replace(seq=seq, ack=ack, flags=ACK, urgent=0, options=stamps, payload=b"")
        self._send(answer, direction.reverse, "acknowledged data that it removed")


class ContentGateway(Middlebox):
    """A box that reads the data and puts other octets in place of what it knows; `edits` says of what.

    What is cut across segments it cannot read, like most gateways.
    """

    mtu: Annotated[int, Parameter("largest IP packet made", "octets", 576, 65535)] = dataclasses.field(
        default=1500, kw_only=True
    )

    def edits(self, start: int, data: bytes) -> Iterable[Edit]:
        """Return the edits of some data, which stands at stream offset `start`, in their order.

        Each stands at an octet of the data, and removes none behind it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no edits()")

    def start(self) -> None:
        """Begin with no flow."""
        self._gateway = StreamGateway(self.mtu, self.send)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Carry a segment on, with what it is the first to bring edited."""
        return self._gateway.carry(segment, direction, self._change)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Carry on the numbers of what was edited."""
        return self._gateway.carry(segment, direction)

    def delivers(self, stream: bytes, direction: Direction) -> bytes:
        """Return the stream edited; an aim counts as far as it names a direction."""
        if self.aim is not None and self.aim.direction not in (None, direction):
            return stream
        return StreamMap(self.edits(0, stream)).rewrite(0, stream)

    def _change(self, moved: MovedHalf, start: int, data: bytes) -> bytes:
        for edit in self.edits(start, data):
            if edit.at >= moved.settled:
                moved.edits.add(edit)
        return data
