"""A box that acknowledges for the receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import (
    MILLISECOND,
    Direction,
    FlowTable,
    HalfFlow,
    Middlebox,
    Parameter,
    Reassembly,
    Windows,
)
from mbtest.middlebox.keeping import Keeper
from mbtest.wire import ACK, Segment, Timestamps


class _Kept:
    """What the box answers for in one direction of a flow."""

    def __init__(self, keeper: Keeper) -> None:
        self.came = Reassembly()
        self.keeper = keeper
        self.heard: Segment | None = None
        """The last that the receiver said."""

    def take(self, start: int, segment: Segment) -> None:
        """Take note of the data that came."""
        self.came.insert(start, segment.payload)
        self.came.discard(self.came.next)


class AcknowledgeEarly(Middlebox):
    """Acknowledges data as soon as it passes, as accelerators in front of satellite links do (RFC 3135).

    It keeps what it has acknowledged, and sends it again, as it came, until the receiver has it. Its own
    acknowledgments keep to the window that the receiver offered, and have timestamps and no other option:
    it knows nothing of MPTCP. All that passes, the receiver's acknowledgments too, passes as it is; FIN is
    left to the receiver.
    """

    patience: Annotated[
        int, Parameter("time without acknowledgment after which data is sent again", "microseconds", 1_000)
    ] = 200 * MILLISECOND

    def start(self) -> None:
        self._flows = FlowTable()
        self._windows = Windows()
        self._kept: dict[HalfFlow, _Kept] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        kept, start = self._hear(segment, direction)
        if not segment.payload_length or not segment.checksum_is_right():
            return (segment,)
        kept.keeper.keep(start + segment.payload_length, segment)
        kept.take(start, segment)
        if kept.came.begin > start and kept.heard is not None:
            self._acknowledge(segment, kept.heard, kept.came.begin, direction)
        return (segment,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Hear what it acknowledges; its own data is left to the hosts."""
        kept, start = self._hear(segment, direction)
        kept.take(start, segment)
        return (segment,)

    def _hear(self, segment: Segment, direction: Direction) -> tuple[_Kept, int]:
        """Return what is kept in the direction of `segment`, and where its data stands."""
        flow = self._flows.flow(segment, direction)
        start = flow.sight(segment, direction).start
        self._windows.learn(segment, flow, direction)
        own, peer = flow.half(segment, direction), flow.halves.get(direction.reverse)
        kept = self._kept.setdefault(own, _Kept(Keeper(self, direction, self.patience)))
        if segment.rst:
            kept.keeper.forget(own.highest)
        if peer in self._kept and (segment.has_ack or segment.rst):
            self._kept[peer].heard = segment
            self._kept[peer].keeper.forget(peer.highest if segment.rst else peer.offset(segment.ack))
        return kept, start

    def _acknowledge(self, segment: Segment, heard: Segment, before: int, direction: Direction) -> None:
        """Tell the sender of `segment` that all before a stream offset has come. heard: of its receiver."""
        flow = self._flows.flow(segment, direction)
        sender, receiver = flow.half(segment, direction), flow.half(heard, direction.reverse)
        room = max(0, (self._windows.edge(sender) or 0) - before)
        stamps, own = segment.option(Timestamps), heard.option(Timestamps)
        answer = heard.replace(
            seq=receiver.sequence(receiver.highest + receiver.fin_seen),
            ack=sender.sequence(before),
            flags=ACK,
            window=min(room >> self._windows.shift(receiver, sender), 65535),
            urgent=0,
            options=[Timestamps(own.value, stamps.value)] if own and stamps else (),
            payload=b"",
        )
        self.send(answer, direction.reverse, "acknowledged it early")
