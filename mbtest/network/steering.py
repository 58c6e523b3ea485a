"""Packets of an interface in the order in which they were sent, whatever processor sent them.

A pair of interfaces has a queue for each processor. A host sends from several: its application's, that of the
timer, that of the worker of MPTCP. What waits in the queue of one is overtaken by what another sends, so that
packets reach the fabric in another order than they left the host in. One processor for all of an
interface's packets (receive packet steering) leaves it one queue.
"""

import ctypes
import os
from collections.abc import Iterable

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSCONFIG_CMD_CREATE = 6

_libc = ctypes.CDLL(None, use_errno=True)


class Steering:
    """The steering of the interfaces of the namespace that it is made in."""

    def __init__(self) -> None:
        """Reach for it. Only root may: for anyone else, and on a kernel without it, nothing is steered."""
        self._sysfs: int | None = None
        try:
            # A sysfs of this namespace, mounted nowhere: it shows the interfaces of whoever mounts it.
            context = _call(_FSOPEN, b"sysfs", 0)
            try:
                _call(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
                self._sysfs = _call(_FSMOUNT, context, 0, 0)
            finally:
                os.close(context)
        except OSError:
            return

    def to_one_processor(self, names: Iterable[str], processor: int | None = None) -> bool:
        """Have one processor take all packets of these interfaces; return whether it does.

        processor: one that this process may use, another for the next process, where it is None.
        """
        if self._sysfs is None:
            return False
        if processor is None:
            usable = sorted(os.sched_getaffinity(0))
            processor = usable[os.getpid() % len(usable)]
        # Words of 32 bits, the highest first.
        words = [f"{1 << processor % 32:x}", *["00000000"] * (processor // 32)]
        mask = ",".join(words).encode()
        try:
            for name in names:
                self._write(f"class/net/{name}/queues/rx-0/rps_cpus", mask)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of it; what is steered remains so."""
        if self._sysfs is not None:
            os.close(self._sysfs)
            self._sysfs = None

    def _write(self, path: str, value: bytes) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._sysfs)
        try:
            os.write(file, value)
        finally:
            os.close(file)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
