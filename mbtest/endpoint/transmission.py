"""What a subflow sends: what waits, what is under way, what is lost and goes out again.

Losses are found by SACK (RFC 6675) or, without it, by duplicate ACKs (RFC 6582), and by the timer (RFC 6298).
Sequence space is cut into chunks when it is handed over, and a chunk is sent as it is: a retransmission
carries the very mapping that the first transmission declared (RFC 8684 §3.3.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from mbtest.endpoint.mappings import Mapping

DUPLICATE_THRESHOLD = 3
"""Segments that arrive behind a missing one before it counts as lost (RFC 5681 §3.2, RFC 6675 §2)."""


class Chunk:
    """A stretch of sequence space that goes out as one segment. Offsets are unwrapped."""

    __slots__ = (
        "carries_mapping", "end", "fin", "lost", "mapping", "payload", "pushes", "sacked", "sends", "sent_at",
        "start", "syn",
    )  # fmt: skip

    def __init__(
        self, start: int, payload: bytes, mapping: Mapping | None, *, syn: bool = False, fin: bool = False
    ) -> None:
        """Take `payload` at offset `start`; a SYN or FIN takes one number of its own."""
        self.start = start
        self.end = start + len(payload) + syn + fin
        self.payload = payload
        self.mapping = mapping
        self.carries_mapping = mapping is not None
        """Whether its segment declares the mapping; one that another segment declared may do for it."""
        self.pushes = True
        """Whether nothing followed it when it was handed over."""
        self.syn = syn
        self.fin = fin
        self.sends = 0
        self.sent_at = 0
        self.sacked = False
        self.lost = False


class Acknowledged:
    """What an acknowledgement brought."""

    __slots__ = ("chunks", "octets", "rtt", "sacked")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        """Those that are acknowledged whole, in order."""
        self.octets = 0
        """How far the cumulative acknowledgement advanced."""
        self.sacked = 0
        """Octets that SACK newly reports."""
        self.rtt: int | None = None
        """Microseconds, of the last segment, where all of them were sent only once (Karn's algorithm)."""


class Transmission:
    """The sending half of one subflow."""

    def __init__(self) -> None:
        """Begin with the SYN as the first number to be sent."""
        self.una = 0
        """SND.UNA: the first offset that is not acknowledged."""
        self.nxt = 0
        """SND.NXT: the first offset that was never sent."""
        self.end = 0
        """The offset after all that was handed over."""
        self.in_flight = 0
        """Octets that were sent and are neither acknowledged nor held for lost: RFC 6675's pipe."""
        self.sacked = 0
        """Octets that SACK reports and no acknowledgement covers."""
        self.waiting: deque[Chunk] = deque()
        """Chunks that were never sent."""
        self.under_way: deque[Chunk] = deque()
        """Chunks that were sent and are not acknowledged."""
        self._lost: deque[Chunk] = deque()

    def append(
        self, payload: bytes, mapping: Mapping | None = None, *, syn: bool = False, fin: bool = False
    ) -> Chunk:
        """Add a chunk behind all others."""
        chunk = Chunk(self.end, payload, mapping, syn=syn, fin=fin)
        self.end = chunk.end
        self.waiting.append(chunk)
        return chunk

    def next_lost(self) -> Chunk | None:
        """Return the first chunk that is to be sent again, or None."""
        lost = self._lost
        while lost:
            chunk = lost[0]
            if chunk.lost:
                return chunk
            lost.popleft()
        return None

    def sent(self, chunk: Chunk, now: int) -> None:
        """Note that a chunk goes out now."""
        if chunk.sends == 0:
            self.waiting.popleft()
            self.under_way.append(chunk)
            self.nxt = chunk.end
        chunk.sends += 1
        chunk.sent_at = now
        if chunk.lost or chunk.sends == 1:
            chunk.lost = False
            self.in_flight += chunk.end - chunk.start

    def acknowledge(self, ack: int, blocks: Sequence[tuple[int, int]], now: int) -> Acknowledged:
        """Take an acknowledgement up to `ack`, which is at most `nxt`, and SACK blocks."""
        result = Acknowledged()
        under_way = self.under_way
        if ack > self.una:
            result.octets = ack - self.una
            self.una = ack
            once = True
            while under_way and under_way[0].end <= ack:
                chunk = under_way.popleft()
                self._leave_flight(chunk)
                chunk.lost = False
                if chunk.sacked:
                    self.sacked -= chunk.end - chunk.start
                once = once and chunk.sends == 1 and not chunk.sacked
                result.chunks.append(chunk)
            # Karn: and what arrived behind a gap was acknowledged only when the gap was filled.
            if once and result.chunks:
                result.rtt = now - result.chunks[-1].sent_at
            if under_way and under_way[0].start < ack:
                self._trim(under_way[0], ack)
        if blocks and under_way:
            result.sacked = self._take_blocks(blocks)
        return result

    def find_lost(self) -> bool:
        """Mark what enough later segments have overtaken; return whether there is anything new.

        RFC 6675 §4, IsLost: three segments behind it are reported. What was sent again is left to the timer.
        """
        behind, found = 0, False
        for chunk in reversed(self.under_way):
            if chunk.sacked:
                behind += 1
            elif behind >= DUPLICATE_THRESHOLD and chunk.sends == 1 and not chunk.lost:
                self._mark(chunk)
                found = True
        if found:
            self._order_lost()
        return found

    def lose_first(self) -> bool:
        """Mark the first chunk under way as lost; return whether there was one."""
        for chunk in self.under_way:
            if not chunk.sacked:
                if not chunk.lost:
                    self._mark(chunk)
                    self._order_lost()
                return True
        return False

    def lose_all(self) -> None:
        """Mark all that is under way as lost, and forget what SACK reported (RFC 6675 §5.1, RFC 2018 §8)."""
        for chunk in self.under_way:
            if not chunk.lost:
                self._leave_flight(chunk)
            chunk.sacked = False
            chunk.lost = True
        self.in_flight = self.sacked = 0
        self._lost = deque(self.under_way)

    def cut(self, limit: int) -> None:
        """Cut chunks with more than `limit` octets of payload: the path takes no more. Mappings stay.

        Those under way did not arrive, as nothing lets a router cut them.
        """
        waiting = list(self.waiting)
        self.waiting.clear()
        for chunk in waiting:
            self.waiting.extend(_pieces(chunk, limit))
        under_way = list(self.under_way)
        self.under_way.clear()
        for chunk in under_way:
            if len(chunk.payload) > limit and not chunk.sacked and not chunk.lost:
                self._mark(chunk)
            self.under_way.extend(_pieces(chunk, limit))
        self._order_lost()

    def split_first(self, octets: int) -> Chunk:
        """Cut the first waiting chunk after so many octets of payload, and return it."""
        chunk = self.waiting[0]
        if len(chunk.payload) > octets:
            self.waiting.popleft()
            first, rest = _split(chunk, octets)
            self.waiting.extendleft((rest, first))
        return self.waiting[0]

    def _leave_flight(self, chunk: Chunk) -> None:
        if not chunk.lost and not chunk.sacked:
            self.in_flight -= chunk.end - chunk.start

    def _mark(self, chunk: Chunk) -> None:
        self._leave_flight(chunk)
        chunk.lost = True

    def _order_lost(self) -> None:
        self._lost = deque(chunk for chunk in self.under_way if chunk.lost)

    def _trim(self, chunk: Chunk, ack: int) -> None:
        """Forget the acknowledged beginning of a chunk: boxes cut segments and acknowledge pieces."""
        gone = ack - chunk.start
        if chunk.sacked:
            self.sacked -= gone
        elif not chunk.lost:
            self.in_flight -= gone
        chunk.payload = chunk.payload[gone:]
        chunk.start = ack

    def _take_blocks(self, blocks: Sequence[tuple[int, int]]) -> int:
        new = 0
        for left, right in blocks:
            if right <= self.una or left >= right:
                continue
            for chunk in self.under_way:
                if chunk.start >= right:
                    break
                if chunk.start >= left and chunk.end <= right and not chunk.sacked:
                    self._leave_flight(chunk)
                    chunk.sacked = True
                    chunk.lost = False
                    new += chunk.end - chunk.start
        self.sacked += new
        return new


def _pieces(chunk: Chunk, limit: int) -> list[Chunk]:
    """Return a chunk as chunks of at most `limit` octets of payload."""
    pieces = []
    while len(chunk.payload) > limit:
        piece, chunk = _split(chunk, limit)
        pieces.append(piece)
    pieces.append(chunk)
    return pieces


def _split(chunk: Chunk, octets: int) -> tuple[Chunk, Chunk]:
    """Return a chunk as two, the first with so many octets of payload, the other with the rest."""
    first = Chunk(chunk.start, chunk.payload[:octets], chunk.mapping)
    rest = Chunk(first.end, chunk.payload[octets:], chunk.mapping, fin=chunk.fin)
    for piece in (first, rest):
        piece.carries_mapping = chunk.carries_mapping
        piece.sends, piece.sent_at = chunk.sends, chunk.sent_at
        piece.sacked, piece.lost = chunk.sacked, chunk.lost
    first.pushes, rest.pushes = False, chunk.pushes
    return first, rest
