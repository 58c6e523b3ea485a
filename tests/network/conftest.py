from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mbtest import content
from mbtest.middlebox import Chain
from mbtest.network import privileges
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.timers import TimerHandle, Timers
from mbtest.network.topology import Family, Role, Topology, load_topology

IPPROTO_MPTCP = 262
SECOND = 1_000_000


@pytest.fixture(scope="session", autouse=True)
def _privileged() -> None:
    privileges.enter()


class JumpingClock:
    """A clock that stands still, and jumps from timer to timer when it is told to."""

    def __init__(self) -> None:
        self.now = 0
        self.timers = Timers()

    def call_at(self, when: int, callback: Callable[[], None]) -> TimerHandle:
        return self.timers.call_at(when, callback)

    def run_until(self, when: int) -> None:
        while (due := self.timers.next_at()) is not None and due <= when:
            self.now = max(self.now, due)
            self.timers.run_due(self.now)
        self.now = when


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def topology() -> Callable[[str], Topology]:
    return lambda name: load_topology(content.shipped() / "topologies" / f"{name}.toml")


@pytest.fixture
def write_topology(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


Build = Callable[..., NamespaceNetwork]


@pytest.fixture
def build(topology: Callable[[str], Topology]) -> Iterator[Build]:
    """Build a network that is taken down after the test."""
    networks: list[NamespaceNetwork] = []

    def make(
        name: str | Topology = "one-path",
        family: Family = "v4",
        chains: Mapping[str, Chain] | None = None,
        seed: int = 1,
        capture: bool = True,
        attached: frozenset[Role] = frozenset(),
    ) -> NamespaceNetwork:
        wanted = topology(name) if isinstance(name, str) else name
        network = NamespaceNetwork(wanted, family, chains or {}, seed, capture, attached)
        network.__enter__()
        networks.append(network)
        return network

    yield make
    for network in networks:
        network.__exit__(None, None, None)


class Transfer:
    """Bytes from the client to the server over one connection, on the network's own loop."""

    def __init__(
        self, network: NamespaceNetwork, data: bytes, protocol: int = IPPROTO_MPTCP, at: int = 0
    ) -> None:
        self.network, self.data, self.received = network, memoryview(data), bytearray()
        self.ended = False
        loop, server = network.loop, network.hosts["server"]
        target = server.interfaces[at]
        address = target.v4 if target.v4 is not None else target.v6
        family = socket.AF_INET if target.v4 is not None else socket.AF_INET6
        self.listener = server.socket(family, socket.SOCK_STREAM, protocol)
        self.listener.bind((str(address), 4000))
        self.listener.listen()
        self.sender = network.hosts["client"].socket(family, socket.SOCK_STREAM, protocol)
        self.sender.connect_ex((str(address), 4000))
        self.accepted: socket.socket | None = None
        loop.add_reader(self.listener, self._accept)
        loop.add_writer(self.sender, self._write)

    def _accept(self) -> None:
        self.accepted, _ = self.listener.accept()
        self.accepted.setblocking(False)
        self.network.loop.add_reader(self.accepted, self._read)

    def _write(self) -> None:
        self.data = self.data[self.sender.send(self.data[: 1 << 18]) :]
        if not self.data:
            self.network.loop.remove_writer(self.sender)
            self.sender.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        assert self.accepted is not None
        octets = self.accepted.recv(1 << 18)
        self.received += octets
        if not octets:
            self.ended = True
            self.network.loop.remove_reader(self.accepted)

    def run(self, seconds: float = 20) -> bytes:
        loop = self.network.loop
        try:
            assert loop.run(lambda: self.ended, loop.now + round(seconds * SECOND)), "the transfer is stuck"
        finally:
            loop.remove_reader(self.listener)
            for end in (self.listener, self.sender, self.accepted):
                if end is not None:
                    end.close()
        return bytes(self.received)


@pytest.fixture
def transfer() -> type[Transfer]:
    return Transfer
