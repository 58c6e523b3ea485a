"""A bench for boxes: a virtual clock, a line that holds a chain, and pairs of hosts that talk through it.

The hosts are a small TCP without options but SACK: they cut their streams anew with every transmission,
and the wires around the boxes lose, double and reorder until the run says enough. Each host checks what
a kernel would object to: acknowledgments of what was never sent, octets that change, a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from mbtest.middlebox import Chain, Direction, Middlebox
from mbtest.network.timers import TimerHandle, Timers
from mbtest.wire import ACK, FIN, PSH, SYN, Packet, Sack, Segment, Seq32, TcpOption

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT
CLIENT, SERVER = {4: "192.0.2.1", 6: "2001:db8::1"}, {4: "192.0.2.2", 6: "2001:db8::2"}


class VirtualClock:
    """A clock that jumps."""

    def __init__(self) -> None:
        self.now = 0
        self._timers = Timers()

    def call_at(self, when: int, callback: Callable[[], None]) -> TimerHandle:
        return self._timers.call_at(when, callback)

    def advance(self, by: int) -> None:
        end = self.now + by
        while (due := self._timers.next_at()) is not None and due <= end:
            self.now = max(self.now, due)
            self._timers.run_due(self.now)
        self.now = end

    def __len__(self) -> int:
        return len(self._timers)


class Line:
    """A chain of boxes on one path, and what left it."""

    def __init__(self, *boxes: Middlebox, seed: int = 0, path: str = "path", index: int = 0) -> None:
        self.clock = VirtualClock()
        self.chain = Chain(boxes, path, index)
        self.out: list[tuple[Packet, Direction]] = []
        self.connections: dict[int, Connection] = {}
        """By the server's port."""
        self.chain.attach(self.clock, Random(seed), path, lambda packet, way: self.out.append((packet, way)))

    def put(self, packet: Packet, direction: Direction = TO_SERVER) -> list[Segment]:
        """Put a packet in; return the segments that leave in its direction at once."""
        before = len(self.out)
        self.out += [(packet, direction) for packet in self.chain.forward(packet, direction)]
        return segments(self.out[before:], direction)

    def wait(self, microseconds: int) -> list[Segment]:
        """Let time pass; return the segments that leave meanwhile."""
        before = len(self.out)
        self.clock.advance(microseconds)
        return segments(self.out[before:])


def converse(connections: Sequence[Connection], random: Random, trouble: float, rounds: int = 6) -> None:
    """Have connections of one line talk in turns, in trouble at first, until all is said."""
    for connection in connections:
        connection.open()
    for _ in range(rounds):
        random.choice(connections).round(trouble, window=random.randint(1, 8))
    for connection in connections:
        connection.finish()


def talk(
    *boxes: Middlebox,
    seed: int,
    trouble: float = 0.0,
    count: int = 2,
    moved: Callable[[int], int] = lambda offset: offset,
) -> list[Connection]:
    """Have `count` connections with streams of chance talk through the boxes, and return them.

    moved: where an octet of a sender's stream stands in the receiver's.
    """
    random = Random(seed)
    line = Line(*boxes, seed=seed)
    starts = (2**32 - 3, 2**32 - 500, random.getrandbits(32))
    connections = [
        Connection(
            line,
            random.randbytes(random.randint(0, 1500)),
            random.randbytes(random.randint(0, 800)),
            random,
            isns=(random.choice(starts), random.choice(starts)),
            ports=(40000 + number, 80 + number),
            version=random.choice((4, 6)),
            wait=random.choice((0, 10_000)),
        )
        for number in range(count)
    ]
    for connection in connections:
        connection.client.moved = connection.server.moved = moved
    converse(connections, random, trouble)
    return connections


def segments(
    packets: Iterable[tuple[Packet, Direction]], direction: Direction | None = None
) -> list[Segment]:
    return [
        packet
        for packet, way in packets
        if isinstance(packet, Segment) and (direction is None or direction is way)
    ]


def segment(
    seq: int = 0,
    payload: bytes = b"",
    flags: int = ACK,
    ack: int = 0,
    options: Iterable[TcpOption] = (),
    direction: Direction = TO_SERVER,
    ports: tuple[int, int] = (40000, 80),
    version: int = 4,
    **more: int,
) -> Segment:
    """Return a segment between the client and the server. ports: the client's and the server's."""
    ends = [(CLIENT[version], ports[0]), (SERVER[version], ports[1])]
    (source, source_port), (destination, destination_port) = (
        ends if direction is TO_SERVER else reversed(ends)
    )
    return Segment.build(
        source,
        destination,
        source_port,
        destination_port,
        seq=seq,
        ack=ack,
        flags=flags,
        options=options,
        payload=payload,
        **more,
    )


class Host:
    """One end of one connection."""

    def __init__(self, stream: bytes, isn: int, ends: tuple[str, int, str, int], random: Random) -> None:
        self.stream = stream
        self.isn = Seq32(isn)
        self.ends = ends
        self.random = random
        self.peer_isn: Seq32 | None = None
        self.acked = 0
        """Octets of the stream that the peer has, and its FIN."""
        self.sent = 0
        self.received = bytearray()
        self.beyond: dict[int, bytes] = {}
        """Data behind a hole, by its offset."""
        self.finished = False
        self.peer: Host = self
        self.moved: Callable[[int], int] = lambda offset: offset
        """Where an octet of this stream stands in what the peer receives."""

    def segment(self, offset: int, payload: bytes = b"", flags: int = ACK) -> Segment:
        number = self.isn + 1 + offset - bool(flags & SYN)
        options = [Sack(tuple(self._blocks()))] if self.beyond else []
        ack = 0
        if self.peer_isn is not None:
            ack = self.peer_isn + 1 + len(self.received) + self.finished
        address, port, remote, remote_port = self.ends
        return Segment.build(
            address,
            remote,
            port,
            remote_port,
            seq=number,
            ack=ack,
            flags=flags,
            payload=payload,
            options=options,
        )

    def _blocks(self) -> Iterator[tuple[int, int]]:
        assert self.peer_isn is not None
        for offset, data in sorted(self.beyond.items())[:4]:
            left = self.peer_isn + 1 + offset
            yield left, left + len(data)

    def emit(self, window: int, most: int) -> list[Segment]:
        """Return what is not acknowledged, cut anew, and where the host stands."""
        at, end = self.acked, len(self.stream)
        out: list[Segment] = []
        while at < end and len(out) < window:
            data = self.stream[at : at + self.random.randint(1, most)]
            last = at + len(data) == end and self.random.random() < 0.5
            flags = ACK | (PSH if self.random.random() < 0.3 else 0) | (FIN if last else 0)
            out.append(self.segment(at, data, flags))
            at += len(data)
            self.sent = max(self.sent, at + last)
        if at == end:
            out.append(self.segment(end, flags=ACK | FIN))
            self.sent = end + 1
        return [*out, self.segment(self.sent)]

    def receive(self, segment: Segment) -> None:
        assert segment.checksum_is_right()
        if segment.syn:
            assert self.peer_isn in (None, segment.seq), "another initial sequence number"
            self.peer_isn = segment.seq
        if segment.has_ack:
            self._take_ack(segment)
        if self.peer_isn is None or segment.syn:
            return
        start = len(self.received) + (segment.seq - (self.peer_isn + 1 + len(self.received)))
        self._take_data(start, segment.payload)
        if segment.fin and start + segment.payload_length == len(self.received):
            self.finished = True

    def _take_ack(self, segment: Segment) -> None:
        acked = self.acked + (segment.ack - (self.isn + 1 + self.acked))
        assert acked <= self.sent, f"acknowledged {acked}, sent {self.sent}"
        self.acked = max(self.acked, acked)
        sack = segment.option(Sack)
        for left, right in sack.blocks if sack else ():
            low, high = (self.acked + (Seq32(edge) - (self.isn + 1 + self.acked)) for edge in (left, right))
            assert 0 <= low < high <= self.sent, f"SACK of {low} to {high}, sent {self.sent}"
            assert self.peer.has(self.moved(low), self.moved(high)), f"SACK of {low} to {high} is a lie"

    def has(self, low: int, high: int) -> bool:
        """Whether all octets from `low` to `high` came in."""
        held = {at for start, data in self.beyond.items() for at in range(start, start + len(data))}
        return all(at < len(self.received) + self.finished or at in held for at in range(low, high))

    def _take_data(self, start: int, data: bytes) -> None:
        have = self.received[max(start, 0) : start + len(data)]
        assert data[max(-start, 0) :][: len(have)] == have, f"octets at {start} are others than before"
        if start <= len(self.received) < start + len(data):
            self.received += data[len(self.received) - start :]
        elif data and start > len(self.received):
            kept = self.beyond.get(start, b"")
            assert data.startswith(kept) or kept.startswith(data), f"octets at {start} are others than before"
            self.beyond[start] = max(data, kept, key=len)
        offset = min(self.beyond, default=None)
        if offset is not None and offset <= len(self.received):
            self._take_data(offset, self.beyond.pop(offset))

    @property
    def done(self) -> bool:
        return self.finished and self.acked == len(self.stream) + 1


class Connection:
    """A client and a server; the client opens."""

    def __init__(
        self,
        line: Line,
        upload: bytes,
        download: bytes,
        random: Random,
        isns: tuple[int, int],
        ports: tuple[int, int] = (40000, 80),
        version: int = 4,
        wait: int = 1000,
    ) -> None:
        line.connections[ports[1]] = self
        self.line, self.random, self.wait = line, random, wait
        ends = (CLIENT[version], ports[0], SERVER[version], ports[1])
        self.client = Host(upload, isns[0], ends, random)
        self.server = Host(download, isns[1], ends[2:] + ends[:2], random)
        self.client.peer, self.server.peer = self.server, self.client
        self.outside: tuple[str, int] | None = None
        """Where the server sees the client."""

    def open(self) -> None:
        self._carry([self.client.segment(0, flags=SYN)], TO_SERVER)
        self._carry([self.server.segment(0, flags=SYN | ACK)], TO_CLIENT)
        self._carry([self.client.segment(0)], TO_SERVER)

    def round(self, trouble: float = 0.0, window: int = 8, most: int = 100) -> None:
        """Have both hosts send what they owe, through wires that lose, double and reorder."""
        self._carry(self._disturbed(self.client.emit(window, most), trouble), TO_SERVER, trouble)
        self._carry(self._disturbed(self.server.emit(window, most), trouble), TO_CLIENT, trouble)

    def finish(self, rounds: int = 200) -> None:
        """Go on over perfect wires until both have all; fail where they never do."""
        for _ in range(rounds):
            if self.client.done and self.server.done:
                return
            self.round()
        raise AssertionError(f"client has {self.client.acked} acknowledged, server {self.server.acked}")

    def _disturbed(self, packets: Sequence[Segment], trouble: float) -> list[Segment]:
        kept = []
        for packet in packets:
            copies = self.random.choice((0, 0, 2)) if self.random.random() < trouble else 1
            kept += [packet] * copies
        if self.random.random() < trouble:
            self.random.shuffle(kept)
        return kept

    def _carry(self, packets: Iterable[Segment], direction: Direction, trouble: float = 0.0) -> None:
        before = len(self.line.out)
        for packet in packets:
            self.line.put(packet, direction)
        self.line.clock.advance(self.wait)
        came = self.line.out[before:]
        for way in (TO_SERVER, TO_CLIENT):
            for packet in self._disturbed(segments(came, way), trouble):
                port = packet.destination_port if way is TO_SERVER else packet.source_port
                self.line.connections[port].deliver(packet, way)

    def deliver(self, segment: Segment, direction: Direction) -> None:
        source = str(segment.source), segment.source_port
        if direction is TO_SERVER:
            assert (str(segment.destination), segment.destination_port) == self.server.ends[:2]
            assert self.outside in (None, source), "the client turned into another"
            self.outside = source
            self.server.ends = self.server.ends[:2] + source
            self.server.receive(segment)
        else:
            assert (str(segment.destination), segment.destination_port) == self.client.ends[:2]
            assert source == self.client.ends[2:]
            self.client.receive(segment)
