"""One direction of a subflow, put together: which octets came, what maps them, whether checksums are right.

Offsets do not wrap. On a subflow the SYN has offset 0 and the first octet of data 1, as subflow sequence
numbers have it; in a stream MP_CAPABLE has offset 0 and the first octet of data 1 (RFC 8684 §3.1, §3.3.1).
"""

from __future__ import annotations

from bisect import bisect_right

from mbtest.observe.ranges import Ranges
from mbtest.wire.checksum import dss_checksum, ones_sum

KEPT = 4_096
"""Mappings and stretches without a mapping of one direction that are kept: what a window can hold."""


class Mapping:
    """Octets of a subflow that are octets of a stream (RFC 8684 §3.3.1)."""

    __slots__ = ("checksum", "data", "fin", "frame", "length", "pieces", "start", "total", "until")

    def __init__(
        self, start: int, data: int, length: int, fin: bool, checksum: int | None, frame: int
    ) -> None:
        """Map `length` octets from `start` on the subflow to `data` in the stream.

        length: without the octet of a DATA_FIN. checksum: as on the wire, None where there is none.
        """
        self.start = start
        self.data = data
        self.length = length
        self.fin = fin
        self.checksum = checksum
        self.frame = frame
        self.total = 0
        """The ones' complement sum of the octets up to `until`."""
        self.until = start
        self.pieces: dict[int, bytes] = {}
        """Octets that came before others, by their offset, while there is a checksum to be checked."""

    @property
    def end(self) -> int:
        """One past the last octet on the subflow."""
        return self.start + self.length

    @property
    def infinite(self) -> bool:
        """Whether it maps all that follows (RFC 8684 §3.3.1)."""
        return not self.length and not self.fin

    def sum(self, start: int, octets: bytes) -> None:
        """Add octets at `start` of the subflow to the sum, each once, in whatever order they come."""
        if start != self.until:
            self.pieces[start] = octets
            return
        while True:
            part = ones_sum(octets)
            # Octets that begin within a 16-bit word stand a byte further right (RFC 1071 §2).
            if (start - self.start) & 1:
                part = part * 256 % 65535
            self.total += part
            self.until = start = start + len(octets)
            if start not in self.pieces:
                return
            octets = self.pieces.pop(start)

    def is_right(self, base: int) -> bool:
        """Whether the checksum is that of the octets that were summed. base: the IDSN (RFC 8684 §3.3.1)."""
        dsn = (base + self.data) & 0xFFFF_FFFF_FFFF_FFFF
        start = self.start if self.length else 0
        pseudo = dss_checksum(dsn, start, self.length + self.fin, b"")
        return (self.total - pseudo + (self.checksum or 0)) % 65535 == 0


class Mapped:
    """What one direction of a subflow declared, as long as it can matter, and what came of it."""

    __slots__ = ("_starts", "broken_at", "found", "infinite", "lacked", "taken", "unmapped")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.found: list[Mapping] = []
        self._starts: list[int] = []
        self.infinite: Mapping | None = None
        self.taken = Ranges(1)
        """The octets of the subflow that came."""
        self.unmapped: list[tuple[int, bytes]] = []
        """Octets that came before a mapping of theirs."""
        self.lacked = False
        """Whether any did."""
        self.broken_at: Mapping | None = None
        """The mapping whose checksum was the first to be wrong: nothing after it can be trusted."""

    def clash(self, mapping: Mapping) -> Mapping | None:
        """Return a mapping that has some of the same octets stand for others (RFC 8684 §3.3.1), or None."""
        found = self.found
        if not mapping.length or not found or mapping.start >= found[-1].end:
            return None
        shift, end = mapping.data - mapping.start, mapping.end
        at = max(0, bisect_right(self._starts, mapping.start) - 1)
        while at < len(found) and found[at].start < end:
            other = found[at]
            if other.end > mapping.start and other.data - other.start != shift:
                return other
            at += 1
        return None

    def same(self, mapping: Mapping) -> Mapping | None:
        """Return the mapping of just these octets that was declared before, or None."""
        at = bisect_right(self._starts, mapping.start) - 1
        if at >= 0:
            other = self.found[at]
            if other.start == mapping.start and other.length == mapping.length:
                return other
        return None

    def declare(self, mapping: Mapping) -> list[tuple[Mapping, int, int]]:
        """Keep a mapping, the first of its octets; return what it makes of octets that came before it.

        As `arrive`.
        """
        if mapping.infinite:
            self.infinite = self.infinite or mapping
        elif mapping.length:
            starts = self._starts
            if not starts or mapping.start >= self.found[-1].end:
                starts.append(mapping.start)
                self.found.append(mapping)
            elif self.same(mapping) is not None:
                return []
            else:
                at = bisect_right(starts, mapping.start)
                starts.insert(at, mapping.start)
                self.found.insert(at, mapping)
            if len(starts) > KEPT:
                del starts[0], self.found[0]
        if not self.unmapped:
            return []
        waiting, self.unmapped = self.unmapped, []
        return [piece for start, octets in waiting for piece in self._map(start, octets)]

    def covers(self, start: int, end: int) -> bool:
        """Whether all octets from `start` to `end` have a mapping that was declared."""
        if self.infinite is not None and self.infinite.start <= start:
            return True
        while start < end:
            mapping = self.at(start)
            if mapping is None:
                return False
            start = mapping.end
        return True

    def at(self, offset: int) -> Mapping | None:
        """Return the mapping that covers an offset of the subflow, or None."""
        found = self.found
        if not found:
            return None
        last = found[-1]
        if last.start <= offset:
            return last if offset < last.end else None
        at = bisect_right(self._starts, offset) - 1
        # A mapping that was declared again in other parts may reach further than the one after it.
        for back in range(at, max(-1, at - 3), -1):
            if offset < found[back].end:
                return found[back]
        return None

    def arrive(self, start: int, octets: bytes) -> list[tuple[Mapping, int, int]]:
        """Take in octets of the subflow; return what is new of them and mapped.

        That is a list of mapping, first and one past the last offset on the subflow.
        """
        end = start + len(octets)
        new = self.taken.add(start, end)
        if not new:
            return []
        if new == [(start, end)]:
            return self._map(start, octets)
        return [
            piece for left, right in new for piece in self._map(left, octets[left - start : right - start])
        ]

    def _map(self, start: int, octets: bytes) -> list[tuple[Mapping, int, int]]:
        pieces = []
        end = start + len(octets)
        at = start
        while at < end:
            mapping = self.at(at)
            if mapping is None:
                if self.infinite is not None and self.infinite.start <= at:
                    pieces.append((self.infinite, at, end))
                    break
                self.lacked = True
                until = self._next(at, end)
                if len(self.unmapped) < KEPT:
                    self.unmapped.append((at, octets[at - start : until - start]))
                at = until
                continue
            until = min(end, mapping.end)
            if mapping.checksum is not None:
                whole = at == start and until == end
                mapping.sum(at, octets if whole else octets[at - start : until - start])
            pieces.append((mapping, at, until))
            at = until
        return pieces

    def _next(self, offset: int, end: int) -> int:
        """Return where the next mapping after an offset that has none begins; `end` where that is first."""
        at = bisect_right(self._starts, offset)
        found = self._starts[at] if at < len(self._starts) else end
        infinite = end if self.infinite is None else self.infinite.start
        return min(end, found, infinite)

    def forget(self, offset: int) -> None:
        """Drop mappings that end at or before an offset of the subflow: they can matter no more."""
        found = self.found
        done = 0
        while done < len(found) and found[done].end <= offset:
            done += 1
        if done:
            del found[:done]
            del self._starts[:done]
