"""The two data streams of a connection (RFC 8684 §3.3.2, §3.3.4 to §3.3.6), whatever subflows carry them.

Offsets are unwrapped and count from the initial data sequence number: the first octet has offset 1.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from mbtest.endpoint.reassembly import Reassembly

LARGEST_FIELD = 65_535


def _start_of(stretch: tuple[int, int, int | None]) -> int:
    return stretch[0]


class SendStream:
    """What the application wrote and the peer has not acknowledged."""

    def __init__(self, limit: int) -> None:
        """Begin empty. limit: octets that may wait."""
        self.una = 1
        """SND.UNA: the first octet that is not Data ACKed."""
        self.nxt = 1
        """SND.NXT: the first octet that no subflow has."""
        self.end = 1
        """The offset after the last octet written."""
        self.edge = 1
        """The offset after the last octet that the peer's window has room for."""
        self.ended = False
        """Whether the application writes no more; a DATA_FIN then has the offset `end`."""
        self._limit = limit
        self._octets = bytearray()
        self._start = 1
        self._again: list[tuple[int, int, int | None]] = []

    @property
    def room(self) -> int:
        """Octets that the application can write now."""
        return max(0, self._limit - (self.end - self._start))

    @property
    def fin_end(self) -> int:
        """The offset after the DATA_FIN, or after the last octet where there is none."""
        return self.end + self.ended

    def write(self, data: bytes | memoryview) -> int:
        """Take as many octets as there is room for."""
        taken = data[: self.room]
        self._octets += taken
        self.end += len(taken)
        return len(taken)

    def octets(self, start: int, end: int) -> bytes:
        """Return octets that are not acknowledged yet."""
        return bytes(memoryview(self._octets)[start - self._start : end - self._start])

    def acknowledge(self, offset: int) -> bool:
        """Free what is before `offset`; return whether that is anything new."""
        if offset <= self.una:
            return False
        self.una = offset
        free = min(offset, self.end) - self._start
        if free > 0:
            del self._octets[:free]
            self._start += free
        self.nxt = max(self.nxt, self._start)
        return True

    def again(self, start: int, end: int, avoid: int | None = None) -> bool:
        """Have octets sent once more; return whether any of them is still wanted.

        avoid: the number of the subflow that they are not to be sent on, unless there is no other.
        """
        start = max(start, self._start)
        end = min(end, self.nxt)
        if start >= end:
            return False
        # The lowest first: it is what the window waits for.
        at = bisect_right(self._again, start, key=_start_of)
        if at and self._again[at - 1][1] >= end:
            return False
        self._again.insert(at, (start, end, avoid))
        return True

    def next_again(self) -> tuple[int, int, int | None] | None:
        """Return the first stretch that is to be sent once more, and the subflow to be avoided."""
        while self._again:
            start, end, avoid = self._again[0]
            start = max(start, self._start)
            if start < end:
                return start, end, avoid
            del self._again[0]
        return None

    def took_again(self, end: int) -> None:
        """Note that the first stretch was sent once more up to `end`."""
        _, last, avoid = self._again.pop(0)
        if end < last:
            self._again.insert(0, (end, last, avoid))

    def forget_again(self) -> None:
        """Send nothing once more: after a fallback only one subflow has the data (RFC 8684 §3.7)."""
        self._again.clear()


class ReceiveStream:
    """What the peer wrote and the application has not read."""

    def __init__(self, limit: int) -> None:
        """Begin empty. limit: octets that may be unread: the largest window."""
        self._limit = limit
        self._held = Reassembly(limit, start=1)
        self._unread: deque[bytes] = deque()
        self.unread = 0
        """Octets that the application can read."""
        self.advertised = 1
        """The right edge that the peer was ever told of: it never moves left (RFC 8684 §3.3.4)."""
        self.fin_at: int | None = None
        """The offset of the peer's DATA_FIN, once it is known."""
        self.ended = False
        """Whether the DATA_FIN is in order: the Data ACK counts it then."""

    @property
    def next(self) -> int:
        """RCV.NXT, the Data ACK: the first offset that is missing."""
        return self._held.next + self.ended

    @property
    def is_contiguous(self) -> bool:
        """Whether nothing was received beyond the first missing octet."""
        return self._held.held == 0

    @property
    def window(self) -> int:
        """Octets from `next` on that there is room for."""
        return self._limit - self.unread

    @property
    def _edge(self) -> int:
        """The offset behind the last octet that is taken."""
        return max(self._held.next + self.window, self.advertised)

    def window_field(self, shift: int, segment: int) -> int:
        """Return the window field of a segment that goes out now, and remember how far it lets the peer go.

        It counts from the Data ACK, on every subflow alike (RFC 8684 §3.3.4). A right edge that would move by
        less than a segment, or half of the buffer, stays where it is: the receiver's half of silly window
        avoidance (RFC 9293 §3.8.6.2.2). shift: the window scale in use; segment: octets.
        """
        following = self.next
        edge = following + self.window
        if edge - self.advertised < min(segment, self._limit // 2):
            edge = self.advertised
        field = max(0, edge - following) >> shift
        if following + (field << shift) < self.advertised:
            field += 1  # RFC 7323 §2.4: rounded down, the edge would move left.
        field = min(field, LARGEST_FIELD)
        self.advertised = max(self.advertised, following + (field << shift))
        return field

    def append(self, octets: bytes) -> None:
        """Take octets that come next, whatever the window: regular TCP has acknowledged them already."""
        self._held.insert(self._held.next, octets)
        self._unread.append(self._held.take())
        self.unread += len(self._unread[-1])

    def insert(self, start: int, octets: bytes) -> str:
        """Take octets of the stream; return in words what was not taken, and nothing where all was."""
        held = self._held
        end, edge = start + len(octets), self._edge
        words = ""
        if end > edge:
            # RFC 8684 §3.8: a DSN out of the window: the data is dropped and not Data ACKed.
            words = f"{end - max(start, edge)} octets beyond the receive window"
            octets = octets[: max(0, edge - start)]
        if self.fin_at is not None and start + len(octets) > self.fin_at:
            words = f"octets beyond the DATA_FIN at {self.fin_at}"
            octets = octets[: max(0, self.fin_at - start)]
        if octets:
            before = held.next
            held.insert(start, octets)
            if held.next > before:
                taken = held.take()
                self._unread.append(taken)
                self.unread += len(taken)
        return words

    def end_at(self, offset: int) -> bool:
        """Learn where the stream ends; return whether that was not known, and can be."""
        if self.fin_at is not None or not self._held.next <= offset <= self._edge:
            # Beyond the window it is no number of this stream, as little as data there (RFC 8684 §3.8).
            return False
        self.fin_at = offset
        return True

    def forget_end(self) -> None:
        """After a fallback the subflow's FIN is the end, wherever boxes have moved it (RFC 8684 §3.7)."""
        if not self.ended:
            self.fin_at = None

    def take_fin(self) -> bool:
        """Count the DATA_FIN in once it is in order; return whether that is so for the first time."""
        if self.ended or self.fin_at is None or self._held.next < self.fin_at:
            return False
        self.ended = True
        return True

    def read(self, limit: int) -> bytes:
        """Return at most `limit` octets for the application."""
        unread = self._unread
        if not unread:
            return b""
        if len(unread) == 1 and len(unread[0]) <= limit:
            self.unread -= len(unread[0])
            return unread.popleft()
        parts: list[bytes] = []
        left = limit
        while unread and left:
            part = unread.popleft()
            if len(part) > left:
                unread.appendleft(part[left:])
                part = part[:left]
            left -= len(part)
            parts.append(part)
        octets = b"".join(parts)
        self.unread -= len(octets)
        return octets

    def discard(self) -> None:
        """Forget what is unread: nobody will read it."""
        self._unread.clear()
        self.unread = 0
