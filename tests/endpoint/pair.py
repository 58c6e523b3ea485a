"""Two endpoints on a wire in memory, in virtual time; and one endpoint against a peer played by hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from itertools import count
from random import Random

from mbtest.endpoint import Configuration, Connection, Endpoint, Subflow
from mbtest.wire import ACK, FIN, PSH, RST, SYN, Segment, TcpOption

CLIENT, SERVER = 0, 1
PORT = 80
MILLISECOND, SECOND = 1_000, 1_000_000
HOSTS = {
    4: (ip_address("192.0.2.1"), ip_address("198.51.100.1")),
    6: (ip_address("2001:db8:1::1"), ip_address("2001:db8:2::1")),
}
FURTHER = ip_address("192.0.2.2")
"""The client's second IPv4 address."""

Hook = Callable[[Segment, int], Iterable[Segment]]
"""Is given each segment and who sent it, and returns what goes on, in order."""


class Chance(Random):
    """Randomness whose ports can be chosen, so that two connections can have one four-tuple."""

    port = 50_000

    def randint(self, a: int, b: int) -> int:
        self.port += 1
        return self.port - 1


class Application:
    """Writes what it has, ends its stream, and reads all that comes, unless it is told not to."""

    def __init__(self, connection: Connection, data: bytes = b"", *, ends: bool = True) -> None:
        self.connection = connection
        self.data = memoryview(data)
        self.ends = ends
        self.reads = True
        self.got = bytearray()
        self.ended = False
        self._shut = False

    def write(self, data: bytes) -> None:
        self.data = memoryview(bytes(self.data) + data)

    def step(self, now: int) -> None:
        connection = self.connection
        if self.data:
            self.data = self.data[connection.send(self.data, now) :]
        if connection.established and not self.data and self.ends and not self._shut:
            self._shut = True
            connection.shutdown(now)
        while self.reads and (octets := connection.receive(1 << 20, now)) is not None:
            self.got += octets
            if not octets:
                self.ended = True
                return


class Pair:
    """A client and a server. `hook` sees every segment on its way; `run` lets time pass."""

    def __init__(
        self,
        client: dict[str, object] | None = None,
        server: dict[str, object] | None = None,
        *,
        family: int = 4,
        delay: int = 5 * MILLISECOND,
        seed: int = 1,
    ) -> None:
        here, there = HOSTS[family]
        own = [here, FURTHER] if family == 4 else [here]
        self.delay = delay
        self.endpoints = (
            Endpoint(Configuration(**(client or {})), own, Chance(f"{seed} client")),
            Endpoint(Configuration(**(server or {})), [there], Chance(f"{seed} server")),
        )
        self.there = there
        self.now = 0
        self.hook: Hook = lambda segment, sender: (segment,)
        self.log: list[tuple[int, int, Segment]] = []
        """(time, sender, segment) of all that was sent, before the hook."""
        self.applications: list[Application] = []
        self.endpoints[SERVER].listen(PORT)
        self._wire: list[tuple[int, int, int, bytes]] = []
        self._order = count()

    def connect(
        self, data: bytes = b"", back: bytes = b"", *, ends: bool = True
    ) -> tuple[Application, Application]:
        """Open a connection and return both ends, established; `data` and `back` are on their way."""
        client = self.endpoints[CLIENT].connect(self.there, PORT, self.now)
        assert self.run(lambda: client.established)
        accepted: list[Connection] = []

        def is_accepted() -> bool:
            connection = self.endpoints[SERVER].accept(PORT)
            accepted.extend(() if connection is None else (connection,))
            return bool(accepted)

        assert self.run(is_accepted)
        ends_of = (Application(client, data, ends=ends), Application(accepted[0], back, ends=ends))
        self.applications += ends_of
        return ends_of

    def put(self, segment: Segment, sender: int, delay: int | None = None) -> None:
        """Have a segment arrive at the other side, past the hook."""
        at = self.now + (self.delay if delay is None else delay)
        heapq.heappush(self._wire, (at, next(self._order), 1 - sender, segment.raw))

    def run(self, until: Callable[[], bool] = lambda: False, seconds: float = 60) -> bool:
        """Let time pass until something holds, or nothing is left to happen; return whether it holds."""
        limit = self.now + int(seconds * SECOND)
        while True:
            self._act()
            if until():
                return True
            due = [at for endpoint in self.endpoints if (at := endpoint.next_timer()) is not None]
            due += [self._wire[0][0]] if self._wire else []
            if not due or min(due) > limit:
                self.now = limit
                return until()
            assert min(due) >= self.now, "a timer in the past"
            self.now = min(due)
            while self._wire and self._wire[0][0] <= self.now:
                _, _, receiver, raw = heapq.heappop(self._wire)
                self.endpoints[receiver].receive(raw, self.now)
            for endpoint in self.endpoints:
                if (at := endpoint.next_timer()) is not None and at <= self.now:
                    endpoint.handle_timer(self.now)

    def _act(self) -> None:
        for application in self.applications:
            application.step(self.now)
        for sender, endpoint in enumerate(self.endpoints):
            for segment in endpoint.packets_to_send(self.now):
                self.log.append((self.now, sender, segment))
                for out in self.hook(segment, sender):
                    self.put(out, sender)

    def sent(self, sender: int, flags: int = 0, since: int = 0) -> list[Segment]:
        """Return what one side sent with all of these flags, from a time on."""
        return [
            segment
            for at, who, segment in self.log
            if who == sender and at >= since and segment.flags & flags == flags
        ]


def delivers(pair: Pair, first: bytes, second: bytes = b"", seconds: float = 60) -> bool:
    """Whether what both sides of a new connection write arrives, and both streams end in good order."""
    client, server = pair.connect(first, second)
    pair.run(lambda: client.ended and server.ended, seconds)
    assert (client.connection.error, server.connection.error) == (None, None)
    assert (bytes(server.got), bytes(client.got)) == (first, second)
    return client.ended and server.ended


class ByHand:
    """An endpoint whose peer is the test: segments by offsets from both initial sequence numbers."""

    iss = 1_000_000
    """Of the peer, that is of the test."""

    def __init__(self, *, listens: bool = True, family: int = 4, **settings: object) -> None:
        self.peer, self.own = HOSTS[family]
        self.endpoint = Endpoint(Configuration(**{"mptcp": False, **settings}), [self.own], Chance(7))
        self.now = 0
        self.own_iss = 0
        self.port, self.peer_port = PORT, 4_321
        self.connection: Connection | None = None
        if listens:
            self.endpoint.listen(PORT)

    # -- what the peer says --

    def say(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        payload: bytes = b"",
        *,
        options: Iterable[TcpOption] = (),
        window: int = 65_535,
        urgent: int = 0,
    ) -> list[Segment]:
        """Send a segment at these offsets; return the answers."""
        segment = Segment.build(
            self.peer, self.own, self.peer_port, self.port, seq=self.iss + seq,
            ack=self.own_iss + ack if flags & ACK else ack, flags=flags, window=window, options=options,
            payload=payload, urgent=urgent,
        )  # fmt: skip
        self.endpoint.receive(segment.raw, self.now)
        return self.answers()

    def answers(self) -> list[Segment]:
        """Return what the endpoint sends now."""
        return self.endpoint.packets_to_send(self.now)

    def wait(self, microseconds: int) -> list[Segment]:
        """Let time pass; return what the endpoint sends in it."""
        limit, sent = self.now + microseconds, self.answers()
        while (due := self.endpoint.next_timer()) is not None and due <= limit:
            self.now = max(due, self.now)
            self.endpoint.handle_timer(self.now)
            sent += self.answers()
        self.now = limit
        return sent

    def seq(self, segment: Segment) -> int:
        """Return the offset of a segment of the endpoint's."""
        return (int(segment.seq) - self.own_iss) & 0xFFFF_FFFF

    def ack(self, segment: Segment) -> int:
        """Return the offset in the peer's own space that a segment acknowledges."""
        return (int(segment.ack) - self.iss) & 0xFFFF_FFFF

    # -- openings --

    def accept(self, *options: TcpOption, window: int = 65_535) -> Connection:
        """Open a connection to the endpoint, and return the endpoint's side of it."""
        (answer,) = self.say(SYN, 0, options=options, window=window)
        assert answer.flags == SYN | ACK
        self.own_iss = int(answer.seq)
        assert self.say(ACK, 1, 1, window=window) == []
        connection = self.endpoint.accept(PORT)
        assert connection is not None
        self.connection = connection
        return connection

    def connect(self) -> Segment:
        """Have the endpoint open a connection, and return its SYN."""
        self.connection = self.endpoint.connect(self.peer, self.peer_port, self.now)
        (syn,) = self.answers()
        assert syn.flags == SYN
        self.own_iss, self.port = int(syn.seq), syn.source_port
        return syn

    def establish(self, *options: TcpOption, window: int = 65_535) -> Connection:
        """As `connect`, up to the end of the handshake."""
        self.connect()
        (third,) = self.say(SYN | ACK, 0, 1, options=options, window=window)
        assert third.flags == ACK
        assert self.connection is not None
        return self.connection

    @property
    def subflow(self) -> Subflow:
        """The endpoint's one subflow."""
        assert self.connection is not None
        return self.connection.subflows[0]

    def write(self, data: bytes) -> list[Segment]:
        """Have the endpoint's application write; return what is sent."""
        assert self.connection is not None
        assert self.connection.send(data, self.now) == len(data)
        return self.answers()

    def read(self) -> bytes | None:
        """Return what the endpoint's application reads."""
        assert self.connection is not None
        return self.connection.receive(1 << 20, self.now)


__all__ = [
    "ACK", "CLIENT", "FIN", "FURTHER", "HOSTS", "MILLISECOND", "PORT", "PSH", "RST", "SECOND", "SERVER",
    "SYN", "Application", "ByHand", "Hook", "Pair", "delivers",
]  # fmt: skip
