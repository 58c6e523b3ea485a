"""The octets of one direction as they pass a point: which came, which are missing, what came first."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Stretch = tuple[int, int]
"""Stream offsets of the first octet and of the one behind the last."""


class Reassembly:
    """Octets at stream offsets, put together. Of two copies that differ the one that came first counts.

    limit: octets kept at most. Those that find no room are as if they had not come.
    """

    def __init__(self, limit: int = 4 * 2**20) -> None:
        """Begin with nothing come, and offset 0 as the next."""
        self.limit = limit
        self.begin = 0
        """Stream offset before which everything was taken or let go."""
        self.next = 0
        """Stream offset of the first octet that is missing."""
        self.kept = 0
        """Octets that are kept, in order or not."""
        # Pieces in the order of their offsets, none over another and none empty.
        self._starts: list[int] = []
        self._pieces: list[bytes] = []

    @property
    def end(self) -> int:
        """Stream offset behind the last octet that came."""
        return self._starts[-1] + len(self._pieces[-1]) if self._starts else self.begin

    def insert(self, start: int, data: bytes) -> int:
        """Take in `data`, which stands at offset `start`; return how many of its octets came first."""
        new = 0
        for left, right in list(self._missing(start, start + len(data))):
            fits = min(right, left + self.limit - self.kept)
            if fits > left:
                number = bisect_right(self._starts, left)
                self._starts.insert(number, left)
                self._pieces.insert(number, data[left - start : fits - start])
                self.kept += fits - left
                new += fits - left
        self._advance()
        return new

    def overlaid(self, start: int, data: bytes) -> bytes:
        """Return `data`, which stands at offset `start`, with the octets that came first in their places."""
        octets = bytearray(data)
        end = start + len(data)
        for number in range(max(0, bisect_right(self._starts, start) - 1), len(self._starts)):
            left, piece = self._starts[number], self._pieces[number]
            if left >= end:
                break
            low, high = max(left, start), min(left + len(piece), end)
            if low < high:
                octets[low - start : high - start] = piece[low - left : high - left]
        return bytes(octets)

    def holes(self) -> list[Stretch]:
        """Return the stretches that are missing before the last octet that came, in order."""
        return list(self._missing(self.begin, self.end))

    def take(self) -> bytes:
        """Return the octets from `begin` up to the first that is missing, and let them go."""
        size = self.next - self.begin
        data = self.overlaid(self.begin, bytes(size))
        self.discard(self.next)
        return data

    def discard(self, before: int) -> None:
        """Let go of all that stands before an offset. What is missing there is missed no longer."""
        if before <= self.begin:
            return
        self.begin = before
        number = bisect_right(self._starts, before)
        if number and (rest := self._pieces[number - 1][before - self._starts[number - 1] :]):
            number -= 1
            self.kept -= len(self._pieces[number]) - len(rest)
            self._starts[number], self._pieces[number] = before, rest
        self.kept -= sum(map(len, self._pieces[:number]))
        del self._starts[:number], self._pieces[:number]
        self._advance()

    def _advance(self) -> None:
        """Move `next` over what has come."""
        at = max(self.next, self.begin)
        number = max(0, bisect_right(self._starts, at) - 1)
        while number < len(self._starts) and self._starts[number] <= at:
            at = max(at, self._starts[number] + len(self._pieces[number]))
            number += 1
        self.next = at

    def _missing(self, start: int, end: int) -> Iterator[Stretch]:
        """Return the stretches from `start` to `end` that did not come, and were not let go."""
        at = max(start, self.begin)
        for number in range(max(0, bisect_right(self._starts, at) - 1), len(self._starts)):
            left = self._starts[number]
            if left >= end:
                break
            if left > at:
                yield at, left
            at = max(at, left + len(self._pieces[number]))
        if at < end:
            yield at, end
