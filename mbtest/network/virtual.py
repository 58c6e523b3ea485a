"""A loop in virtual time: its clock stands still while callbacks run, and jumps to the next timer."""

from collections.abc import Callable

from mbtest.network.collector import at_rest
from mbtest.network.timers import Callback, TimerHandle, Timers


class VirtualLoop:
    """Timers on a clock that nothing but the loop moves. Time starts at 0 when the loop is made."""

    def __init__(self) -> None:
        self.now = 0
        """Microseconds since the loop was made."""
        self._timers = Timers()
        self._round_end: list[Callback] = []

    def call_at(self, when: int, callback: Callback) -> TimerHandle:
        """Return a timer that calls `callback` when the clock shows `when`, at once where that is past."""
        return self._timers.call_at(when, callback)

    def at_round_end(self, callback: Callback) -> None:
        """Call `callback` after each round of timers, the one that was given last first."""
        self._round_end.insert(0, callback)

    def run(self, until: Callable[[], bool], deadline_us: int) -> bool:
        """Run until `until()` holds, and return True; return False when `deadline_us` comes first.

        deadline_us: microseconds of this loop, to which the clock jumps where nothing is due before.
        `until` is asked after each round: all timers of one instant that were set before the round began.
        """
        with at_rest():
            return self._run(until, deadline_us)

    def _run(self, until: Callable[[], bool], deadline_us: int) -> bool:
        timers = self._timers
        while not until():
            if self.now >= deadline_us:
                return False
            due = timers.next_at()
            if due is None or due > deadline_us:
                self.now = deadline_us
                return False
            self.now = max(self.now, due)
            timers.run_due(self.now)
            for callback in self._round_end:
                callback()
        return True
