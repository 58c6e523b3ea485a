"""What the harness asks of a stack under test.

A stack says what it can do, listens, connects, moves octets without blocking, and hands over at the end
what it knows of itself. Anything it cannot do is named in `lacks`, never attempted.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar, Protocol

import msgspec

from mbtest.network.contract import Backend, Network
from mbtest.network.topology import Role
from mbtest.results import StackState


class Capability(enum.StrEnum):
    """Something that a case may need of a stack."""

    MPTCP = "mptcp"
    CHECKSUM = "checksum"
    """DSS checksums on demand."""
    JOIN = "join"
    """Opens further subflows from addresses of its own."""
    SIGNAL = "signal"
    """Announces further addresses with ADD_ADDR."""
    KEY = "key"
    """Takes its key from the run, so that where data sequence numbers begin is known."""
    MANAGE = "manage"
    """Announces and removes addresses, joins from them and changes priorities in mid-connection."""
    LOSE = "lose"
    """Can have an address taken away that it has on an interface."""


class ConnectionLost(Exception):  # noqa: N818 - what happened, not a mistake of ours
    """The connection was aborted, and the application is told. reason: an errno name, as ECONNRESET."""

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run asks of a stack before the first packet."""

    checksum: bool = False
    """Ask for DSS checksums."""
    join_from: tuple[IPv4Address | IPv6Address, ...] = ()
    """Addresses to open further subflows from."""
    signal: tuple[IPv4Address | IPv6Address, ...] = ()
    """Addresses to announce with ADD_ADDR."""
    accept_signals: int = 0
    """How many announced addresses may be used."""
    subflows: int = 0
    """How many further subflows are allowed."""
    backup: bool = False
    """Ask for further subflows to be backups."""
    endpoint: Mapping[str, object] = {}
    """Fields of `endpoint.Configuration`, for the reference endpoint; other stacks take no notice."""
    sysctls: Mapping[str, str] = {}
    """Kernel settings of the host's namespace, as `net.ipv4.tcp_sack`; for stacks of the kernel."""


class Connection(Protocol):
    """One end of a byte stream."""

    def watch(self, readable: Callable[[], None] | None, writable: Callable[[], None] | None) -> None:
        """Call these when the connection can be read or written, has ended or failed; None stops that."""

    def connected(self) -> bool:
        """Whether the connection is established. Raises ConnectionLost."""

    def send(self, data: bytes | memoryview) -> int:
        """Take octets to send, and return how many were taken, 0 where none can be now.

        Raises ConnectionLost.
        """

    def receive(self, limit: int) -> bytes | None:
        """Return at most `limit` octets; none at the end of the stream, None where nothing is there yet.

        Raises ConnectionLost.
        """

    def shutdown(self) -> None:
        """Say that no more will be sent. Raises ConnectionLost."""

    def close(self) -> None:
        """Let go of the connection; what was sent is still delivered."""

    def abort(self) -> None:
        """Reset the connection."""

    def state(self) -> dict[str, str | int]:
        """Return what the stack says of this connection; `mptcp` is 1 or 0 where it can tell."""


class Host(Protocol):
    """A stack at work on one host of a run."""

    def listen(self, port: int, accepted: Callable[[Connection], None]) -> None:
        """Take connections to `port` on any address."""

    def connect(
        self, address: IPv4Address | IPv6Address, port: int, own_port: int | None = None
    ) -> Connection:
        """Open a connection; it may not be established yet. own_port: any where none is given."""

    # What follows, in mid-connection, is only asked of a stack with Capability.MANAGE.

    def announce(self, address: IPv4Address | IPv6Address, port: int | None = None) -> None:
        """Announce an own address with ADD_ADDR; with a port, take joins there."""

    def join_from(self, address: IPv4Address | IPv6Address) -> None:
        """Open a further subflow from an own address."""

    def remove(self, address: IPv4Address | IPv6Address) -> None:
        """Withdraw an own address with REMOVE_ADDR, and close its subflows."""

    def set_backup(self, address: IPv4Address | IPv6Address, backup: bool) -> None:
        """Ask with MP_PRIO for the subflow from an own address to be a backup, or no more."""

    def lose(self, address: IPv4Address | IPv6Address) -> None:
        """Have an address no more, as where a link is gone; asked with Capability.LOSE only."""

    def state(self) -> StackState:
        """Return what the stack says of itself now."""

    def begin(self) -> None:
        """Count from now on: what was before is not part of the run."""

    def close(self) -> None:
        """Let go of everything."""


class Stack(Protocol):
    """A kind of stack under test. One file in `mbtest/stacks/` each."""

    summary: ClassVar[str]
    """One sentence for `mbtest list stacks`."""
    backends: ClassVar[frozenset[Backend]]
    """The kinds of network that the stack can be put on."""
    attached: ClassVar[bool]
    """Whether it takes and gives packets by `Network.attach`; a kernel lives in a namespace instead."""

    @property
    def name(self) -> str:
        """The word on the command line and in reports; no `:` and no `/` in it."""

    def lacks(self) -> str | None:
        """Return in one line why the stack cannot run here and what can be done; None where it can."""

    def capabilities(self) -> frozenset[Capability]:
        """Return what the stack can do here."""

    def start(self, network: Network, role: Role, settings: Settings) -> Host:
        """Set the stack up on a host, `client` or `server`. Raises HarnessError."""
