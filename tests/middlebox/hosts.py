"""Two hosts with a TCP of their own, MPTCP at that, and boxes between them, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from random import Random

from mbtest.endpoint import Configuration, Connection, Endpoint
from mbtest.middlebox import MILLISECOND, SECOND, Chain, Direction, Middlebox
from mbtest.network.virtual import VirtualLoop
from mbtest.wire import Packet, Segment
from tests.endpoint.pair import Application
from tests.middlebox.bench import CLIENT, SERVER, TO_CLIENT, TO_SERVER

PORT = 80


class Hosts:
    """A client and a server that listens on port 80 of its address."""

    def __init__(self, *boxes: Middlebox, version: int = 4, seed: int = 1, listens: bool = True) -> None:
        self.loop = VirtualLoop()
        self.chain = Chain(boxes, "path", 0)
        self.chain.attach(self.loop, Random(seed), "path", self._deliver)
        configuration = Configuration()
        self.address = ip_address(SERVER[version])
        self.client = Endpoint(configuration, [ip_address(CLIENT[version])], Random(f"{seed} client"))
        self.server = Endpoint(configuration, [self.address], Random(f"{seed} server"))
        self.arrived: dict[Direction, list[Segment]] = {TO_SERVER: [], TO_CLIENT: []}
        """What reached the server, and the client."""
        self.accepted: list[Application] = []
        self._applications: list[Application] = []
        self._answer = b""
        self.loses: Callable[[Packet], bool] = lambda packet: False
        """Whether the wire behind the boxes loses a packet."""
        self._listens = listens
        if listens:
            self.server.listen(PORT)
        self.loop.at_round_end(self._act)

    def connect(self, data: bytes = b"", answer: bytes = b"", *, ends: bool = True) -> Application:
        """Open a connection on which the client writes `data` and the server `answer`; return its client."""
        self._answer = answer
        connection = self.client.connect(self.address, PORT, self.loop.now)
        return self._host(connection, data, ends)

    def run(self, until: Callable[[], bool], seconds: float = 60) -> bool:
        """Let time pass until something holds; return whether it does."""
        self.loop.call_at(self.loop.now, lambda: None)
        return self.loop.run(until, self.loop.now + int(seconds * SECOND))

    def talk(self, data: bytes, answer: bytes) -> tuple[Application, Application]:
        """Have both streams carried to their ends, and return both sides."""
        client = self.connect(data, answer)
        assert self.run(lambda: client.ended and bool(self.accepted) and self.accepted[-1].ended)
        return client, self.accepted[-1]

    def _host(self, connection: Connection, data: bytes, ends: bool) -> Application:
        application = Application(connection, data, ends=ends)
        self._applications.append(application)
        return application

    def _act(self) -> None:
        now = self.loop.now
        while self._listens and (connection := self.server.accept(PORT)) is not None:
            self.accepted.append(self._host(connection, self._answer, ends=True))
        for endpoint, way in ((self.client, TO_SERVER), (self.server, TO_CLIENT)):
            if (due := endpoint.next_timer()) is not None and due <= now:
                endpoint.handle_timer(now)
            for application in self._applications:
                application.step(now)
            for segment in endpoint.packets_to_send(now):
                for out in self.chain.forward(segment, way):
                    self._deliver(out, way)
            if (due := endpoint.next_timer()) is not None:
                self.loop.call_at(due, lambda: None)

    def _deliver(self, packet: Packet, way: Direction) -> None:
        if self.loses(packet):
            return
        if isinstance(packet, Segment):
            self.arrived[way].append(packet)
        endpoint = self.server if way is TO_SERVER else self.client
        self.loop.call_at(self.loop.now + MILLISECOND, lambda: endpoint.receive(packet.raw, self.loop.now))
