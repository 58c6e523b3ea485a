"""What holds of every segment that an endpoint sends, judged by the segments that it took and sent before."""

from __future__ import annotations

from typing import NamedTuple

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.network.topology import ROLES, Role
from mbtest.wire import Dss, MpCapable, Segment, WindowScale
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import initial_data_sequence_number
from tests.properties.drive import Broken, Event, Opened, Sent, Taken, Witness
from tests.properties.flows import Flow, Octets

MASK_32, MASK_64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class Declared(NamedTuple):
    """A mapping as a host declared it: offsets are relative, the first octet of data is number 1 of both."""

    start: int
    data_start: int
    length: int
    """Octets of payload, a DATA_FIN left out."""
    data_fin: bool
    checksum: int | None

    def covers(self, offset: int) -> bool:
        """Whether it maps this octet of the subflow."""
        return self.start <= offset < self.start + self.length


class Half:
    """What one host sent and took on one flow, as far as windows and numbers go."""

    def __init__(self) -> None:
        self.sent = Octets()
        self.peer = Octets()
        self.own_scale: int | None = None
        self.peer_scale: int | None = None
        self.edge = 0
        """The offset after the last octet that the peer's window on this flow ever had room for."""
        self.regular_edge = 0
        """The right edge of the window that was advertised as regular TCP."""
        self.mappings: list[Declared] = []

    def take_scales(self, segment: Segment, *, own: bool) -> None:
        option = segment.option(WindowScale)
        shift = None if option is None else min(option.shift, 14)
        if own:
            self.own_scale = shift
        else:
            self.peer_scale = shift

    def shift(self, *, own: bool) -> int:
        """Return by how much windows are shifted; 0 where one side left the option out (RFC 7323 §2.2)."""
        if self.own_scale is None or self.peer_scale is None:
            return 0
        return self.own_scale if own else self.peer_scale


class Reader:
    """Follows a host's first connection through its log, and holds what it sends against the RFCs."""

    def __init__(self, run: Witness, role: Role) -> None:
        self._run = run
        self._role = role
        self._halves: dict[Flow, Half] = {}
        self._owners: dict[Flow, int] = {}
        self._written = run.written(role)
        self._ended = run.applications[role].written
        self._own_idsn: int | None = None
        self._peer_idsn: int | None = None
        self._mode = ""
        self._data_ack = -1
        self._own_edge = -1
        self._peer_edge = -1
        self._agreed: set[bool] = set()
        self._time = 0

    def read(self) -> None:
        """Go through the log."""
        log = self._run.endpoints[self._role].log
        for entry in log:
            # First of all, as a SYN comes before the subflow that it opens.
            if isinstance(entry, Opened):
                self._owners.setdefault(entry.flow, entry.connection)
        for entry in log:
            if isinstance(entry, Taken) and isinstance(entry.packet, Segment):
                flow = entry.packet.flow[::-1]
                if self._owners.get(flow) == 0:
                    self._take(self._half(flow), entry.packet)
            elif isinstance(entry, Sent) and self._owners.get(entry.segment.flow) == 0:
                self._time = entry.time
                self._send(self._half(entry.segment.flow), entry.segment)
            elif isinstance(entry, Event) and entry.kind is Kind.STATE and entry.connection == 0:
                after = entry.words.partition(" -> ")[2].partition(": ")[0]
                if entry.subflow is None and after in {str(state) for state in Mode}:
                    self._mode = after
        for half in self._halves.values():
            self._check_checksums(half)

    def _half(self, flow: Flow) -> Half:
        return self._halves.setdefault(flow, Half())

    def _broken(self, words: str) -> Broken:
        return Broken(f"{self._role}, {self._time} us: {words}")

    # -- Segments taken --------------------------------------------------------------------------

    def _take(self, half: Half, segment: Segment) -> None:
        if segment.rst or not (segment.has_ack or segment.syn):
            return
        half.peer.add(segment)
        if segment.syn:
            half.take_scales(segment, own=False)
        shift = 0 if segment.syn else half.shift(own=False)
        capable = segment.option(MpCapable)
        if capable is not None and capable.sender_key is not None and self._peer_idsn is None:
            self._peer_idsn = int(initial_data_sequence_number(capable.sender_key))
            self._agreed.add(capable.checksum_required)
        if segment.has_ack and half.sent.isn is not None:
            ack = half.sent.offset(int(segment.ack))
            half.edge = max(half.edge, ack + (segment.window << shift))
        if self._peer_edge < 0 and half.sent.isn is not None:
            # RFC 8684 §3.3.5: until a Data ACK comes, the window of the handshake counts.
            self._peer_edge = 1 + (segment.window << shift)
        elif self._peer_edge < 0:
            self._peer_edge = 1 + segment.window
        dss = segment.option(Dss)
        if dss is not None and dss.data_ack is not None and self._own_idsn is not None:
            offset = _relative(dss.data_ack, self._own_idsn, wide=dss.data_ack_64)
            self._peer_edge = max(self._peer_edge, offset + (segment.window << shift))
        elif not segment.syn and self._data_ack < 0:
            # The third ACK, and repetitions of it, have the window at their full scale.
            self._peer_edge = max(self._peer_edge, 1 + (segment.window << shift))

    # -- Segments sent -----------------------------------------------------------------------------

    def _send(self, half: Half, segment: Segment) -> None:
        half.sent.add(segment)
        if segment.syn:
            half.take_scales(segment, own=True)
        capable = segment.option(MpCapable)
        if capable is not None and capable.sender_key is not None and self._own_idsn is None:
            self._own_idsn = int(initial_data_sequence_number(capable.sender_key))
        if segment.rst:
            return
        self._check_subflow_window(half, segment)
        if self._mode == Mode.REGULAR and not segment.syn:
            self._check_regular_edge(half, segment)
        declared: list[Declared] = []
        if capable is not None and capable.data_length:
            declared.append(Declared(1, 1, capable.data_length, False, capable.checksum))
        dss = segment.option(Dss)
        if dss is not None:
            if dss.data_ack is not None:
                self._check_data_ack(half, segment, dss)
            if dss.dsn is not None and not dss.infinite:
                declared.append(self._declared(dss))
        for mapping in declared:
            self._check_mapping(half, mapping)
        if segment.payload_length and self._mode in (Mode.CONFIRMING, Mode.MULTIPATH, Mode.CHECKSUM_FAILED):
            self._check_data(half, segment)

    def _declared(self, dss: Dss) -> Declared:
        assert dss.dsn is not None
        assert self._own_idsn is not None
        return Declared(
            dss.subflow_sequence,
            _relative(dss.dsn, self._own_idsn, wide=dss.dsn_64),
            dss.length - dss.data_fin,
            dss.data_fin,
            dss.checksum,
        )

    def _check_data_ack(self, half: Half, segment: Segment, dss: Dss) -> None:
        """RFC 8684 §3.3.2: the Data ACK is cumulative. §3.3.5: the window's right edge never moves left."""
        if self._peer_idsn is None or dss.data_ack is None:
            raise self._broken("Data ACK before the peer's key is known")
        offset = _relative(dss.data_ack, self._peer_idsn, wide=dss.data_ack_64)
        if offset < self._data_ack:
            raise self._broken(f"Data ACK {offset} after {self._data_ack}")
        self._data_ack = offset
        shift = half.shift(own=True)
        edge = offset + (segment.window << shift)
        # RFC 7323 §2.4: a window that is no multiple of its unit loses less than one.
        if edge <= self._own_edge - (1 << shift) and segment.window < 0xFFFF:
            raise self._broken(
                f"the window's right edge went from {self._own_edge} to {edge}, unit {1 << shift}"
            )
        self._own_edge = max(self._own_edge, edge)

    def _check_mapping(self, half: Half, mapping: Declared) -> None:
        """RFC 8684 §3.3.1: a mapping, once declared, is never changed."""
        if self._run_uses_checksums() and mapping.checksum is None:
            raise self._broken(f"{mapping} without a checksum")
        if not mapping.length:
            if mapping.start:
                raise self._broken(f"a DATA_FIN by itself with the subflow sequence number {mapping.start}")
            if mapping.data_start != 1 + self._ended:
                raise self._broken(f"DATA_FIN at {mapping.data_start}, after {self._ended} octets")
            if mapping not in half.mappings:
                half.mappings.append(mapping)
            return
        if mapping.data_fin and mapping.data_start + mapping.length != 1 + self._ended:
            raise self._broken(f"DATA_FIN behind {mapping}, after {self._ended} octets")
        for known in reversed(half.mappings):
            if known == mapping:
                return
            if (
                known.length
                and known.start < mapping.start + mapping.length
                and mapping.start < known.start + known.length
            ):
                raise self._broken(f"{mapping} contradicts {known}")
        half.mappings.append(mapping)

    def _check_data(self, half: Half, segment: Segment) -> None:
        """Each octet is mapped where it belongs, and within the window (RFC 8684 §3.3.5) but for probes."""
        start = half.sent.offset(int(segment.seq))
        end = start + segment.payload_length
        mapping = next((known for known in reversed(half.mappings) if known.covers(start)), None)
        if mapping is None or end > mapping.start + mapping.length:
            raise self._broken(
                f"octets {start} to {end} of the subflow have no mapping of their own: {mapping}"
            )
        place = mapping.data_start + start - mapping.start
        if self._written[place - 1 : place - 1 + segment.payload_length] != segment.payload:
            raise self._broken(
                f"octets {place} to {place + segment.payload_length} are not what was written there"
            )
        if segment.payload_length > 1 and place + segment.payload_length > self._peer_edge:
            raise self._broken(
                f"octet {place + segment.payload_length - 1}, and the peer's window ends at {self._peer_edge}"
            )

    def _check_subflow_window(self, half: Half, segment: Segment) -> None:
        """RFC 9293 §3.8.6: nothing beyond the window, but one octet that probes it, and a FIN."""
        if segment.payload_length <= 1 or segment.syn:
            return
        end = half.sent.offset(int(segment.seq)) + segment.payload_length
        if end > half.edge:
            raise self._broken(f"sends up to {end} of the subflow, and its window ends at {half.edge}")

    def _check_regular_edge(self, half: Half, segment: Segment) -> None:
        """RFC 9293 §3.8.6: a receiver does not shrink the window; RFC 7323 §2.4: but by less than a unit."""
        if half.peer.isn is None or not segment.has_ack:
            return
        shift = half.shift(own=True)
        edge = half.peer.offset(int(segment.ack)) + (segment.window << shift)
        if edge <= half.regular_edge - (1 << shift) and segment.window < 0xFFFF:
            raise self._broken(
                f"as regular TCP, the window's right edge went from {half.regular_edge} to {edge}"
            )
        half.regular_edge = max(half.regular_edge, edge)

    def _run_uses_checksums(self) -> bool:
        return any(self._agreed) or self._run.endpoints[self._role].configuration.checksum

    def _check_checksums(self, half: Half) -> None:
        octets = half.sent.octets()
        for mapping in half.mappings:
            if mapping.checksum is None or self._own_idsn is None:
                continue
            payload = (
                octets[mapping.start - 1 : mapping.start - 1 + mapping.length] if mapping.length else b""
            )
            if len(payload) < mapping.length:
                continue  # Not all of it was sent.
            expected = dss_checksum(
                (self._own_idsn + mapping.data_start) & MASK_64, mapping.start,
                mapping.length + mapping.data_fin, payload,
            )  # fmt: skip
            if (expected - mapping.checksum) % 65535:
                raise self._broken(f"{mapping}: the checksum should be {expected}")


def _relative(number: int, idsn: int, *, wide: bool) -> int:
    """Return a data sequence number as an offset: 1 for the first octet."""
    return (number - idsn) & (MASK_64 if wide else MASK_32)


def segments_keep_their_word(run: Witness) -> None:
    """Mappings, checksums, Data ACKs and windows of all that is sent are as RFC 8684 §3.3 asks."""
    for role in ROLES:
        Reader(run, role).read()
