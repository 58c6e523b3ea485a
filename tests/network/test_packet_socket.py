from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

import pytest

from mbtest.network.host import LINK_MTU
from mbtest.network.namespace import Namespace
from mbtest.network.netlink import LinkEnd, RouteSocket
from mbtest.network.packet_socket import PacketSocket

HOST, FABRIC = LinkEnd("c1", 2, "02:00:00:00:01:01"), LinkEnd("port3", 3, "02:00:00:00:01:02")
HOST_OCTETS = bytes.fromhex("020000000101")
ADDRESS, GATEWAY = ip_interface("198.18.1.2/24"), ip_address("198.18.1.1")
SLOTS = 32
SOL_UDP_HEADERS = 28


class Bench(NamedTuple):
    """A host, and the fabric's end of its one interface."""

    host: Namespace
    packets: PacketSocket

    def udp(self) -> socket.socket:
        with self.host.entered():
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.fixture
def bench() -> Iterator[Bench]:
    host, fabric = Namespace(), Namespace()
    with host.entered(), RouteSocket() as route:
        route.add_veth(HOST, FABRIC, fabric.fileno(), LINK_MTU)
        route.flush()
        with fabric.entered(), RouteSocket() as there:
            there.set_up(FABRIC.ifindex)
            there.flush()
            packets = PacketSocket(SLOTS)
        route.set_up(HOST.ifindex)
        route.add_address(HOST.ifindex, ADDRESS)
        route.add_neighbour(HOST.ifindex, GATEWAY, "02:00:00:00:01:03")
        route.add_default_route(HOST.ifindex, GATEWAY, mtu=1500)
        route.flush()
    yield Bench(host, packets)
    packets.close()
    host.close()
    fabric.close()


def udp(payload: bytes, port: int) -> bytes:
    """Return a UDP packet from far away, without the checksum that IPv4 lets it omit."""
    total = SOL_UDP_HEADERS + len(payload)
    header = bytearray(b"\x45\0" + total.to_bytes(2) + bytes(4) + b"\x40\x11\0\0")
    header += ip_address("198.19.1.2").packed + ADDRESS.ip.packed
    words = sum(int.from_bytes(header[at : at + 2]) for at in range(0, 20, 2))
    header[10:12] = (0xFFFF - (words % 0xFFFF)).to_bytes(2)
    return bytes(header) + b"\0\x07" + port.to_bytes(2) + (8 + len(payload)).to_bytes(2) + bytes(2) + payload


def test_packets_come_in_order_without_link_header(bench: Bench) -> None:
    got: list[bytes] = []
    bench.packets.take(FABRIC.ifindex, got.append)
    with bench.udp() as sender:
        for number in range(3 * SLOTS):
            sender.sendto(b"%d" % number, ("198.19.1.2", 7))
            bench.packets.receive()
    assert [raw[SOL_UDP_HEADERS:] for raw in got] == [b"%d" % number for number in range(3 * SLOTS)]
    assert all(raw[0] == 0x45 and raw[12:16] == ADDRESS.ip.packed for raw in got)
    assert bench.packets.overrun() == 0


def test_what_finds_no_room_in_the_ring_is_counted_once(bench: Bench) -> None:
    with bench.udp() as sender:
        for _ in range(SLOTS + 8):
            sender.sendto(b"x", ("198.19.1.2", 7))
    assert bench.packets.overrun() == 8
    assert bench.packets.overrun() == 8
    got: list[bytes] = []
    bench.packets.take(FABRIC.ifindex, got.append)
    bench.packets.receive()
    assert len(got) == SLOTS


def test_a_packet_that_lost_its_end_is_counted(bench: Bench) -> None:
    with bench.host.entered(), RouteSocket() as route:
        route.add_default_route(HOST.ifindex, GATEWAY, mtu=LINK_MTU, table=100)
        route.add_source_rule(ADDRESS.ip, table=100)
        route.flush()
    with bench.udp() as sender:
        sender.bind((str(ADDRESS.ip), 0))
        sender.sendto(bytes(4000), ("198.19.1.2", 7))
    bench.packets.receive()
    assert bench.packets.truncated == 1


def test_an_exception_of_a_taker_loses_no_other_packet(bench: Bench) -> None:
    got: list[bytes] = []

    def take(raw: bytes) -> None:
        got.append(raw)
        if len(got) == 1:
            raise ValueError("a box")

    bench.packets.take(FABRIC.ifindex, take)
    with bench.udp() as sender:
        for _ in range(3):
            sender.sendto(b"x", ("198.19.1.2", 7))
    with pytest.raises(ValueError, match="a box"):
        bench.packets.receive()
    bench.packets.receive()
    assert len(got) == 3


@pytest.mark.parametrize("sizes", [[5], [1472], [5, 1472, 9], [30_000], [5, 60_000, 1472], [100] * 600])
def test_what_is_sent_arrives_whole_and_in_order(bench: Bench, sizes: list[int]) -> None:
    send = bench.packets.sender(FABRIC.ifindex, HOST_OCTETS)
    payloads = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    with bench.udp() as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("", 9))
        receiver.setblocking(False)
        got: list[bytes] = []
        for at in range(0, len(payloads), 50):
            for payload in payloads[at : at + 50]:
                send(udp(payload, 9))
            bench.packets.flush()
            receiver.settimeout(5)
            while len(got) < min(at + 50, len(payloads)):
                got.append(receiver.recv(1 << 16))
    assert got == payloads
    assert not bench.packets.unsent


def test_nothing_leaves_before_the_flush(bench: Bench) -> None:
    send = bench.packets.sender(FABRIC.ifindex, HOST_OCTETS)
    with bench.udp() as receiver:
        receiver.bind(("", 9))
        receiver.setblocking(False)
        send(udp(b"x", 9))
        with pytest.raises(BlockingIOError):
            receiver.recv(10)


def test_what_cannot_be_sent_is_counted_with_the_reason(bench: Bench) -> None:
    send = bench.packets.sender(99, HOST_OCTETS)
    good = bench.packets.sender(FABRIC.ifindex, HOST_OCTETS)
    with bench.udp() as receiver:
        receiver.bind(("", 9))
        receiver.settimeout(5)
        send(udp(b"lost", 9))
        good(udp(b"found", 9))
        bench.packets.flush()
        assert receiver.recv(10) == b"found"
    assert bench.packets.unsent == {"No such device or address": 1}


def test_a_reset_forgets_packets_takers_and_counts(bench: Bench) -> None:
    got: list[bytes] = []
    bench.packets.take(FABRIC.ifindex, got.append)
    with bench.udp() as sender:
        for _ in range(SLOTS + 1):
            sender.sendto(b"before", ("198.19.1.2", 7))
        assert bench.packets.overrun() == 1
        bench.packets.sender(99, HOST_OCTETS)(udp(b"never sent", 9))
        bench.packets.reset()
        bench.packets.flush()
        assert (bench.packets.overrun(), bench.packets.unsent, got) == (0, {}, [])

        bench.packets.take(FABRIC.ifindex, got.append)
        sender.sendto(b"after", ("198.19.1.2", 7))
        bench.packets.receive()
    assert [raw[SOL_UDP_HEADERS:] for raw in got] == [b"after"]
