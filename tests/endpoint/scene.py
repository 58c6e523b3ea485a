"""A scene: two endpoints on a wire in memory, with virtual time, delays by path, and boxes on the way.

The applications write what `Host.write` was given, shut down where `Host.finish` was called, and read all
that comes. A box is a function: it takes a segment and the side that sent it, and returns what goes on.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable
from ipaddress import ip_address
from random import Random
from typing import Any, NamedTuple, TypeVar

from mbtest.endpoint import Configuration, Connection, Endpoint, Event, Kind, Subflow
from mbtest.wire import Address, Dss, MptcpOption, Segment, TcpOption

Option = TypeVar("Option", bound=TcpOption)

A1, A2, A3 = (ip_address(f"10.0.{path}.1") for path in range(3))
"""The client's addresses."""
B1, B2, B3 = (ip_address(f"10.9.{path}.1") for path in range(3))
"""The server's."""
PORT = 80
MILLISECOND, SECOND = 1_000, 1_000_000
KIB = 1024
MASK_32, MASK_64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class Side(enum.Enum):
    CLIENT = "client"
    SERVER = "server"


CLIENT, SERVER = Side.CLIENT, Side.SERVER
Box = Callable[[Segment, Side], Segment | list[Segment] | None]
When = Callable[[Segment, Side], bool]


class Sent(NamedTuple):
    """A segment as it left its endpoint."""

    time: int
    side: Side
    segment: Segment


class Host:
    """An endpoint and the application on it."""

    def __init__(self, configuration: dict[str, Any], addresses: list[Address], seed: str) -> None:
        self.endpoint = Endpoint(Configuration(**configuration), addresses, Random(seed))
        self.made: Connection | None = None
        self.got = bytearray()
        self.ended = False
        self.reads = True
        self.events: list[Event] = []
        self._pending = bytearray()
        self._finishes = False

    @property
    def connection(self) -> Connection:
        assert self.made is not None
        return self.made

    @property
    def subflows(self) -> list[Subflow]:
        return self.connection.subflows

    def write(self, octets: bytes) -> None:
        self._pending += octets

    def finish(self) -> None:
        """Shut down once all that was written is handed over."""
        self._finishes = True

    def pump(self, now: int) -> None:
        connection = self.made
        if connection is None:
            return
        if self._pending:
            taken = connection.send(bytes(self._pending), now)
            del self._pending[:taken]
        if self._finishes and not self._pending and connection.established:
            connection.shutdown(now)
            self._finishes = False
        while self.reads and (octets := connection.receive(1 << 20, now)) is not None:
            if not octets:
                self.ended = True
                break
            self.got += octets

    def heard(self, kind: Kind, words: str = "") -> list[Event]:
        """Return the events of a kind whose words contain these."""
        self.events += self.endpoint.events()
        return [event for event in self.events if event.kind is kind and words in event.words]


class Scene:
    """A client and a server, and what is between them."""

    def __init__(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, *, seed: int = 1
    ) -> None:
        """Set both up; nothing is sent before `connect`."""
        self.now = 0
        self.client = Host(client or {}, [A1, A2, A3], f"{seed} client")
        self.server = Host(server or {}, [B1, B2, B3], f"{seed} server")
        self.server.endpoint.listen(PORT)
        self.delay = 5 * MILLISECOND
        """One way."""
        self.delays: dict[Address, int] = {}
        """One way, for segments from or to an address."""
        self.boxes: list[Box] = []
        self.log: list[Sent] = []
        self.arrived: list[Sent] = []
        """What reached the other side; its side is the sender's."""
        self._wire: list[tuple[int, int, Side, Segment]] = []
        self._count = 0

    def host(self, side: Side) -> Host:
        return self.client if side is CLIENT else self.server

    # -- Time ---------------------------------------------------------------------------------------

    def run(self, duration: int = SECOND, until: Callable[[], object] | None = None) -> Scene:
        """Let time pass: all of the duration, or until something holds, which it has to by then."""
        end, spins = self.now + duration, 0
        while True:
            self._step()
            if until is not None and until():
                return self
            due = [self._wire[0][0]] if self._wire else []
            due += [
                at for side in (CLIENT, SERVER) if (at := self.host(side).endpoint.next_timer()) is not None
            ]
            following = min(due, default=end + 1)
            spins = spins + 1 if following <= self.now else 0
            assert spins < 10_000, f"nothing but timers at {self.now}"
            if following > end:
                break
            self.now = max(self.now, following)
            self._deliver()
        self.now = end
        assert until is None, "it did not happen\n" + self.story()
        return self

    def _step(self) -> None:
        server = self.server
        if server.made is None:
            server.made = server.endpoint.accept(PORT)
        for side in (CLIENT, SERVER):
            host = self.host(side)
            host.pump(self.now)
            for segment in host.endpoint.packets_to_send(self.now):
                self.log.append(Sent(self.now, side, segment))
                self.inject(segment, side)
            host.events += host.endpoint.events()

    def _deliver(self) -> None:
        while self._wire and self._wire[0][0] <= self.now:
            _, _, side, segment = heapq.heappop(self._wire)
            self.arrived.append(Sent(self.now, side, segment))
            self.host(SERVER if side is CLIENT else CLIENT).endpoint.receive(segment.raw, self.now)
        for side in (CLIENT, SERVER):
            endpoint = self.host(side).endpoint
            if (at := endpoint.next_timer()) is not None and at <= self.now:
                endpoint.handle_timer(self.now)

    def inject(self, segment: Segment, side: Side) -> None:
        """Put a segment on the wire as if `side` had sent it; it passes the boxes."""
        segments = [segment]
        for box in self.boxes:
            passed: list[Segment] = []
            for before in segments:
                after = box(before, side)
                passed += [] if after is None else after if isinstance(after, list) else [after]
            segments = passed
        for on in segments:
            own, other = on.source, on.destination
            delay = self.delays.get(own, self.delays.get(other, self.delay))
            self._count += 1
            heapq.heappush(self._wire, (self.now + delay, self._count, side, on))

    # -- Usual courses --------------------------------------------------------------------------------

    def connect(self) -> Scene:
        """Open a connection and wait until both sides have it."""
        self.client.made = self.client.endpoint.connect(B1, PORT, self.now)
        return self.run(
            30 * SECOND,
            until=lambda: (
                self.client.connection.established
                and self.server.made is not None
                and self.server.connection.established
            ),
        )

    def exchange(self, up: int = 2 * KIB, down: int = 2 * KIB, duration: int = 60 * SECOND) -> Scene:
        """Have both sides send that many octets more, and wait until they are there and are as written."""
        client, server = self.client, self.server
        if client.made is None:
            self.connect()
        there, back = octets(up, len(server.got)), octets(down, len(client.got))
        expected_up, expected_down = bytes(server.got) + there, bytes(client.got) + back
        client.write(there)
        server.write(back)
        self.run(
            duration,
            until=lambda: len(server.got) >= len(expected_up) and len(client.got) >= len(expected_down),
        )
        assert (bytes(server.got) == expected_up, bytes(client.got) == expected_down) == (True, True)
        return self

    def joined(self, up: int = KIB, down: int = KIB) -> Scene:
        """Exchange some data and wait until both sides can use a second subflow."""
        self.exchange(up, down)
        return self.run(
            10 * SECOND,
            until=lambda: all(len(host.connection.usable()) > 1 for host in (self.client, self.server)),
        )

    def close(self) -> Scene:
        """Have both sides finish, and wait until both know of both ends."""
        self.client.finish()
        self.server.finish()
        return self.run(30 * SECOND, until=lambda: self.client.ended and self.server.ended)

    # -- Looking back ---------------------------------------------------------------------------------

    def sent(
        self, side: Side, *forms: type[TcpOption], since: int = 0, address: Address | None = None
    ) -> list[Segment]:
        """Return the segments that a side sent with options of all these forms."""
        return [
            entry.segment
            for entry in self.log
            if entry.side is side
            and entry.time >= since
            and (address is None or address in (entry.segment.source, entry.segment.destination))
            and all(entry.segment.option(form) is not None for form in forms)
        ]

    def options(
        self, side: Side, form: type[Option], *, since: int = 0, address: Address | None = None
    ) -> list[Option]:
        """Return the options of a form that a side sent."""
        segments = self.sent(side, form, since=since, address=address)
        return [option for segment in segments for option in segment.options if isinstance(option, form)]

    def story(self) -> str:
        """Return the last events of both sides, for a failed test."""
        lines = [f"client {event.describe()}" for event in self.client.events]
        lines += [f"server {event.describe()}" for event in self.server.events]
        return "\n".join(sorted(lines, key=lambda line: line.split()[1])[-60:])


def octets(count: int, start: int = 0) -> bytes:
    """Return `count` octets that tell their place in a stream, the first at offset `start`."""
    first = start >> 2
    words = b"".join((first + at).to_bytes(4, "big") for at in range((count >> 2) + 2))
    return words[start & 3 :][:count]


# -- Boxes ----------------------------------------------------------------------------------------------


def always(segment: Segment, side: Side) -> bool:
    return True


def drop(when: When, times: int = 1 << 30) -> Box:
    """Drop the first so many segments for which something holds."""
    left = [times]

    def box(segment: Segment, side: Side) -> Segment | None:
        if left[0] > 0 and when(segment, side):
            left[0] -= 1
            return None
        return segment

    return box


def strip(*forms: type[TcpOption], when: When = always, times: int = 1 << 30) -> Box:
    """Take options of these forms, all of MPTCP's if none is named, from the first so many segments."""
    left = [times]

    def box(segment: Segment, side: Side) -> Segment:
        if left[0] > 0 and when(segment, side):
            left[0] -= 1
            return segment.without_options(*(forms or (MptcpOption,)))
        return segment

    return box


def change(form: type[Option], how: Callable[[Option], TcpOption], when: When = always) -> Box:
    """Put another option in the place of each one of a form."""

    def box(segment: Segment, side: Side) -> Segment:
        if segment.option(form) is None or not when(segment, side):
            return segment
        return segment.replace(
            options=[how(option) if isinstance(option, form) else option for option in segment.options]
        )

    return box


def corrupt(when: When, at: int = 1, times: int = 1) -> Box:
    """Change an octet of the payload of the `at`th segment for which something holds, and of its copies."""
    seen: list[int] = []

    def box(segment: Segment, side: Side) -> Segment:
        if not segment.payload_length or not when(segment, side):
            return segment
        number = int(segment.seq)
        if number not in seen:
            seen.append(number)
        if not at <= seen.index(number) + 1 < at + times:
            return segment
        return segment.replace(payload=segment.payload[:-1] + bytes((segment.payload[-1] ^ 0x55,)))

    return box


def through(address: Address, when: When = always) -> When:
    """Hold for segments from or to an address."""
    return lambda segment, side: address in (segment.source, segment.destination) and when(segment, side)


def by(sender: Side, when: When = always) -> When:
    """Hold for what a side sent."""
    return lambda segment, side: side is sender and when(segment, side)


def has(*forms: type[TcpOption]) -> When:
    """Hold for segments with all of these options."""
    return lambda segment, side: all(segment.option(form) is not None for form in forms)


def with_data(segment: Segment, side: Side) -> bool:
    return segment.payload_length > 0


def is_third_ack(segment: Segment, side: Side) -> bool:
    """Whether this is a pure ACK of the client's; the first of them is the third of the handshake."""
    return side is CLIENT and not segment.syn and not segment.rst and not segment.payload_length


def is_data_fin(segment: Segment, side: Side) -> bool:
    option = segment.option(Dss)
    return option is not None and option.data_fin
