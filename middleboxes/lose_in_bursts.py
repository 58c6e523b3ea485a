"""A box that loses several segments at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.errors import UsageError
from mbtest.middlebox import MILLISECOND, Direction, Middlebox, Parameter
from mbtest.wire import Segment


class LoseInBursts(Middlebox):
    """Loses segments in bursts, as fading radio links and overflowing queues do.

    Gilbert's model: each direction is good, and loses nothing, or bad, and loses all, and each segment
    decides by chance whether that turns. A burst ends with time, too, or a sender that waits for its
    timer would meet it for ever. Segments that are not lost pass as they are.
    """

    share: Annotated[float, Parameter("segments lost, of all, where none waits", low=0, high=0.99)] = 0.01
    length: Annotated[float, Parameter("mean length of a burst", "segments", 1)] = 4
    longest: Annotated[int, Parameter("after which a burst is over", "microseconds", 1)] = 50 * MILLISECOND

    def __post_init__(self) -> None:
        super().__post_init__()
        self._leave = 1 / self.length
        self._enter = self._leave * self.share / (1 - self.share)
        if self._enter > 1:
            least = self.share / (1 - self.share)
            remedy = f"so large a share comes in bursts of at least {least:.3g} segments"
            raise UsageError(f"LoseInBursts: share={self.share}, length={self.length}: {remedy}")

    def start(self) -> None:
        self._bad_since: dict[Direction, int] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        since = self._bad_since.get(direction)
        if since is not None and (self.now - since >= self.longest or self.random.random() < self._leave):
            del self._bad_since[direction]
            return (segment,)
        if since is None:
            if self.random.random() >= self._enter:
                return (segment,)
            self._bad_since[direction] = self.now
        self.note(segment, "lost it in a burst")
        return ()
