"""The states of the endpoint and their transitions, as tables: everything that moves a state is here.

Four machines: a subflow (RFC 9293 §3.3.2, figure 5), a joined subflow's authentication (RFC 8684 §3.2,
figure 8), how far a connection is Multipath TCP (§3.1, §3.7), and how its data streams end (§3.3.3, §3.5,
figure 22 of appendix D). The diagrams in the documentation are drawn from these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from mbtest.errors import LocalProtocolError


class Tcp(enum.StrEnum):
    """The state of a subflow, by the names of RFC 9293 §3.3.2."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


class TcpEvent(enum.StrEnum):
    """What moves a subflow."""

    ACTIVE_OPEN = "active open"
    PASSIVE_OPEN = "passive open"
    SYN = "SYN arrives"
    SYN_ACK = "SYN/ACK arrives"
    SYN_ACKED = "SYN acknowledged"
    FIN_SENT = "FIN sent"
    FIN_ACKED = "FIN acknowledged"
    FIN = "FIN arrives"
    RESET = "reset, sent or received"
    TIMEOUT = "TIME-WAIT over"


class Join(enum.StrEnum):
    """How far a subflow is authenticated (RFC 8684 §3.2)."""

    UNVERIFIED = "UNVERIFIED"
    """The peer has not yet proved that it knows the keys."""
    PRE_ESTABLISHED = "PRE_ESTABLISHED"
    """The third ACK is sent, with MP_JOIN, and not acknowledged: no data may be sent."""
    ESTABLISHED = "ESTABLISHED"


class JoinEvent(enum.StrEnum):
    """What moves the authentication of a subflow."""

    SYN_ACK_VERIFIED = "HMAC of the SYN/ACK is right"
    ACK_VERIFIED = "HMAC of the third ACK is right"
    JOIN_ACKED = "third ACK acknowledged"


class Mode(enum.StrEnum):
    """How far a connection is Multipath TCP."""

    NEGOTIATING = "NEGOTIATING"
    """MP_CAPABLE is offered or answered; the peer's key is not known yet."""
    CONFIRMING = "CONFIRMING"
    """Keys are exchanged; whether options pass on segments with data is not known yet (§3.7)."""
    MULTIPATH = "MULTIPATH"
    """A DSS option has arrived: further subflows may be established (§3.1)."""
    CHECKSUM_FAILED = "CHECKSUM_FAILED"
    """MP_FAIL is sent; nothing is delivered until the peer has turned to regular TCP (§3.7)."""
    INFINITE = "INFINITE"
    """An infinite mapping is owed to the peer, or under way: the last option that is sent (§3.7)."""
    REGULAR = "REGULAR"
    """Regular TCP to the end, without any MPTCP option (§3.7)."""


class ModeEvent(enum.StrEnum):
    """What moves the mode of a connection."""

    KEYS_EXCHANGED = "keys exchanged"
    NO_CAPABLE = "MP_CAPABLE missing or invalid"
    DSS_ARRIVED = "DSS arrives"
    FIRST_DATA_UNMAPPED = "first data has no mapping"
    FIRST_DATA_UNMAPPED_DSS_SENT = "first data has no mapping, after a DSS was sent"
    DATA_ACK_MISSING = "data acknowledged without a Data ACK"
    CHECKSUM_WRONG = "checksum wrong on the only subflow"
    MP_FAIL = "MP_FAIL arrives on the only subflow"
    INFINITE_MAPPING = "infinite mapping arrives"
    INFINITE_ACKED = "infinite mapping acknowledged"


class Closing(enum.StrEnum):
    """How far the two data streams have ended (RFC 8684 §3.3.3, figure 22; §3.5 for the last but one)."""

    M_ESTAB = "M_ESTAB"
    M_FIN_WAIT_1 = "M_FIN_WAIT-1"
    M_FIN_WAIT_2 = "M_FIN_WAIT-2"
    M_CLOSE_WAIT = "M_CLOSE_WAIT"
    M_CLOSING = "M_CLOSING"
    M_LAST_ACK = "M_LAST-ACK"
    M_TIME_WAIT = "M_TIME_WAIT"
    FASTCLOSE_WAIT = "FASTCLOSE_WAIT"
    M_CLOSED = "M_CLOSED"


class ClosingEvent(enum.StrEnum):
    """What moves the closing of a connection. After a fallback the subflow's FIN takes DATA_FIN's place."""

    DATA_FIN_SENT = "DATA_FIN sent"
    DATA_FIN_ACKED = "DATA_FIN acknowledged"
    DATA_FIN = "DATA_FIN arrives"
    SUBFLOWS_CLOSED = "all subflows closed"
    FASTCLOSE_SENT = "MP_FASTCLOSE sent on an ACK"
    ABORTED = "fast close, reset or loss of all subflows"


State = TypeVar("State", bound=enum.StrEnum)
Event = TypeVar("Event", bound=enum.StrEnum)
Table = Mapping[State, Mapping[Event, State]]

T, TE = Tcp, TcpEvent
TCP: Table[Tcp, TcpEvent] = {
    T.CLOSED: {TE.ACTIVE_OPEN: T.SYN_SENT, TE.PASSIVE_OPEN: T.LISTEN},
    T.LISTEN: {TE.SYN: T.SYN_RECEIVED, TE.RESET: T.CLOSED},
    # Both at once: simultaneous open (RFC 9293 §3.5, figure 8).
    T.SYN_SENT: {TE.SYN_ACK: T.ESTABLISHED, TE.SYN: T.SYN_RECEIVED, TE.RESET: T.CLOSED},
    T.SYN_RECEIVED: {TE.SYN_ACKED: T.ESTABLISHED, TE.RESET: T.CLOSED},
    T.ESTABLISHED: {TE.FIN_SENT: T.FIN_WAIT_1, TE.FIN: T.CLOSE_WAIT, TE.RESET: T.CLOSED},
    T.FIN_WAIT_1: {TE.FIN_ACKED: T.FIN_WAIT_2, TE.FIN: T.CLOSING, TE.RESET: T.CLOSED},
    T.FIN_WAIT_2: {TE.FIN: T.TIME_WAIT, TE.RESET: T.CLOSED},
    T.CLOSE_WAIT: {TE.FIN_SENT: T.LAST_ACK, TE.RESET: T.CLOSED},
    T.CLOSING: {TE.FIN_ACKED: T.TIME_WAIT, TE.RESET: T.CLOSED},
    T.LAST_ACK: {TE.FIN_ACKED: T.CLOSED, TE.RESET: T.CLOSED},
    T.TIME_WAIT: {TE.TIMEOUT: T.CLOSED, TE.RESET: T.CLOSED},
}

JOIN: Table[Join, JoinEvent] = {
    Join.UNVERIFIED: {
        JoinEvent.SYN_ACK_VERIFIED: Join.PRE_ESTABLISHED,
        JoinEvent.ACK_VERIFIED: Join.ESTABLISHED,
    },
    Join.PRE_ESTABLISHED: {JoinEvent.JOIN_ACKED: Join.ESTABLISHED},
    Join.ESTABLISHED: {},
}

M, ME = Mode, ModeEvent
MODE: Table[Mode, ModeEvent] = {
    M.NEGOTIATING: {ME.KEYS_EXCHANGED: M.CONFIRMING, ME.NO_CAPABLE: M.REGULAR},
    M.CONFIRMING: {
        ME.NO_CAPABLE: M.REGULAR,
        ME.DSS_ARRIVED: M.MULTIPATH,
        ME.FIRST_DATA_UNMAPPED: M.REGULAR,
        ME.FIRST_DATA_UNMAPPED_DSS_SENT: M.INFINITE,
        ME.DATA_ACK_MISSING: M.INFINITE,
        ME.CHECKSUM_WRONG: M.CHECKSUM_FAILED,
        ME.MP_FAIL: M.INFINITE,
        ME.INFINITE_MAPPING: M.REGULAR,
    },
    M.MULTIPATH: {
        ME.FIRST_DATA_UNMAPPED_DSS_SENT: M.INFINITE,
        ME.DATA_ACK_MISSING: M.INFINITE,
        ME.CHECKSUM_WRONG: M.CHECKSUM_FAILED,
        ME.MP_FAIL: M.INFINITE,
        ME.INFINITE_MAPPING: M.REGULAR,
    },
    M.CHECKSUM_FAILED: {ME.MP_FAIL: M.INFINITE, ME.INFINITE_MAPPING: M.INFINITE},
    M.INFINITE: {ME.INFINITE_ACKED: M.REGULAR},
    M.REGULAR: {},
}

C, CE = Closing, ClosingEvent
CLOSING: Table[Closing, ClosingEvent] = {
    C.M_ESTAB: {
        CE.DATA_FIN_SENT: C.M_FIN_WAIT_1,
        CE.DATA_FIN: C.M_CLOSE_WAIT,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    C.M_FIN_WAIT_1: {
        CE.DATA_FIN_ACKED: C.M_FIN_WAIT_2,
        CE.DATA_FIN: C.M_CLOSING,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    C.M_FIN_WAIT_2: {
        CE.DATA_FIN: C.M_TIME_WAIT,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    C.M_CLOSE_WAIT: {
        CE.DATA_FIN_SENT: C.M_LAST_ACK,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    C.M_CLOSING: {
        CE.DATA_FIN_ACKED: C.M_TIME_WAIT,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    C.M_LAST_ACK: {
        CE.DATA_FIN_ACKED: C.M_TIME_WAIT,
        CE.FASTCLOSE_SENT: C.FASTCLOSE_WAIT,
        CE.ABORTED: C.M_CLOSED,
    },
    # Deviates from figure 22, which leaves M_LAST-ACK for M_CLOSED: both streams are over in either case,
    # and what is left to wait for, the subflows' own closing, is the same.
    C.M_TIME_WAIT: {CE.SUBFLOWS_CLOSED: C.M_CLOSED, CE.ABORTED: C.M_CLOSED},
    C.FASTCLOSE_WAIT: {CE.ABORTED: C.M_CLOSED},
    C.M_CLOSED: {},
}

del T, TE, M, ME, C, CE

MACHINES: Mapping[str, tuple[enum.StrEnum, Mapping[enum.StrEnum, Mapping[enum.StrEnum, enum.StrEnum]]]] = {
    "subflow": (Tcp.CLOSED, TCP),  # type: ignore[dict-item]
    "join": (Join.UNVERIFIED, JOIN),  # type: ignore[dict-item]
    "mode": (Mode.NEGOTIATING, MODE),  # type: ignore[dict-item]
    "closing": (Closing.M_ESTAB, CLOSING),  # type: ignore[dict-item]
}
"""Each machine's first state and its table, for the documentation and for tests."""


class Machine(Generic[State, Event]):
    """A state that moves along a table, and by nothing else."""

    __slots__ = ("_moved", "_table", "state")

    def __init__(
        self, table: Table[State, Event], state: State, moved: Callable[[State, Event, State], None]
    ) -> None:
        """Begin in `state`. moved: called with the old state, the event and the new state."""
        self.state = state
        self._table = table
        self._moved = moved

    def may(self, event: Event) -> bool:
        """Whether the table has this event in the present state."""
        return event in self._table[self.state]

    def fire(self, event: Event) -> None:
        """Move. Raises LocalProtocolError, which says what is possible, where the table lacks the event."""
        before = self.state
        after = self._table[before].get(event)
        if after is None:
            possible = ", ".join(self._table[before]) or "nothing"
            raise LocalProtocolError(f"{event!s} in {before}: what can happen there is {possible}")
        self.state = after
        self._moved(before, event, after)

    def fire_if_possible(self, event: Event) -> bool:
        """Move where the table allows it, and return whether it did."""
        if event in self._table[self.state]:
            self.fire(event)
            return True
        return False
