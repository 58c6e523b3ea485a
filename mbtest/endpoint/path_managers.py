"""Which further subflows are opened and which addresses are announced (RFC 8684 §3.4, §3.9: local policy)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from mbtest.endpoint.configuration import Address
from mbtest.errors import LocalProtocolError

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection


class PathManager(Protocol):
    """Told of what happens, it opens subflows with `connection.join` and announces with `announce`."""

    def confirmed(self, connection: Connection, now: int) -> None:
        """Further subflows are possible from now on."""

    def announced(
        self, connection: Connection, identifier: int, address: Address, port: int, now: int
    ) -> None:
        """The peer announced an address."""


class NoPaths:
    """Neither opens nor announces anything; by hand, `Connection.join`, `announce` and `remove` do."""

    def confirmed(self, connection: Connection, now: int) -> None:
        """See `PathManager`."""

    def announced(
        self, connection: Connection, identifier: int, address: Address, port: int, now: int
    ) -> None:
        """See `PathManager`."""


class Signal(NoPaths):
    """Announces the addresses that it is to, and opens no subflow."""

    def confirmed(self, connection: Connection, now: int) -> None:
        """See `PathManager`."""
        configuration = connection.configuration
        connection.addresses.announce_all(configuration.signal, configuration.signal_port, now)


class Default(Signal):
    """Joins from each further address to the peer's first, and to each announced one from the first."""

    def confirmed(self, connection: Connection, now: int) -> None:
        """See `PathManager`."""
        super().confirmed(connection, now)
        initial = connection.initial
        if initial is None or connection.peer_denies_join:
            return
        for address in connection.configuration.join_from:
            if address.version == initial.remote.version and address != initial.local:
                connection.join(address, initial.remote, initial.remote_port, now)

    def announced(
        self, connection: Connection, identifier: int, address: Address, port: int, now: int
    ) -> None:
        """See `PathManager`."""
        if connection.addresses.used_signals >= connection.configuration.accept_signals:
            return
        own = self.own_addresses(connection, address)
        if not own:
            return
        connection.addresses.used_signals += 1
        for local in own:
            connection.join(local, address, port, now, remote_id=identifier)

    def own_addresses(self, connection: Connection, address: Address) -> list[Address]:
        """Return the own addresses from which a subflow to an announced one is opened."""
        initial = connection.initial
        if initial is not None and initial.local.version == address.version:
            return [initial.local]
        return [own for own in connection.own_addresses if own.version == address.version][:1]


class FullMesh(Default):
    """Joins from every own address to every address of the peer."""

    def own_addresses(self, connection: Connection, address: Address) -> list[Address]:
        """See `Default`."""
        return [own for own in connection.own_addresses if own.version == address.version]


class _Registry(dict[str, Callable[[], PathManager]]):
    """A mapping whose KeyError is a LocalProtocolError that says what there is."""

    def __missing__(self, name: str) -> Callable[[], PathManager]:
        raise LocalProtocolError(f"no path manager {name!r}; there are {', '.join(self)}")


PATH_MANAGERS: Mapping[str, Callable[[], PathManager]] = _Registry(
    {"default": Default, "full-mesh": FullMesh, "signal": Signal, "by-hand": NoPaths, "none": NoPaths}
)
"""Path managers by name."""
