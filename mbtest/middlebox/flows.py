"""Flows as a box in the middle sees them: who opened, what each segment is, where its data stands.

Everything is judged by what passed this point, as a device would; positions are *stream offsets* (the
first octet of data of a direction has 0), so that a byte that is sent again is recognised however it
is cut.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from mbtest.middlebox.direction import Direction
from mbtest.wire import ACK, FIN, RST, SYN, MpJoin, Segment, Seq32

FlowKey = tuple[bytes, bytes]


class Kind(enum.Flag):
    """What a segment is in the life of its flow. A segment can be several at once."""

    SYN = enum.auto()
    """SYN without ACK."""
    SYN_ACK = enum.auto()
    THIRD_ACK = enum.auto()
    """The opener's first segment after the SYN/ACK, where it carries no data, however often it is sent."""
    FIRST_DATA = enum.auto()
    """Carries the first octet of its direction's stream."""
    LATER_DATA = enum.auto()
    """Carries data, and not the first octet."""
    PURE_ACK = enum.auto()
    """Neither data nor SYN, FIN or RST, and not the third ACK."""
    FIN = enum.auto()
    RST = enum.auto()

    DATA = FIRST_DATA | LATER_DATA


class Subflow(enum.Enum):
    """Which flow of a connection, by the option on the SYN that passed this point."""

    INITIAL = "initial"
    """Any flow whose SYN carried no MP_JOIN."""
    JOINED = "joined"


class Sighting(NamedTuple):
    """One segment in the context of its flow."""

    kinds: Kind
    start: int
    """Stream offset of its first octet of data, or of the next to come."""
    end: int
    """Stream offset after its last octet of data."""
    again: bool
    """Whether everything it carries, control bits included, passed this point before."""
    subflow: Subflow


class HalfFlow:
    """One direction of a flow: turns sequence numbers to stream offsets, beyond any wrap."""

    __slots__ = ("_base", "_high", "fin_seen", "highest", "rst_seen", "syn_seen")

    def __init__(self, base: Seq32) -> None:
        """Take `base` as the sequence number of stream offset 0."""
        self._base = base
        self._high = base
        self.highest = 0
        """Stream offset after the last octet that passed."""
        self.syn_seen = False
        self.fin_seen = False
        self.rst_seen = False

    def offset(self, seq: Seq32) -> int:
        """Return the stream offset of a sequence number, negative for one before the first octet."""
        return self.highest + (seq - self._high)

    def sequence(self, offset: int) -> Seq32:
        """Return the sequence number of a stream offset."""
        return self._base + offset

    def passed(self, end: int) -> None:
        """Have everything up to stream offset `end` pass."""
        if end > self.highest:
            self._high += end - self.highest
            self.highest = end


class Flow:
    """A TCP connection as it passes one point of a path."""

    __slots__ = ("_third", "halves", "opener", "subflow")

    def __init__(self, opener: Direction, subflow: Subflow) -> None:
        """Begin a flow whose SYN travels in the direction `opener`."""
        self.opener = opener
        self.subflow = subflow
        self.halves: dict[Direction, HalfFlow] = {}
        self._third: tuple[int, list[str]] | None = None
        """What marks the third ACK that passed: its number and the forms of its options."""

    def half(self, segment: Segment, direction: Direction) -> HalfFlow:
        """Return the half of a direction; one first seen in mid-stream begins at this segment."""
        half = self.halves.get(direction)
        if half is None or (segment.syn and half.sequence(0) != segment.seq + 1):
            half = self.halves[direction] = HalfFlow(segment.seq + segment.syn)
        return half

    def sight(self, segment: Segment, direction: Direction) -> Sighting:
        """Return what `segment` is, and remember that it passed."""
        half = self.half(segment, direction)
        flags = segment.flags
        start = half.offset(segment.seq) + (flags & SYN != 0)
        end = start + segment.payload_length
        again = end <= half.highest
        kinds: Kind | None = None
        if end > start:
            kinds = Kind.FIRST_DATA if start <= 0 < end else Kind.LATER_DATA
        if flags & (SYN | FIN | RST):
            kinds, again = self._control(flags, half, kinds, again)
        elif kinds is None:
            kinds, again = self._bare_ack(segment, half, start, direction)
        if end > start:
            half.passed(end)
        return Sighting(kinds, start, end, again, self.subflow)

    @staticmethod
    def _control(flags: int, half: HalfFlow, kinds: Kind | None, again: bool) -> tuple[Kind, bool]:
        """Return what a segment with SYN, RST or FIN is besides `kinds`, and whether it passed before.

        again: whether all its data did.
        """
        # Most segments have none of these, and a union of kinds takes its time.
        found = kinds or Kind(0)
        if flags & SYN:
            found |= Kind.SYN_ACK if flags & ACK else Kind.SYN
            again = again and half.syn_seen
            half.syn_seen = True
        if flags & RST:
            found |= Kind.RST
            again = again and half.rst_seen
            half.rst_seen = True
        if flags & FIN:
            found |= Kind.FIN
            again = again and half.fin_seen
            half.fin_seen = True
        return found, again

    def _bare_ack(
        self, segment: Segment, half: HalfFlow, start: int, direction: Direction
    ) -> tuple[Kind, bool]:
        """Return what a segment without data and control bits is, and whether it is a third ACK again."""
        opening = half.syn_seen and start == half.highest == 0 and not half.fin_seen
        if direction is not self.opener or not opening:
            return Kind.PURE_ACK, False
        mark = (int(segment.ack), [type(option).__name__ for option in segment.options])
        if self._third is None:
            self._third = mark
            return Kind.THIRD_ACK, False
        if mark == self._third:
            return Kind.THIRD_ACK, True
        return Kind.PURE_ACK, False


class FlowTable:
    """The flows that pass one point."""

    def __init__(self) -> None:
        """Begin with no flow."""
        self._flows: dict[FlowKey, Flow] = {}

    def key(self, segment: Segment, direction: Direction) -> FlowKey:
        """Return the two ends of a segment's flow, the client's side first."""
        flow = segment.flow
        return flow if direction is Direction.TO_SERVER else (flow[1], flow[0])

    def flow(self, segment: Segment, direction: Direction) -> Flow:
        """Return the flow of a segment, a new one where it is the first, or a SYN over an ended flow."""
        key = self.key(segment, direction)
        flow = self._flows.get(key)
        if flow is None or (
            segment.syn and not segment.has_ack and self._is_reused(flow, segment, direction)
        ):
            subflow = Subflow.JOINED if segment.syn and segment.option(MpJoin) else Subflow.INITIAL
            opener = direction.reverse if segment.syn and segment.has_ack else direction
            flow = self._flows[key] = Flow(opener, subflow)
        return flow

    def sight(self, segment: Segment, direction: Direction) -> Sighting:
        """Return what `segment` is in its flow, and remember that it passed."""
        return self.flow(segment, direction).sight(segment, direction)

    @staticmethod
    def _is_reused(flow: Flow, segment: Segment, direction: Direction) -> bool:
        """Whether a SYN opens the same ports anew: another initial sequence number, from the same side."""
        half = flow.halves.get(direction)
        return half is not None and half.syn_seen and half.sequence(0) != segment.seq + 1
