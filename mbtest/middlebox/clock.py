"""Time as a run gives it: the one clock that boxes, fabric and stacks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000


class Timer(Protocol):
    """A call that is yet to come."""

    def cancel(self) -> None:
        """Forget the call; harmless when it was made or cancelled already."""


class Clock(Protocol):
    """The clock of a run, real or virtual."""

    @property
    def now(self) -> int:
        """Microseconds since the run began."""

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` once the clock shows `when` (microseconds), at once where that is past."""
