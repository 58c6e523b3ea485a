"""Stretches of numbers that do not wrap: which octets are there, from the first on and beyond a hole."""

from __future__ import annotations

from bisect import bisect_right

_HALF_32, _MASK_32 = 0x8000_0000, 0xFFFF_FFFF
_HALF_64, _MASK_64 = 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF


def unwrap32(wire: int, near: int) -> int:
    """Return the number closest to `near` that is `wire` modulo 2**32; it may be negative."""
    return near + ((wire - near + _HALF_32) & _MASK_32) - _HALF_32


def unwrap64(wire: int, near: int) -> int:
    """Return the number closest to `near` that is `wire` modulo 2**64; it may be negative."""
    return near + ((wire - near + _HALF_64) & _MASK_64) - _HALF_64


class Ranges:
    """Which numbers are in: all below `front`, and those of `ahead`, which is sorted and apart from it."""

    __slots__ = ("ahead", "front")

    def __init__(self, front: int) -> None:
        """Begin with everything below `front`."""
        self.front = front
        self.ahead: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """One past the highest number that is in."""
        return self.ahead[-1][1] if self.ahead else self.front

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Take in `start` to `end`, that one excluded; return the stretches that are new."""
        ahead = self.ahead
        if not ahead:
            if start <= self.front:
                if end <= self.front:
                    return []
                new = [(self.front, end)]
                self.front = end
                return new
            if end > start:
                ahead.append((start, end))
                return [(start, end)]
            return []
        return self._add(max(start, self.front), end)

    def _add(self, start: int, end: int) -> list[tuple[int, int]]:
        if end <= start:
            return []
        ahead = self.ahead
        first = bisect_right(ahead, (start, start))
        if first and ahead[first - 1][1] >= start:
            first -= 1
        last = first
        new, at, low, high = [], start, start, end
        while last < len(ahead) and ahead[last][0] <= end:
            left, right = ahead[last]
            if left > at:
                new.append((at, left))
            at = max(at, right)
            low, high = min(low, left), max(high, right)
            last += 1
        if at < end:
            new.append((at, end))
        ahead[first:last] = [(low, high)]
        if ahead[0][0] <= self.front:
            self.front = max(self.front, ahead[0][1])
            del ahead[0]
        return new

    def has(self, start: int, end: int) -> bool:
        """Whether all of `start` to `end`, that one excluded, is in."""
        if end <= self.front or end <= start:
            return True
        return any(left <= max(start, self.front) and end <= right for left, right in self.ahead)
