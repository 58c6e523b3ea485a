"""What the two applications do: who sends how much, when, and who closes; every octet is checked."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import msgspec

from mbtest.errors import UsageError
from mbtest.harness.actions import Action
from mbtest.middlebox import Direction
from mbtest.network.topology import Role
from mbtest.results import Stream
from mbtest.stacks import Connection, ConnectionLost

KIB, MIB = 1024, 1024 * 1024
PRELUDE = 1024
"""Octets that a sender sends before further subflows are waited for: joins follow the first data."""
ABORTED = "ECONNABORTED"
"""What stands for the error of an application that aborted its connection itself."""
_READ = 256 * KIB
_EXCESS = 64 * KIB
"""Octets beyond the end of what was sent that are still read, as evidence of what they are."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The octets of a run.

    shape: `together`, both send at once; `rounds`, the server answers each request, `rounds` times;
    `half_close`, the server sends once the client has ended its direction.
    overlap: in rounds, whether a host goes on once it has read half of what its peer sends in a round, so
    that both send at once, and still no more than that is under way.
    ends_early: whether a host that has nothing to send ends its direction at once. It does not otherwise,
    but reads its peer's stream to the end first, as most programs do.
    wait_for_joins: send no more than a prelude before the intended subflows are established or refused.
    client_begins, server_begins: the first octets of what a host sends, for boxes that read them; the
    others are of chance.
    opened_by: `both`, each host connects to the other at the same time, and none listens.
    rehearsals: connections that are opened and closed before: what a host learns of a path it knows then.
    aborts: the host that aborts the connection, as a program does that is killed with data unread, once
    both have read `aborts_after` octets together.
    actions: what hosts do of their own accord in mid-connection, in this order.
    """

    client_sends: int = 0
    server_sends: int = 0
    client_begins: bytes = b""
    server_begins: bytes = b""
    shape: Literal["together", "rounds", "half_close"] = "together"
    rounds: int = 1
    overlap: bool = False
    ends_early: bool = False
    wait_for_joins: bool = True
    opened_by: Literal["client", "both"] = "client"
    rehearsals: int = 0
    aborts: Role | None = None
    aborts_after: int = 0
    actions: tuple[Action, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be sent. Raises UsageError."""
        for name in ("client_sends", "server_sends"):
            if getattr(self, name) < 0:
                raise UsageError(f"workload: {name}={getattr(self, name)}; a size is 0 octets or more")
        for role in ("client", "server"):
            if len(self.begins(role)) > self.sends(role):
                told = f"{role}_begins has {len(self.begins(role))} octets, {role}_sends={self.sends(role)}"
                raise UsageError(f"workload: {told}; what is sent has its beginning in it")
        if self.shape != "together" and not all(action.busy for action in self.actions):
            raise UsageError(
                f"workload: shape={self.shape!r}: applications that take turns wait for no action; busy=True"
            )
        if self.shape == "rounds":
            for name in ("client_sends", "server_sends"):
                if self.rounds < 1 or getattr(self, name) < self.rounds:
                    raise UsageError(f"workload: {self.rounds} rounds need {name} of at least one octet each")

    def sends(self, role: str) -> int:
        """Return how many octets `client` or `server` sends."""
        return self.client_sends if role == "client" else self.server_sends

    def begins(self, role: str) -> bytes:
        """Return the first octets of what `client` or `server` sends, none where they are of chance, too."""
        return self.client_begins if role == "client" else self.server_begins

    def stream(self, role: str, seed: int) -> bytes:
        """Return all that `client` or `server` sends."""
        direction = Direction.TO_SERVER if role == "client" else Direction.TO_CLIENT
        begins = self.begins(role)
        octets = content(seed, direction, self.sends(role))
        return begins + octets[len(begins) :] if begins else octets


# Each run asks for the octets of both directions twice.
@lru_cache(maxsize=4)
def content(seed: int, direction: Direction, size: int) -> bytes:
    """Return the octets that are sent in a direction: known in advance to both sides.

    They do not repeat, so that octets lost, doubled or moved show at once.
    """
    return random.Random(f"{seed}/{direction.value}").randbytes(size)


class Application:
    """One end: writes its octets as the workload allows, reads and checks what arrives, then closes."""

    def __init__(self, role: Role, workload: Workload, seed: int, limit: Callable[[], int | None]) -> None:
        """Prepare `client` or `server`. limit: up to where the stream may be written now, None to its end."""
        out = Direction.TO_SERVER if role == "client" else Direction.TO_CLIENT
        self.role = role
        self.direction = out
        self._workload = workload
        self._data = workload.stream(role, seed)
        self.written = 0
        self.received = bytearray()
        self.excess = 0
        """How many octets too many were read when reading was given up."""
        self.end_seen = False
        self.opened = False
        """Whether this side has seen the connection established."""
        self.ended = False
        """Whether this side has said that it sends no more."""
        self.error = ""
        self.last_progress = 0
        self.state: dict[str, str | int] = {}
        """What the stack said of the connection, just before it was closed."""
        self._connection: Connection | None = None
        self._limit = limit
        self._watching_for_room = False
        self._expected = b""
        self._foretold: list[bytes] = []
        """What may come here: of these, those that all that was read until now is the beginning of."""

    @property
    def connection(self) -> Connection | None:
        """The connection, once there is one."""
        return self._connection

    @property
    def done(self) -> bool:
        """Whether this side has sent and read everything, or was told that the connection is lost."""
        return bool(self.error or self.excess) or (self.ended and self.end_seen)

    @property
    def is_wrong(self) -> bool:
        """Whether octets were read that the peer did not write, and that regular TCP would not deliver."""
        return bool(self.received) and not self._foretold

    def expect(self, delivered: bytes, written: bytes) -> None:
        """Say what regular TCP would deliver here, and what the peer writes.

        Boxes make a difference between the two, and a connection that undoes what they did is right.
        Far more than is delivered ends the reading.
        """
        self._expected = delivered
        self._foretold = [delivered, written]

    @property
    def read_to(self) -> int | None:
        """Up to where this side has read its peer's stream; None where there is no more of it to come."""
        return None if len(self.received) >= len(self._expected) else len(self.received)

    def begin(self, connection: Connection) -> None:
        """Work on a connection from now on."""
        self._connection = connection
        self._watching_for_room = True
        connection.watch(self._readable, self._writable)

    def pace(self) -> None:
        """Look whether more may be written now; called after every round of events."""
        if self._connection is None or self.done or self.ended or self._watching_for_room:
            return
        if self.written < self._allowed() or self._finished_writing():
            self._watching_for_room = True
            self._connection.watch(self._readable, self._writable)

    def abort(self) -> None:
        """Abort the connection, after asking the stack what it is. Once only, and not once it is lost."""
        if self._connection is not None and not self.error:
            self.state = self._connection.state()
            self._connection.watch(None, None)
            self._connection.abort()
            self.error = ABORTED

    def close(self) -> None:
        """Close the connection in good order, after asking the stack what it is."""
        if self._connection is not None and self.error != ABORTED:
            self.state = self._connection.state()
            self._connection.close()

    def stream(self, peer: Application, delivered: Callable[[bytes, Direction], bytes]) -> Stream:
        """Return what became of this side's octets at `peer`.

        delivered: what regular TCP through the same boxes makes of a stream.
        """
        sent = self._data[: self.written]
        whole = delivered(self._data, self.direction)
        expected = whole[: len(peer.received)]
        received = bytes(peer.received)
        rewritten = expected != self._data[: len(expected)]
        difference = _first_difference(self._data, received)
        strange = _first_difference(expected, received)
        return Stream(
            direction=self.direction.value,
            intended=len(self._data),
            sent=len(sent),
            received=len(received),
            first_difference=difference,
            expected_difference=rewritten and expected == received,
            due=len(whole),
            wrong_at=None if difference is None or strange is None else max(difference, strange),
            end_seen=peer.end_seen,
            error=self.error or peer.error,
        )

    def where(self) -> str:
        """Return in words how far this side has come."""
        if self._connection is None:
            return f"the {self.role} has no connection"
        words = []
        if self._data:
            words.append(f"wrote {self.written} of {len(self._data)} octets")
        if self.excess:
            words.append(f"read {self.excess} more than its peer wrote")
        elif self._expected:
            words.append(f"read {len(self.received)} of {len(self._expected)}")
        if not self.end_seen:
            words.append("waits for the end of its peer's stream")
        if self.error:
            words.append(f"was told {self.error}")
        return f"the {self.role} {', '.join(words) or 'is done'}"

    # -- what may be written when -----------------------------------------------------------------

    def _allowed(self) -> int:
        """Return up to where the stream may be written now."""
        workload, total = self._workload, len(self._data)
        if workload.shape == "half_close" and self.role == "server" and not self.end_seen:
            return 0
        if workload.shape == "rounds":
            chunk = total // workload.rounds
            other = workload.sends("server" if self.role == "client" else "client") // workload.rounds
            ahead = other // 2 if workload.overlap else 0
            whole = (len(self.received) + ahead) // other
            number = whole + (self.role == "client")
            allowed = total if number >= workload.rounds else number * chunk
        else:
            allowed = total
        limit = self._limit()
        return allowed if limit is None else min(allowed, limit)

    def _finished_writing(self) -> bool:
        if self.written < len(self._data):
            return False
        if not self.end_seen and self._ends_last():
            return False
        return self._limit() is None

    def _ends_last(self) -> bool:
        """Whether this side ends its direction only after its peer has."""
        workload = self._workload
        if workload.shape == "half_close":
            return self.role == "server"
        peer_sends = workload.sends("server" if self.role == "client" else "client")
        return not workload.ends_early and not self._data and peer_sends > 0

    def _writable(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if not connection.connected():
                return
            self.opened = True
            view = memoryview(self._data)
            while self.written < (allowed := self._allowed()):
                taken = connection.send(view[self.written : min(allowed, self.written + _READ)])
                if not taken:
                    return
                self.written += taken
                self.last_progress += 1
            if self._finished_writing() and not self.ended:
                connection.shutdown()
                self.ended = True
                self.last_progress += 1
            self._watching_for_room = False
            connection.watch(None if self.end_seen else self._readable, None)
        except ConnectionLost as lost:
            self._lost(lost)

    def _readable(self) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if not connection.connected():
                return
            data = connection.receive(_READ)
        except ConnectionLost as lost:
            self._lost(lost)
            return
        if data is None:
            return
        self.last_progress += 1
        if data:
            start = len(self.received)
            self.received += data
            self._foretold = [one for one in self._foretold if one[start : start + len(data)] == data]
            if len(self.received) > len(self._expected) + _EXCESS:
                self.excess = len(self.received) - len(self._expected)
                connection.watch(None, None)
        else:
            self.end_seen = True
            connection.watch(None, self._writable if self._watching_for_room else None)

    def _lost(self, lost: ConnectionLost) -> None:
        self.error = lost.reason
        if self._connection is not None:
            self._connection.watch(None, None)


def _first_difference(sent: bytes, received: bytes) -> int | None:
    """Return the stream offset of the first octet that was not sent so, None where all received ones were."""
    if sent[: len(received)] == received:
        return None
    low, high = 0, min(len(sent), len(received))
    if sent[:high] == received[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if sent[low:middle] == received[low:middle]:
            low = middle
        else:
            high = middle
    return low
