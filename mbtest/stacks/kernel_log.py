"""What the kernel under test reports of itself while runs go on: oopses, bugs, warnings, stalls."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mbtest.results import Alarm

DEVICE = "/dev/kmsg"
LONGEST = 80
"""Lines that are kept of one report: an oops has some sixty."""
# How the report of a fault begins, whatever follows: lib/bug.c, kernel/panic.c, arch/*/mm/fault.c, mm/kasan,
# kernel/rcu, kernel/watchdog.c.
_OPENING = re.compile(
    r"(Oops\b|BUG: |WARNING: |kernel BUG at |Unable to handle kernel |Internal error: |refcount_t: |UBSAN: |"
    r"general protection fault|INFO: rcu|rcu: INFO: |watchdog: BUG: |Kernel panic )"
)
_CLOSING = "---[ end trace"
_PROCESS = re.compile(r"\bPID: (\d+)\b")
# `RIP: 0010:tcp_tso_segs+0x6a/0xa0` on x86, `pc : tcp_tso_segs+0x6a/0xa0` on arm64.
_PLACE = re.compile(r"(?:RIP: [0-9a-f]+:|pc : )([\w.]+)\+")
_WORK = re.compile(r"Workqueue: \S+ (\w+)")


class Record(NamedTuple):
    """A message of the kernel. seconds: since the machine started, as dmesg prints it."""

    seconds: float
    text: str


class KernelLog:
    """The kernel's messages from now on.

    Raises OSError where they cannot be read: outside of Linux, and without CAP_SYSLOG where
    kernel.dmesg_restrict is set.
    """

    def __init__(self) -> None:
        """Begin behind the newest message."""
        self._device = os.open(DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._device, 0, os.SEEK_END)

    def records(self) -> Iterator[Record]:
        """Give the messages that came since the last call."""
        while True:
            try:
                raw = os.read(self._device, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # Messages were overwritten before they were read; the next is the oldest that is left.
                continue
            if not raw:
                return
            yield parse(raw)

    def close(self) -> None:
        """Read no more."""
        os.close(self._device)


def parse(raw: bytes) -> Record:
    """Return a record of /dev/kmsg: priority, number, microseconds and flags, then the text.

    Documentation/ABI/testing/dev-kmsg of the kernel's source. Lines that follow are about the message, and
    left out.
    """
    heading, _, text = raw.decode(errors="replace").partition(";")
    fields = heading.split(",")
    microseconds = int(fields[2]) if len(fields) > 2 and fields[2].isdigit() else 0
    return Record(microseconds / 1e6, text.partition("\n")[0])


class Alarms:
    """Puts messages together to reports of faults."""

    def __init__(self) -> None:
        """Begin outside of any report."""
        self._open: list[Record] = []

    def take(self, records: Iterable[Record]) -> list[Alarm]:
        """Return the reports that ended with these messages; without any, one that was not at its end."""
        found: list[Alarm] = []
        came = False
        for record in records:
            came = True
            opens = _OPENING.match(record.text) is not None
            if self._open and (opens or len(self._open) == LONGEST):
                found.append(self._ended())
            if self._open or opens:
                self._open.append(record)
            if self._open and record.text.startswith(_CLOSING):
                found.append(self._ended())
        if self._open and not came:
            found.append(self._ended())
        return found

    def _ended(self) -> Alarm:
        lines = tuple(record.text for record in self._open)
        whole = "\n".join(lines)
        place, work, process = _PLACE.search(whole), _WORK.search(whole), _PROCESS.search(whole)
        title = lines[0]
        if place and place[1] not in title:
            title += f", in {place[1]}"
        if work:
            title += f", of the work {work[1]}"
        seconds = self._open[0].seconds
        self._open = []
        return Alarm(seconds=seconds, title=title, lines=lines, pid=int(process[1]) if process else 0)
