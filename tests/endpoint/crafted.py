"""A peer played by hand against one endpoint: every segment as the test wants it, with right keys and HMACs.

The peer remembers what the endpoint sends and acknowledges nothing by itself.
"""

from __future__ import annotations

from random import Random
from typing import Any, TypeVar

from mbtest.endpoint import Configuration, Connection, Endpoint, Event, Kind
from mbtest.wire import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    AddAddr,
    Address,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    Segment,
    TcpOption,
)
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import add_addr_hmac, initial_data_sequence_number, join_hmac, token
from mbtest.wire.mptcp import CHECKSUM_REQUIRED, HMAC_SHA256
from tests.endpoint.scene import A1, A2, A3, B1, B2, B3, MASK_32, MASK_64, PORT, SECOND

Option = TypeVar("Option", bound=TcpOption)

KEY = 0x1122_3344_5566_7788
NONCE = 0xCAFE_F00D
OWN_PORT = 40_000


class Chosen(Random):
    """Chance that begins with chosen keys."""

    keys: tuple[int, ...] = ()

    def getrandbits(self, k: int, /) -> int:
        if k == 64 and self.keys:
            key, *self.keys = self.keys  # type: ignore[assignment]
            return key
        return super().getrandbits(k)


class Line:
    """One TCP connection of the peer's. Sequence numbers are offsets from the initial ones."""

    def __init__(self, peer: Peer, own: tuple[Address, int], remote: tuple[Address, int], iss: int) -> None:
        self.peer = peer
        self.own, self.remote, self.iss = own, remote, iss
        self.irs: int | None = None
        self.next = 0
        """The offset of the next octet that this side sends."""
        self.expected = 0
        """The offset of the next octet that the endpoint is to send."""
        self.window = 65_535
        self.got: list[Segment] = []
        """All that the endpoint sent."""
        self.own_nonce = NONCE
        self.nonce = 0
        self.data_ack: int | None = None

    def send(
        self,
        *options: TcpOption,
        payload: bytes = b"",
        flags: int | None = None,
        at: int | None = None,
        ack: int | None = None,
    ) -> list[Segment]:
        """Send a segment and return what the endpoint sends on this line in return.

        at, ack: offsets; where they are left alone, those that are due.
        """
        if flags is None:
            flags = ACK | PSH if payload else ACK
        offset = self.next if at is None else at
        acknowledged = self.expected if ack is None else ack
        segment = Segment.build(
            self.own[0],
            self.remote[0],
            self.own[1],
            self.remote[1],
            seq=self.iss + offset & MASK_32,
            ack=(self.irs or 0) + acknowledged & MASK_32 if flags & ACK else 0,
            flags=flags,
            window=self.window,
            options=options,
            payload=payload,
        )
        if segment.sequence_length:
            self.next = max(self.next, offset + segment.sequence_length)
        before = len(self.got)
        self.peer.endpoint.receive(segment.raw, self.peer.now)
        self.peer.wait(0)
        return self.got[before:]

    def take(self, segment: Segment) -> None:
        """Note a segment of the endpoint's."""
        self.got.append(segment)
        if segment.syn:
            self.irs = int(segment.seq)
            self.expected = max(self.expected, 1)
            return
        if segment.rst or self.irs is None:
            return
        if (int(segment.seq) - self.irs & MASK_32) == self.expected:
            self.expected += segment.sequence_length

    @property
    def last(self) -> Segment:
        return self.got[-1]

    @property
    def is_reset(self) -> bool:
        return any(segment.rst for segment in self.got)

    def options(self, form: type[Option]) -> list[Option]:
        """Return all options of a form that the endpoint sent."""
        return [option for segment in self.got for option in segment.options if isinstance(option, form)]

    # -- Options ------------------------------------------------------------------------------------

    def dss(
        self,
        payload: bytes = b"",
        *,
        offset: int | None = None,
        at: int | None = None,
        wide: bool = True,
        wide_ack: bool = True,
        data_ack: int | None = None,
        fin: bool = False,
        checksum: int | None = None,
        idsn: int | None = None,
    ) -> Dss:
        """Return a DSS that maps a payload: by default the next octets of subflow and stream.

        offset: in the stream; data_ack: an offset in the endpoint's stream, or the first that is missing.
        """
        peer = self.peer
        offset = peer.next if offset is None else offset
        alone = fin and not payload
        relative = 0 if alone else self.next if at is None else at
        dsn = (peer.idsn + offset) & MASK_64
        length = len(payload) + fin
        if checksum is None and peer.checksum:
            checksum = dss_checksum(dsn, relative, length, payload)
        acknowledged = peer.expected if data_ack is None else data_ack
        return Dss(
            (peer.endpoint_idsn + acknowledged) & (MASK_64 if wide_ack else MASK_32),
            dsn if wide else dsn & MASK_32,
            relative,
            length,
            checksum,
            fin,
            wide_ack,
            wide,
        )

    def ack_option(self, data_ack: int | None = None, *, wide: bool = True) -> Dss:
        """Return a DSS with a Data ACK alone, by default of all that came in order."""
        number = self.peer.endpoint_idsn + (self.peer.expected if data_ack is None else data_ack)
        return Dss(number & (MASK_64 if wide else MASK_32), data_ack_64=wide)

    # -- Usual segments -------------------------------------------------------------------------------

    def data(self, payload: bytes, **changes: Any) -> list[Segment]:
        """Send data under a mapping of its own, the next of the stream."""
        option = self.dss(payload, **changes)
        if changes.get("offset") is None:
            self.peer.next += len(payload) + bool(changes.get("fin"))
        return self.send(option, payload=payload, at=changes.get("at"))

    def data_fin(self) -> list[Segment]:
        """Send a DATA_FIN without data."""
        option = self.dss(fin=True)
        self.peer.next += 1
        return self.send(option)

    def acknowledge(self, *options: TcpOption) -> list[Segment]:
        """Acknowledge all on the subflow and in the stream."""
        return self.send(self.ack_option(), *options)

    def reset(self, *options: TcpOption) -> list[Segment]:
        return self.send(*options, flags=RST | ACK)

    def fin(self, *options: TcpOption) -> list[Segment]:
        return self.send(*options, flags=FIN | ACK)


class Peer:
    """The host that is played by hand."""

    def __init__(
        self,
        *,
        opens: bool,
        checksum: bool = False,
        key: int = KEY,
        keys: tuple[int, ...] = (),
        seed: int = 1,
        **configuration: Any,
    ) -> None:
        """Prepare a peer that opens the connection, or that the endpoint opens one to.

        checksum: ask for checksums, and have them; key: the peer's, keys: those that the endpoint draws
        first; the configuration is the endpoint's.
        """
        self.opens = opens
        own = [B1, B2, B3] if opens else [A1, A2, A3]
        chance = Chosen(seed)
        chance.keys = keys
        # ACKs are not delayed, so that the answer to each segment is seen.
        self.endpoint = Endpoint(Configuration(**({"delayed_ack": 0} | configuration)), own, chance)
        self.now = 0
        self.key = key
        self.idsn = int(initial_data_sequence_number(key))
        self.endpoint_key = 0
        self.endpoint_idsn = 0
        self.flags = HMAC_SHA256 | (CHECKSUM_REQUIRED if checksum else 0)
        self.checksum = checksum
        self.next = 1
        """The offset of the next octet of the peer's stream."""
        self.expected = 1
        """The offset of the first octet of the endpoint's stream that is missing."""
        self.lines: list[Line] = []
        self.strays: list[Segment] = []
        """What the endpoint sent and no line is for: SYNs of its own."""
        self.events: list[Event] = []
        self.connection: Connection | None = None
        self._ranges: set[tuple[int, int]] = set()
        self._mappings: list[tuple[Line, Dss, int]] = []
        if opens:
            self.endpoint.listen(PORT)
            self.initial = self.line((A1, OWN_PORT), (B1, PORT))
        else:
            self.connection = self.endpoint.connect(B1, PORT, 0)
            self.pull()
            self.initial = self.pick_up()

    # -- Lines and time ---------------------------------------------------------------------------------

    def line(self, own: tuple[Address, int], remote: tuple[Address, int], iss: int = 1_000_000) -> Line:
        """Return a new line between two ends."""
        line = Line(self, own, remote, iss)
        self.lines.append(line)
        return line

    def pick_up(self) -> Line:
        """Return a line for the SYN of the endpoint's that came last."""
        syn = self.strays.pop()
        line = self.line(
            (syn.destination, syn.destination_port), (syn.source, syn.source_port), iss=2_000_000
        )
        line.take(syn)
        return line

    def pull(self) -> list[Segment]:
        """Fetch what the endpoint sends, and return it."""
        segments = self.endpoint.packets_to_send(self.now)
        for segment in segments:
            line = self._line_of(segment)
            if line is None:
                self.strays.append(segment)
                continue
            line.take(segment)
            self._take_mapping(line, segment)
        self.events += self.endpoint.events()
        if self.opens and self.connection is None:
            self.connection = self.endpoint.accept(PORT)
        return segments

    def _line_of(self, segment: Segment) -> Line | None:
        for line in self.lines:
            if line.own == (segment.destination, segment.destination_port) and line.remote == (
                segment.source,
                segment.source_port,
            ):
                return line
        return None

    def _take_mapping(self, line: Line, segment: Segment) -> None:
        """Follow the endpoint's stream, to know the Data ACK that is due."""
        option = segment.option(Dss)
        capable = segment.option(MpCapable)
        if option is not None and option.dsn is not None and option.length:
            low = (option.dsn - self.endpoint_idsn) & (MASK_64 if option.dsn_64 else MASK_32)
            self._mappings.append((line, option, low))
            if option.data_fin:
                self._ranges.add((low + option.length - 1, low + option.length))
        elif capable is not None and capable.data_length:
            whole = Dss(dsn=0, subflow_sequence=1, length=capable.data_length)
            self._mappings.append((line, whole, 1))
        if segment.payload_length and line.irs is not None:
            offset = int(segment.seq) - line.irs & MASK_32
            for owner, mapping, start in self._mappings:
                inside = offset - mapping.subflow_sequence
                if owner is line and 0 <= inside < mapping.length - mapping.data_fin:
                    self._ranges.add((start + inside, start + inside + segment.payload_length))
        for first, last in sorted(self._ranges):
            if first <= self.expected < last:
                self.expected = last

    def wait(self, duration: int = SECOND) -> list[Segment]:
        """Let time pass, and return what the endpoint sends meanwhile."""
        end, sent, spins = self.now + duration, self.pull(), 0
        while (at := self.endpoint.next_timer()) is not None and at <= end:
            spins = spins + 1 if at <= self.now else 0
            assert spins < 1_000, f"nothing but timers at {self.now}"
            self.now = max(self.now, at)
            self.endpoint.handle_timer(self.now)
            sent += self.pull()
        self.now = end
        return sent

    def heard(self, kind: Kind, words: str = "") -> list[Event]:
        """Return the events of a kind whose words contain these."""
        self.events += self.endpoint.events()
        return [event for event in self.events if event.kind is kind and words in event.words]

    def write(self, octets: bytes) -> list[Segment]:
        """Have the endpoint's application write, and return the segments with data that this brings."""
        assert self.made.send(octets, self.now) == len(octets)
        return [segment for segment in self.pull() if segment.payload_length]

    def read(self) -> bytes | None:
        """Return what the endpoint's application reads."""
        return self.made.receive(1 << 20, self.now)

    @property
    def made(self) -> Connection:
        assert self.connection is not None
        return self.connection

    # -- Handshakes --------------------------------------------------------------------------------------

    def learn(self, key: int) -> None:
        """Derive what the endpoint's key gives."""
        self.endpoint_key = key
        self.endpoint_idsn = int(initial_data_sequence_number(key))

    def open(self, **changes: Any) -> Peer:
        """Do the whole handshake of the first subflow. changes: of the options that this peer sends."""
        line = self.initial
        if self.opens:
            line.send(MaximumSegmentSize(1460), MpCapable(self.flags, **changes), flags=SYN)
            answer = line.last.option(MpCapable)
            assert answer is not None
            assert answer.sender_key is not None
            self.learn(answer.sender_key)
            self.checksum = self.checksum or answer.checksum_required
            line.send(self.capable())
            return self
        offer = line.last.option(MpCapable)
        assert offer is not None
        self.checksum = self.checksum or offer.checksum_required
        line.send(MaximumSegmentSize(1460), MpCapable(self.flags, self.key, **changes), flags=SYN | ACK)
        # The SYN is the first of its options, the third ACK the next.
        echo = line.options(MpCapable)[1]
        assert echo.sender_key is not None
        self.learn(echo.sender_key)
        return self

    def confirm(self, payload: bytes = b"hello") -> Peer:
        """Send first data with a DSS, read it at the endpoint, and acknowledge: MPTCP is confirmed."""
        self.initial.data(payload)
        assert self.read() == payload
        return self

    def capable(self, payload: bytes | None = None, **changes: Any) -> MpCapable:
        """Return the MP_CAPABLE of the third ACK, or of the first data."""
        flags = self.flags | (CHECKSUM_REQUIRED if self.checksum else 0)
        values: dict[str, Any] = {"flags": flags, "sender_key": self.key, "receiver_key": self.endpoint_key}
        if payload is not None:
            values["data_length"] = len(payload)
            if self.checksum:
                values["checksum"] = dss_checksum(self.idsn + 1 & MASK_64, 1, len(payload), payload)
        return MpCapable(**(values | changes))

    def join_syn(
        self, own: Address | None = None, remote: Address | None = None, port: int = OWN_PORT, **changes: Any
    ) -> Line:
        """Send a SYN that joins, and return its line."""
        line = self.line(
            (own or (A2 if self.opens else B2), port if self.opens else PORT),
            (remote or (B1 if self.opens else A1), PORT if self.opens else self.initial.remote[1]),
            iss=3_000_000 + 1_000_000 * len(self.lines),
        )
        values: dict[str, Any] = {"address_id": 7, "token": token(self.endpoint_key), "nonce": line.own_nonce}
        line.send(MaximumSegmentSize(1460), MpJoinSyn(**(values | changes)), flags=SYN)
        answer = line.last.option(MpJoinSynAck)
        if answer is not None:
            line.nonce = answer.nonce
        return line

    def join_proof(self, line: Line) -> bytes:
        """Return the HMAC that this side shows on a line."""
        return join_hmac(self.key, self.endpoint_key, line.own_nonce, line.nonce)

    def join(self, own: Address | None = None, remote: Address | None = None, **changes: Any) -> Line:
        """Join, all three steps."""
        line = self.join_syn(own, remote, **changes)
        line.send(MpJoinAck(self.join_proof(line)[:20]))
        return line

    def answer_join(self, line: Line, *, address_id: int = 0, **changes: Any) -> list[Segment]:
        """Answer the endpoint's SYN with MP_JOIN; return its third ACK."""
        offer = line.got[0].option(MpJoinSyn)
        assert offer is not None
        line.nonce = offer.nonce
        proof = int.from_bytes(self.join_proof(line)[:8], "big")
        values: dict[str, Any] = {"address_id": address_id, "hmac": proof, "nonce": line.own_nonce}
        option = MpJoinSynAck(**(values | changes))
        return line.send(MaximumSegmentSize(1460), option, flags=SYN | ACK)

    def add_addr(self, address_id: int, address: Address, port: int | None = None) -> AddAddr:
        """Return an ADD_ADDR with a right HMAC."""
        proof = add_addr_hmac(self.key, self.endpoint_key, address_id, address, port or 0)
        return AddAddr(address_id, address, port, proof)
