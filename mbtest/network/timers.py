"""Timers in the order in which they are due: no clock, no I/O, so that real and virtual time share it."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

Callback = Callable[[], None]

# Cancelled entries stay in the heap until they come up; past this many, they are swept out.
_SWEEP_AT = 256


class TimerHandle:
    """One timer that was set. It fires once, unless it is cancelled before."""

    __slots__ = ("_owner", "callback", "when")

    def __init__(self, when: int, callback: Callback, owner: "Timers") -> None:
        self.when = when
        self.callback: Callback | None = callback
        self._owner = owner

    def cancel(self) -> None:
        """Make sure that the callback is not called; harmless when it already was."""
        if self.callback is not None:
            self.callback = None
            self._owner.note_cancelled()


class Timers:
    """A heap of timers. Times are microseconds on whatever clock the owner keeps."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TimerHandle]] = []
        self._set = 0
        self._cancelled = 0

    def __len__(self) -> int:
        """Return how many timers are still to fire."""
        return len(self._heap) - self._cancelled

    def call_at(self, when: int, callback: Callback) -> TimerHandle:
        """Return a timer that calls `callback` once `when` has come.

        Timers that are due at the same microsecond fire in the order in which they were set.
        """
        timer = TimerHandle(when, callback, self)
        self._set += 1
        heappush(self._heap, (when, self._set, timer))
        return timer

    def next_at(self) -> int | None:
        """Return when the next timer is due, in microseconds, or None when none is set."""
        heap = self._heap
        while heap:
            when, _, timer = heap[0]
            if timer.callback is not None:
                return when
            heappop(heap)
            self._cancelled -= 1
        return None

    def run_due(self, now_us: int) -> int:
        """Call what is due at `now_us`, in order, and return how many were called.

        A timer set by a callback for `now_us` or earlier fires in the next call, so that
        a box that sets itself timers in the past cannot hold up the loop.
        """
        heap = self._heap
        last = self._set
        later: list[tuple[int, int, TimerHandle]] = []
        called = 0
        while heap and heap[0][0] <= now_us:
            entry = heappop(heap)
            timer = entry[2]
            callback = timer.callback
            if callback is None:
                self._cancelled -= 1
            elif entry[1] > last:
                later.append(entry)
            else:
                timer.callback = None
                called += 1
                callback()
        for entry in later:
            heappush(heap, entry)
        return called

    def note_cancelled(self) -> None:
        """Count a cancelled timer; sweep the heap when it holds little else."""
        self._cancelled += 1
        if self._cancelled > _SWEEP_AT and self._cancelled * 2 > len(self._heap):
            # In place: a sweep may happen under run_due, which holds the same list.
            self._heap[:] = [entry for entry in self._heap if entry[2].callback is not None]
            heapify(self._heap)
            self._cancelled = 0
