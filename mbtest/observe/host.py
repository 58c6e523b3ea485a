"""One host's side: each segment that it sent or that reached it, in order, brings its state forward.

Whoever judges is asked before a segment that the host sent changes anything: what a host does is judged by
what it had sent and received until then.
"""

from __future__ import annotations

from struct import Struct
from typing import Protocol

from mbtest.observe import handshakes, signals
from mbtest.observe.directions import Half, Skip, Stream
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.observe.notes import Note
from mbtest.observe.ranges import unwrap32
from mbtest.observe.state import Connection, Duty, Mode, Subflow
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MptcpOption,
    NoOperation,
    Sack,
    SackPermitted,
    Segment,
    Timestamps,
    WindowScale,
)
from mbtest.wire.mptcp import MpJoinSyn
from mbtest.wire.packet import TCP_FIXED

_FIELDS = Struct("!IIHH")
_SYN_OR_RST = SYN | RST
BEYOND = 1 << 18
"""Octets beyond a window that count as in it: what it can grow by at once."""


class Judge(Protocol):
    """Who wants to know what a host did."""

    def sent(self, host: HostTrace, moment: Moment) -> None:
        """A segment is about to be taken in that the host sent."""

    def checked(self, host: HostTrace, moment: Moment, mapping: Mapping) -> None:
        """All octets of a mapping of the host's were sent, and its checksum is wrong."""


class HostTrace:
    """What one host knows, brought forward segment by segment."""

    def __init__(self, role: str, exact: bool, judge: Judge | None = None) -> None:
        """Begin with nothing.

        role: `client` or `server`. exact: whether packets are seen at the host itself: what is said to
        have reached it has, at that time. judge: asked about each segment that the host sent.
        """
        self.role = role
        self.exact = exact
        self.judge = judge
        self.now = 0
        self.complete = True
        """Whether every connection was seen from its first SYN on."""
        self.subflows: dict[tuple[bytes, bytes], Subflow] = {}
        self.connections: list[Connection] = []
        self.keys: dict[int, Connection] = {}
        """The host's own keys."""
        self.tokens: dict[int, Connection] = {}
        self.peer_tokens: dict[int, Connection] = {}
        self.nonces: dict[int, tuple[bytes, bytes]] = {}
        self.notes: list[Note] = []
        """What is worth a line in a timeline."""

    # -- Finding -------------------------------------------------------------------------------------------

    def add(self, frame: int, time: int, path: str, segment: Segment, sent: bool) -> None:  # noqa: PLR0915
        """Take in a segment that the host sent, or that reached it. time: microseconds."""
        source, destination = segment.flow
        key = (source, destination) if sent else (destination, source)
        self.now = time
        seq, ack, word, window = _FIELDS.unpack_from(segment.raw, segment.transport + 4)
        flags = word & 0x0FFF
        subflow = self.subflows.get(key)
        if subflow is None or (flags & (SYN | ACK) == SYN and self._is_new(subflow, seq, sent)):
            subflow = self._open(key, path, segment, flags, sent)
        moment = Moment(frame, time, segment, sent, subflow, flags)
        if sent:
            half, other = subflow.own, subflow.peer
        else:
            half, other = subflow.peer, subflow.own
        if flags & SYN:
            if half.isn is None:
                half.isn = half.anchor = seq
                half.top = 0
        elif half.anchor is None:
            half.anchor = seq - 1 & 0xFFFF_FFFF
            half.top = half.acked = 1
            half.mapped.taken.front = 1
        near = half.top
        moment.start = near + ((seq - half.anchor - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        if flags & ACK:
            if other.anchor is None:
                other.anchor = ack - 1 & 0xFFFF_FFFF
                other.top = other.acked = 1
                other.mapped.taken.front = 1
            near = other.top
            moment.ack = near + ((ack - other.anchor - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        if flags & SYN:
            moment.window = window
        elif half.scale is not None and other.scale is not None:
            moment.window = window << half.scale
        else:
            moment.window = window if half.isn is not None and other.isn is not None else -1
        connection = subflow.connection
        connection.last_time = subflow.last_time = time
        if segment.payload_offset - segment.transport > TCP_FIXED:
            self._read_options(moment)
        if not sent:
            if self._is_outside(moment, half):
                return
            if not flags & _SYN_OR_RST:
                self._look_whether_late(moment, half)
            subflow.own.lone_number = 0
        elif self.judge is not None:
            self.judge.sent(self, moment)
        if flags & SYN:
            self._take_syn(moment, half)
            handshakes.take_syn_options(self, moment)
        else:
            half.segments += 1
            half.bare = not moment.options
        for option in moment.options:
            signals.take(self, moment, option)
        if moment.options and not flags & SYN:
            half.mptcp = True
        if not (sent or flags & _SYN_OR_RST or subflow.is_settled):
            handshakes.take_handshake_end(self, moment)
        self._take(moment, half, other)

    @staticmethod
    def _is_outside(moment: Moment, half: Half) -> bool:
        """Whether the host drops a segment for its number (RFC 9293 §3.10.7.4, RFC 8684 §3).

        One just beyond the window may come at a time when the host has a larger one that it has not told of.
        """
        if half.edge is None or moment.flags & _SYN_OR_RST:
            return False
        return moment.start > half.mapped.taken.front and moment.start >= half.edge + BEYOND

    @staticmethod
    def _look_whether_late(moment: Moment, half: Half) -> None:
        """See `Moment.late`."""
        front = half.mapped.taken.front
        if moment.start != front:
            moment.late = moment.start + moment.size + (moment.flags & FIN) <= front or (
                half.edge is not None and moment.start >= half.edge
            )
        if moment.stamps is not None:
            stamp = moment.stamps.value
            if half.stamp is not None and (stamp - half.stamp) & 0x8000_0000:
                moment.late = True
            elif moment.start <= front:
                half.stamp = stamp

    @staticmethod
    def _is_new(subflow: Subflow, seq: int, sent: bool) -> bool:
        half = subflow.own if sent else subflow.peer
        return half.isn != seq and (half.isn is not None or subflow.closed)

    def _open(self, key: tuple[bytes, bytes], path: str, segment: Segment, flags: int, sent: bool) -> Subflow:
        """Begin a subflow, of a new connection unless it joins one."""
        opened_here: bool | None = None
        if flags & SYN:
            opened_here = sent is not bool(flags & ACK)
        ends = [
            f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
            for address, port in (
                (segment.source, segment.source_port), (segment.destination, segment.destination_port),
            )
        ]  # fmt: skip
        by_opener = opened_here is sent if opened_here is not None else True
        name = " > ".join(ends if by_opener else ends[::-1])
        subflow = Subflow(key, name, path, opened_here)
        subflow.opened_at = self.now
        join = segment.option(MpJoinSyn) if flags & (SYN | ACK) == SYN else None
        connection: Connection | None = None
        if join is not None:
            subflow.kind = "join"
            tokens = self.peer_tokens if sent else self.tokens
            connection = tokens.get(join.token)
            if connection is None and sent and self.connections:
                # A token that is wrong is still one of a connection that there is.
                connection = self.connections[-1]
        elif flags & (SYN | ACK) == SYN:
            subflow.kind = "initial"
        if connection is None:
            connection = Connection(len(self.connections) + 1, opened_here)
            connection.opened_at = self.now
            if subflow.kind != "initial":
                connection.mode = Mode.UNKNOWN
                connection.handshake = False
                self.complete = self.complete and join is not None
            self.connections.append(connection)
        subflow.connection = connection
        connection.subflows.append(subflow)
        self.subflows[key] = subflow
        return subflow

    # -- Reading -------------------------------------------------------------------------------------------

    def _read_options(self, moment: Moment) -> None:
        """Find the options that matter, and put mapping and Data ACK in terms of offsets."""
        for option in moment.segment.options:
            if isinstance(option, NoOperation):
                continue
            if isinstance(option, Timestamps):
                moment.stamps = option
            elif isinstance(option, MptcpOption):
                moment.options = (*moment.options, option)
                if isinstance(option, Dss):
                    self._read_dss(moment, option)
                elif isinstance(option, MpCapable):
                    moment.capable = option
                    if option.data_length is not None and moment.mapping is None:
                        length, total = option.data_length, option.checksum
                        moment.mapping = Mapping(1, 1, length, False, total, moment.frame)
            elif isinstance(option, Sack):
                moment.sack = option
            elif isinstance(option, MaximumSegmentSize | WindowScale | SackPermitted):
                moment.syn_option = option

    @staticmethod
    def _read_dss(moment: Moment, option: Dss) -> None:
        if moment.dss is not None:
            return
        moment.dss = option
        connection = moment.connection
        mine, theirs = (connection.own, connection.peer) if moment.sent else (connection.peer, connection.own)
        if option.dsn is not None:
            fin = option.data_fin
            length = option.length - fin
            start = option.subflow_sequence
            if length > 0 or not fin:
                start = unwrap32(start, moment.own.top)
            data = _offset(mine, option.dsn, option.dsn_64, mine.top)
            moment.mapping = Mapping(start, data, max(0, length), fin, option.checksum, moment.frame)
        if option.data_ack is not None:
            near = theirs.acked if theirs.acked is not None else 1
            moment.data_ack = _offset(theirs, option.data_ack, option.data_ack_64, near)

    @staticmethod
    def _take_syn(moment: Moment, half: Half) -> None:
        half.syns += 1
        # The first SYN may have had options that a repeated one has not: the last one counts.
        half.timestamps = half.sack = False
        half.scale = half.mss = None
        for option in moment.segment.options:
            if isinstance(option, WindowScale):
                half.scale = min(option.shift, 14)
            elif isinstance(option, MaximumSegmentSize):
                half.mss = option.size
            elif isinstance(option, Timestamps):
                half.timestamps = True
            elif isinstance(option, SackPermitted):
                half.sack = True

    # -- Taking in -----------------------------------------------------------------------------------------

    def _take(self, moment: Moment, half: Half, other: Half) -> None:
        flags, size, subflow = moment.flags, moment.size, moment.subflow
        if moment.sent and subflow.kind == "join" and subflow.proved and flags & ACK:
            moment.connection.settle(Duty.JOIN_ACK, subflow.key)
        if flags & RST:
            if half.rst is None:
                half.rst = moment.frame
                signals.take_reset(self, moment)
            return
        start = moment.start + (1 if flags & SYN else 0)
        if moment.mapping is not None:
            signals.take_mapping(self, moment, half)
        if size:
            signals.take_data(self, moment, half, start)
        end = start + size
        if flags & FIN:
            if half.fin is None:
                half.fin, half.fin_frame = end, moment.frame
                signals.take_fin(self, moment)
            end += 1
            half.mapped.taken.add(end - 1, end)
        if moment.sent and (half.skips or start > max(half.top, 1)):
            self._look_whether_skipped(moment, half, end)
        if end > half.top:
            if half.acked >= half.top:
                half.waiting = moment.time
            half.top = end
        if moment.ack is not None:
            self._take_ack(moment, half, other)
        if moment.sent:
            half.last_window = moment.window

    @staticmethod
    def _look_whether_skipped(moment: Moment, half: Half, end: int) -> None:
        """Take note of octets that a segment leaves out, and of those that it fills in."""
        segment, stamps = moment.segment, moment.stamps
        number = segment.identification if segment.version == 4 else 0
        stamp = None if stamps is None else stamps.value
        for skip in half.skips:
            skip.fill(moment.start, end, number, stamp)
        top = max(half.top, 1)
        if moment.start > top and half.isn is not None:
            half.skips.append(Skip(moment.frame, moment.time, top, moment.start, number, stamp))

    @staticmethod
    def _take_ack(moment: Moment, half: Half, other: Half) -> None:
        ack = moment.ack or 0
        half.last_ack = ack if half.last_ack is None else max(ack, half.last_ack)
        if ack > other.top:
            return
        if ack > other.acked:
            signals.take_progress(moment, ack)
            other.acked = ack
            other.waiting = moment.time
            other.mapped.forget(min(ack, other.mapped.taken.front))
            held = other.held
            while held and held[0][1] <= ack:
                held.popleft()
        if moment.window >= 0:
            edge = ack + moment.window
            if other.edge is None or edge > other.edge:
                other.edge = edge
            connection = moment.connection
            if not moment.sent and connection.own.acked is None and moment.subflow.kind == "initial":
                # Before the first Data ACK there is no other window to go by.
                connection.send_edge = max(connection.send_edge or 0, 1 + moment.window)


def _offset(stream: Stream, wire: int, is_wide: bool, near: int) -> int:
    """Return a number of the wire as an offset in a stream, which it begins where nothing else did."""
    if stream.base is None:
        # One below: the first octet that is seen has offset 1, as if it were the first of all.
        stream.base = wire - 1
        stream.wide = is_wide
    wire -= stream.base
    if is_wide and stream.wide:
        return near + ((wire - near + (1 << 63)) & 0xFFFF_FFFF_FFFF_FFFF) - (1 << 63)
    return near + ((wire - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
