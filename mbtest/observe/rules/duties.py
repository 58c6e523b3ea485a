"""What a host owes and never did: shared by the rules that are judged at the end of a capture."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.state import Connection, Duty, Owed

SECOND = 1_000_000
GRACE = {Duty.JOIN_HMAC: 8 * SECOND, Duty.FIN: 5 * SECOND, Duty.DATA_ACK: 3 * SECOND}
"""Microseconds after which a duty counts as not done; 2 s where nothing is said."""


AT_THE_END = 100_000
"""Microseconds after which a duty counts as not done on a connection that was closed meanwhile."""


def overdue(host: HostTrace, now: int, duty: Duty) -> Iterator[tuple[int, int, int, str]]:
    """Give connection, frame, time and words of each duty of a kind that a host had long enough to do.

    now: the time of the last packet, microseconds.
    """
    grace = GRACE.get(duty, 2 * SECOND)
    for connection in host.connections:
        owed = [one for one in connection.owed if one.duty is duty]
        if duty is Duty.DATA_ACK and connection.data_owed is not None and _speaks_mptcp(connection):
            owed.append(connection.data_owed)
        for one in owed:
            until = _until(connection, one, now)
            ended = [when for when in (connection.closed_at, connection.ended_at) if when is not None]
            closed = bool(ended) and until <= max(ended)
            if until - one.time > (min(grace, AT_THE_END) if closed else grace):
                waited = (until - one.time) / SECOND
                yield connection.number, one.frame, one.time, f"{duty.value} is owed for {waited:.1f} s"


def _speaks_mptcp(connection: Connection) -> bool:
    """Whether the host can still Data ACK: not where it lacks mappings, and has fallen silent for that."""
    for subflow in connection.subflows:
        peer = subflow.peer
        if subflow.own.bare and (peer.plain is not None or peer.mapped.unmapped):
            return False
    return connection.is_mptcp


def _until(connection: Connection, owed: Owed, now: int) -> int:
    """Return until when a duty could be done."""
    ended = connection.fastclose_sent or connection.fastclose_received
    if ended and owed.duty is not Duty.FAST_RESET:
        return 0
    if connection.ended_at is not None and owed.duty is Duty.ECHO:
        now = min(now, connection.ended_at)
    if connection.fallback is not None and owed.duty in (Duty.DATA_ACK, Duty.ECHO):
        return min(now, connection.fallback.time)
    if isinstance(owed.subject, bytes) or (
        isinstance(owed.subject, tuple) and owed.subject and isinstance(owed.subject[0], bytes)
    ):
        for subflow in connection.subflows:
            if subflow.key == owed.subject and (subflow.own.rst or subflow.peer.rst):
                return 0
        return now
    # What belongs to the connection needs a subflow to be said on.
    if not any(subflow.established and not subflow.closed for subflow in connection.subflows):
        return min(now, connection.closed_at if connection.closed_at is not None else 0)
    return now
