"""A stack of a few lines, for networks: it sends segments at its own pace and answers what it receives."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import Random

from mbtest.network.contract import Network
from mbtest.network.topology import Role
from mbtest.wire import ACK, PSH, Segment, decode


class Chatter:
    """One end of a conversation: the client asks at random times, the server answers each segment."""

    def __init__(self, network: Network, role: Role, questions: int = 0) -> None:
        self.network, self.role = network, role
        self.random = Random(f"{network.seed}/{role}")
        self.received: list[tuple[int, Segment]] = []
        self.left = questions
        self.send = network.attach(role, self.receive)
        self.pending: list[Segment] = []
        network.loop.at_round_end(self.flush)
        if questions:
            network.loop.call_at(0, self.ask)

    def address(self, role: Role, at: int) -> IPv4Address | IPv6Address:
        interfaces = self.network.topology.interfaces(role)
        return interfaces[at % len(interfaces)].addresses(self.network.family)[0].ip

    def ask(self) -> None:
        source, destination = self.address("client", self.left), self.address("server", 0)
        payload = self.random.randbytes(self.random.randrange(1, 1400))
        self.pending.append(
            Segment.build(source, destination, 4000, 80, seq=self.left, flags=ACK | PSH, payload=payload)
        )
        self.left -= 1
        if self.left:
            loop = self.network.loop
            loop.call_at(loop.now + self.random.randrange(3_000), self.ask)

    def receive(self, raw: bytes) -> None:
        segment = decode(raw)
        assert isinstance(segment, Segment)
        self.received.append((self.network.loop.now, segment))
        if self.role == "server":
            self.pending.append(
                Segment.build(
                    segment.destination, segment.source, 80, 4000, seq=1, ack=segment.next_seq, flags=ACK
                )
            )

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        for segment in pending:
            name = next(
                interface.name
                for interface in self.network.topology.interfaces(self.role)
                if segment.source in [address.ip for address in interface.addresses(self.network.family)]
            )
            self.send[name](segment.raw)
