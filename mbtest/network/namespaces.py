"""The real network: hosts in namespaces, packets between them through the boxes, on one loop.

Everything hangs on descriptors of this process: whatever ends it, nothing of the network is left.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import Self

from mbtest.errors import LocalProtocolError
from mbtest.middlebox import Chain
from mbtest.network.capture import Capture
from mbtest.network.fabric import Fabric, Transmit, capture_points
from mbtest.network.host import Host, Wire
from mbtest.network.inbox import Inbox
from mbtest.network.loop import Loop
from mbtest.network.switch import Switch, borrow, give_back
from mbtest.network.topology import ROLES, Family, Role, Topology


class NamespaceNetwork:
    """A topology made of namespaces, from entering the context to leaving it.

    A host whose stack is attached has no namespace: the fabric's end of the wire is its interface, so that
    no kernel answers in its stead.
    """

    loop: Loop
    hosts: Mapping[Role, Host]
    """The hosts that have a namespace."""
    fabric: Fabric
    capture: Capture | None

    def __init__(
        self,
        topology: Topology,
        family: Family,
        chains: Mapping[str, Chain],
        seed: int,
        capture: bool = True,
        attached: frozenset[Role] = frozenset(),
    ) -> None:
        """Describe the network. Raises TopologyError when it lacks addresses of the family.

        chains: the boxes of each path, by its name; a path without any needs none. seed: of boxes, of
        what links do and of stacks. capture: whether packets are kept. attached: the hosts whose stack
        is no kernel, but takes and gives packets by `attach`.
        """
        topology.require_family(family)
        self.topology = topology
        self.family = family
        self.seed = seed
        self._chains = chains
        self._captures = capture
        self._attached = attached
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        """Build the network. Raises UsageError where the machine forbids it."""
        with ExitStack() as cleanup:
            self._build(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the network down. Sockets that are still open in a host keep its namespace."""
        self._cleanup.__exit__(kind, error, trace)

    def losses(self) -> list[str]:
        """Return in words every loss of packets that neither a box nor a stated link caused."""
        if self._switch is None:
            return []
        return _losses(self._switch, self.hosts.values(), self._wires)

    def attach(self, role: Role, receive: Transmit) -> Mapping[str, Transmit]:
        """Put a stack on all interfaces of a host without a namespace; return what sends, by interface.

        receive: takes each IP packet that arrives, in the loop's timers. Raises LocalProtocolError for a
        host that has a namespace.
        """
        if role not in self._inboxes:
            raise LocalProtocolError(f"the {role} has a namespace; name it in `attached` where it has none")
        self._inboxes[role].attach(receive)
        return {
            interface.name: self.fabric.ingress(interface.name)
            for interface in self.topology.interfaces(role)
        }

    def _build(self, cleanup: ExitStack) -> None:
        self.loop = Loop()
        cleanup.callback(self.loop.close)
        self.capture = Capture(capture_points(self.topology)) if self._captures else None
        self._inboxes = {role: Inbox(role, self.loop) for role in ROLES if role in self._attached}
        transmit = {
            interface.name: inbox.put
            for role, inbox in self._inboxes.items()
            for interface in self.topology.interfaces(role)
        }
        self._hosts: dict[Role, Host] = {}
        self.hosts = self._hosts
        self._wires: list[Wire] = []
        self._switch: Switch | None = None
        if len(self._inboxes) < len(ROLES):
            self._switch = borrow()
            cleanup.push(self._leave_switch)
            transmit |= self._build_hosts(self._switch, cleanup)
        self.fabric = Fabric(self.topology, self._chains, self.loop, self.seed, transmit, self.capture)
        if self._switch is not None:
            packets = self._switch.packets
            for wire in self._wires:
                packets.take(wire.port, self.fabric.ingress(wire.interface.name))
            self.loop.add_reader(packets, packets.receive)
            cleanup.callback(self.loop.remove_reader, packets)
            self.loop.at_round_end(packets.flush)

    def _build_hosts(self, switch: Switch, cleanup: ExitStack) -> Mapping[str, Transmit]:
        """Make the hosts that have a namespace, and return what sends a packet to each interface."""
        numbers = count(1)
        for role in ROLES:
            if role in self._inboxes:
                continue
            wires = [
                Wire(interface, next(numbers), switch.new_port())
                for interface in self.topology.interfaces(role)
            ]
            self._wires += wires
            self._hosts[role] = host = Host(role, wires, self.family)
            cleanup.callback(host.close)
            host.add_interfaces(switch.namespace.fileno())
        switch.set_up(wire.port for wire in self._wires)
        for host in self._hosts.values():
            host.start()
        return {
            wire.interface.name: switch.packets.sender(wire.port, _octets(wire.host_end.address))
            for wire in self._wires
        }

    def _leave_switch(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the next network have the switch; not where an error may have left it amid its work."""
        if self._switch is None:
            return
        if kind is None:
            give_back(self._switch)
        else:
            self._switch.close()


def _losses(switch: Switch, hosts: Iterable[Host], wires: Iterable[Wire]) -> list[str]:
    """Return in words what a switch and the hosts at its ports lost."""
    packets, words = switch.packets, []
    if overrun := packets.overrun():
        words.append(f"{overrun} packets found the fabric's ring full")
    if packets.truncated:
        words.append(f"{packets.truncated} packets were longer than the fabric takes")
    words += [f"{number} packets could not be sent: {why}" for why, number in packets.unsent.items()]
    # A packet that was sent again was counted as dropped by the end that sent it and by the other.
    host_received = host_sent = fabric_received = fabric_sent = 0
    for host in hosts:
        for received, sent in host.dropped().values():
            host_received += received
            host_sent += sent
    for wire in wires:
        received, sent = switch.route.dropped(wire.port)
        fabric_received += received
        fabric_sent += sent
    for number, where in (
        (host_sent, "leaving a host"),
        (fabric_received, "entering the fabric"),
        (fabric_sent - packets.resent, "leaving the fabric"),
        (host_received - packets.resent, "entering a host"),
    ):
        if number > 0:
            words.append(f"{number} packets were dropped {where}")
    return words


def _octets(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
