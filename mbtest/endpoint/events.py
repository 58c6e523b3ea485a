"""What the endpoint tells of itself: everything that a run may want to know, with reason and clause."""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """What happened."""

    STATE = "state"
    """A machine moved along its table."""
    CONNECTED = "connected"
    SUBFLOW = "subflow"
    """A subflow can carry data."""
    SUBFLOW_CLOSED = "subflow closed"
    FALLBACK = "fallback"
    MP_FAIL = "MP_FAIL"
    INFINITE_MAPPING = "infinite mapping"
    CHECKSUM = "checksum"
    REINJECTION = "reinjection"
    ADDRESS = "address"
    PRIORITY = "priority"
    FASTCLOSE = "fast close"
    RESET = "reset"
    REFUSED = "refused"
    """Something of the peer's was not accepted: a limit, a wrong HMAC, an unknown token."""
    IGNORED = "ignored"
    """Something came that cannot be or has no meaning there; it changed nothing."""
    MALFORMED = "malformed"
    """Octets that are no TCP segment in an IP packet."""
    LOST = "lost"
    """The connection ended with an error."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened at the endpoint.

    time: run clock, microseconds. connection, subflow: counted from 0 at this endpoint; None where it
    concerns none. clause: of the RFC that governs it, as `RFC 8684 §3.7`; empty where none does.
    """

    time: int
    kind: Kind
    words: str
    clause: str = ""
    connection: int | None = None
    subflow: int | None = None

    def describe(self) -> str:
        """Return the event in a line."""
        where = "" if self.connection is None else f" connection {self.connection}"
        if self.subflow is not None:
            where += f" subflow {self.subflow}"
        clause = f" ({self.clause})" if self.clause else ""
        return f"{self.time / 1e6:.6f}{where} {self.kind}: {self.words}{clause}"
