"""The real network: hosts in namespaces, packets between them through the boxes, on one loop.

Everything hangs on descriptors of this process: whatever ends it, nothing of the network is left.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from threading import Thread
from types import TracebackType
from typing import Self

from mbtest.middlebox import Chain
from mbtest.network.capture import Capture
from mbtest.network.fabric import Fabric, capture_points
from mbtest.network.host import Host, Wire
from mbtest.network.loop import Loop
from mbtest.network.namespace import Namespace, set_sysctl
from mbtest.network.netlink import RouteSocket
from mbtest.network.packet_socket import PacketSocket
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
        socket, words = self._socket, []
        if overrun := socket.overrun():
            words.append(f"{overrun} packets found the fabric's ring full")
        if socket.truncated:
            words.append(f"{socket.truncated} packets were longer than the fabric takes")
        words += [f"{count} packets could not be sent: {reason}" for reason, count in socket.unsent.items()]
        # A packet that was sent again was counted as dropped by the end that sent it and by the other.
        host_received = host_sent = fabric_received = fabric_sent = 0
        for host in self.hosts.values():
            for received, sent in host.dropped().values():
                host_received += received
                host_sent += sent
        for wire in self._wires:
            received, sent = self._route.dropped(wire.fabric_end.ifindex)
            fabric_received += received
            fabric_sent += sent
        for count, where in (
            (host_sent, "leaving a host"),
            (fabric_received, "entering the fabric"),
            (fabric_sent - socket.resent, "leaving the fabric"),
            (host_received - socket.resent, "entering a host"),
        ):
            if count > 0:
                words.append(f"{count} packets were dropped {where}")
        return words

    def _build(self, cleanup: ExitStack) -> None:
        self.loop = Loop()
        cleanup.callback(self.loop.close)
        wires: dict[Role, list[Wire]] = {role: [] for role in ROLES}
        number = 0
        for role in ROLES:
            for interface in self.topology.interfaces(role):
                number += 1
                wires[role].append(Wire(interface, number))
        self._wires = [wire for role in ROLES for wire in wires[role]]
        self._space = Namespace()
        cleanup.callback(self._space.close)
        self.hosts = {}
        for role in ROLES:
            host = Host(role, wires[role], self.family)
            cleanup.callback(host.close)
            self.hosts[role] = host
            host.add_interfaces(self._space.fileno())
        with self._space.entered():
            set_sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            self._route = RouteSocket()
            cleanup.callback(self._route.close)
            for wire in self._wires:
                self._route.set_up(wire.fabric_end.ifindex)
            self._route.flush()
            self._socket = PacketSocket()
            # The kernel is in no hurry to close it, and nothing depends on it.
            cleanup.callback(lambda: Thread(target=self._socket.close).start())
        for host in self.hosts.values():
            host.start()
        self.capture = Capture(capture_points(self.topology)) if self._captures else None
        transmit = {
            wire.interface.name: self._socket.sender(wire.fabric_end.ifindex, _octets(wire.host_end.address))
            for wire in self._wires
        }
        self.fabric = Fabric(self.topology, self._chains, self.loop, self._seed, transmit, self.capture)
        for wire in self._wires:
            self._socket.take(wire.fabric_end.ifindex, self.fabric.ingress(wire.interface.name))
        self.loop.add_reader(self._socket, self._socket.receive)
        cleanup.callback(self.loop.remove_reader, self._socket)
        self.loop.at_round_end(self._socket.flush)


def _octets(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))
