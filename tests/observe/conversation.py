"""Well-formed conversations between two hosts, frame by frame, to be departed from in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mbtest.observe.rules import Breach, Rulebook
from mbtest.observe.trace import Trace
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    SackPermitted,
    Segment,
    TcpOption,
    WindowScale,
)
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import initial_data_sequence_number, join_hmac, token

OTHER = {"client": "server", "server": "client"}
KEYS = {"client": 0x1111_2222_3333_4444, "server": 0x5555_6666_7777_8888}
IDSN = {who: int(initial_data_sequence_number(key)) for who, key in KEYS.items()}
TOKEN = {who: token(key) for who, key in KEYS.items()}
ADDRESSES = {"client": ("198.18.1.2", "198.18.2.2"), "server": ("198.19.1.2", "198.19.2.2")}
SYN_OPTIONS = (MaximumSegmentSize(1460), SackPermitted(), WindowScale(7))
MASK_64 = 0xFFFF_FFFF_FFFF_FFFF
WINDOW = 1_000
SECOND = 1_000_000


@dataclass
class Flow:
    """A TCP connection. next: the offset of each side's next octet; got: what each side received in order."""

    address: dict[str, str]
    port: dict[str, int]
    opener: str = "client"
    next: dict[str, int] = field(default_factory=lambda: {"client": 0, "server": 0})
    got: dict[str, int] = field(default_factory=lambda: {"client": 0, "server": 0})
    isn: dict[str, int] = field(default_factory=lambda: {"client": 0xFFFF_FF00, "server": 7_000})
    nonce: dict[str, int] = field(default_factory=lambda: {"client": 0xC1, "server": 0x51})


class Talk:
    """A conversation. checksum: whether DSS checksums are used."""

    def __init__(self, *, checksum: bool = False, one_point: bool = False) -> None:
        self.checksum = checksum
        self.one_point = one_point
        self.flags = 0x81 if checksum else 0x01
        self.now = 0
        self.frames: list[tuple[int, int, str, str | None, str | None, bytes]] = []
        self.flows = [Flow({who: a[0] for who, a in ADDRESSES.items()}, {"client": 40_000, "server": 80})]
        self.stream = {"client": 1, "server": 1}
        self.received = {"client": 1, "server": 1}

    # -- Segments ----------------------------------------------------------------------------------

    def send(
        self,
        who: str,
        *options: TcpOption,
        payload: bytes = b"",
        flags: int = ACK,
        flow: int = 0,
        seq: int | None = None,
        ack: int | None = None,
        window: int | None = None,
        lost: bool = False,
        arrives: Segment | None = None,
        unsent: bool = False,
        **more: Any,
    ) -> Segment:
        """One segment; seq, ack: offsets, worked out where they are None. arrives: what boxes made of it."""
        way = self.flows[flow]
        to = OTHER[who]
        start = way.next[who] if seq is None else seq
        acked = way.got[who] if ack is None else ack
        segment = Segment.build(
            way.address[who], way.address[to], way.port[who], way.port[to],
            seq=way.isn[who] + start, ack=way.isn[to] + acked if flags & ACK else 0, flags=flags,
            window=65_535 if window is None and flags & SYN else WINDOW if window is None else window,
            options=options, payload=payload, **more,
        )  # fmt: skip
        end = start + segment.sequence_length
        way.next[who] = max(way.next[who], end)
        self.now += 1_000
        if not unsent:
            self.capture(who, who, segment)
        if not lost:
            self.now += 1_000
            self.capture(to, who, arrives or segment)
            if start <= way.got[to]:
                way.got[to] = max(way.got[to], end)
        return segment

    def capture(self, side: str, sender: str, segment: Segment) -> None:
        if self.one_point:
            if side == sender:
                self.frames.append((len(self.frames) + 1, self.now, "", None, None, segment.raw))
            return
        self.frames.append((len(self.frames) + 1, self.now, "p", side, sender, segment.raw))

    def wait(self, seconds: float) -> Talk:
        self.now += int(seconds * SECOND)
        return self

    # -- Handshakes --------------------------------------------------------------------------------

    def handshake(self, *, until: int = 3, mptcp: bool = True) -> Talk:
        """Open the connection. until: how many of the three segments."""
        flags = self.flags
        offer = (MpCapable(flags),) if mptcp else ()
        self.send("client", *SYN_OPTIONS, *offer, flags=SYN)
        if until > 1:
            answer = (MpCapable(flags, KEYS["server"]),) if mptcp else ()
            self.send("server", *SYN_OPTIONS, *answer, flags=SYN | ACK)
        if until > 2:
            self.send("client", *((self.capable(),) if mptcp else ()))
        return self

    def capable(self, length: int | None = None, checksum: int | None = None, **more: Any) -> MpCapable:
        return MpCapable(more.get("flags", self.flags), KEYS["client"], KEYS["server"], length, checksum)

    def first(self) -> Talk:
        """First data each way, and a Data ACK for it: MPTCP is known to work on both sides."""
        payload = bytes(100)
        total = dss_checksum(IDSN["client"] + 1, 1, 100, payload) if self.checksum else None
        self.send("client", self.capable(100, total), payload=payload)
        self.stream["client"] = self.received["server"] = 101
        self.data("server")
        self.ack("client")
        return self

    def established(self) -> Talk:
        return self.handshake().first()

    def open(self, opener: str = "client", *, port: int = 80, second: str | None = None) -> int:
        """Add a flow that was not opened yet, and return its number."""
        other = {who: a[0] for who, a in ADDRESSES.items()}
        other[second or opener] = ADDRESSES[second or opener][1]
        to = OTHER[opener]
        ports = {opener: 41_000 + len(self.flows), to: port if to == "server" else 40_000}
        number = len(self.flows)
        nonces = {"client": 0xC1 + number, "server": 0x51 + number}
        self.flows.append(Flow(other, ports, opener, nonce=nonces))
        return number

    def proof(self, who: str, flow: int) -> bytes:
        way, to = self.flows[flow], OTHER[who]
        return join_hmac(KEYS[who], KEYS[to], way.nonce[who], way.nonce[to])

    def join_syn(self, flow: int, **over: Any) -> MpJoinSyn:
        way = self.flows[flow]
        fields = {"address_id": 1, "token": TOKEN[OTHER[way.opener]], "nonce": way.nonce[way.opener]}
        return MpJoinSyn(**{**fields, **over})

    def join_answer(self, flow: int, **over: Any) -> MpJoinSynAck:
        to = OTHER[self.flows[flow].opener]
        hmac = int.from_bytes(self.proof(to, flow)[:8], "big")
        fields = {"address_id": 0, "hmac": hmac, "nonce": self.flows[flow].nonce[to]}
        return MpJoinSynAck(**{**fields, **over})

    def join(self, *, until: int = 4, flow: int | None = None) -> int:
        """Join a subflow from the client's second address; return its number. until: how many segments."""
        flow = self.open() if flow is None else flow
        opener = self.flows[flow].opener
        to = OTHER[opener]
        self.send(opener, *SYN_OPTIONS, self.join_syn(flow), flags=SYN, flow=flow)
        if until > 1:
            self.send(to, *SYN_OPTIONS, self.join_answer(flow), flags=SYN | ACK, flow=flow)
        if until > 2:
            self.send(opener, MpJoinAck(self.proof(opener, flow)[:20]), flow=flow)
        if until > 3:
            self.ack(to, flow=flow)
        return flow

    # -- Data --------------------------------------------------------------------------------------

    def dss(
        self,
        who: str,
        payload: bytes = b"",
        *,
        flow: int = 0,
        fin: bool = False,
        mapped: bool = True,
        **over: Any,
    ) -> Dss:
        """The DSS of the next data, or of a DATA_FIN alone, with a Data ACK."""
        to = OTHER[who]
        fields: dict[str, Any] = {
            "data_ack": (IDSN[to] + self.received[who]) & MASK_64, "data_ack_64": True,
        }  # fmt: skip
        if mapped and (payload or fin):
            start = self.flows[flow].next[who] if payload else 0
            length = len(payload) + fin
            dsn = over.get("dsn", (IDSN[who] + self.stream[who]) & MASK_64)
            total = dss_checksum(dsn, start, length, payload) if self.checksum else None
            fields |= {
                "dsn": dsn, "dsn_64": True, "subflow_sequence": start, "length": length, "checksum": total,
                "data_fin": fin,
            }  # fmt: skip
        return Dss(**{**fields, **over})

    def data(self, who: str, size: int = 100, *, flow: int = 0, fin: bool = False, **over: Any) -> Segment:
        """Data with its mapping; what is no field of a DSS goes to `send`."""
        payload = over.pop("payload", bytes(size))
        sending = {
            name: over.pop(name)
            for name in (
                "lost", "flags", "seq", "ack", "window", "arrives", "urgent", "more", "unsent",
            )
            if name in over
        }  # fmt: skip
        option = self.dss(who, payload, flow=flow, fin=fin, **over)
        new = self.stream[who] + len(payload) + fin
        segment = self.send(who, option, *sending.pop("more", ()), payload=payload, flow=flow, **sending)
        if "dsn" not in over:
            self.stream[who] = new
            if not sending.get("lost") and not sending.get("arrives"):
                self.received[OTHER[who]] = new
        return segment

    def ack(self, who: str, *options: TcpOption, flow: int = 0, **over: Any) -> Segment:
        """An ACK with a Data ACK."""
        sending = {
            name: over.pop(name)
            for name in ("lost", "flags", "seq", "ack", "window", "arrives")
            if name in over
        }
        return self.send(who, self.dss(who, flow=flow, **over), *options, flow=flow, **sending)

    def exchange(self) -> Talk:
        """Data from each side, acknowledged."""
        self.data("client")
        self.ack("server")
        self.data("server")
        self.ack("client")
        return self

    def close(self) -> Talk:
        """DATA_FINs, Data ACKs, and FINs on every flow."""
        self.data("client", payload=b"", fin=True)
        self.ack("server")
        self.data("server", payload=b"", fin=True)
        self.ack("client")
        for number, way in enumerate(self.flows):
            if way.got["client"]:
                self.ack("client", flags=FIN | ACK, flow=number)
                self.ack("server", flags=FIN | ACK, flow=number)
                self.ack("client", flow=number)
        return self

    def reset(self, who: str, *options: TcpOption, flow: int = 0) -> Segment:
        return self.send(who, *options, flags=RST | ACK, flow=flow)

    # -- Judgement ---------------------------------------------------------------------------------

    def judged(self) -> list[Breach]:
        """The breaches of the conversation."""
        book = Rulebook()
        trace = self.traced(book)
        trace.finish()
        return book.breaches

    def traced(self, book: Rulebook | None = None) -> Trace:
        trace = Trace(book)
        for frame in self.frames:
            trace.add(*frame)
        return trace

    def broken(self) -> set[str]:
        """The ids of the rules that are broken."""
        return {breach.rule for breach in self.judged()}


def changed(block: tuple[TcpOption, ...], *forms: type[TcpOption]) -> tuple[TcpOption, ...]:
    """Options without those of these forms."""
    return tuple(option for option in block if not isinstance(option, forms))
