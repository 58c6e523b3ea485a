"""Edits of a byte stream, and where its octets stand afterwards.

Positions are stream offsets: octet 0 is the first of its direction. *In* is the stream as its sender
knows it, *out* as its receiver does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from mbtest.errors import LocalProtocolError


class Edit(NamedTuple):
    """Octets removed at a place of the stream, and octets put there instead."""

    at: int
    """Offset in."""
    removed: int = 0
    inserted: bytes = b""

    @property
    def end(self) -> int:
        """Offset in, behind what is removed."""
        return self.at + self.removed

    @property
    def growth(self) -> int:
        """Octets by which the stream grows; negative where it shrinks."""
        return len(self.inserted) - self.removed

    @property
    def turn(self) -> int:
        """Offset in at which lengths begin to differ: of the octet that carries more, or of none."""
        return self.at + (max(0, self.removed - 1) if self.growth > 0 else len(self.inserted))

    def shift(self, offset: int) -> int:
        """Return by how much this edit moves what stands at `offset` in."""
        if self.growth > 0:
            return self.growth if offset > self.turn else 0
        return -min(max(0, offset - self.turn), -self.growth)


class StreamMap:
    """The edits of one direction of a flow, in the order of their offsets, none over another.

    Removed octets give way to inserted ones one by one, so that any cut of the stream has one answer:
    the last of them turns into all that is left over, or the last of them turn into nothing. What is
    inserted where nothing is removed comes along with the octet behind it.
    """

    def __init__(self, edits: Iterable[Edit] = ()) -> None:
        """Begin with these edits."""
        self._edits: list[Edit] = []
        self._starts: list[int] = []
        """Where each edit stands, in."""
        self._outs: list[int] = []
        """Where each edit stands, out."""
        for edit in sorted(edits):
            self.add(edit)

    def __len__(self) -> int:
        """Return the number of edits."""
        return len(self._edits)

    def add(self, edit: Edit) -> None:
        """Add an edit behind all others. That nothing which it moves has passed is for the caller to see.

        Raises LocalProtocolError where it is not behind the others.
        """
        if edit.at < 0 or edit.removed < 0:
            raise LocalProtocolError(f"{edit} stands before the stream, or removes less than nothing")
        if self._edits and edit.at < max(self._edits[-1].end, self._edits[-1].at + 1):
            raise LocalProtocolError(f"{edit} does not stand behind {self._edits[-1]}")
        self._outs.append(self.forward(edit.at))
        self._edits.append(edit)
        self._starts.append(edit.at)

    def close(self, length: int) -> None:
        """End the stream after `length` octets in: of an edit that reaches further, only the part before is.

        Nothing stands elsewhere for that, but a FIN counts as the octet at `length`.
        """
        if self._edits and self._edits[-1].end > length >= self._edits[-1].at:
            edit = self._edits[-1]
            removed = length - edit.at
            self._edits[-1] = Edit(edit.at, removed, edit.inserted[:removed])

    def forward(self, offset: int) -> int:
        """Return where `offset` in stands out: behind what was inserted before the octet ahead of it."""
        last = bisect_left(self._starts, offset) - 1
        if last < 0:
            return offset
        edit = self._edits[last]
        return offset + self._outs[last] - edit.at + edit.shift(offset)

    def backward(self, offset: int) -> tuple[int, int]:
        """Return the first offset in that stands at or behind `offset` out, and the last at or before it.

        They are the same but where octets were removed (first before last: any of them is right) and
        in the midst of inserted ones (last before first: the octet between them is there in part).
        """
        first = None
        number = max(0, bisect_left(self._outs, offset) - 1)
        growth = self._outs[number] - self._starts[number] if self._edits else 0
        for edit in self._edits[number:]:
            beyond = offset - growth - edit.turn
            if beyond < 0 or (beyond == 0 and edit.growth > 0):
                break
            if beyond == 0 and edit.growth < 0 and first is None:
                first = edit.turn
            if 0 < beyond <= edit.growth:
                return edit.turn + 1, edit.turn
            growth += edit.growth
        last = offset - growth
        return (last if first is None else first), last

    def rewrite(self, start: int, data: bytes) -> bytes:
        """Return what `data`, which stands at `start` in, is out."""
        end = start + len(data)
        parts: list[bytes] = []
        done = start
        number = max(0, bisect_left(self._starts, start) - 1)
        for edit in self._edits[number:]:
            low, high = max(edit.at, start), min(edit.end, end)
            if edit.at >= end:
                break
            if low >= high and (edit.removed or edit.at < start):
                continue
            parts.append(data[done - start : low - start])
            parts.append(edit.inserted[low - edit.at : None if high == edit.end else high - edit.at])
            done = high
        parts.append(data[done - start :])
        return b"".join(parts)
