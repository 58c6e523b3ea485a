"""One subflow: TCP on one pair of addresses and ports (RFC 9293), which carries what a connection gives it.

Sequence numbers are offsets from the initial ones; `arrival` takes segments in, this module lets them out.
What a connection makes of octets and options is its own business: see `Owner`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from mbtest.endpoint.configuration import MILLISECOND, Address, Configuration
from mbtest.endpoint.congestion import CONGESTION, CongestionControl, Coupling
from mbtest.endpoint.mappings import Mapping, PeerMappings
from mbtest.endpoint.profiles import Carrier
from mbtest.endpoint.reassembly import Reassembly
from mbtest.endpoint.rto import RoundTripTime
from mbtest.endpoint.states import JOIN, TCP, Join, JoinEvent, Machine, Tcp, TcpEvent
from mbtest.endpoint.transmission import Acknowledged, Chunk, Transmission
from mbtest.wire.mptcp import MptcpOption
from mbtest.wire.options import (
    MaximumSegmentSize,
    NoOperation,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)
from mbtest.wire.packet import ACK, FIN, PSH, RST, SYN, Segment

MASK_32 = 0xFFFF_FFFF
MOST_OPTIONS = 40
LARGEST_SHIFT = 14
IP_AND_TCP = {4: 40, 6: 60}
DEFAULT_MSS = {4: 536, 6: 1220}
"""Where the peer sends no MSS option (RFC 9293 §3.7.1)."""
TIMESTAMPS_ROOM = 12
WIDEST_DSS = 28
"""A DSS with a Data ACK and a mapping, both of 64 bits, and a checksum."""
_NOP = NoOperation()

# States in which our direction may carry data, and those in which the peer's may.
CAN_SEND = frozenset({Tcp.ESTABLISHED, Tcp.CLOSE_WAIT})
HANDSHAKE = frozenset({Tcp.CLOSED, Tcp.LISTEN, Tcp.SYN_SENT, Tcp.SYN_RECEIVED})
FIN_PENDING = frozenset({Tcp.FIN_WAIT_1, Tcp.CLOSING, Tcp.LAST_ACK})


class Owner(Protocol):
    """What a subflow asks of its connection and tells it."""

    configuration: Configuration

    def emit(self, segment: Segment) -> None:
        """Send a segment."""

    def window(self) -> int:
        """Return the octets from RCV.NXT on that are welcome: the shared receive window (RFC 8684 §3.3.4)."""

    def signals(self, subflow: Subflow, carrier: Carrier, chunk: Chunk | None) -> list[MptcpOption]:
        """Return the MPTCP options that a segment is to carry."""

    def depart(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Return what the profile makes of an option that is not among `signals`."""

    def signals_arrived(self, subflow: Subflow, segment: Segment, now: int) -> bool:
        """Act on the MPTCP options of an acceptable segment; return whether it is to be read on."""

    def acknowledged(self, subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
        """Take notice of an acknowledgement that covers something new."""

    def octets_arrived(self, subflow: Subflow, start: int, octets: bytes, now: int) -> None:
        """Take octets that are in order on the subflow, the first at offset `start`."""

    def fin_arrived(self, subflow: Subflow, now: int) -> None:
        """Take notice that the peer's direction of the subflow has ended."""

    def handshake_over(self, subflow: Subflow, now: int) -> None:
        """Take notice that the three-way handshake is over."""

    def timed_out(self, subflow: Subflow, now: int) -> None:
        """Take notice that the retransmission timer expired."""

    def closed(self, subflow: Subflow, why: str, now: int) -> None:
        """Take notice that the subflow is over. why: an errno name, empty where it ended in good order."""

    def moved(self, subflow: Subflow, words: str, now: int) -> None:
        """Take notice that one of the subflow's states moved."""


class Subflow:
    """A TCP connection that carries one subflow, or a connection that is regular TCP."""

    def __init__(
        self,
        owner: Owner,
        number: int,
        local: tuple[Address, int],
        remote: tuple[Address, int],
        iss: int,
        coupling: Coupling,
        now: int,
        *,
        active: bool,
        joins: bool,
    ) -> None:
        """Prepare a subflow between two addresses and ports; `active` where this side opens it.

        iss: the initial sequence number, 32 bits. joins: whether it joins a connection with MP_JOIN.
        """
        configuration = owner.configuration
        self.owner = owner
        self.number = number
        self.local, self.local_port = local
        self.remote, self.remote_port = remote
        self.active = active
        self.joins = joins
        self.now = now
        self.tcp: Machine[Tcp, TcpEvent] = Machine(TCP, Tcp.CLOSED, self._moved)
        self.join: Machine[Join, JoinEvent] = Machine(JOIN, Join.UNVERIFIED, self._moved)

        # Sending (RFC 9293 §3.3.1)
        self.iss = iss
        self.out = Transmission()
        self.send_window = 0
        self.largest_window = 0
        self.window_from = (0, 0)  # SND.WL1, SND.WL2
        self.send_shift = 0
        overhead = IP_AND_TCP[self.local.version]
        self.own_mss = configuration.mtu - overhead
        self.mss = min(DEFAULT_MSS[self.local.version], self.own_mss)
        self.rtt = RoundTripTime()
        self._coupling = coupling
        self.congestion: CongestionControl = CONGESTION[configuration.congestion](
            self.own_mss, coupling, self.rtt, None
        )
        self.duplicate_acks = 0
        self.recovery_end: int | None = None
        """SND.NXT when the present recovery began (RFC 6582 "recover"); None outside of one."""
        self.timeouts = 0
        """Timeouts in a row."""
        self.last_sent_at = now
        self.fin_chunk: Chunk | None = None

        # Receiving
        self.irs = 0
        self.held = Reassembly(configuration.receive_buffer, start=1)
        self.fin_at: int | None = None
        """The offset of the peer's FIN, once one arrived in the window."""
        self.fin_taken = 0
        """1 once the FIN is in order and counts in RCV.NXT."""
        self.advertised = 1
        """The right edge of what was ever advertised: it never moves left (RFC 9293 §3.8.6)."""
        self.receive_shift = _shift_for(configuration.receive_buffer) if configuration.window_scaling else 0
        self.unacknowledged = 0
        """Segments with data that arrived since the last ACK was sent."""

        # Options agreed on
        self.timestamps = configuration.timestamps
        self.sack = configuration.sack
        self.scaling = configuration.window_scaling
        self.ts_recent = 0
        self.ts_recent_at = now
        self.last_ack_sent = 0

        # Timers: run clock, None where not set
        self.retransmit_at: int | None = None
        self.persist_at: int | None = None
        self.ack_at: int | None = None
        self.over_at: int | None = None
        """End of TIME-WAIT."""
        self.join_at: int | None = None
        """When the third ACK with MP_JOIN is sent again (RFC 8684 §3.2)."""
        self.probe_at: int | None = None
        """When a path that is to be removed counts as dead, if nothing arrives before (RFC 8684 §3.4.2)."""

        # Multipath TCP
        self.address_id = 0
        self.remote_id = 0
        self.own_nonce = 0
        self.peer_nonce = 0
        self.backup = False
        """The peer asks that this subflow carry data only when no other can (RFC 8684 §3.3.8)."""
        self.own_backup = False
        self.mappings = PeerMappings(configuration.mapping_limit)
        self.inbox = bytearray()
        """Octets in order on the subflow that have not found their place in the data stream."""
        self.inbox_start = 1
        # Not states of their own: what was seen on this subflow's path, for the rules of RFC 8684 §3.7.
        self.data_ack_seen = False
        self.mapping_seen = False
        self.declared: deque[Mapping] = deque()
        """Own mappings that are not Data ACKed."""
        self.last_intact: Mapping | None = None
        """The last own mapping that was Data ACKed whole: where an infinite mapping begins (§3.7)."""
        self.stale = 0
        """Data-level timeouts in a row for data that this subflow's peer acknowledged."""
        self.closing_words = ""

    def _moved(self, before: object, event: object, after: object) -> None:
        self.owner.moved(self, f"{before} -> {after}: {event}", self.now)

    # -- what others ask -----------------------------------------------------------------------------

    @property
    def state(self) -> Tcp:
        """The TCP state."""
        return self.tcp.state

    @property
    def receive_next(self) -> int:
        """RCV.NXT, as an offset."""
        return self.held.next + self.fin_taken

    @property
    def is_usable(self) -> bool:
        """Whether data may be sent on it: established, and authenticated where it joined."""
        return self.tcp.state in CAN_SEND and (not self.joins or self.join.state is Join.ESTABLISHED)

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more."""
        return self.tcp.state is Tcp.CLOSED

    @property
    def options_room(self) -> int:
        """Octets of options beside the timestamps."""
        return MOST_OPTIONS - TIMESTAMPS_ROOM if self.timestamps else MOST_OPTIONS

    def payload_room(self, regular: bool) -> int:
        """Return how many octets of data fit in a segment. regular: without MPTCP options."""
        room = self.mss - (TIMESTAMPS_ROOM if self.timestamps else 0)
        return room if regular else room - WIDEST_DSS

    def has_room(self) -> bool:
        """Whether congestion control lets more new data out, and nothing else waits to be sent."""
        out = self.out
        return not out.waiting and out.next_lost() is None and self.pipe() < self.congestion.window

    def pipe(self) -> int:
        """Return the octets held to be in the network (RFC 6675 §4)."""
        if self.sack:
            return self.out.in_flight
        # RFC 6582 §3.2, and RFC 3042 (limited transmit): each duplicate ACK tells of a segment that left.
        return max(0, self.out.in_flight - self.duplicate_acks * self.mss)

    def window_room(self) -> int:
        """Return how many octets the peer's window on this subflow has room for (RFC 8684 §3.3.5)."""
        return self.out.una + self.send_window - self.out.end

    # -- opening, closing ----------------------------------------------------------------------------

    def open(self, now: int) -> None:
        """Send a SYN."""
        self.now = now
        self.tcp.fire(TcpEvent.ACTIVE_OPEN)
        self.out.append(b"", syn=True)
        self.transmit(now)

    def answer(self, now: int) -> None:
        """Send a SYN/ACK."""
        if not self.out.end:
            self.out.append(b"", syn=True)
        self.transmit(now)

    def push(self, payload: bytes, mapping: Mapping | None, carries: bool) -> None:
        """Hand data over to be sent. carries: whether its segment declares the mapping."""
        self.out.append(payload, mapping).carries_mapping = carries

    def finish(self, now: int, mapping: Mapping | None = None) -> None:
        """End our direction with a FIN, after all that was handed over. mapping: to go with it."""
        if self.fin_chunk is None and self.tcp.state in CAN_SEND:
            self.fin_chunk = self.out.append(b"", mapping, fin=True)
            self.transmit(now)

    def abort(self, now: int, *signals: MptcpOption, why: str = "") -> None:
        """Send a RST, with these options, and forget the subflow. why: an errno name."""
        self.now = now
        if self.tcp.state not in (Tcp.CLOSED, Tcp.LISTEN, Tcp.TIME_WAIT):
            # RFC 9293 §3.10.5: a RST has the sequence number SND.NXT.
            sequence = 0 if self.tcp.state is Tcp.SYN_SENT else self.out.nxt
            self._send(sequence, RST | ACK, b"", self._mptcp(signals, Carrier.RST), with_timestamps=False)
        self.over(now, why)

    def over(self, now: int, why: str) -> None:
        """Leave for CLOSED and tell the connection."""
        self.now = now
        if self.tcp.state is not Tcp.CLOSED:
            if self.tcp.state is Tcp.TIME_WAIT:
                self.tcp.fire_if_possible(TcpEvent.TIMEOUT)
            else:
                self.tcp.fire_if_possible(TcpEvent.RESET)
        self.stop(now, why)

    def stop(self, now: int, why: str) -> None:
        """Set all timers off and tell the connection."""
        self.retransmit_at = self.persist_at = self.ack_at = self.over_at = self.join_at = None
        self.probe_at = None
        self.congestion.close()
        self.owner.closed(self, why, now)

    # -- letting segments out ------------------------------------------------------------------------

    def transmit(self, now: int) -> None:
        """Send what the windows let out: what was lost first, then what waits."""
        self.now = now
        out = self.out
        if not out.waiting and not out.under_way:
            return
        if not out.in_flight and out.waiting:
            self.congestion.idle(now - self.last_sent_at, self.rtt.rto)
        while True:
            chunk = out.next_lost()
            if chunk is None:
                if not out.waiting:
                    break
                chunk = out.waiting[0]
                if not chunk.syn and not self._window_takes(chunk):
                    self._set_persist(now)
                    break
            if (
                not chunk.syn
                and self.pipe()
                and self.pipe() + chunk.end - chunk.start > self.congestion.window
            ):
                break
            self.send_chunk(chunk, now)
            if chunk.syn:
                break

    def _window_takes(self, chunk: Chunk) -> bool:
        if self.tcp.state in HANDSHAKE:
            return False
        # A FIN fits any window: it takes a number, and no room in a buffer.
        return chunk.end - chunk.fin <= self.out.una + self.send_window

    def send_chunk(self, chunk: Chunk, now: int) -> None:
        """Send a chunk, for the first time or again."""
        self.out.sent(chunk, now)
        self.last_sent_at = now
        if self.retransmit_at is None:
            self.retransmit_at = now + self.rtt.rto
        if chunk.syn:
            self._send_syn(chunk)
            return
        if chunk.fin and self.tcp.may(TcpEvent.FIN_SENT):
            self.tcp.fire(TcpEvent.FIN_SENT)
        flags = ACK
        if chunk.fin:
            flags |= FIN
        if chunk.payload and not self.out.waiting:
            flags |= PSH
        carrier = Carrier.DATA if chunk.payload else Carrier.ACK
        self._send(chunk.start, flags, chunk.payload, self.owner.signals(self, carrier, chunk))
        self._acknowledged_now()

    def _send_syn(self, chunk: Chunk) -> None:
        answering = self.tcp.state is Tcp.SYN_RECEIVED
        options: list[TcpOption] = [MaximumSegmentSize(self.own_mss)]
        if self.sack:
            options.append(SackPermitted())
        if self.timestamps:
            options.append(Timestamps(self._clock(), self.ts_recent if answering else 0))
        if self.scaling:
            options += [_NOP, WindowScale(self.receive_shift)]
        options += self.owner.signals(self, Carrier.SYN, chunk)
        window = min(65_535, self.owner.window())
        self.advertised = max(self.advertised, 1 + window)
        self._build(0, SYN | ACK if answering else SYN, b"", options, window)

    def acknowledge(self, now: int, *signals: MptcpOption) -> None:
        """Send an ACK, with these options beside those that belong on any."""
        self.now = now
        if self.tcp.state in (Tcp.CLOSED, Tcp.LISTEN, Tcp.SYN_SENT):
            return
        options = self._mptcp(signals, Carrier.ACK) if signals else []
        for option in self.owner.signals(self, Carrier.ACK, None):
            if _size(options) + _size((option,)) <= self.options_room:
                options.append(option)
        self._send(self.out.nxt, ACK, b"", options)
        self._acknowledged_now()

    def keep_alive(self, now: int) -> None:
        """Send an ACK that its receiver has to answer (RFC 9293 §3.8.4)."""
        self.now = now
        self._send(self.out.nxt - 1, ACK, b"", [])

    def _acknowledged_now(self) -> None:
        self.unacknowledged = 0
        self.ack_at = None

    def _mptcp(self, signals: Sequence[MptcpOption], carrier: Carrier) -> list[MptcpOption]:
        return [option for signal in signals if (option := self.owner.depart(signal, carrier)) is not None]

    def _send(
        self,
        offset: int,
        flags: int,
        payload: bytes,
        signals: Sequence[TcpOption],
        *,
        with_timestamps: bool = True,
    ) -> None:
        options: list[TcpOption] = []
        if self.timestamps and with_timestamps:
            options += (_NOP, _NOP, Timestamps(self._clock(), self.ts_recent))
        options += signals
        if self.sack and not payload:
            self._add_sack(options)
        window = min(self.owner.window(), 65_535 << self.receive_shift)
        edge = self.receive_next + window
        # RFC 9293 §3.8.6.2.1: the right edge never moves left.
        edge = max(edge, self.advertised)
        field = (edge - self.receive_next) >> self.receive_shift
        field = min(field, 65_535)
        self.advertised = max(self.advertised, self.receive_next + (field << self.receive_shift))
        self._build(offset, flags, payload, options, field)

    def _add_sack(self, options: list[TcpOption]) -> None:
        """Report what is held out of order, as far as there is room (RFC 2018 §3, RFC 2883)."""
        held = self.held
        duplicate = held.duplicate
        if duplicate is None and not held.held:
            return
        room = (MOST_OPTIONS - _size(options) - 4) // 8
        if room < 1:
            return
        blocks = [duplicate] if duplicate is not None else []
        blocks += held.blocks(room)
        wire = tuple((self.irs + left & MASK_32, self.irs + right & MASK_32) for left, right in blocks[:room])
        options += (_NOP, _NOP, Sack(wire))

    def _build(
        self, offset: int, flags: int, payload: bytes, options: Sequence[TcpOption], window: int
    ) -> None:
        acknowledgement = 0
        if flags & ACK:
            self.last_ack_sent = self.receive_next
            acknowledgement = self.irs + self.receive_next & MASK_32
        self.owner.emit(
            Segment.build(
                self.local,
                self.remote,
                self.local_port,
                self.remote_port,
                seq=self.iss + offset & MASK_32,
                ack=acknowledgement,
                flags=flags,
                window=window,
                options=options,
                payload=payload,
            )
        )

    def _clock(self) -> int:
        """Return the timestamp clock: milliseconds (RFC 7323 §5.4 has 1 ms to 1 s a tick)."""
        return (self.now // MILLISECOND + self.iss) & MASK_32

    # -- timers --------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """Return when the next timer is due, run clock, or None."""
        times = [
            at
            for at in (
                self.retransmit_at, self.persist_at, self.ack_at, self.over_at, self.join_at, self.probe_at,
            )
            if at is not None
        ]  # fmt: skip
        return min(times) if times else None

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self.now = now
        if self.over_at is not None and now >= self.over_at:
            self.tcp.fire_if_possible(TcpEvent.TIMEOUT)
            self.stop(now, "")
            return
        if self.probe_at is not None and now >= self.probe_at:
            self.probe_at = None
            self.abort(now, why="ENETUNREACH")
            return
        if self.ack_at is not None and now >= self.ack_at:
            self.acknowledge(now)
        if self.join_at is not None and now >= self.join_at:
            self._repeat_join(now)
        if self.retransmit_at is not None and now >= self.retransmit_at:
            self._expired(now)
        if self.persist_at is not None and now >= self.persist_at:
            self._probe_window(now)

    def _repeat_join(self, now: int) -> None:
        """Send the third ACK again: it is acknowledged, so it is repeated until it is (RFC 8684 §3.2)."""
        self.timeouts += 1
        if self.timeouts > self.owner.configuration.retries:
            self.abort(now, why="ETIMEDOUT")
            return
        self.rtt.back_off()
        self.join_at = now + self.rtt.rto
        self.acknowledge(now)

    def _expired(self, now: int) -> None:
        """The retransmission timer expired (RFC 6298 §5.4 to §5.7)."""
        out, configuration = self.out, self.owner.configuration
        self.retransmit_at = None
        if not out.under_way:
            return
        self.timeouts += 1
        handshake = self.tcp.state in HANDSHAKE
        if self.timeouts > (configuration.syn_retries if handshake else configuration.retries):
            self.abort(now, why="ETIMEDOUT")
            return
        first = out.under_way[0]
        probing = self.send_window == 0 and not first.syn and not first.fin
        if not probing:
            self.congestion.timed_out(out.nxt - out.una)
        out.lose_all()
        self.recovery_end = None
        self.duplicate_acks = 0
        self.rtt.back_off()
        if first.syn:
            self.rtt.syn_was_lost()
            self.retransmit_at = now + self.rtt.rto
        self.send_chunk(first, now)
        self.owner.timed_out(self, now)
        if not self.is_over:
            self.transmit(now)

    def _set_persist(self, now: int) -> None:
        """Have the peer's window asked for, if nothing under way will bring news of it."""
        if self.persist_at is None and not self.out.under_way and self.tcp.state not in HANDSHAKE:
            self.persist_at = now + self.rtt.rto

    def _probe_window(self, now: int) -> None:
        """Send one octet in spite of a closed window (RFC 9293 §3.8.6.1); the timer repeats it."""
        self.persist_at = None
        out = self.out
        if out.under_way or not out.waiting:
            return
        chunk = out.waiting[0]
        if self._window_takes(chunk):
            self.transmit(now)
            return
        if len(chunk.payload) > 1:
            rest = Chunk(chunk.start + 1, chunk.payload[1:], chunk.mapping, fin=chunk.fin)
            rest.carries_mapping = chunk.carries_mapping
            chunk.payload, chunk.end, chunk.fin = chunk.payload[:1], chunk.start + 1, False
            out.waiting.insert(1, rest)
        self.send_chunk(chunk, now)


def _shift_for(buffer: int) -> int:
    """Return the window scale that lets a whole buffer be advertised (RFC 7323 §2.2)."""
    shift = 0
    while buffer >> shift > 65_535 and shift < LARGEST_SHIFT:
        shift += 1
    return shift


def _size(options: Sequence[TcpOption]) -> int:
    return sum(len(option.encode()) for option in options)
