"""Processes that the kernel holds."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mbtest.results import Alarm
from mbtest.stacks.guard import Guard, Held

# After vfork() the kernel holds the parent, in an uninterruptible wait, until its child ends: the child
# says who it is and waits, and goes when its parent is ended.
HELD = """
import ctypes, os, signal
libc = ctypes.CDLL(None)
if libc.vfork() == 0:
    libc.prctl(1, signal.SIGKILL)
    os.write(1, b"held\\n")
    libc.pause()
"""
SLEEPS = "import os, signal; os.write(1, b'sleeps\\n'); signal.pause()"


def started(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.fixture
def told() -> Iterator[tuple[Guard, queue.Queue[Held]]]:
    """A guard of little patience, and where it puts the processes that are held."""
    found: queue.Queue[Held] = queue.Queue()
    alarms: list[Alarm] = []
    guard = Guard(alarms.append, found.put, patience=0.2)
    guard.start()
    yield guard, found
    guard.stop()
    assert not guard.is_alive()


def test_a_process_that_the_kernel_holds_is_told_and_ended(told: tuple[Guard, queue.Queue[Held]]) -> None:
    guard, found = told
    sleeper, process = started(SLEEPS), started(HELD)
    for one in (sleeper, process):
        guard.watch(one.pid)
    held = found.get(timeout=60)
    assert held.pid == process.pid
    assert held.ended
    assert process.wait() == -signal.SIGKILL
    assert not held.in_sockets
    assert not held.where or "vfork" in " ".join(held.where)
    # One that waits for a signal is left alone.
    assert sleeper.poll() is None
    assert found.empty()
    sleeper.kill()
    sleeper.wait()
    for one in (sleeper, process):
        assert one.stdout is not None
        one.stdout.close()


def test_a_process_that_is_gone_is_nothing_to_tell(told: tuple[Guard, queue.Queue[Held]]) -> None:
    guard, found = told
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    guard.watch(process.pid)
    guard.stop()
    assert found.empty()


@pytest.mark.parametrize(
    ("where", "sockets"),
    [
        (("__lock_sock", "lock_sock_nested", "mptcp_getsockopt"), True),
        (("tcp_sendmsg",), True),
        (("wait_for_vfork_done", "kernel_clone"), False),
        (("folio_wait_bit_common", "filemap_fault"), False),
        ((), False),
    ],
)
def test_a_wait_in_sockets_is_known_by_its_functions(where: tuple[str, ...], sockets: bool) -> None:
    assert Held(os.getpid(), where, ended=False).in_sockets is sockets
