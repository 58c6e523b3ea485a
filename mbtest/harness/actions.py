"""What a host does of its own accord in mid-connection: it announces, removes, joins, sets priorities.

An action takes place at a point of the streams, never at a time. Applications wait there until its host was
heard, so that what came before it and what after can be told apart; those of a busy action go on instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import ClassVar

import msgspec

from mbtest.errors import UsageError
from mbtest.middlebox import SECOND
from mbtest.network.topology import Family, Role, Topology
from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.stacks import Capability, Connection, Host
from mbtest.wire import AddAddr, MpPrio, MptcpOption, RemoveAddr

Address = IPv4Address | IPv6Address
HEARD = 3 * SECOND
"""How long an action that nobody hears of is waited for, microseconds: one that a box has swallowed."""


class Action(msgspec.Struct, frozen=True):
    """Something that a host does once both streams were read up to `after` octets, or to their ends.

    interface: whose address it is about, from 0, that of the initial subflow. busy: applications do not wait.
    """

    host: Role
    interface: int = 1
    after: int = 0
    busy: bool = False

    option: ClassVar[type[MptcpOption] | None] = None
    """What tells the peer of it; None where a subflow does, that was opened for it."""
    brings: ClassVar[bool] = False
    """Whether the address comes into use by it."""
    needs: ClassVar[Capability] = Capability.MANAGE
    """What the host has to be able to do."""

    def carry_out(self, host: Host, address: Address) -> Connection | None:
        """Have the host do it. Return a connection that was opened for it and is to be closed at the end."""
        raise NotImplementedError

    def heard(self, observation: Observation) -> int:
        """Return how often the peer has heard of such a thing."""
        if self.option is None:
            return observation.settled_joins()
        return len(observation.hosts[_peer(self.host)].received(self.option))


class Remove(Action, frozen=True):
    """The host withdraws an address: REMOVE_ADDR, and the end of its subflows, which is waited for, too."""

    option = RemoveAddr

    def carry_out(self, host: Host, address: Address) -> None:
        """See `Action`."""
        host.remove(address)

    def heard(self, observation: Observation) -> int:
        """See `Action`. A peer that has ended a subflow does not take what follows for data on it."""
        connection = observation.connection(_peer(self.host))
        subflows = connection.subflows if connection is not None else ()
        return sum(bool(one.own.fin_frame or one.own.rst or one.peer.rst) for one in subflows)


class Prioritise(Action, frozen=True):
    """The host asks for the subflow from an address to be a backup, or no more: MP_PRIO."""

    backup: bool = True

    option = MpPrio

    def carry_out(self, host: Host, address: Address) -> None:
        """See `Action`."""
        host.set_backup(address, self.backup)


class Join(Action, frozen=True):
    """The host opens a subflow from an address that it had not used before."""

    brings = True

    def carry_out(self, host: Host, address: Address) -> None:
        """See `Action`."""
        host.join_from(address)


class Announce(Action, frozen=True):
    """The host announces an address that it had kept to itself, with a port of its own or without: ADD_ADDR.

    times: how often it has to be heard; else the subflow that it invites is waited for.
    """

    port: int | None = None
    times: int = 0

    brings = True

    def carry_out(self, host: Host, address: Address) -> None:
        """See `Action`."""
        host.announce(address, self.port)

    def heard(self, observation: Observation) -> int:
        """See `Action`."""
        if not self.times:
            return super().heard(observation)
        heard = observation.hosts[_peer(self.host)].received(AddAddr)
        said = [option for _, option in heard if not option.echo]
        return len(said) // self.times


class Lose(Action, frozen=True):
    """The host loses an address, as where its link goes; whether it says so is its own affair."""

    option = RemoveAddr
    needs = Capability.LOSE

    def carry_out(self, host: Host, address: Address) -> None:
        """See `Action`."""
        host.lose(address)


class Connect(Action, frozen=True):
    """The host opens another connection, to a port of its peer's `interface`; no application works on it."""

    port: int = 0

    needs = Capability.MPTCP

    def carry_out(self, host: Host, address: Address) -> Connection:
        """See `Action`."""
        return host.connect(address, self.port)

    def heard(self, observation: Observation) -> int:
        """See `Action`."""
        return sum(flow.sent.syn is not None for flow in observation.hosts[_peer(self.host)].flows.values())


class Director:
    """Has the hosts of a run act when it is time."""

    def __init__(
        self, actions: Sequence[Action], hosts: Mapping[Role, Host], topology: Topology, family: Family
    ) -> None:
        """Prepare. hosts: those that can; of others nothing is asked, as of regular TCP in a control.

        Raises UsageError for an interface that a host has not.
        """
        self._left = [
            (action, address_of(action, topology, family)) for action in actions if action.host in hosts
        ]
        self._hosts = hosts
        self.taken = 0
        """How many actions were carried out."""
        self._opened: list[Connection] = []
        self._since: int | None = None
        self._before = 0

    @property
    def limit(self) -> int | None:
        """Up to where the streams may be written for now; None where nothing limits them."""
        return next((action.after for action, _ in self._left if not action.busy), None)

    def direct(self, read_to: int, observation: Observation, now: int) -> None:
        """Have the hosts do what is due. read_to: up to where both streams were read."""
        while self._left:
            action, address = self._left[0]
            if self._since is None:
                if read_to < action.after:
                    return
                self._before, self._since = action.heard(observation), now
                opened = action.carry_out(self._hosts[action.host], address)
                self._opened += [] if opened is None else [opened]
                self.taken += 1
            waits = not action.busy and action.heard(observation) <= self._before
            if waits and now - self._since <= HEARD:
                return
            del self._left[0]
            self._since = None

    def close(self) -> None:
        """Close what was opened."""
        for connection in self._opened:
            connection.close()


def _peer(host: Role) -> Role:
    return SERVER if host == CLIENT else CLIENT


def address_of(action: Action, topology: Topology, family: Family) -> Address:
    """Return the address that an action is about. Raises UsageError where there is none."""
    owner = _peer(action.host) if isinstance(action, Connect) else action.host
    interfaces = topology.interfaces(owner)
    if action.interface < len(interfaces):
        # In a mixed run the initial subflow has the first IPv4 address, and all others are of IPv6.
        version = "v4" if family == "v4" or (family == "mixed" and not action.interface) else "v6"
        address = getattr(interfaces[action.interface], version)
        if address is not None:
            found: Address = address.ip
            return found
    what = type(action).__name__
    raise UsageError(
        f"{what}({action.host!r}, {action.interface}): topology {topology.name} has no such address; "
        f"the {owner} has interfaces 0 to {len(interfaces) - 1}"
    )


def needed(actions: Sequence[Action]) -> dict[Role, frozenset[Capability]]:
    """Return what each host has to be able to do for its actions."""
    return {
        role: frozenset(action.needs for action in actions if action.host == role)
        for role in (CLIENT, SERVER)
    }


def kept_back(actions: Sequence[Action], role: Role) -> frozenset[int]:
    """Return the interfaces of a host whose addresses come into use in mid-connection only."""
    first: dict[int, Action] = {}
    for action in actions:
        if action.host == role:
            first.setdefault(action.interface, action)
    return frozenset(number for number, action in first.items() if action.brings)
