"""Sequence and acknowledgment numbers that a box moves: each direction's data, the other's ACKs."""

from __future__ import annotations

from collections.abc import Callable

from mbtest.middlebox.flows import HalfFlow
from mbtest.middlebox.stream import StreamMap
from mbtest.wire import Sack, Segment, Seq32, TcpOption

Block = tuple[int, int]


def mend_sack(segment: Segment, mend: Callable[[Block], Block | None]) -> tuple[TcpOption, ...] | None:
    """Return the options of `segment` with every SACK block mended; None where it has no SACK.

    mend: returns the block in other numbers, or None to leave it out. A SACK without blocks is left out.
    """
    if segment.option(Sack) is None:
        return None
    options: list[TcpOption] = []
    for option in segment.options:
        if not isinstance(option, Sack):
            options.append(option)
        elif blocks := tuple(mended for block in option.blocks if (mended := mend(block)) is not None):
            options.append(Sack(blocks))
    return tuple(options)


class MovedHalf:
    """One direction of a flow whose data a `StreamMap` moves: numbers as its two ends know them."""

    def __init__(self, half: HalfFlow, edits: StreamMap) -> None:
        """Translate for `half`, which counts what passed on the sender's side."""
        self.half = half
        self.edits = edits
        self.settled = 0
        """Offset in, before which no edit can come any more: the receiver may know what stands there."""
        self.length: int | None = None
        """Octets in the whole stream, once a FIN told."""
        self.answer: Segment | None = None
        """The receiver's segment that acknowledges most, in its own numbers: what a box answers with."""

    def forward(self, seq: Seq32) -> Seq32:
        """Return the receiver's number for a sequence number of the sender."""
        return self.half.sequence(self.edits.forward(self.half.offset(seq)))

    def backward(self, ack: Seq32) -> Seq32:
        """Return the sender's number for an acknowledgment number of the receiver.

        Octets that were removed are acknowledged as soon as they were seen and all before them is.
        """
        first, last = self._range(ack)
        if first < last:
            last = min(last, max(first, self.half.highest))
        return self.half.sequence(last)

    def block(self, block: Block) -> Block | None:
        """Return the sender's numbers for a SACK block; None where no octet of the sender is whole in it."""
        left = self._range(Seq32(block[0]))[0]
        right = self.half.offset(self.backward(Seq32(block[1])))
        return (self.half.sequence(left), self.half.sequence(right)) if left < right else None

    def _range(self, number: Seq32) -> tuple[int, int]:
        reference = self.edits.forward(self.half.highest)
        return self.edits.backward(reference + (number - self.half.sequence(reference)))
