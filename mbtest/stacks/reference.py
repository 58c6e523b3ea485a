"""The reference endpoint as a stack under test: mbtest's own MPTCP, attached to the fabric, no kernel.

The endpoint does no I/O: here packets and time are brought to it, and what it wants to send is taken away,
once in each round of the loop in which anything happened to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from itertools import groupby
from random import Random
from typing import ClassVar

import msgspec

from mbtest.endpoint import PROFILES, Configuration, Endpoint, Event, Kind
from mbtest.endpoint import Connection as EndpointConnection
from mbtest.errors import HarnessError, LocalProtocolError, UsageError
from mbtest.network.contract import Backend, Network
from mbtest.network.fabric import Transmit
from mbtest.network.timers import TimerHandle
from mbtest.network.topology import Role
from mbtest.results import StackState
from mbtest.stacks.contract import Capability, Connection, ConnectionLost, Settings

MOST_EVENTS = 200
"""Events that a run's entry has of an endpoint; the first ones tell how it came to the rest."""


class ReferenceConnection:
    """One connection of the endpoint."""

    def __init__(self, host: ReferenceHost, connection: EndpointConnection) -> None:
        """Take over a connection of the host's endpoint."""
        self._host = host
        self._connection = connection
        self._readable: Callable[[], None] | None = None
        self._writable: Callable[[], None] | None = None

    def watch(self, readable: Callable[[], None] | None, writable: Callable[[], None] | None) -> None:
        """Call these when the connection can be read or written, has ended or failed; None stops that."""
        self._readable, self._writable = readable, writable
        self._host.watch(self, readable is not None or writable is not None)

    def notify(self) -> None:
        """Call what watches the connection, where it can be read or written, has ended or failed."""
        connection = self._connection
        if self._readable is not None and (connection.error is not None or connection.readable()):
            self._readable()
        if self._writable is not None and (connection.error is not None or connection.writable()):
            self._writable()

    def connected(self) -> bool:
        """Whether the handshake is over. Raises ConnectionLost."""
        self._check()
        return self._connection.established

    def send(self, data: bytes | memoryview) -> int:
        """Take octets; 0 where there is no room. Raises ConnectionLost."""
        self._check()
        taken = self._connection.send(data, self._host.now)
        if taken:
            self._host.touch()
        return taken

    def receive(self, limit: int) -> bytes | None:
        """Return octets, none at the end of the stream, None for nothing yet. Raises ConnectionLost."""
        self._check()
        data = self._connection.receive(limit, self._host.now)
        if data is not None:
            self._host.touch()
        return data

    def shutdown(self) -> None:
        """Say that no more will be sent. Raises ConnectionLost."""
        self._check()
        self._connection.shutdown(self._host.now)
        self._host.touch()

    def close(self) -> None:
        """Let go of the connection; what was sent is still delivered."""
        self.watch(None, None)
        self._connection.close(self._host.now)
        self._host.touch()

    def abort(self) -> None:
        """Reset the connection."""
        self.watch(None, None)
        self._connection.abort(self._host.now)
        self._host.touch()

    def state(self) -> dict[str, str | int]:
        """Return what the endpoint says of the connection."""
        return self._connection.describe()

    def _check(self) -> None:
        error = self._connection.error
        if error is not None:
            raise ConnectionLost(error)


class ReferenceHost:
    """An endpoint at work on one host.

    Whatever happens to it, a packet, a timer, a call of an application, makes it dirty; the end of that
    round, or a round of its own where none is under way, tells the applications what they may do now,
    sends what is to be sent and sets the timer. A host to which nothing happened looks at nothing.
    """

    def __init__(self, stack: Reference, network: Network, role: Role, settings: Settings) -> None:
        """Put an endpoint on all interfaces of a host."""
        self._stack = stack
        self._loop = network.loop
        interfaces = network.topology.interfaces(role)
        addresses = {
            address.ip: interface.name
            for interface in interfaces
            for address in interface.addresses(network.family)
        }
        self._endpoint = Endpoint(
            stack.configuration(settings),
            tuple(addresses),
            Random(f"{network.seed}/{role}/endpoint"),
        )
        send = network.attach(role, self._receive)
        self._send: Mapping[bytes, Transmit] = {
            address.packed: send[name] for address, name in addresses.items()
        }
        """By the octets of the source address."""
        self._listeners: dict[int, Callable[[Connection], None]] = {}
        self._watched: dict[ReferenceConnection, None] = {}
        self._is_dirty = False
        self._is_at_work = False
        self._timer: TimerHandle | None = None
        self._timer_at = 0
        """When the timer is due, where one is set."""
        self._is_closed = False
        self._loop.at_round_end(self._work)

    @property
    def now(self) -> int:
        """Microseconds of the run's clock."""
        return self._loop.now

    def listen(self, port: int, accepted: Callable[[Connection], None]) -> None:
        """Take connections to `port` on any address."""
        self._endpoint.listen(port)
        self._listeners[port] = accepted

    def connect(
        self, address: IPv4Address | IPv6Address, port: int, own_port: int | None = None
    ) -> Connection:
        """Open a connection to `address`."""
        opened = self._endpoint.connect(address, port, self.now, source_port=own_port)
        connection = ReferenceConnection(self, opened)
        self.touch()
        return connection

    def announce(self, address: IPv4Address | IPv6Address, port: int | None = None) -> None:
        """Announce an address on every connection. The token of a join says whose it is, at any port."""
        for connection in self._endpoint.connections:
            connection.announce(address, self.now, port)
        self.touch()

    def join_from(self, address: IPv4Address | IPv6Address) -> None:
        """Open a subflow of every connection to where it began."""
        for connection in self._endpoint.connections:
            if connection.initial is not None:
                connection.join(address, connection.initial.remote, connection.initial.remote_port, self.now)
        self.touch()

    def remove(self, address: IPv4Address | IPv6Address) -> None:
        """Withdraw an address on every connection."""
        for connection in self._endpoint.connections:
            connection.remove(address, self.now)
        self.touch()

    def set_backup(self, address: IPv4Address | IPv6Address, backup: bool) -> None:
        """Ask for the first subflow from an address to be a backup, or no more."""
        for connection in self._endpoint.connections:
            subflow = next((one for one in connection.usable() if one.local == address), None)
            if subflow is not None:
                connection.set_backup(subflow, backup, self.now)
        self.touch()

    def lose(self, address: IPv4Address | IPv6Address) -> None:
        """Raise HarnessError: see `Reference.capabilities`."""
        raise HarnessError(f"the endpoint cannot lose {address}: it has no interfaces")

    def state(self) -> StackState:
        """Return what the endpoint counted and noted; the moves of its machines only as a number."""
        counters = {name: number for name, number in self._endpoint.counters.items() if number}
        noted = _summed_up(event for event in self._endpoint.events() if event.kind is not Kind.STATE)
        return StackState(name=self._stack.name, counters=counters, events=tuple(noted[:MOST_EVENTS]))

    def begin(self) -> None:
        """Count from now on."""
        self._endpoint.counters.clear()

    def close(self) -> None:
        """Let go of the endpoint: nothing that comes from now on reaches it."""
        self._is_closed = True
        self._watched.clear()
        self._listeners.clear()

    # -- for the host's connections ---------------------------------------------------------------

    def watch(self, connection: ReferenceConnection, wanted: bool) -> None:
        """Have a connection looked at from now on, or no more."""
        if wanted:
            self._watched[connection] = None
            self.touch()
        else:
            self._watched.pop(connection, None)

    def touch(self) -> None:
        """Note that something happened to the endpoint."""
        if not self._is_dirty:
            self._is_dirty = True
            if not self._is_at_work:
                # An application that acts between rounds would otherwise wait for the next packet.
                self._loop.call_at(self._loop.now, _nothing)

    # -- rounds -----------------------------------------------------------------------------------

    def _receive(self, raw: bytes) -> None:
        if not self._is_closed:
            self._endpoint.receive(raw, self._loop.now)
            self._is_dirty = True

    def _work(self) -> None:
        """End a round: tell the applications, send, set the timer."""
        if not self._is_dirty or self._is_closed:
            return
        self._is_dirty, self._is_at_work = False, True
        try:
            self._accept()
            for connection in tuple(self._watched):
                connection.notify()
            self._transmit()
        finally:
            self._is_at_work = False
        self._set_timer()
        if self._is_dirty:
            # Applications acted, and may be able to act again: another round, at this time.
            self._loop.call_at(self._loop.now, _nothing)

    def _accept(self) -> None:
        for port, accepted in self._listeners.items():
            while (connection := self._endpoint.accept(port)) is not None:
                accepted(ReferenceConnection(self, connection))

    def _transmit(self) -> None:
        for segment in self._endpoint.packets_to_send(self._loop.now):
            send = self._send.get(segment.source_octets)
            if send is None:
                raise HarnessError(f"the endpoint sends from {segment.source}, which no interface has")
            send(segment.raw)

    def _set_timer(self) -> None:
        """Make sure that the loop comes back when the endpoint wants it to; it may come back before.

        The endpoint's timers move on with every packet. A timer that is set stays as long as nothing is
        wanted before it; when it is due, the loop sees what is wanted then.
        """
        when = self._endpoint.next_timer()
        if when is not None and (self._timer is None or when < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._loop.call_at(when, self._time_out), when

    def _time_out(self) -> None:
        self._timer = None
        if self._is_closed:
            return
        now, when = self._loop.now, self._endpoint.next_timer()
        if when is not None and when <= now:
            self._endpoint.handle_timer(now)
            self._is_dirty = True
        else:
            self._set_timer()


class Reference:
    """The reference endpoint, by itself or departing from the RFCs in one way."""

    summary: ClassVar[str] = "mbtest's own MPTCP endpoint; reference+PROFILE departs from RFC 8684 in one way"
    backends: ClassVar[frozenset[Backend]] = frozenset({"namespaces", "simulated"})
    attached: ClassVar[bool] = True

    def __init__(self, profile: str | None = None) -> None:
        """Take the endpoint as it is, or a profile of it. Raises UsageError, with the profiles there are."""
        if profile is not None and profile not in PROFILES:
            raise UsageError(f"stack reference has no profile {profile!r}; there are {', '.join(PROFILES)}")
        self._profile = profile
        self._plain = Configuration() if profile is None else Configuration(profile=PROFILES[profile])

    @property
    def name(self) -> str:
        """The word on the command line and in reports."""
        return "reference" if self._profile is None else f"reference+{self._profile}"

    def lacks(self) -> str | None:
        """Return None: it runs wherever mbtest does."""
        return None

    def capabilities(self) -> frozenset[Capability]:
        """Return all but what takes interfaces: the endpoint has addresses only."""
        return frozenset(Capability) - {Capability.LOSE}

    def configuration(self, settings: Settings) -> Configuration:
        """Return what a run's settings come to; sysctls are of kernels. Raises UsageError."""
        fields: dict[str, object] = {
            "checksum": settings.checksum,
            "join_from": settings.join_from,
            "signal": settings.signal,
            "accept_signals": settings.accept_signals,
            "subflows": settings.subflows,
            "backup": settings.backup,
        }
        try:
            return msgspec.structs.replace(self._plain, **(fields | dict(settings.endpoint)))
        except TypeError:
            known = set(self._plain.__struct_fields__)
            wrong = ", ".join(sorted(set(settings.endpoint) - known))
            raise UsageError(
                f"endpoint={{...}}: no setting {wrong}; there are {', '.join(sorted(known))}"
            ) from None
        except LocalProtocolError as error:
            raise UsageError(f"endpoint={{...}}: {error}") from None

    def start(self, network: Network, role: Role, settings: Settings) -> ReferenceHost:
        """Put an endpoint on a host. Raises HarnessError."""
        return ReferenceHost(self, network, role, settings)


def profiles() -> Mapping[str, str]:
    """Return the ways in which the endpoint can depart from the RFCs, each by name with its summary."""
    return {name: profile.summary for name, profile in PROFILES.items()}


def _summed_up(events: Iterable[Event]) -> list[str]:
    """Return events a line each; those that differ in time alone, one after the other, are one."""
    lines = []
    for _, alike in groupby(events, lambda event: (event.kind, event.words, event.connection, event.subflow)):
        first, *others = alike
        lines.append(f"{first.describe()}, {1 + len(others)} times" if others else first.describe())
    return lines


def _nothing() -> None:
    """Be a timer that does nothing but bring a round about."""
