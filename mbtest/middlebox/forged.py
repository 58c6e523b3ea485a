"""Segments that a box makes up: it answers for a host, or speaks in its name with the numbers that it saw."""

from __future__ import annotations

from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import FlowKey
from mbtest.wire import ACK, RST, Segment, Seq32, Timestamps


def reset_for(segment: Segment) -> Segment:
    """Return the RST of a host that knows no connection for `segment` (RFC 9293 §3.10.7.1)."""
    if segment.has_ack:
        return reply(segment, RST, seq=segment.ack, window=0)
    return reply(segment, RST | ACK, ack=segment.next_seq, window=0)


def reply(segment: Segment, flags: int, *, seq: int = 0, ack: int = 0, window: int = 65535) -> Segment:
    """Return a segment without options and data, from the end that `segment` goes to."""
    return Segment.build(
        segment.destination,
        segment.source,
        segment.destination_port,
        segment.source_port,
        seq=seq,
        ack=ack,
        flags=flags,
        window=window,
    )


class Onlooker:
    """Knows how far each host of each flow has come, and so what a host would say next."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._last: dict[tuple[FlowKey, Direction], Segment] = {}
        self._acknowledged: dict[tuple[FlowKey, Direction], Seq32] = {}

    def see(self, flow: FlowKey, segment: Segment, direction: Direction) -> None:
        """Remember a segment that goes on to its receiver."""
        last = self._last.get((flow, direction))
        if last is None or segment.syn or segment.next_seq >= last.next_seq:
            self._last[flow, direction] = segment
        if segment.has_ack:
            known = self._acknowledged.get((flow, direction))
            if known is None or segment.syn or segment.ack > known:
                self._acknowledged[flow, direction] = segment.ack

    def expected(self, flow: FlowKey, direction: Direction) -> Seq32 | None:
        """Return the number that the receiver of a direction expects next, as it acknowledged last."""
        return self._acknowledged.get((flow, direction.reverse))

    def speak(self, flow: FlowKey, direction: Direction, flags: int, shift: int = 0) -> Segment | None:
        """Return a segment as the sender of a direction would send next, None where too little was seen.

        It has neither data nor options but timestamps, and with `flags` the host's ACK. shift: added to the
        sequence number, octets.
        """
        last, peer = self._last.get((flow, direction)), self._last.get((flow, direction.reverse))
        acknowledged = self._acknowledged.get((flow, direction))
        if last is not None:
            stamps = [option for option in last.options if isinstance(option, Timestamps)]
            return last.replace(
                seq=last.next_seq + shift,
                ack=acknowledged or 0,
                flags=flags if acknowledged is None else flags | ACK,
                urgent=0,
                options=stamps,
                payload=b"",
            )
        if peer is None or not peer.has_ack:
            return None
        return reply(peer, flags | ACK, seq=peer.ack + shift, ack=peer.next_seq)
