"""The one loop of a run: the fabric and both hosts' applications share it, in one thread."""

import select
import time
from collections.abc import Callable
from typing import Protocol

from mbtest.network.collector import at_rest
from mbtest.network.timers import Callback, TimerHandle, Timers

# A wait of at least this long is left to epoll, whose timeout counts whole milliseconds.
_COARSE_US = 2_000
# select(2) cannot watch descriptors from here on.
_FD_SETSIZE = 1024


class HasFileno(Protocol):
    """What can be watched: a socket, a pipe, anything with a descriptor."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...


class Loop:
    """Readiness and timers on CLOCK_MONOTONIC. Time starts at 0 when the loop is made."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()
        self._timers = Timers()
        self._epoll = select.epoll()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._round_end: list[Callback] = []

    @property
    def now(self) -> int:
        """Microseconds since the loop was made."""
        return (time.monotonic_ns() - self._start) // 1000

    def call_at(self, when: int, callback: Callback) -> TimerHandle:
        """Return a timer that calls `callback` at `when` (microseconds of this loop) or soon after."""
        return self._timers.call_at(when, callback)

    def add_reader(self, file: HasFileno | int, callback: Callback) -> None:
        """Call `callback` whenever `file` can be read, has hung up or has an error."""
        self._watch(self._readers, _descriptor(file), callback)

    def remove_reader(self, file: HasFileno | int) -> None:
        """Stop watching `file` for reading; harmless when it is not watched."""
        self._unwatch(self._readers, _descriptor(file))

    def add_writer(self, file: HasFileno | int, callback: Callback) -> None:
        """Call `callback` whenever `file` can be written, has hung up or has an error."""
        self._watch(self._writers, _descriptor(file), callback)

    def remove_writer(self, file: HasFileno | int) -> None:
        """Stop watching `file` for writing; harmless when it is not watched."""
        self._unwatch(self._writers, _descriptor(file))

    def at_round_end(self, callback: Callback) -> None:
        """Call `callback` after each round of callbacks and timers: what they gathered is sent then.

        The one that was given last comes first.
        """
        self._round_end.insert(0, callback)

    def run(self, until: Callable[[], bool], deadline_us: int) -> bool:
        """Run until `until()` holds, and return True; return False when `deadline_us` comes first.

        deadline_us: microseconds of this loop. `until` is asked after each round of callbacks.
        """
        with at_rest():
            return self._run(until, deadline_us)

    def _run(self, until: Callable[[], bool], deadline_us: int) -> bool:
        while not until():
            now = self.now
            if now >= deadline_us:
                return False
            due = self._timers.next_at()
            wait = deadline_us - now if due is None or due > deadline_us else due - now
            self._dispatch(self._wait(wait))
            if self._timers.next_at() is not None:
                self._timers.run_due(self.now)
            for callback in self._round_end:
                callback()
        return True

    def close(self) -> None:
        """Forget all watched descriptors; they stay open."""
        self._epoll.close()
        self._readers.clear()
        self._writers.clear()

    def _wait(self, wait: int) -> list[tuple[int, int]]:
        """Return what is ready, after at most about `wait` microseconds."""
        if wait <= 0:
            return self._epoll.poll(0)
        if wait >= _COARSE_US:
            # Rounded down and short of the mark: the rest is waited for with select.
            return self._epoll.poll((wait // 1000 - 1) / 1000)
        # An epoll descriptor can itself be watched, and select counts microseconds.
        descriptor = self._epoll.fileno()
        if descriptor >= _FD_SETSIZE:
            return self._epoll.poll(0.001)
        if not select.select([descriptor], [], [], wait / 1e6)[0]:
            return []
        return self._epoll.poll(0)

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        for descriptor, mask in events:
            if mask & ~select.EPOLLOUT:
                # Looked up each time: an earlier callback of this round may have removed it.
                reader = self._readers.get(descriptor)
                if reader is not None:
                    reader()
            if mask & ~select.EPOLLIN:
                writer = self._writers.get(descriptor)
                if writer is not None:
                    writer()

    def _watch(self, table: dict[int, Callback], descriptor: int, callback: Callback) -> None:
        known = descriptor in self._readers or descriptor in self._writers
        table[descriptor] = callback
        if known:
            self._epoll.modify(descriptor, self._mask(descriptor))
        else:
            self._epoll.register(descriptor, self._mask(descriptor))

    def _unwatch(self, table: dict[int, Callback], descriptor: int) -> None:
        if table.pop(descriptor, None) is None:
            return
        mask = self._mask(descriptor)
        if mask:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.unregister(descriptor)

    def _mask(self, descriptor: int) -> int:
        mask = 0
        if descriptor in self._readers:
            mask |= select.EPOLLIN
        if descriptor in self._writers:
            mask |= select.EPOLLOUT
        return mask


def _descriptor(file: HasFileno | int) -> int:
    return file if isinstance(file, int) else file.fileno()
