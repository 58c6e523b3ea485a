"""Ends a run from outside of its loop: where the loop does not come back, and where a user interrupts it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any, Self

from mbtest.errors import HarnessError
from mbtest.middlebox import BoxError, Chain
from mbtest.middlebox.whereabouts import at_work

HOLD = 5.0
"""Seconds that an interrupt waits for the run to notice it before it strikes where the run is."""


class Watchdog:
    """The signals of a run, from entering the context to leaving it; of the main thread alone.

    An interrupt (SIGINT) waits until the run asks for it, and so does not strike between the making of a
    socket and its being noted, or while the network is taken down. A second one does not wait.
    """

    def __init__(self, seconds: float, chains: Mapping[str, Chain]) -> None:
        """Prepare. seconds: of the clock on the wall, whatever the run's is. chains: to name a box by."""
        self._seconds, self._chains = seconds, chains
        self._interrupted = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Begin to watch."""
        try:
            self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._bite)
        except ValueError:
            # Signals come to the main thread alone; a run in another has whoever started it to watch over it.
            return self
        if callable(signal.getsignal(signal.SIGINT)):
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more. Raises KeyboardInterrupt for an interrupt that waited until now."""
        if not self._previous:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt where one came."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, *_: object) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        signal.setitimer(signal.ITIMER_REAL, HOLD)

    def _bite(self, _: int, frame: FrameType | None) -> None:
        self.check()
        words = f"the run did not come back for {self._seconds:g} s"
        if found := at_work(frame):
            raise BoxError(f"{words}: {found[0].name} was at work, {found[1]}")
        where = f"it was at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        last = [box.describe() for chain in self._chains.values() if (box := chain.last_timer) is not None]
        timers = f"; the last timer of a box was that of {' and '.join(last)}" if last else ""
        raise HarnessError(f"{words}; {where}{timers}")
