from __future__ import annotations

import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from mbtest.errors import HarnessError
from mbtest.network.host import ROUTE_MTU
from mbtest.network.namespaces import NamespaceNetwork

Build = Callable[..., NamespaceNetwork]
SIOCETHTOOL, GTXCSUM, GSG, GTSO, GGSO, GGRO = 0x8946, 0x16, 0x18, 0x1E, 0x23, 0x2B
IP_MTU, IPV6_MTU = 14, 24


def test_a_host_has_the_addresses_of_the_family(build: Build) -> None:
    client = build("dual-homed-client", "v4").hosts["client"]
    assert [(interface.name, interface.v4, interface.v6) for interface in client.interfaces] == [
        ("c1", ip_address("198.18.1.2"), None),
        ("c2", ip_address("198.18.2.2"), None),
    ]
    mixed = build("one-path", "mixed").hosts["server"].interfaces[0]
    assert (mixed.v4, mixed.v6) == (ip_address("198.19.1.2"), ip_address("2001:db8:51::2"))


def test_an_interface_knows_its_number(build: Build) -> None:
    for host in build("dual-homed-client").hosts.values():
        with host.entered():
            names = {name: index for index, name in socket.if_nameindex()}
        assert {i.name: i.ifindex for i in host.interfaces}.items() <= names.items()


def test_a_socket_is_in_the_host_and_does_not_block(build: Build) -> None:
    server = build().hosts["server"]
    with server.socket(socket.AF_INET) as sock:
        sock.bind(("198.19.1.2", 80))
        sock.listen()
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_code_runs_in_the_host(build: Build) -> None:
    client = build().hosts["client"]
    with client.entered():
        assert os.stat("/proc/thread-self/ns/net").st_ino == os.fstat(client.fileno()).st_ino


@pytest.mark.parametrize("command", [GTXCSUM, GSG, GTSO, GGSO, GGRO])
def test_offloads_are_off(build: Build, command: int) -> None:
    for host in build().hosts.values():
        with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            value = array("I", (command, 9))
            name = host.interfaces[0].name.encode()
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", name, value.buffer_info()[0]))
        assert value[1] == 0


@pytest.mark.parametrize(("family", "level", "option"), [("v4", 0, IP_MTU), ("v6", 41, IPV6_MTU)])
def test_routes_keep_packets_to_the_size_that_a_wire_carries(
    build: Build, family: str, level: int, option: int
) -> None:
    network = build("one-path", family)
    far = network.hosts["server"].interfaces[0]
    kind = socket.AF_INET if family == "v4" else socket.AF_INET6
    with network.hosts["client"].socket(kind, socket.SOCK_DGRAM) as sock:
        sock.connect((str(far.v4 or far.v6), 9))
        assert sock.getsockopt(level, option) == ROUTE_MTU


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_the_source_address_chooses_the_interface(build: Build, family: str) -> None:
    network = build("dual-homed-both", family)
    for near in network.hosts["client"].interfaces:
        for far in network.hosts["server"].interfaces:
            source, target = (near.v4, far.v4) if family == "v4" else (near.v6, far.v6)
            kind = socket.AF_INET if family == "v4" else socket.AF_INET6
            with network.hosts["client"].socket(kind, socket.SOCK_DGRAM) as sock:
                sock.bind((str(source), 0))
                sock.sendto(b"x", (str(target), 9))
            capture = network.capture
            assert capture is not None
            network.loop.run(lambda: False, network.loop.now + 1_000)
            assert f"{near.name}-{far.name}/client" in {frame.point for frame in capture}


@pytest.mark.parametrize("family", ["v4", "v6", "mixed"])
def test_a_host_that_has_nothing_to_say_is_silent(build: Build, family: str) -> None:
    network = build("dual-homed-both", family)
    network.loop.run(lambda: False, network.loop.now + 300_000)
    assert network.capture is not None
    assert list(network.capture) == []
    assert not network.fabric.unroutable


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_a_host_loses_an_address(build: Build, family: str) -> None:
    client = build("dual-homed-client", family).hosts["client"]
    address = getattr(client.interfaces[1], family)
    kind = socket.AF_INET if family == "v4" else socket.AF_INET6
    with client.socket(kind) as sock:
        sock.bind((str(address), 0))
    client.lose(address)
    with client.socket(kind) as sock, pytest.raises(OSError, match="assign requested address"):
        sock.bind((str(address), 0))
    with pytest.raises(HarnessError, match=f"netlink: removal of address {address}"):
        client.lose(address)
