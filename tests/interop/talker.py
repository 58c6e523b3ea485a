"""One application on either stack: says, listens, ends, as the test has it."""

from __future__ import annotations

from random import Random

from mbtest.stacks import Connection, ConnectionLost

_READ = 256 * 1024


def octets(number: int, of: str) -> bytes:
    """Return octets that do not repeat, known to both sides."""
    return Random(f"interop/{of}").randbytes(number)


class Talker:
    """One application: writes what it is given, reads what comes unless it is told not to."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.said = bytearray()
        self.heard = bytearray()
        self.end_heard = False
        self.lost = ""
        self.is_over = False
        self._left = 0
        self._ends = False
        self._end_said = False
        self._listens = True
        self.watch()

    def say(self, data: bytes, *, end: bool = False) -> None:
        """Write octets, and with `end` close the sending direction after them."""
        self.said += data
        self._left += len(data)
        self._ends |= end
        self.watch()

    def end(self) -> None:
        """Close the sending direction once everything is written."""
        self.say(b"", end=True)

    def listen(self, does: bool) -> None:
        """Read what comes, or leave it unread."""
        self._listens = does
        self.watch()

    def close(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.connection.close()

    def abort(self) -> None:
        self.is_over = True
        self.connection.abort()

    @property
    def written(self) -> bool:
        return not self._left and self._end_said >= self._ends

    def watch(self) -> None:
        if self.is_over:
            return
        alive = not self.lost
        reads = alive and self._listens and not self.end_heard
        writes = alive and not self.written
        self.connection.watch(self._read if reads else None, self._write if writes else None)

    def look(self) -> None:
        """See whether the connection is lost, of which nobody is told who neither reads nor writes."""
        if not self.is_over and not self.lost:
            self._read()

    def _read(self) -> None:
        try:
            data = self.connection.receive(_READ)
        except ConnectionLost as lost:
            self.lost = lost.reason
        else:
            self.heard += data or b""
            self.end_heard |= data == b""
        self.watch()

    def _write(self) -> None:
        try:
            if not self.connection.connected():
                return
            view = memoryview(bytes(self.said[-self._left :])) if self._left else memoryview(b"")
            while view and (taken := self.connection.send(view[:_READ])):
                view = view[taken:]
            self._left = len(view)
            if not self._left and self._ends and not self._end_said:
                self.connection.shutdown()
                self._end_said = True
        except ConnectionLost as lost:
            self.lost = lost.reason
        self.watch()

    def where(self) -> str:
        return (
            f"said {len(self.said)} ({self._left} left), heard {len(self.heard)}, {self.lost or 'not lost'}"
        )
