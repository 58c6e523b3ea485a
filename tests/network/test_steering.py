"""Which processor takes what a host sends: asked of the kernel, by a filter on the fabric's side."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from mbtest.network.namespace import Namespace
from mbtest.network.netlink import RouteSocket
from mbtest.network.steering import Steering
from mbtest.network.switch import Switch
from tests.network.test_packet_socket import ADDRESS, FABRIC, GATEWAY, HOST, LINK_MTU

PROCESSORS = sorted(os.sched_getaffinity(0))
SO_ATTACH_FILTER = 26
LOAD_PROCESSOR = (0x20, 0, 0, 0xFFFF_F000 + 36)
"""SKF_AD_CPU: the processor on which the packet is delivered."""
TAKE, DROP = (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)


def only_from(processor: int) -> socket.socket:
    """Return a socket that gets what this processor delivers, of the interface of the fabric."""
    code = [LOAD_PROCESSOR, (0x15, 0, 1, processor), TAKE, DROP]
    program = b"".join(struct.pack("=HBBI", *one) for one in code)
    buffer = ctypes.create_string_buffer(program)
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    packets.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(buffer))
    )
    packets.bind((FABRIC.name, 0x0800))
    packets.settimeout(20)
    return packets


@pytest.fixture
def affinity() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, PROCESSORS)


@pytest.mark.usefixtures("affinity")
@pytest.mark.parametrize("steers", [False, True])
@pytest.mark.parametrize("processor", PROCESSORS)
def test_one_processor_takes_what_all_send(processor: int, steers: bool) -> None:
    host, fabric = Namespace(), Namespace()
    with host.entered(), RouteSocket() as route:
        route.add_veth(HOST, FABRIC, fabric.fileno(), LINK_MTU)
        route.flush()
        with fabric.entered(), RouteSocket() as there:
            steering = Steering()
            steered = steers and steering.to_one_processor([FABRIC.name], processor)
            there.set_up(FABRIC.ifindex)
            there.flush()
            packets = only_from(processor)
        route.set_up(HOST.ifindex)
        route.add_address(HOST.ifindex, ADDRESS)
        route.add_neighbour(HOST.ifindex, GATEWAY, "02:00:00:00:01:03")
        route.add_default_route(HOST.ifindex, GATEWAY, mtu=1500)
        route.flush()
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Its own comes last, so that it tells that nothing more of the others can.
    for one in [*(other for other in PROCESSORS if other != processor), processor]:
        os.sched_setaffinity(0, {one})
        sender.sendto(bytes([one]), ("198.19.1.2", 7))
    expected = set(PROCESSORS) if steered else {processor}
    assert {packets.recv(100)[-1] for _ in expected} == expected
    assert steered is (steers and os.geteuid() == 0 and is_privileged())
    for one in (steering, packets, sender, host, fabric):
        one.close()


def is_privileged() -> bool:
    """Whether this is the machine's own root, and not that of a user namespace."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() == ["0", "0", "4294967295"]


def test_a_switch_steers_its_ports() -> None:
    host, switch = Namespace(), Switch()
    port = switch.new_port()
    far = FABRIC._replace(name=f"port{port}", ifindex=port)
    with host.entered(), RouteSocket() as route:
        route.add_veth(HOST, far, switch.namespace.fileno(), LINK_MTU)
        route.flush()
    switch.set_up([port])
    assert switch.steered is is_privileged()
    assert not switch.steering.to_one_processor(["none"])
    switch.close()
    host.close()
