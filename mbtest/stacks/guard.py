"""Watches over the kernel under test from outside of the processes that use it.

A process that the kernel holds in a system call can neither be ended nor say so itself: CPython has the
interpreter locked in some of them, and no signal arrives. What /proc says of it is left.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mbtest.results import Alarm
from mbtest.stacks.kernel_log import Alarms, KernelLog

PATIENCE = 60.0
"""Seconds in an uninterruptible wait, never on a processor, after which a process counts as held.

On a busy machine a namespace is waited for several seconds in this way: the kernel makes and ends them one at
a time.
"""
GRACE = 3.0
"""Seconds that a process has to end after it was killed."""
_LOOK = 0.5
_SWITCHES = re.compile(r"ctxt_switches:\s+(\d+)")
_FUNCTION = re.compile(r"\] (\w+)")
# The scheduler's and the entry's own functions, which say nothing of what is waited for.
_PLUMBING = ("do_syscall_64", "entry_SYSCALL_64_after_hwframe", "el0_svc", "invoke_syscall")


class Held(NamedTuple):
    """A process that the kernel does not let go."""

    pid: int
    where: tuple[str, ...]
    """Functions of the kernel that it waits in, the innermost first; as far as we may know."""
    ended: bool
    """Whether it ended when it was killed."""

    @property
    def in_sockets(self) -> bool:
        """Whether it waits in what a stack under test is made of."""
        return any(word in name for name in self.where for word in ("sock", "tcp", "inet"))


class _Seen(NamedTuple):
    switches: int
    since: float


class Guard(threading.Thread):
    """Tells of what the kernel reports, and of processes that it holds; both from a thread of its own."""

    def __init__(
        self,
        on_alarm: Callable[[Alarm], None],
        on_held: Callable[[Held], None],
        patience: float = PATIENCE,
    ) -> None:
        """Prepare; `start` begins."""
        super().__init__(name="guard", daemon=True)
        self._on_alarm, self._on_held, self._patience = on_alarm, on_held, patience
        self._watched: dict[int, _Seen | None] = {}
        self._over = threading.Event()
        self._alarms = Alarms()
        self._log: KernelLog | None = None
        # Without the right to read it the rest goes on.
        with contextlib.suppress(OSError):
            self._log = KernelLog()

    @property
    def hears(self) -> bool:
        """Whether the kernel's messages can be read."""
        return self._log is not None

    def watch(self, pid: int) -> None:
        """Look after a process, until it ends or is held."""
        self._watched[pid] = None

    def run(self) -> None:
        """Look from time to time, until stopped."""
        while not self._over.wait(_LOOK):
            self._hear()
            for pid in list(self._watched):
                self._look(pid)

    def stop(self) -> None:
        """Look no more, and tell of what the kernel has reported until now."""
        self._over.set()
        if self.is_alive():
            self.join()
        # A report that is not at its end ends when nothing more comes.
        self._hear()
        self._hear()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _hear(self) -> None:
        if self._log is not None:
            for alarm in self._alarms.take(self._log.records()):
                self._on_alarm(alarm)

    def _look(self, pid: int) -> None:
        switches = _waiting(pid)
        seen = self._watched[pid]
        if switches is None:
            self._watched[pid] = None
        elif seen is None or seen.switches != switches:
            self._watched[pid] = _Seen(switches, time.monotonic())
        elif time.monotonic() - seen.since >= self._patience:
            del self._watched[pid]
            where = _where(pid)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            self._on_held(Held(pid, where, _ends(pid)))


def _waiting(pid: int) -> int | None:
    """Return how often a process in an uninterruptible wait has been on a processor; None of any other."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    if "\nState:\tD" not in status:
        return None
    return sum(int(number) for number in _SWITCHES.findall(status))


def _where(pid: int) -> tuple[str, ...]:
    """Return the functions of the kernel that a process waits in: all for root, else one or none."""
    with contextlib.suppress(OSError):
        names = _FUNCTION.findall(Path(f"/proc/{pid}/stack").read_text(encoding="utf-8"))
        if names := [name for name in names if name not in _PLUMBING]:
            return tuple(names)
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/wchan").read_text(encoding="utf-8")
        return () if name in ("", "0") else (name,)
    return ()


def _ends(pid: int) -> bool:
    """Wait a moment for a process to end after it was killed, and return whether it did."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except OSError:
            return True
        if "\nState:\tZ" in status:
            return True
        time.sleep(_LOOK / 10)
    return False
