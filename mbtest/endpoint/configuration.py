"""What an endpoint is asked to be before its first packet, and the limits of its memory."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import msgspec

from mbtest.endpoint.profiles import STRICT, Profile
from mbtest.errors import LocalProtocolError

Address = IPv4Address | IPv6Address

MILLISECOND, SECOND = 1_000, 1_000_000
MINIMUM_MTU = 576
_MOST_SUBFLOWS = 64


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an endpoint. Times are in microseconds, sizes in octets."""

    mptcp: bool = True
    """Whether connections are asked to be, and accepted as, Multipath TCP."""
    key: int | None = None
    """The key of the first connection; None draws one. It decides where data sequence numbers begin."""
    checksum: bool = False
    """Ask for DSS checksums: flag A of MP_CAPABLE (RFC 8684 §3.1)."""
    refuse_checksum: bool = False
    """Fall back where the peer asks for checksums (RFC 8684 §3.1)."""
    deny_join: bool = False
    """Flag C: take no further subflows to the address and port of the initial one (RFC 8684 §3.1)."""
    join_from: tuple[Address, ...] = ()
    """Addresses to open further subflows from."""
    signal: tuple[Address, ...] = ()
    """Addresses to announce with ADD_ADDR."""
    signal_port: int | None = None
    """The port that ADD_ADDR names; None leaves it out."""
    accept_signals: int = 0
    """How many addresses that the peer announces are connected to."""
    subflows: int = 0
    """How many further subflows this side opens or takes."""
    backup: bool = False
    """Ask that further subflows be used only when no other works: flag B (RFC 8684 §3.3.8)."""
    path_manager: str = "default"
    scheduler: str = "lowest-rtt"
    congestion: str = "coupled"
    profile: type[Profile] = STRICT
    """In what the endpoint departs from the RFC."""

    sack: bool = True
    timestamps: bool = True
    window_scaling: bool = True
    mtu: int = 1_500
    """Of every path, from the IP header on."""
    send_buffer: int = 4 * 1024 * 1024
    receive_buffer: int = 4 * 1024 * 1024
    """Octets that an application may leave unread: the largest receive window."""
    delayed_ack: int = 40 * MILLISECOND
    syn_retries: int = 6
    retries: int = 8
    """Timeouts in a row after which a subflow is given up (RFC 9293 §3.8.3, R2)."""
    time_wait: int = 1 * SECOND
    """How long a subflow stays in TIME-WAIT; RFC 9293 §3.6.1 has two maximum segment lifetimes."""
    fin_timeout: int = 60 * SECOND
    """How long subflows may take to close, once both streams are complete."""
    linger: int = 2 * SECOND
    """How long a connection without any subflow waits for a new one (RFC 8684 §3.3.3)."""
    fail_answer: int = 3 * SECOND
    """How long an answer to MP_FAIL is waited for; the subflow is reset then."""
    fastclose_with_reset: bool = False
    """Abort with MP_FASTCLOSE on RSTs (option R of RFC 8684 §3.5) instead of on an ACK (option A)."""

    unmapped_limit: int = 64 * 1024
    """Octets of a subflow kept without a mapping: the largest unscaled window (RFC 8684 §3.3.1)."""
    unmapped_wait: int = 3 * SECOND
    """How long octets without a mapping are kept; the subflow is reset then."""
    mapping_limit: int = 4_096
    """Mappings of a subflow kept whose octets have not arrived."""
    half_open_limit: int = 64
    """Subflows whose handshake is not complete, over the whole endpoint."""
    address_limit: int = 32
    """Addresses of the peer that a connection remembers."""
    connection_limit: int = 1_024
    event_limit: int = 10_000
    """Events kept until they are read; older ones are dropped and counted."""

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises LocalProtocolError."""
        if not MINIMUM_MTU <= self.mtu <= 65_535:
            raise LocalProtocolError(f"mtu={self.mtu}; {MINIMUM_MTU} to 65535 octets")
        if self.key is not None and not 0 <= self.key < 1 << 64:
            raise LocalProtocolError(f"key={self.key}; 0 to 2**64-1")
        if not 0 <= self.subflows <= _MOST_SUBFLOWS:
            raise LocalProtocolError(f"subflows={self.subflows}; 0 to {_MOST_SUBFLOWS}")
        for name in ("send_buffer", "receive_buffer", "unmapped_limit"):
            if getattr(self, name) < 4 * MINIMUM_MTU:
                raise LocalProtocolError(f"{name}={getattr(self, name)}; at least {4 * MINIMUM_MTU} octets")
