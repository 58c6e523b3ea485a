"""A box that forwards no faster than told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.middlebox import SECOND, Direction, Middlebox, Parameter
from mbtest.wire import Segment


class LimitRate(Middlebox):
    """Lets segments pass at a rate, as shapers and slow links do; without a queue, as policers do.

    Each direction has the rate for itself. What comes faster waits in a queue, and is dropped when that
    has no room for it. Nothing is changed or overtaken.
    """

    rate: Annotated[int, Parameter("rate of IP packets", "bit/s", 1_000)] = 10_000_000
    queue: Annotated[int, Parameter("what may wait; 0 drops at once", "octets", 0)] = 2**18
    burst: Annotated[int, Parameter("what may pass at once after a pause", "octets", 0)] = 3_000

    def start(self) -> None:
        self._full_at: dict[Direction, float] = {}
        """When each direction will have its whole burst to spare again, microseconds."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        octet = 8 * SECOND / self.rate
        full_at = max(self._full_at.get(direction, 0.0), self.now) + len(segment) * octet
        wait = full_at - self.now - self.burst * octet
        if wait > self.queue * octet:
            self.note(segment, "dropped it: the queue is full" if self.queue else "dropped it: too fast")
            return ()
        self._full_at[direction] = full_at
        if wait <= 0:
            return (segment,)
        self.note(segment, "queued it")
        self.call_later(round(wait), partial(self.send, segment, direction, f"sent it {wait:.0f} us later"))
        return ()
