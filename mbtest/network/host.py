"""A host: a namespace with interfaces, static neighbours, and routes that follow the source address."""

import fcntl
import socket
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import NamedTuple

from mbtest.network.namespace import Namespace, has_ipv6, set_sysctl
from mbtest.network.netlink import IFF_NOARP, LinkEnd, RouteSocket
from mbtest.network.topology import Family, Interface, Role

LOOPBACK = 1

# What boxes make of a segment may exceed what a host sends, so interfaces take more than routes let out.
LINK_MTU = 65_535
ROUTE_MTU = 1_500

# Earlier interfaces are preferred where the source address is still open.
_FIRST_METRIC = 100
_FIRST_TABLE = 100
_SIOCETHTOOL, _ETHTOOL_SSG, _ETHTOOL_STXCSUM, _ETHTOOL_SGRO = 0x8946, 0x19, 0x17, 0x2C
# No solicitations, no detection of duplicates.
_QUIET_IPV6 = {
    "net.ipv6.conf.default.router_solicitations": 0,
    "net.ipv6.conf.default.accept_ra": 0,
    "net.ipv6.conf.default.accept_dad": 0,
}
# A new namespace takes these from the machine; on, they would drop what comes from an unexpected address.
_TRUSTING_IPV4 = {"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0}


class HostInterface(NamedTuple):
    """An interface of a host, with the addresses that this run gave it."""

    name: str
    ifindex: int
    """The number of the interface in its namespace (if_index)."""
    v4: IPv4Address | None
    v6: IPv6Address | None


class Wire(NamedTuple):
    """The pair of interfaces that joins a host to the fabric."""

    interface: Interface
    number: int
    """From 1 to 255, over all hosts."""
    port: int
    """The number of the far end in the fabric's namespace."""

    @property
    def host_end(self) -> LinkEnd:
        """The end in the host's namespace."""
        return LinkEnd(self.interface.name, LOOPBACK + self.number, f"02:00:00:00:{self.number:02x}:01")

    @property
    def fabric_end(self) -> LinkEnd:
        """The end in the fabric's namespace."""
        return LinkEnd(f"port{self.port}", self.port, f"02:00:00:00:{self.number:02x}:02")

    @property
    def gateway_address(self) -> str:
        """The link address that the host sends to: nobody's, so that the fabric's kernel looks no further."""
        return f"02:00:00:00:{self.number:02x}:03"


class Host:
    """A host of a run: its interfaces, and what runs in its namespace."""

    def __init__(self, name: Role, wires: Sequence[Wire], family: Family) -> None:
        """Make the namespace, still without interfaces. Raises OSError without the privileges."""
        self.name = name
        self.interfaces = tuple(_addressed(wire, family) for wire in wires)
        self._wires = wires
        self._family = family
        with ExitStack() as unless_whole:
            self._namespace = Namespace()
            unless_whole.callback(self._namespace.close)
            with self._namespace.entered():
                self._route = RouteSocket()
            unless_whole.pop_all()

    def fileno(self) -> int:
        """Return the descriptor of the namespace, fit for setns(2)."""
        return self._namespace.fileno()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run a block of code in the host's namespace, and come back."""
        with self._namespace.entered():
            yield

    def socket(self, family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """Return a socket in the host's namespace. It does not block."""
        with self.entered():
            return socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)

    def add_interfaces(self, fabric: int) -> None:
        """Make the host's interfaces, down, with their far ends in the fabric's namespace, a descriptor."""
        with self.entered():
            for name, value in (_TRUSTING_IPV4 | (_QUIET_IPV6 if has_ipv6() else {})).items():
                set_sysctl(name, value)
            self._route.set_up(LOOPBACK)
            for wire in self._wires:
                self._route.add_veth(wire.host_end, wire.fabric_end, peer_namespace=fabric, mtu=LINK_MTU)
                if has_ipv6():
                    # Not by sysctl: whoever writes that has to try again while others make interfaces.
                    self._route.without_link_local(wire.host_end.ifindex)
            self._route.flush()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                for wire in self._wires:
                    disable_offloads(control, wire.interface.name)

    def start(self) -> None:
        """Set the interfaces up, with addresses, neighbours and routes; return when they can be used.

        Each far end must be up: then the host's end has its carrier from the start.
        """
        route, several = self._route, len(self._wires) > 1
        expected: set[IPv6Address] = set()
        if self._family != "v4":
            route.watch_ipv6_routes()
        for at, wire in enumerate(self._wires):
            index = wire.host_end.ifindex
            # Neighbours are known; NOARP keeps the kernel from telling multicast routers about groups.
            route.set_up(index, IFF_NOARP)
            for address in wire.interface.addresses(self._family):
                gateway = _gateway(address)
                route.add_address(index, address)
                route.add_neighbour(index, gateway, wire.gateway_address)
                route.add_default_route(index, gateway, ROUTE_MTU, metric=_FIRST_METRIC + at)
                if several:
                    route.add_default_route(index, gateway, ROUTE_MTU, table=_FIRST_TABLE + at)
                    route.add_source_rule(address.ip, table=_FIRST_TABLE + at)
                if isinstance(address.ip, IPv6Address):
                    expected.add(address.ip)
        route.flush()
        route.await_local_routes(expected)

    def lose(self, address: IPv4Address | IPv6Address) -> None:
        """Take an address from the interface that has it. Raises HarnessError where it is gone already."""
        for wire in self._wires:
            for own in wire.interface.addresses(self._family):
                if own.ip == address:
                    self._route.remove_address(wire.host_end.ifindex, own)
        self._route.flush()

    def dropped(self) -> dict[str, tuple[int, int]]:
        """Return for each interface how many packets it dropped on reception and on transmission."""
        return {wire.interface.name: self._route.dropped(wire.host_end.ifindex) for wire in self._wires}

    def close(self) -> None:
        """Let go of the namespace. What still runs in it keeps it."""
        self._route.close()
        self._namespace.close()


def _addressed(wire: Wire, family: Family) -> HostInterface:
    interface = wire.interface
    return HostInterface(
        interface.name,
        wire.host_end.ifindex,
        None if interface.v4 is None or family == "v6" else interface.v4.ip,
        None if interface.v6 is None or family == "v4" else interface.v6.ip,
    )


def _gateway(address: IPv4Interface | IPv6Interface) -> IPv4Address | IPv6Address:
    """Return the first address of the prefix that is not the interface's own."""
    network = address.network
    return network[1] if network[1] != address.ip else network[2]


def disable_offloads(control: socket.socket, interface: str) -> None:
    """Have an interface's packets leave as a wire would carry them: cut to size, checksums filled in.

    Without scatter/gather and checksums, the kernel takes back segmentation offload of every kind.
    """
    for command in (_ETHTOOL_SSG, _ETHTOOL_STXCSUM, _ETHTOOL_SGRO):
        value = array("I", (command, 0))
        request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
        fcntl.ioctl(control, _SIOCETHTOOL, request)
