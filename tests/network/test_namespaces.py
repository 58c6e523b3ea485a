from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import pytest

from mbtest.middlebox import BoxError, Chain, Direction, Middlebox
from mbtest.network.capture import CapturedFrame
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import Topology
from mbtest.wire import MaximumSegmentSize, MpCapable, Segment, decode

if TYPE_CHECKING:
    from tests.network.conftest import Transfer

Build = Callable[..., NamespaceNetwork]
Load = Callable[[str], Topology]
IPPROTO_MPTCP = 262
MIB = 1 << 20
TOPOLOGIES, FAMILIES = ["one-path", "dual-homed-client", "dual-homed-both"], ["v4", "v6", "mixed"]


class PassThrough(Middlebox):
    """Touches nothing."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return (segment,)


class Double(Middlebox):
    """Joins each data segment with the one before it, so that packets exceed what a wire carries."""

    def start(self) -> None:
        self._held: dict[tuple[bytes, bytes], Segment] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        held = self._held.pop(segment.flow, None)
        if held is None:
            if segment.payload_length < 1000 or segment.fin:
                return (segment,)
            self._held[segment.flow] = segment
            return ()
        if held.next_seq == segment.seq:
            return (held.replace(payload=held.payload + segment.payload, flags=segment.flags),)
        return (held, segment)


def boxed(network_topology: Topology, *boxes: Middlebox) -> dict[str, Chain]:
    return {path.name: Chain(boxes, path.name, at) for at, path in enumerate(network_topology.paths)}


def segments(network: NamespaceNetwork) -> list[tuple[CapturedFrame, Segment]]:
    assert network.capture is not None
    decoded = [(frame, decode(frame.raw)) for frame in network.capture]
    return [(frame, packet) for frame, packet in decoded if isinstance(packet, Segment)]


def test_interfaces_have_the_addresses_of_the_topology_alone(build: Build) -> None:
    for host in build("dual-homed-both", "mixed", {}).hosts.values():
        with host.entered(), open("/proc/thread-self/net/if_inet6", encoding="ascii") as table:
            found = {(line.split()[5], line.split()[0]) for line in table}
        stated = {(one.name, one.v6.packed.hex()) for one in host.interfaces if one.v6 is not None}
        assert found == stated | {("lo", f"{1:032x}")}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_kernels_speak_mptcp_over_every_topology_and_family(
    build: Build, topology: Load, transfer: type[Transfer], name: str, family: str
) -> None:
    network = build(name, family, boxed(topology(name), PassThrough()))
    data = random.Random(1).randbytes(64 * 1024)
    assert transfer(network, data).run() == data
    assert network.losses() == []
    assert not network.fabric.unroutable
    assert not network.fabric.undecodable
    handshake = [(frame, segment) for frame, segment in segments(network) if segment.syn]
    assert all(segment.option(MpCapable) for _, segment in handshake)
    # Each crosses both ends of the path, once.
    assert [frame.outbound for frame, _ in handshake] == [False, True] * 2


def test_nothing_but_tcp_crosses(build: Build, transfer: type[Transfer]) -> None:
    network = build("one-path", "v6")
    transfer(network, b"x" * 1000).run()
    assert network.capture is not None
    assert len(segments(network)) == len(network.capture)


@pytest.mark.parametrize("protocol", [IPPROTO_MPTCP, socket.IPPROTO_TCP])
def test_ten_megabytes_arrive_byte_for_byte_and_no_frame_is_lost(
    build: Build, topology: Load, transfer: type[Transfer], protocol: int
) -> None:
    network = build("one-path", "v4", boxed(topology("one-path"), PassThrough()))
    data = random.Random(2).randbytes(10 * MIB)
    assert transfer(network, data, protocol).run() == data
    assert network.losses() == []


def test_segments_are_cut_and_their_checksums_filled_in(build: Build, transfer: type[Transfer]) -> None:
    network = build()
    transfer(network, bytes(64 * 1024)).run()
    for _, segment in segments(network):
        assert len(segment.raw) <= 1500
        assert segment.checksum_is_right()
        if segment.syn:
            size = segment.option(MaximumSegmentSize)
            assert size is not None
            assert size.size == 1460


def test_what_boxes_make_longer_than_a_wire_carries_arrives(
    build: Build, topology: Load, transfer: type[Transfer]
) -> None:
    network = build("one-path", "v4", boxed(topology("one-path"), Double()))
    data = random.Random(3).randbytes(256 * 1024)
    assert transfer(network, data, socket.IPPROTO_TCP).run() == data
    assert max(len(segment.raw) for frame, segment in segments(network) if frame.outbound) > 2048
    assert network.losses() == []


def test_without_capture_nothing_is_kept(build: Build, transfer: type[Transfer]) -> None:
    network = build(capture=False)
    assert transfer(network, b"x" * 5000).run() == b"x" * 5000
    assert network.capture is None


def stated(topology: Topology, **values: object) -> Topology:
    paths = tuple(msgspec.structs.replace(path, **values) for path in topology.paths)
    return msgspec.structs.replace(topology, paths=paths)


def test_a_stated_delay_is_what_a_round_trip_takes(
    build: Build, topology: Load, transfer: type[Transfer]
) -> None:
    network = build(stated(topology("one-path"), delay_us=20_000))
    transfer(network, b"x").run()
    syn, syn_ack = (
        next(frame.time_us for frame, segment in segments(network) if segment.syn and segment.has_ack is acks)
        for acks in (False, True)
    )
    assert 20_000 <= syn_ack - syn < 30_000


def test_a_stated_rate_is_what_bulk_data_gets(build: Build, topology: Load, transfer: type[Transfer]) -> None:
    network = build(stated(topology("one-path"), rate_bps=20_000_000))
    transfer(network, bytes(500_000)).run()
    sent = [
        (frame.time_us, len(segment.raw))
        for frame, segment in segments(network)
        if frame.point == "c1-s1/server" and frame.outbound
    ]
    seconds = (sent[-1][0] - sent[0][0]) / 1e6
    rate = sum(size for _, size in sent[1:]) * 8 / seconds
    assert rate <= 20_000_000 * 1.02
    assert network.losses() == []


def test_stated_loss_is_no_loss_of_ours(build: Build, topology: Load, transfer: type[Transfer]) -> None:
    network = build(stated(topology("one-path"), loss=0.02), seed=5)
    data = random.Random(4).randbytes(300_000)
    assert transfer(network, data).run() == data
    assert network.losses() == []
    lost = sum(network.fabric.lost.values())
    assert lost > 0
    assert network.capture is not None
    told = sum("lost by the link" in comment for frame in network.capture for comment in frame.comments)
    assert told == lost


def test_what_the_ring_cannot_take_is_a_loss_that_is_told(build: Build) -> None:
    network = build()
    assert network.losses() == []
    with network.hosts["client"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(10_000):
            sock.sendto(b"x", ("198.19.1.2", 9))
    (words,) = network.losses()
    assert words.endswith("packets found the fabric's ring full")


def test_a_packet_to_nowhere_is_counted(build: Build) -> None:
    network = build("dual-homed-client")
    with network.hosts["server"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("198.18.77.1", 9))
    network.loop.run(lambda: bool(network.fabric.unroutable), network.loop.now + 5_000_000)
    assert network.fabric.unroutable == {"s1: no path to 198.18.77.1": 1}


def test_what_a_network_left_behind_does_not_reach_the_next(
    build: Build, topology: Load, transfer: type[Transfer]
) -> None:
    with NamespaceNetwork(topology("one-path"), "v4", {}, 1) as before:
        leaked = before.hosts["client"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    with leaked:
        # Its host lives as long as it does. This is in the ring, or comes, while the next network is built.
        leaked.sendto(b"left behind", ("198.19.1.2", 9))
        after = build()
        leaked.sendto(b"left behind", ("198.19.1.2", 9))
        transfer(after, b"x" * 1000).run()
    assert after.capture is not None
    assert len(segments(after)) == len(after.capture)
    assert after.losses() == []


def test_networks_do_not_meet(build: Build, transfer: type[Transfer]) -> None:
    one, other = build(), build()
    first, second = transfer(one, b"one"), transfer(other, b"other")
    assert (first.run(), second.run()) == (b"one", b"other")


def test_a_network_that_could_not_be_built_leaves_no_descriptor(topology: Load) -> None:
    class Broken(Middlebox):
        def start(self) -> None:
            raise ValueError("broken")

        def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
            return (segment,)

    one_path = topology("one-path")
    with NamespaceNetwork(one_path, "v4", {}, 1):
        pass
    before = _namespaces_held()
    with (
        pytest.raises(BoxError, match="broken"),
        NamespaceNetwork(one_path, "v4", boxed(one_path, Broken()), 1),
    ):
        pass
    # The switch is not used again, either: one namespace less than before.
    assert _namespaces_held() < before


def _namespaces_held() -> int:
    held = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            held += os.readlink(f"/proc/self/fd/{descriptor}").startswith("net:")
        except FileNotFoundError:
            continue
    return held


# -- after kill -9 ---------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from mbtest import content
from mbtest.network import privileges
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import load_topology

privileges.enter()
topology = load_topology(content.shipped() / "topologies" / "dual-homed-both.toml")
with NamespaceNetwork(topology, "mixed", {}, 1) as network:
    print("built", flush=True)
    network.loop.run(lambda: False, 60_000_000)
"""
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NSID = 270, 1, 28
RTM_NEWNSID, RTM_DELNSID = 88, 89
NETNSA_NSID, NETNSA_FD, ANY = 1, 3, -1


@pytest.fixture
def watch() -> Iterator[socket.socket]:
    """A socket that learns when namespaces to which this one gave a number are no more."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NSID)
        sock.settimeout(20)
        yield sock


def give_number(sock: socket.socket, descriptor: int) -> int:
    """Give a namespace a number here, so that its end is told, and return the number."""
    body = struct.pack("=B3xHHiHHi", 0, 8, NETNSA_NSID, ANY, 8, NETNSA_FD, descriptor)
    sock.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWNSID, 0x1 | 0x4, 1, 0) + body)
    while True:
        kind, number = next_message(sock)
        if kind == RTM_NEWNSID:
            return number


def next_message(sock: socket.socket) -> tuple[int, int]:
    message = sock.recv(4096)
    kind = struct.unpack_from("=H", message, 4)[0]
    if kind not in (RTM_NEWNSID, RTM_DELNSID):
        assert struct.unpack_from("=i", message, 16)[0] == 0
        return kind, 0
    return kind, struct.unpack_from("=i", message, 24)[0]


def test_nothing_is_left_after_sigkill(watch: socket.socket) -> None:
    interfaces = socket.if_nameindex()
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "built\n"
    home = os.stat("/proc/self/ns/net").st_ino
    numbers = set()
    for name in os.listdir(f"/proc/{child.pid}/fd"):
        path = f"/proc/{child.pid}/fd/{name}"
        if os.readlink(path).startswith("net:") and os.stat(path).st_ino != home:
            descriptor = os.open(path, os.O_RDONLY)
            numbers.add(give_number(watch, descriptor))
            os.close(descriptor)
    assert len(numbers) == 3
    assert socket.if_nameindex() == interfaces

    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    while numbers:
        kind, number = next_message(watch)
        if kind == RTM_DELNSID:
            numbers.discard(number)
    assert socket.if_nameindex() == interfaces
