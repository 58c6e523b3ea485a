"""One subflow: TCP on one pair of addresses and ports (RFC 9293), which carries what a connection gives it.

Sequence numbers are offsets from the initial ones; `arrival` takes segments in, this module lets them out.
What a connection makes of octets and options is its own business: see `Owner`.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from mbtest.endpoint import departure, timers
from mbtest.endpoint.configuration import Address, Configuration
from mbtest.endpoint.congestion import CONGESTION, CongestionControl, Coupling
from mbtest.endpoint.mappings import Mapping, PeerMappings
from mbtest.endpoint.profiles import Carrier
from mbtest.endpoint.reassembly import Reassembly
from mbtest.endpoint.rto import RoundTripTime
from mbtest.endpoint.states import JOIN, TCP, Join, JoinEvent, Machine, Tcp, TcpEvent
from mbtest.endpoint.transmission import Acknowledged, Chunk, Transmission
from mbtest.endpoint.unwrap import unwrap32
from mbtest.wire.block import MAX_OPTIONS
from mbtest.wire.mptcp import MptcpOption
from mbtest.wire.packet import Segment
from mbtest.wire.template import Template

IP_AND_TCP = {4: 40, 6: 60}
DEFAULT_MSS = {4: 536, 6: 1220}
"""Where the peer sends no MSS option (RFC 9293 §3.7.1)."""
TIMESTAMPS_ROOM = 12
WIDEST_DSS = 28
"""A DSS with a Data ACK and a mapping, both of 64 bits, and a checksum."""
SMALLEST_MSS = 48
"""Less than this is not believed: options could leave no octet of data. Linux: tcp_min_snd_mss."""

# States in which our direction may carry data, and those in which the peer's may.
CAN_SEND = frozenset({Tcp.ESTABLISHED, Tcp.CLOSE_WAIT})
HANDSHAKE = frozenset({Tcp.CLOSED, Tcp.LISTEN, Tcp.SYN_SENT, Tcp.SYN_RECEIVED})


class Owner(Protocol):
    """What a subflow asks of its connection and tells it."""

    configuration: Configuration

    def emit(self, segment: Segment) -> None:
        """Send a segment."""

    def window_field(self, shift: int, segment: int) -> int:
        """Return the window field to be sent: the shared receive window (RFC 8684 §3.3.4).

        shift: the window scale in use; segment: octets of a full segment.
        """

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

    def handshake_over(self, subflow: Subflow) -> None:
        """Take notice that the three-way handshake is over."""

    def farewell(self) -> tuple[MptcpOption, ...]:
        """Return the options of the RST that gives up a subflow which nobody answers on."""

    def timed_out(self, subflow: Subflow) -> None:
        """Take notice that the retransmission timer expired."""

    def closed(self, subflow: Subflow, why: str, now: int) -> None:
        """Take notice that the subflow is over. why: an errno name, empty where it ended in good order."""

    def moved(self, subflow: Subflow, words: str) -> None:
        """Take notice that one of the subflow's states moved."""


class Subflow:
    """A TCP connection that carries one subflow, or a connection that is regular TCP."""

    # What begins as nothing. Sending (RFC 9293 §3.3.1):
    send_window = 0
    largest_window = 0
    window_from = (0, 0)  # SND.WL1, SND.WL2
    send_shift = 0
    duplicate_acks = 0
    recovery_end: int | None = None
    """SND.NXT when the present recovery began (RFC 6582 "recover"); None outside of one."""
    recovery_from = 0
    """No recovery begins before this offset is acknowledged: SND.NXT at the last timeout (RFC 6582 §3.2)."""
    filled = 0
    """Octets in flight after the last segment was sent."""
    timeouts = 0
    """Timeouts in a row."""
    fin_chunk: Chunk | None = None

    # Receiving:
    irs = 0
    fin_at: int | None = None
    """The offset of the peer's FIN, once one arrived in the window."""
    fin_taken = 0
    """1 once the FIN is in order and counts in RCV.NXT."""
    advertised = 1
    """The right edge of what was ever advertised (RFC 9293 §3.8.6)."""
    unacknowledged = 0
    """Segments with data that arrived since the last ACK was sent."""
    last_ack_sent = 0
    ts_recent = 0
    challenges = challenged_at = 0
    """Challenge ACKs since a time (RFC 5961 §7)."""

    # Timers, run clock, None where not set:
    retransmit_at: int | None = None
    persist_at: int | None = None
    ack_at: int | None = None
    over_at: int | None = None
    """End of TIME-WAIT."""
    join_at: int | None = None
    """When the third ACK with MP_JOIN is sent again (RFC 8684 §3.2)."""
    probe_at: int | None = None
    """When a path that is to be removed counts as dead, if nothing arrives before (RFC 8684 §3.4.2)."""

    # Multipath TCP:
    address_id = remote_id = own_nonce = peer_nonce = 0
    backup = False
    """The peer asks that this subflow carry data only when no other can (RFC 8684 §3.3.8)."""
    own_backup = False
    # Not states of their own: what was seen on this subflow's path, for the rules of RFC 8684 §3.7.
    unmapped_since: int | None = None
    """Since when the first octets of the inbox have waited for a mapping; run clock."""
    last_had_dss = False
    """Whether the last segment that came carried a DSS: the peer still speaks MPTCP, and is heard."""
    data_ack_seen = False
    mapping_seen = False
    last_intact: Mapping | None = None
    """The last own mapping that was Data ACKed whole: where an infinite mapping begins (§3.7)."""
    stale = 0
    """Data-level timeouts in a row for data that this subflow's peer acknowledged."""

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
        self.template = Template(self.local, self.remote, self.local_port, self.remote_port)
        self.began_at = self.now = now
        self.tcp: Machine[Tcp, TcpEvent] = Machine(TCP, Tcp.CLOSED, self._moved)
        self.join: Machine[Join, JoinEvent] = Machine(JOIN, Join.UNVERIFIED, self._moved)

        # Sending (RFC 9293 §3.3.1)
        self.iss = iss
        self.out = Transmission()
        overhead = IP_AND_TCP[self.local.version]
        self.own_mss = configuration.mtu - overhead
        self.mss = min(DEFAULT_MSS[self.local.version], self.own_mss)
        self.rtt = RoundTripTime()
        self._coupling = coupling
        self.congestion: CongestionControl = self._new_congestion(None)
        self.last_sent_at = now

        # Receiving
        self.held = Reassembly(configuration.receive_buffer, start=1)
        self.receive_shift = (
            departure.shift_for(configuration.receive_buffer) if configuration.window_scaling else 0
        )

        # Options agreed on
        self.timestamps = configuration.timestamps
        self.sack = configuration.sack
        self.scaling = configuration.window_scaling
        self.ts_recent_at = now

        # Multipath TCP
        self.mappings = PeerMappings(configuration.mapping_limit)
        self.inbox = bytearray()
        """Octets in order on the subflow that have not found their place in the data stream."""
        self.inbox_start = 1
        self.declared: deque[Mapping] = deque()
        """Own mappings that are not Data ACKed."""

    def _moved(self, before: object, event: object, after: object) -> None:
        self.owner.moved(self, f"{before} -> {after}: {event}")

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
        return MAX_OPTIONS - TIMESTAMPS_ROOM if self.timestamps else MAX_OPTIONS

    def payload_room(self, regular: bool) -> int:
        """Return how many octets of data fit in a segment. regular: without MPTCP options."""
        room = self.mss - (TIMESTAMPS_ROOM if self.timestamps else 0)
        return room if regular else room - WIDEST_DSS

    def has_room(self) -> bool:
        """Whether congestion control lets a segment of new data out, and nothing else waits to be sent."""
        out = self.out
        if out.waiting or out.next_lost() is not None:
            return False
        pipe = self.pipe()
        return not pipe or pipe + self.payload_room(regular=True) <= self.congestion.window

    def pipe(self) -> int:
        """Return the octets held to be in the network (RFC 6675 §4)."""
        if self.sack:
            return self.out.in_flight
        # Each duplicate ACK tells of a segment that left (RFC 6582 §3.2); before a recovery two of them
        # are believed (RFC 3042, limited transmit): after a timeout they may only answer repetitions.
        left = self.duplicate_acks if self.recovery_end is not None else min(self.duplicate_acks, 2)
        return max(0, self.out.in_flight - left * self.mss)

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

    def push(self, payload: bytes, mapping: Mapping | None, carries: bool, *, last: bool = True) -> None:
        """Hand data over to be sent.

        carries: whether its segment declares the mapping. last: whether the application has written no
        more for now, so that the receiver is not to wait (RFC 9293 §3.9.1.2, PSH).
        """
        chunk = self.out.append(payload, mapping)
        chunk.carries_mapping = carries
        chunk.pushes = last

    def finish(self, now: int, mapping: Mapping | None = None) -> None:
        """End our direction with a FIN, after all that was handed over. mapping: to go with it."""
        if self.fin_chunk is None and self.tcp.state in CAN_SEND:
            self.fin_chunk = self.out.append(b"", mapping, fin=True)
            self.transmit(now)

    def abort(self, now: int, *signals: MptcpOption, why: str = "") -> None:
        """Send a RST, with these options, and forget the subflow. why: an errno name."""
        self.now = now
        # RFC 9293 §3.10.5: none in SYN-SENT, where the peer knows of nothing.
        if self.tcp.state not in (Tcp.CLOSED, Tcp.LISTEN, Tcp.SYN_SENT, Tcp.TIME_WAIT):
            departure.send_reset(self, signals)
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
                    return
                chunk = out.waiting[0]
            if chunk.syn:
                self.send_chunk(chunk, now)
                return
            if not self.window_takes(chunk):
                # For what is under way the retransmission timer asks; it runs.
                timers.set_persist(self, now)
                return
            pipe = self.pipe()
            if pipe and pipe + chunk.end - chunk.start > self.congestion.window:
                return
            self.send_chunk(chunk, now)

    def window_takes(self, chunk: Chunk) -> bool:
        """Whether the peer's window has room for a chunk."""
        if self.tcp.state in HANDSHAKE:
            return False
        # A FIN fits any window: it takes a number, and no room in a buffer.
        return chunk.end - chunk.fin <= self.out.una + self.send_window

    def send_chunk(self, chunk: Chunk, now: int) -> None:
        """Send a chunk, for the first time or again."""
        self.now = now
        self.out.sent(chunk, now)
        self.filled = self.out.in_flight
        self.last_sent_at = now
        if self.retransmit_at is None:
            self.retransmit_at = now + self.rtt.rto
        if chunk.syn:
            departure.send_syn(self, chunk)
            return
        if chunk.fin:
            self.tcp.fire_if_possible(TcpEvent.FIN_SENT)
        departure.send_chunk(self, chunk)
        self._acknowledged_now()

    def acknowledge(self, now: int, *signals: MptcpOption) -> None:
        """Send an ACK, with these options beside those that belong on any."""
        self.now = now
        if self.tcp.state in (Tcp.CLOSED, Tcp.LISTEN, Tcp.SYN_SENT):
            return
        departure.send_ack(self, signals)
        self._acknowledged_now()

    def keep_alive(self, now: int) -> None:
        """Send an ACK that its receiver has to answer (RFC 9293 §3.8.4)."""
        self.now = now
        departure.send_keep_alive(self)

    def _acknowledged_now(self) -> None:
        self.unacknowledged = 0
        self.ack_at = None

    # -- what the path and the peer make of it -------------------------------------------------------

    def begin_congestion(self, window: int | None) -> None:
        """Begin congestion control anew: the segment size is known. window: the initial one, octets."""
        self.congestion.close()
        self.congestion = self._new_congestion(window)

    def lower_mtu(self, mtu: int, sequence: int, now: int) -> bool:
        """Fit segments to a path that takes only `mtu` octets a packet; return whether that changed anything.

        An ICMP error says so, and quotes the segment with this 32-bit sequence number, which must be under
        way: RFC 5927 §4.1. What was too long is sent again in pieces, and is no sign of congestion
        (RFC 1191 §6.5, RFC 8201 §5.4).
        """
        self.now = now
        out = self.out
        offset = unwrap32(sequence - self.iss, out.una)
        mss = max(mtu - IP_AND_TCP[self.local.version], SMALLEST_MSS)
        if not out.una <= offset < out.nxt or mss >= self.mss:
            return False
        self.mss = self.congestion.mss = mss
        out.cut(self.payload_room(regular=False))
        return True

    def _new_congestion(self, window: int | None) -> CongestionControl:
        """window: the initial one, octets; None for the algorithm's own choice."""
        name = self.owner.configuration.congestion
        return CONGESTION[name](self.mss, self._coupling, self.rtt, window)

    # -- timers --------------------------------------------------------------------------------------

    def next_timer(self) -> int | None:
        """Return when the next timer is due, run clock, or None."""
        return timers.next_due(self)

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self.now = now
        timers.expire(self, now)
