"""What a host owes and never did: shared by the rules that are judged at the end of a capture."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.state import Connection, Duty, Owed, Subflow

SECOND = 1_000_000
GRACE = {Duty.JOIN_HMAC: 8 * SECOND, Duty.FIN: 5 * SECOND, Duty.DATA_ACK: 3 * SECOND}
"""Microseconds after which a duty counts as not done; 2 s where nothing is said."""
AT_THE_END = 100_000
"""Microseconds after which a duty counts as not done on a connection that came to its end meanwhile."""


def overdue(host: HostTrace, now: int, duty: Duty) -> Iterator[tuple[int, int, int, str]]:
    """Give connection, frame, time and words of each duty of a kind that a host had long enough to do.

    now: the time of the last packet, microseconds.
    """
    for connection in host.connections:
        for one in _owed(connection, duty):
            until = _until(connection, one, now)
            grace = GRACE.get(duty, 2 * SECOND)
            if _came_to_its_end(connection, until):
                # What belongs on the very next segment was not done, however soon the end came.
                grace = 0 if duty is Duty.FAILURE else min(grace, AT_THE_END)
            if until - one.time > grace:
                waited = (until - one.time) / SECOND
                yield connection.number, one.frame, one.time, f"{duty.value} is owed for {waited:.1f} s"


def _owed(connection: Connection, duty: Duty) -> Iterator[Owed]:
    yield from (one for one in connection.owed if one.duty is duty)
    if duty is Duty.DATA_ACK and connection.data_owed is not None and _speaks_mptcp(connection):
        yield connection.data_owed


def _speaks_mptcp(connection: Connection) -> bool:
    """Whether the host can still Data ACK: not where it has fallen silent for any of the usual reasons.

    Each has a rule of its own: mappings that are missing, or at odds with the octets that they come with or
    with one another, a wrong checksum, a peer that is regular TCP.
    """
    subflows = connection.subflows
    is_silent = all(subflow.own.bare or subflow.closed for subflow in subflows)
    lacks = any(subflow.peer.mapped.lacked for subflow in subflows)
    lacks = lacks or connection.clashed
    has_reason = lacks or connection.is_tcp_to_peer or connection.failed is not None
    return connection.is_mptcp and not connection.has_reverted and not (is_silent and has_reason)


def _came_to_its_end(connection: Connection, until: int) -> bool:
    """Whether a connection had ended by then, and nobody broke it off: nothing is to come any more."""
    if connection.ended_at is not None and until <= connection.ended_at:
        return True
    if connection.closed_at is None or until > connection.closed_at:
        return False
    return not any(subflow.peer.rst is not None for subflow in connection.subflows)


def _until(connection: Connection, owed: Owed, now: int) -> int:
    """Return until when a duty could be done, 0 where it need not be."""
    duty = owed.duty
    if (connection.fastclose_sent or connection.fastclose_received) and duty is not Duty.FAST_RESET:
        return 0
    if connection.ended_at is not None and duty is Duty.ECHO:
        now = min(now, connection.ended_at)
    if connection.fallback is not None and duty in (Duty.DATA_ACK, Duty.ECHO):
        return min(now, connection.fallback.time)
    closed_at = connection.closed_at
    subflow = next((one for one in connection.subflows if one.key == owed.subject), None)
    if subflow is not None:
        return min(now, closed_at or now) if _can_be_done(subflow, duty) else 0
    # What belongs to the connection needs a subflow to be said on.
    if not any(one.established and not one.closed for one in connection.subflows):
        return min(now, closed_at or 0)
    return now


def _can_be_done(subflow: Subflow, duty: Duty) -> bool:
    own = subflow.own
    if duty is Duty.FIN and own.acked < own.top:
        # A FIN waits for the window, which waits for the acknowledgement of data.
        return False
    if duty is Duty.FAILURE and own.fin is not None:
        # Its RST is that of a port which is closed.
        return True
    return own.rst is None and subflow.peer.rst is None
