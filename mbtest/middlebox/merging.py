"""Segments that are gathered to go on as one: which go together, and what becomes of them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from mbtest.middlebox.pieces import follows, join, joined_options
from mbtest.wire import Segment, encode_options

Options = Literal["first", "last", "both"]


@dataclasses.dataclass(frozen=True)
class Merging:
    """How segments are merged.

    options: whose the merged segment has. only_equal: whether options and acknowledgments are the same in
    all, and none is longer than the first, as with generic receive offload. largest: octets of the packet.
    """

    options: Options
    only_equal: bool
    largest: int


class Batch:
    """Segments of one flow and direction, each behind the one before."""

    def __init__(self, merging: Merging, first: Segment) -> None:
        """Begin with a segment."""
        self._merging = merging
        self.segments = [first]
        self._options = first.options
        self._size = first.end

    def add(self, segment: Segment) -> bool:
        """Put a segment behind the others, and return whether they go together."""
        merging, first, last = self._merging, self.segments[0], self.segments[-1]
        if not follows(segment, last) or (merging.only_equal and not _is_alike(segment, first)):
            return False
        options, size = self._options, self._size + segment.payload_length
        if merging.options != "first" and segment.option_block != last.option_block:
            options = segment.options
            if merging.options == "both":
                options = joined_options(self._options, segment.options)
            if not segment.has_room_for(options):
                return False
            size += len(encode_options(options)) - len(encode_options(self._options))
        if size > merging.largest:
            return False
        self.segments.append(segment)
        self._options, self._size = options, size
        return True

    def ends_with(self, segment: Segment) -> bool:
        """Whether a card with generic receive offload takes nothing more behind a segment."""
        return self._merging.only_equal and segment.payload_length < self.segments[0].payload_length

    def merged(self) -> Segment:
        """Return all as one segment; one alone as it came."""
        return self.segments[0] if len(self.segments) == 1 else join(self.segments, self._options)


def _is_alike(segment: Segment, first: Segment) -> bool:
    """Whether a card would put `segment` to others of which this is the first."""
    return (
        segment.option_block == first.option_block
        and segment.ack == first.ack
        and segment.payload_length <= first.payload_length
    )
