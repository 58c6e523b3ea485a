"""What became of octets between two capture points: lost, altered, come twice.

Flows are matched by what survives translation of addresses and sequence numbers alike: the order in which
they were opened. Octets are compared by their offset on the subflow, so that boxes which split or merge
segments change nothing; a box that makes the stream longer or shorter alters all that follows.
"""

from __future__ import annotations

from bisect import insort
from struct import Struct

from mbtest.observe.ranges import Ranges, unwrap32
from mbtest.wire import Segment

_NUMBER = Struct("!I")
KEPT = 1 << 12
"""Segments of one flow that wait for their arrival: what a window can hold."""


class Passage:
    """One direction of one flow, from one capture point to the other."""

    def __init__(self, sender: str) -> None:
        """Begin with nothing."""
        self.sender = sender
        self.sent = Ranges(1)
        self.arrived = Ranges(1)
        self.twice = 0
        """Octets that arrived more often than once."""
        self.altered = 0
        """Octets that arrived as other ones than were sent."""
        self.altered_at: int | None = None
        """The frame in which the first of them arrived."""
        self.inserted = 0
        """Octets that arrived beyond what had been sent."""
        self._isn: list[int | None] = [None, None]
        self._top = [1, 1]
        self._waiting: list[tuple[int, int, bytes]] = []

    @property
    def lost(self) -> int:
        """Octets that were sent, and never arrived."""
        top = self.sent.end
        held = self.arrived.front + sum(right - left for left, right in self.arrived.ahead)
        return max(0, top - held)

    def add(self, number: int, is_sent: bool, segment: Segment) -> None:
        """Take in a segment at the sender's side, or at the other."""
        which = 0 if is_sent else 1
        seq, syn = _NUMBER.unpack_from(segment.raw, segment.transport + 4)[0], segment.syn
        if syn:
            self._isn[which] = seq
        isn = self._isn[which]
        size = segment.payload_length
        if isn is None or not size:
            return
        start = unwrap32(seq - isn, self._top[which]) + syn
        end = start + size
        self._top[which] = max(self._top[which], end)
        if is_sent:
            if self.sent.add(start, end) and len(self._waiting) < KEPT:
                entry = (start, end, segment.payload)
                if self._waiting and start < self._waiting[-1][0]:
                    insort(self._waiting, entry)
                else:
                    self._waiting.append(entry)
            return
        self.inserted += max(0, end - max(start, self.sent.end))
        new = self.arrived.add(start, end)
        self.twice += size - sum(right - left for left, right in new)
        if new:
            self._compare(number, start, end, segment.payload)

    def _compare(self, number: int, start: int, end: int, payload: bytes) -> None:
        for left, right, octets in self._waiting:
            if left >= end:
                break
            low, high = max(left, start), min(right, end)
            if low < high:
                one, two = octets[low - left : high - left], payload[low - start : high - start]
                if one != two:
                    changed = int.from_bytes(one, "big") ^ int.from_bytes(two, "big")
                    self.altered += len(one) - changed.to_bytes(len(one), "big").count(0)
                    self.altered_at = self.altered_at or number
        front = self.arrived.front
        done = 0
        while done < len(self._waiting) and self._waiting[done][1] <= front:
            done += 1
        if done:
            del self._waiting[:done]


class Transit:
    """All flows between two capture points."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.passages: list[dict[str, Passage]] = []
        self._flows: dict[tuple[str, tuple[bytes, bytes]], dict[str, Passage]] = {}
        """By side and ends, in either order."""
        self._unmatched: dict[bytes, dict[str, Passage]] = {}

    def add(self, number: int, is_sent: bool, sender: str, segment: Segment) -> None:
        """Take in a segment at the side of its sender, or at the other."""
        side = sender if is_sent else ("server" if sender == "client" else "client")
        passage = self._flows.get((side, segment.flow))
        if passage is None:
            if not segment.syn or segment.has_ack:
                return
            passage = self._open(side, is_sent, segment)
        passage[sender].add(number, is_sent, segment)

    def _open(self, side: str, is_sent: bool, segment: Segment) -> dict[str, Passage]:
        """Match a flow's SYN with that of the other side, by its ends, else by its nonce or its time."""
        ends = b"|".join(sorted(segment.flow))
        if is_sent:
            passage = {who: Passage(who) for who in ("client", "server")}
            self.passages.append(passage)
            self._unmatched[ends] = passage
        else:
            found = self._unmatched.pop(ends, None)
            if found is None and self._unmatched:
                found = self._unmatched.pop(next(iter(self._unmatched)))
            passage = found or {who: Passage(who) for who in ("client", "server")}
        source, destination = segment.flow
        self._flows[side, (source, destination)] = self._flows[side, (destination, source)] = passage
        return passage

    def finish(self) -> None:
        """Nothing more comes."""
        self._unmatched.clear()
