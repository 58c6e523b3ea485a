"""The endpoint: a host's TCP and MPTCP, without sockets, clocks or chance of its own.

Packets come in by `receive` and are fetched with `packets_to_send`; `next_timer` says when `handle_timer` has
to be called; `events` tells what happened. All times are microseconds on the clock of the run.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from random import Random

from mbtest.endpoint import arrival, handshake, icmp
from mbtest.endpoint.configuration import Address, Configuration
from mbtest.endpoint.congestion import CONGESTION
from mbtest.endpoint.connection import Connection
from mbtest.endpoint.events import Event, Kind
from mbtest.endpoint.path_managers import PATH_MANAGERS
from mbtest.endpoint.profiles import Carrier
from mbtest.endpoint.schedulers import SCHEDULERS
from mbtest.endpoint.states import Mode, Tcp, TcpEvent
from mbtest.endpoint.subflow import HANDSHAKE, Subflow
from mbtest.errors import LocalProtocolError
from mbtest.wire.errors import WireError
from mbtest.wire.fragments import Defragmenter
from mbtest.wire.ip import FRAGMENT, Packet
from mbtest.wire.keys import token
from mbtest.wire.mptcp import MpJoin, MpJoinSyn, MpTcprst, Reason
from mbtest.wire.packet import Segment, decode

Flow = tuple[bytes, bytes]
FIRST_PORT, LAST_PORT = 49_152, 65_535
"""The ephemeral ports (RFC 6335 §6)."""


class Endpoint:
    """A host with addresses, listeners and connections."""

    def __init__(self, configuration: Configuration, addresses: Sequence[Address], random: Random) -> None:
        """Set a host up. addresses: its own, the first of each family the preferred one.

        random: of keys, nonces, ports and initial sequence numbers; a seeded one repeats a run exactly.
        Raises LocalProtocolError for names that are none, and for addresses to join from that it has not.
        """
        for registry, name in (
            (SCHEDULERS, configuration.scheduler),
            (PATH_MANAGERS, configuration.path_manager),
            (CONGESTION, configuration.congestion),
        ):
            registry[name]
        if foreign := set(configuration.join_from) - set(addresses):
            raise LocalProtocolError(
                f"join_from: {foreign} is not of this host, which has {tuple(addresses)}"
            )
        self.configuration = configuration
        self.profile = configuration.profile()
        self.addresses = tuple(addresses)
        self.counters: Counter[str] = Counter()
        """How often each kind of event happened, and what was counted without being an event."""
        self.connections: list[Connection] = []
        self._random = random
        self._now = 0
        self._own = frozenset(address.packed for address in addresses)
        self._outbox: list[Segment] = []
        self._fragments = Defragmenter()
        self._events: deque[Event] = deque()
        self._flows: dict[Flow, tuple[Connection, Subflow]] = {}
        self._tokens: dict[int, Connection] = {}
        self._listening: dict[int, deque[Connection]] = {}
        self._numbers: Counter[int | None] = Counter()

    # -- The application -----------------------------------

    def listen(self, port: int) -> None:
        """Take connections to a port on any address. Raises LocalProtocolError where somebody does."""
        if port in self._listening:
            raise LocalProtocolError(f"port {port} is listened on already; one listener a port is possible")
        self._listening[port] = deque()

    def accept(self, port: int) -> Connection | None:
        """Return the next connection to a port, None where none waits. Raises LocalProtocolError."""
        if port not in self._listening:
            raise LocalProtocolError(f"nobody listens on port {port}; listen({port}) comes first")
        waiting = self._listening[port]
        return waiting.popleft() if waiting else None

    def connect(
        self,
        address: Address,
        port: int,
        now: int,
        *,
        source: Address | None = None,
        source_port: int | None = None,
    ) -> Connection:
        """Open a connection. source, source_port: chosen here where they are not given.

        Raises LocalProtocolError where no own address is of the same family, and where the port is taken.
        """
        self._now = now
        own = [candidate for candidate in self.addresses if candidate.version == address.version]
        if source is not None:
            own = [candidate for candidate in own if candidate == source]
        if not own:
            raise LocalProtocolError(f"no own address reaches {address}; there are {self.addresses}")
        connection = self._new_connection(0)
        subflow = self.new_subflow(
            connection, (own[0], source_port or self._free_port(address, port, own[0])), (address, port), now,
            active=True, joins=False,
        )  # fmt: skip
        if subflow is None:
            self.drop_connection(connection)
            raise LocalProtocolError(f"no room for a connection to {address}:{port}")
        connection.initial = subflow
        subflow.open(now)
        return connection

    # -- The network -----------------------------------

    def receive(self, raw: bytes, now: int) -> None:
        """Take an IP packet. Whatever it is, nothing is raised: what cannot be read is an event."""
        self._now = now
        try:
            packet = decode(raw)
            if packet.protocol == FRAGMENT:
                whole = self._fragments.complete(packet)
                if whole is None:
                    return
                packet = whole
        except WireError as error:
            self.tell(Kind.MALFORMED, str(error), "", None, None)
            return
        if not isinstance(packet, Segment):
            self._take_icmp(packet, now)
            return
        source, destination = packet.flow
        if destination[:-2] not in self._own:
            self.counters["for another host"] += 1
            return
        if not packet.checksum_is_right():
            # RFC 9293 §3.1: discarded, like a segment that never arrived.
            self.tell(Kind.MALFORMED, "TCP checksum wrong", "RFC 9293 §3.1", None, None)
            return
        found = self._flows.get((destination, source))
        if found is None:
            self._arrive_nowhere(packet, now)
            return
        subflow = found[1]
        if _reopens(subflow, packet):
            subflow.over(now, "")
            self._arrive_nowhere(packet, now)
            return
        arrival.arrive(subflow, packet, now)

    def packets_to_send(self, now: int) -> list[Segment]:
        """Return what is to be sent now, in order; each goes out of the interface of its source address."""
        self._now = now
        for connection in list(self.connections):
            connection.flush(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def next_timer(self) -> int | None:
        """Return when `handle_timer` is to be called, run clock, or None."""
        times = [at for connection in self.connections if (at := connection.next_timer()) is not None]
        return min(times, default=None)

    def handle_timer(self, now: int) -> None:
        """Do all that is due at `now`."""
        self._now = now
        for connection in list(self.connections):
            connection.handle_timer(now)

    def events(self) -> list[Event]:
        """Return what happened since this was last asked."""
        events = list(self._events)
        self._events.clear()
        return events

    def _take_icmp(self, packet: Packet, now: int) -> None:
        """A packet that is no TCP may say that one of ours was too big (RFC 1191, RFC 8201)."""
        error = icmp.too_big(packet)
        found = self._flows.get(error.flow) if error is not None else None
        if error is None or found is None or not found[1].lower_mtu(error.mtu, error.sequence, now):
            self.counters["not TCP"] += 1

    # -- Segments that belong to no subflow -----------------------------------

    def _arrive_nowhere(self, segment: Segment, now: int) -> None:
        """RFC 9293 §3.10.7.1 and §3.10.7.2: CLOSED and LISTEN."""
        if segment.rst:
            return
        # A host of regular TCP takes no notice of options that it does not know.
        join = segment.option(MpJoin) if segment.syn and self.configuration.mptcp else None
        if segment.syn and not segment.has_ack:
            if isinstance(join, MpJoinSyn):
                self._join_arrives(segment, join, now)
                return
            if segment.destination_port in self._listening:
                self._connection_arrives(segment, now)
                return
        self.emit(arrival.reset_for(segment))

    def _connection_arrives(self, segment: Segment, now: int) -> None:
        if self._half_open() >= self.configuration.half_open_limit or (
            len(self.connections) + len(self._listening[segment.destination_port])
            >= self.configuration.connection_limit
        ):
            self.tell(Kind.REFUSED, "SYN: too many connections", "", None, None)
            return
        connection = self._new_connection(segment.destination_port)
        subflow = self._passive(connection, segment, now, joins=False)
        if subflow is None:
            return
        connection.initial = subflow
        if connection.mode.state is Mode.NEGOTIATING:
            handshake.syn_arrived(connection, segment, now)
        subflow.answer(now)

    def _join_arrives(self, segment: Segment, option: MpJoinSyn, now: int) -> None:
        """A join finds its connection by the token, not by the port (RFC 8684 §3.2)."""
        connection = self._tokens.get(option.token)
        refusal: MpTcprst | None
        if connection is None:
            refusal = MpTcprst(Reason.MPTCP_ERROR)
            self.tell(Kind.REFUSED, "join: unknown token", "RFC 8684 §3.2", None, None)
        else:
            refusal = handshake.join_refusal(connection, segment)
            if self._half_open() >= self.configuration.half_open_limit:
                refusal = MpTcprst(Reason.RESOURCES)
            if refusal is not None:
                connection.tell(Kind.REFUSED, f"join: reason {refusal.reason}", "RFC 8684 §3.2")
        if refusal is not None or connection is None:
            signals = [] if refusal is None else [self.profile.outgoing(refusal, Carrier.RST)]
            self.emit(arrival.reset_for(segment, *(signal for signal in signals if signal is not None)))
            return
        subflow = self._passive(connection, segment, now, joins=True)
        if subflow is None:
            return
        subflow.own_nonce = self.random_bits(32)
        subflow.own_backup = self.configuration.backup
        subflow.address_id = connection.addresses.own_id(segment.destination)
        handshake.join_syn_arrived(subflow, option)
        subflow.answer(now)

    def _passive(self, connection: Connection, segment: Segment, now: int, *, joins: bool) -> Subflow | None:
        subflow = self.new_subflow(
            connection,
            (segment.destination, segment.destination_port),
            (segment.source, segment.source_port),
            now,
            active=False,
            joins=joins,
        )
        if subflow is not None:
            subflow.tcp.fire(TcpEvent.PASSIVE_OPEN)
            arrival.take_syn_options(subflow, segment, now)
            subflow.tcp.fire(TcpEvent.SYN)
        return subflow

    def _half_open(self) -> int:
        return sum(subflow.tcp.state in HANDSHAKE for _, subflow in self._flows.values())

    # -- What connections ask: `connection.Home` -----------------------------------

    def emit(self, segment: Segment) -> None:
        """Send a segment."""
        self._outbox.append(segment)

    def new_subflow(
        self,
        connection: Connection,
        local: tuple[Address, int],
        remote: tuple[Address, int],
        now: int,
        *,
        active: bool,
        joins: bool,
    ) -> Subflow | None:
        """Make a subflow that segments find from now on; None where the four-tuple is taken.

        A local port of 0 is any that is free.
        """
        flow = _flow(local, remote)
        if flow in self._flows or not local[1]:
            if not joins or not active:
                return None
            # The ports of the initial subflow are taken there: any other does as well (RFC 8684 §3.9.1).
            local = (local[0], self._free_port(remote[0], remote[1], local[0]))
            flow = _flow(local, remote)
        number = self._numbers[connection.number]
        self._numbers[connection.number] += 1
        subflow = Subflow(
            connection.bundle,
            number,
            local,
            remote,
            self.random_bits(32),
            connection.coupling,
            now,
            active=active,
            joins=joins,
        )
        self._flows[flow] = (connection, subflow)
        connection.subflows.append(subflow)
        return subflow

    def drop_subflow(self, subflow: Subflow) -> None:
        """Have segments find the subflow no longer."""
        flow = _flow((subflow.local, subflow.local_port), (subflow.remote, subflow.remote_port))
        if (found := self._flows.get(flow)) is not None and found[1] is subflow:
            del self._flows[flow]

    def accepted(self, connection: Connection) -> None:
        """Let the listener's application have a connection."""
        self._listening[connection.port].append(connection)

    def drop_connection(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        if connection in self.connections:
            self.connections.remove(connection)
        self._numbers.pop(connection.number, None)
        if self._tokens.get(connection.own_token) is connection:
            del self._tokens[connection.own_token]

    def tell(self, kind: Kind, words: str, clause: str, connection: int | None, subflow: int | None) -> None:
        """Note an event; the oldest ones make room."""
        self.counters[kind.value] += 1
        if len(self._events) >= self.configuration.event_limit:
            self._events.popleft()
            self.counters["events dropped"] += 1
        self._events.append(Event(self._now, kind, words, clause, connection, subflow))

    def random_bits(self, bits: int) -> int:
        """Return a number drawn by chance."""
        return self._random.getrandbits(bits)

    def _new_connection(self, port: int) -> Connection:
        number = self._numbers[None]
        self._numbers[None] += 1
        connection = Connection(self, number, self.configuration, self._new_key(), port)
        self.connections.append(connection)
        self._tokens[connection.own_token] = connection
        return connection

    def _new_key(self) -> int:
        """Return a key whose token no other connection has (RFC 8684 §3.1)."""
        told = self.configuration.key
        if told is not None and token(told) not in self._tokens:
            return told
        while True:
            key = self._random.getrandbits(64)
            if token(key) not in self._tokens:
                return key

    def _free_port(self, address: Address, port: int, own: Address) -> int:
        for _ in range(LAST_PORT - FIRST_PORT):
            candidate = self._random.randint(FIRST_PORT, LAST_PORT)
            if _flow((own, candidate), (address, port)) not in self._flows:
                return candidate
        raise LocalProtocolError(f"all ports to {address}:{port} are taken; close a connection first")


def _reopens(subflow: Subflow, segment: Segment) -> bool:
    """Whether a SYN opens a new connection in the place of one that is over (RFC 9293 §3.6.1, RFC 6191)."""
    if subflow.tcp.state is not Tcp.TIME_WAIT or not segment.syn or segment.has_ack or segment.rst:
        return False
    return (int(segment.seq) - subflow.irs - subflow.receive_next) & 0xFFFF_FFFF < 0x8000_0000


def _flow(local: tuple[Address, int], remote: tuple[Address, int]) -> Flow:
    return local[0].packed + local[1].to_bytes(2, "big"), remote[0].packed + remote[1].to_bytes(2, "big")
