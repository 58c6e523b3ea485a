"""A box on a path whose delay changes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.errors import UsageError
from mbtest.middlebox import MILLISECOND, SECOND, Direction, Middlebox, Parameter
from mbtest.wire import Segment


class DelaySegments(Middlebox):
    """Delays segments, by one time after another, as radio links at a handover and satellites do.

    Where the delay falls, segments wait for those before them unless they may overtake. Nothing is lost
    or changed.
    """

    delays: Annotated[int | tuple[int, ...], Parameter("one way, each in its turn", "microseconds", 0)] = (
        20 * MILLISECOND
    )
    turn: Annotated[int, Parameter("how long each delay lasts before the next", "microseconds", 1)] = SECOND
    overtaking: Annotated[bool, Parameter("whether a segment may overtake those that are slower")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._delays = (self.delays,) if isinstance(self.delays, int) else self.delays
        if not self._delays:
            raise UsageError("DelaySegments: delays=() names no delay")

    def start(self) -> None:
        self._last: dict[Direction, int] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        delay = self._delays[self.now // self.turn % len(self._delays)]
        last = self._last.get(direction, 0)
        due = self.now + delay if self.overtaking else max(self.now + delay, last)
        self._last[direction] = max(due, last)
        if due <= self.now:
            return (segment,)
        late = due - self.now
        self.note(segment, "delayed it")
        self.call_later(late, partial(self.send, segment, direction, f"sent it {late} us later"))
        return ()
