"""Bulk TCP between two namespaces through our fabric, beside the kernel's own bridge and scapy's.

A sending and a receiving process, MTU 1500, every segmentation and checksum offload off everywhere. The
ways are taken in turns, so that whatever else the machine does meets all of them; medians are compared.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from ipaddress import ip_interface
from typing import NamedTuple

from pyroute2 import IPRoute

from benchmarks.record import record
from mbtest import content
from mbtest.middlebox import Chain, Direction, Middlebox
from mbtest.network import privileges
from mbtest.network.host import disable_offloads
from mbtest.network.namespace import Namespace
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.netlink import LinkEnd, RouteSocket
from mbtest.network.topology import ROLES, load_topology
from mbtest.wire import MptcpOption, Segment, Timestamps

ROUNDS = 7
SECONDS = 1.0
SECOND = 1_000_000
PATIENCE = 20.0
MTU = 1500
CHUNK = bytes(1 << 18)
IPPROTO_MPTCP = 262
BRIDGE, INTERFACE = 9, 20
FABRIC, KERNEL, SCAPY = "fabric", "kernel bridge", "scapy bridge_and_sniff"


class Shorten(Middlebox):
    """Takes the timestamps from every segment but the SYNs, so that each is rebuilt to the end."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:  # noqa: ARG002
        return (segment if segment.syn else segment.without_options(Timestamps),)


class Place(NamedTuple):
    """Two hosts, and where the server is."""

    network: NamespaceNetwork
    address: str
    driven: bool
    """Whether the network's loop carries the packets, and has to run."""


class Way(NamedTuple):
    """A way to send from one host to another."""

    build: Callable[[], AbstractContextManager[Place]]
    protocol: int
    gigabits: list[float]
    """Payload for each second, one entry for each measurement."""
    losses: list[str]

    def measure(self) -> None:
        """Build the way, send for a second, and keep what came through."""
        with self.build() as place:
            octets, seconds = transfer(place, self.protocol)
            self.losses.extend(place.network.losses())
        self.gigabits.append(octets * 8 / seconds / 1e9)

    @property
    def median(self) -> float:
        """Gbit/s of payload."""
        return round(statistics.median(self.gigabits), 3)


def transfer(place: Place, protocol: int) -> tuple[int, float]:
    """Send for a second and return the octets received and the seconds that they took."""
    network = place.network
    read, write = os.pipe()
    with (
        network.hosts["server"].socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as listener,
        network.hosts["client"].socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as sender,
    ):
        listener.settimeout(PATIENCE)
        sender.settimeout(PATIENCE)
        listener.bind((place.address, 0))
        listener.listen()
        target = listener.getsockname()
        children = [
            in_child(partial(receive, listener, write)),
            in_child(partial(send, sender, target)),
        ]
    os.close(write)
    if place.driven:
        done: list[bool] = []
        network.loop.add_reader(read, lambda: done.append(True))
        network.loop.run(lambda: bool(done), network.loop.now + 30 * SECOND)
        network.loop.remove_reader(read)
    octets, seconds = struct.unpack("=Qd", os.read(read, 16))
    os.close(read)
    for child in children:
        os.waitpid(child, 0)
    return octets, seconds


def in_child(work: Callable[[], None]) -> int:
    """Run some work in a process of its own and return its number."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            failed = sys.exc_info()[0] is not None
            if failed:
                traceback.print_exc()
            os._exit(failed)
    return child


def receive(listener: socket.socket, report: int) -> None:
    """Accept one connection, read it to its end, and report octets and seconds."""
    connection, _ = listener.accept()
    octets, buffer = 0, bytearray(1 << 18)
    started = time.perf_counter()
    while count := connection.recv_into(buffer):
        octets += count
    os.write(report, struct.pack("=Qd", octets, time.perf_counter() - started))


def send(sender: socket.socket, target: tuple[str, int]) -> None:
    """Connect and send for a while."""
    sender.connect(target)
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        sender.sendall(CHUNK)
    # The other processes have the socket, too: closing it here would not end the stream.
    sender.shutdown(socket.SHUT_WR)


@contextmanager
def through_fabric(boxes: Sequence[Middlebox] = (), capture: bool = False) -> Iterator[Place]:
    """One path with these boxes, which keep no record of what they do."""
    topology = load_topology(content.shipped() / "topologies" / "one-path.toml")
    chain = Chain(boxes, "c1-s1", 0)
    chain.record = None
    with NamespaceNetwork(topology, "v4", {"c1-s1": chain}, 1, capture) as network:
        yield Place(network, str(network.hosts["server"].interfaces[0].v4), driven=True)


@contextmanager
def through_middle() -> Iterator[tuple[Place, Namespace]]:
    """The same hosts with another interface each, that ends in a namespace where something joins them."""
    middle = Namespace()
    try:
        with through_fabric() as place:
            for at, role in enumerate(ROLES):
                with place.network.hosts[role].entered():
                    add_interface(at, middle)
            yield Place(place.network, "198.18.99.2", driven=False), middle
    finally:
        middle.close()


def add_interface(at: int, middle: Namespace) -> None:
    """Give the host that the thread is in, the first or the second, its interface into the middle."""
    here = LinkEnd("middle", INTERFACE, f"02:00:00:00:99:{at:02x}")
    there = LinkEnd(f"middle{at}", INTERFACE + at, f"02:00:00:01:99:{at:02x}")
    with RouteSocket() as route:
        route.add_veth(here, there, middle.fileno(), MTU)
        route.flush()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            disable_offloads(control, here.name)
        with middle.entered(), RouteSocket() as other:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                disable_offloads(control, there.name)
            other.set_up(there.ifindex)
            other.flush()
        route.set_up(here.ifindex)
        route.add_address(here.ifindex, ip_interface(f"198.18.99.{at + 1}/24"))
        peer = ip_interface(f"198.18.99.{2 - at}/24").ip
        route.add_neighbour(here.ifindex, peer, f"02:00:00:00:99:{1 - at:02x}")
        route.flush()


@contextmanager
def through_kernel() -> Iterator[Place]:
    """The kernel's bridge."""
    with through_middle() as (place, middle):
        with middle.entered(), IPRoute() as route:
            route.link("add", ifname="bridge", kind="bridge", index=BRIDGE)
            route.link("set", index=BRIDGE, state="up")
            for at in (0, 1):
                route.link("set", index=INTERFACE + at, master=BRIDGE)
        yield place


@contextmanager
def through_scapy() -> Iterator[Place]:
    """The bridge of scapy, in a process of its own."""
    ready, tell = os.pipe()

    def work() -> None:
        with middle.entered():
            # scapy looks which interfaces there are when it is imported.
            from scapy.all import bridge_and_sniff  # noqa: PLC0415

            os.write(tell, b"!")
            bridge_and_sniff("middle0", "middle1", store=False, quiet=True)

    with through_middle() as (place, middle):
        child = in_child(work)
        os.read(ready, 1)
        os.close(ready)
        os.close(tell)
        try:
            yield place
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def main() -> None:
    """Measure every way and record its throughput and its ratio to the kernel's bridge."""
    privileges.enter()
    content.use()
    # Found once the content is in use.
    from middleboxes.pass_through import PassThrough  # noqa: PLC0415
    from middleboxes.strip import StripOptions  # noqa: PLC0415

    tcp = socket.IPPROTO_TCP
    ways: dict[str, Way] = {KERNEL: Way(through_kernel, tcp, [], [])}
    boxes: dict[str, tuple[Middlebox, int]] = {
        "pass-through": (PassThrough(), tcp),
        "strip all of MPTCP": (StripOptions(MptcpOption), IPPROTO_MPTCP),
        "shorten every segment": (Shorten(), tcp),
    }
    for name, (box, protocol) in boxes.items():
        for words, capture in (("", False), (", captured", True)):
            ways[name + words] = Way(partial(through_fabric, (box,), capture), protocol, [], [])
    ways[SCAPY] = Way(through_scapy, tcp, [], [])
    for _ in range(ROUNDS):
        for way in ways.values():
            way.measure()
    kernel = ways[KERNEL].median
    for name, way in ways.items():
        record(f"forwarding, {name}", way.median, "Gbit/s")
        if way.losses:
            print(f"  lost on the way: {'; '.join(way.losses)}")
    for name, way in ways.items():
        if name != KERNEL:
            ratio = round(way.median / kernel, 3)
            record(f"forwarding, {name} / {KERNEL}", ratio, "", way.median, kernel)
    ours, scapy = ways["pass-through"].median, ways[SCAPY].median
    record(f"forwarding, pass-through / {SCAPY}", round(ours / scapy, 1), "", ours, scapy)


if __name__ == "__main__":
    main()
