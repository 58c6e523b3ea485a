"""The real network: hosts in namespaces, packets between them through the boxes, on one loop.

Everything hangs on descriptors of this process: whatever ends it, nothing of the network is left.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import count
from types import TracebackType
from typing import Self

from mbtest.middlebox import Chain
from mbtest.network.capture import Capture
from mbtest.network.fabric import Fabric, capture_points
from mbtest.network.host import Host, Wire
from mbtest.network.loop import Loop
from mbtest.network.switch import borrow, give_back
from mbtest.network.topology import ROLES, Family, Role, Topology


class NamespaceNetwork:
    """A topology made of namespaces, from entering the context to leaving it."""

    loop: Loop
    hosts: Mapping[Role, Host]
    fabric: Fabric
    capture: Capture | None

    def __init__(
        self,
        topology: Topology,
        family: Family,
        chains: Mapping[str, Chain],
        seed: int,
        capture: bool = True,
    ) -> None:
        """Describe the network. Raises TopologyError when it lacks addresses of the family.

        chains: the boxes of each path, by its name; a path without any needs none. seed: of boxes and
        of losses on links. capture: whether packets are kept.
        """
        topology.require_family(family)
        self.topology = topology
        self.family = family
        self._chains = chains
        self._seed = seed
        self._captures = capture
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
        self._cleanup.close()

    def losses(self) -> list[str]:
        """Return in words every loss of packets that neither a box nor a stated link caused."""
        packets, words = self._switch.packets, []
        if overrun := packets.overrun():
            words.append(f"{overrun} packets found the fabric's ring full")
        if packets.truncated:
            words.append(f"{packets.truncated} packets were longer than the fabric takes")
        words += [f"{number} packets could not be sent: {why}" for why, number in packets.unsent.items()]
        # A packet that was sent again was counted as dropped by the end that sent it and by the other.
        host_received = host_sent = fabric_received = fabric_sent = 0
        for host in self.hosts.values():
            for received, sent in host.dropped().values():
                host_received += received
                host_sent += sent
        for wire in self._wires:
            received, sent = self._switch.route.dropped(wire.port)
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

    def _build(self, cleanup: ExitStack) -> None:
        self.loop = Loop()
        cleanup.callback(self.loop.close)
        self._switch = borrow()
        cleanup.push(self._leave_switch)
        numbers = count(1)
        wires = {
            role: [
                Wire(interface, next(numbers), self._switch.new_port())
                for interface in self.topology.interfaces(role)
            ]
            for role in ROLES
        }
        self._wires = [wire for role in ROLES for wire in wires[role]]
        self.hosts = {}
        for role in ROLES:
            self.hosts[role] = host = Host(role, wires[role], self.family)
            cleanup.callback(host.close)
            host.add_interfaces(self._switch.namespace.fileno())
        self._switch.set_up(wire.port for wire in self._wires)
        for host in self.hosts.values():
            host.start()
        self.capture = Capture(capture_points(self.topology)) if self._captures else None
        packets = self._switch.packets
        transmit = {
            wire.interface.name: packets.sender(wire.port, _octets(wire.host_end.address))
            for wire in self._wires
        }
        self.fabric = Fabric(self.topology, self._chains, self.loop, self._seed, transmit, self.capture)
        for wire in self._wires:
            packets.take(wire.port, self.fabric.ingress(wire.interface.name))
        self.loop.add_reader(packets, packets.receive)
        cleanup.callback(self.loop.remove_reader, packets)
        self.loop.at_round_end(packets.flush)

    def _leave_switch(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the next network have the switch; not where building this one broke off in the middle."""
        if kind is None:
            give_back(self._switch)
        else:
            self._switch.close()


def _octets(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
