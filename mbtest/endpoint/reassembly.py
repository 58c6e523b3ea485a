"""Octets that arrive in any order, given out in theirs.

Used for the octets of a subflow and for those of a connection. Offsets are unwrapped.
"""

from __future__ import annotations

from bisect import bisect_right

# A peer that sends every other octet gets this many blocks, and no more of our time.
MOST_BLOCKS = 1_024
# Neighbours that fit together in this many octets become one piece, or small segments would take
# more memory in objects than in octets. Less than two full segments: those are never copied.
SMALL = 2_048


class _Block:
    """A stretch of octets held out of order: its pieces follow each other without a gap."""

    __slots__ = ("pieces", "right")

    def __init__(self, right: int, pieces: list[bytes]) -> None:
        self.right = right
        self.pieces = pieces


class Reassembly:
    """Takes stretches of octets at offsets, and gives out what is contiguous.

    What was accepted once never changes: of two copies that differ the first counts, as a peer that
    acts on it has been told so (RFC 9293 §3.10.7.4: only new data is taken; RFC 8684 §3.3.1).
    """

    __slots__ = ("_blocks", "_duplicate", "_lefts", "_ready", "held", "limit", "next", "refused")

    def __init__(self, limit: int, start: int = 0) -> None:
        """Begin with the octet at offset `start` as the next one.

        limit: how many octets are held out of order at most. What is in order and was not taken yet
        counts in no limit: a caller that does not take keeps its window shut.
        """
        self.limit = limit
        self.next = start
        """The offset of the first octet that is missing (RCV.NXT)."""
        self.held = 0
        """Octets held out of order."""
        self.refused = 0
        """Octets that found no room: `limit` was reached, or there were too many blocks."""
        self._ready: list[bytes] = []
        # The left edges in order of offset; the blocks by left edge, in order of their last change.
        # No two blocks touch, and none touches `next`.
        self._lefts: list[int] = []
        self._blocks: dict[int, _Block] = {}
        self._duplicate: tuple[int, int] | None = None

    @property
    def end(self) -> int:
        """The offset after the last octet that was accepted, in order or not."""
        return self._blocks[self._lefts[-1]].right if self._lefts else self.next

    @property
    def duplicate(self) -> tuple[int, int] | None:
        """The octets, (left, right), that an insert brought and that were there already, or None.

        Of several the lowest stretch of the latest such insert. Reading it clears it: a D-SACK goes
        out once (RFC 2883 §4).
        """
        duplicate = self._duplicate
        self._duplicate = None
        return duplicate

    def insert(self, start: int, data: bytes) -> int:
        """Take `data`, whose first octet is at offset `start`; return how many octets were new.

        Octets that are there already are passed over, those without room are counted in `refused`.
        """
        length = len(data)
        if not length:
            return 0
        following = self.next
        end = start + length
        if start > following:
            return self._insert_ahead(start, data, end)
        if start < following:
            self._duplicate = (start, min(end, following))
            if end <= following:
                return 0
            data = data[following - start :]
        if self._lefts:
            return self._insert_in_order(data, end, start < following)
        self.next = end
        self._ready.append(data)
        return end - following

    def _insert_in_order(self, data: bytes, end: int, reported: bool) -> int:
        """Take octets from `next` on, and all that follow them without a gap.

        reported: a duplicate before `next` was noted, and comes before any other.
        """
        # Up to `right` everything is ready; `data` begins at `start`.
        start = right = self.next
        ready = self._ready
        lefts = self._lefts
        new = joined = 0
        for left in lefts:
            if left > end:
                break
            block = self._blocks.pop(left)
            joined += 1
            if left < end and not reported:
                self._duplicate = (left, min(end, block.right))
                reported = True
            ready.append(data[right - start : left - start])
            new += left - right
            ready.extend(block.pieces)
            right = block.right
            self.held -= right - left
        del lefts[:joined]
        if right < end:
            ready.append(data[right - start :] if right > start else data)
            new += end - right
            right = end
        self.next = right
        return new

    def _insert_ahead(self, start: int, data: bytes, end: int) -> int:
        """Hold octets that lie beyond `next`."""
        lefts = self._lefts
        blocks = self._blocks
        first = bisect_right(lefts, start)
        if first and blocks[lefts[first - 1]].right >= start:
            first -= 1
        # Blocks first to last-1 overlap the octets or touch them, and become one with them.
        last = bisect_right(lefts, end, first)
        new = length = end - start
        for left in lefts[first:last]:
            right = blocks[left].right
            low = left if left > start else start
            high = right if right < end else end
            if low < high:
                if new == length:
                    self._duplicate = (low, high)
                new -= high - low
        room = max(self.limit - self.held, 0)
        if first == last and len(lefts) >= MOST_BLOCKS:
            room = 0
        if new > room:
            self.refused += new - room
            end = self._cut(start, end, lefts[first:last], room)
            if end == start:
                return 0
            new = room
            last = bisect_right(lefts, end, first)
        self.held += new
        self._join(start, data, end, first, last)
        return new

    def _cut(self, start: int, end: int, touched: list[int], room: int) -> int:
        """Return where octets from `start` have to end so that `room` of them are new."""
        right = start
        for left in touched:
            if left - right > room:
                break
            if left > right:
                room -= left - right
            right = self._blocks[left].right
        return min(end, right + room)

    def _join(self, start: int, data: bytes, end: int, first: int, last: int) -> None:
        """Make one block of the octets and blocks first to last-1, whose octets stay as they are."""
        lefts = self._lefts
        blocks = self._blocks
        pieces: list[bytes] = []
        leftmost = right = start
        if first < last and lefts[first] <= start:
            # The block that the octets continue grows in place: the common case behind a loss.
            leftmost = lefts[first]
            block = blocks.pop(leftmost)
            pieces = block.pieces
            right = block.right
            following = lefts[first + 1 : last]
        else:
            following = lefts[first:last]
        for left in following:
            block = blocks.pop(left)
            _append(pieces, data[right - start : left - start])
            _append(pieces, block.pieces[0])
            pieces.extend(block.pieces[1:])
            right = block.right
        if right < end:
            _append(pieces, data[right - start : end - start])
            right = end
        lefts[first:last] = (leftmost,)
        blocks[leftmost] = _Block(right, pieces)

    def take(self) -> bytes:
        """Return the octets before `next` that were not taken yet, none twice; b"" if there are none.

        Nothing is copied if they arrived as one piece.
        """
        ready = self._ready
        if len(ready) == 1:
            return ready.pop()
        if not ready:
            return b""
        data = b"".join(ready)
        ready.clear()
        return data

    def blocks(self, most: int = 4) -> tuple[tuple[int, int], ...]:
        """Return up to `most` blocks held out of order, as (left, right), the latest changed first.

        An insert that brought nothing new counts as a change too: RFC 2018 §4 has the first block
        hold the segment that is answered, and the others repeat what was reported before.
        """
        if not self._lefts:
            return ()
        found: list[tuple[int, int]] = []
        for left, block in reversed(self._blocks.items()):
            if len(found) == most:
                break
            found.append((left, block.right))
        return tuple(found)

    def drop_before(self, offset: int) -> None:
        """Give up on what lies before `offset` and is missing, held or not taken; for a fall forward.

        Changes nothing unless `offset` is beyond `next`. What is held from there on becomes ready.
        """
        if offset <= self.next:
            return
        self.next = offset
        self._ready.clear()
        lefts = self._lefts
        dropped = 0
        for left in lefts:
            if left > offset:
                break
            dropped += 1
            block = self._blocks.pop(left)
            self.held -= block.right - left
            if block.right > offset:
                self._ready.append(b"".join(block.pieces)[offset - left :])
                self.next = block.right
        del lefts[:dropped]


def _append(pieces: list[bytes], piece: bytes) -> None:
    """Add a piece, as part of the last one if both are small."""
    if pieces and len(pieces[-1]) + len(piece) <= SMALL:
        pieces[-1] += piece
    else:
        pieces.append(piece)
