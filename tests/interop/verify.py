"""Recomputes what can be recomputed of an MPTCP connection, from the packets that both sides sent alone.

Tokens, initial data sequence numbers, the HMACs of MP_JOIN and ADD_ADDR, the checksums of mappings, and what
follows from them: which octet of which stream each octet on a subflow is. Nothing of either stack is asked.
"""

from __future__ import annotations

from typing import NamedTuple

from mbtest.network.topology import Role
from mbtest.wire import (
    AddAddr,
    Dss,
    Malformed,
    MpCapable,
    MpFastclose,
    MpJoin,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MptcpOption,
    MpTcprst,
    RemoveAddr,
    Segment,
    UnknownMptcp,
    UnknownOption,
    WireError,
    decode,
)
from mbtest.wire.checksum import dss_checksum
from mbtest.wire.keys import add_addr_hmac, initial_data_sequence_number, join_hmac, token
from mbtest.wire.mptcp import EXTENSIBILITY, HMAC_SHA256

MASK_32, MASK_64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
OTHER: dict[Role, Role] = {"client": "server", "server": "client"}


class Sent(NamedTuple):
    """A segment as it left its sender. frame: its number in the capture."""

    frame: int
    sender: Role
    segment: Segment


class Mapping(NamedTuple):
    """start: offset on the subflow, the SYN at 0; data: offset in the stream, the first octet at 1."""

    start: int
    data: int
    length: int
    fin: bool
    checksum: int | None
    frame: int


class Octets:
    """A stream that arrives in pieces, some of them more than once."""

    def __init__(self) -> None:
        self.pieces: dict[tuple[int, int], bytes] = {}
        self.whole: list[tuple[int, bytearray]] = []
        self.differs: int | None = None

    def add(self, start: int, octets: bytes) -> None:
        known = self.pieces.setdefault((start, len(octets)), octets)
        if known != octets:
            self.differs = start

    def join(self) -> None:
        """Put the pieces together, and note where two of them contradict each other."""
        self.whole = []
        for (start, _), octets in sorted(self.pieces.items()):
            if not self.whole or start > self.whole[-1][0] + len(self.whole[-1][1]):
                self.whole.append((start, bytearray(octets)))
                continue
            begin, run = self.whole[-1]
            at = start - begin
            shared = min(len(run) - at, len(octets))
            if run[at : at + shared] != octets[:shared]:
                self.differs = start
            run += octets[shared:]

    def part(self, start: int, length: int) -> bytes | None:
        """Return a stretch, None where it is not there in full."""
        for begin, run in self.whole:
            if begin <= start and start + length <= begin + len(run):
                return bytes(run[start - begin : start - begin + length])
        return None


class Subflow:
    """One subflow. opener: who sent its SYN; name: its addresses and ports, the opener's first."""

    def __init__(self, opener: Role, name: str, is_joined: bool) -> None:
        self.opener = opener
        self.name = name
        self.is_joined = is_joined
        self.isn: dict[Role, int] = {}
        self.nonce: dict[Role, int] = {}
        self.backup: dict[Role, bool] = {}
        self.octets: dict[Role, Octets] = {"client": Octets(), "server": Octets()}
        self.mappings: dict[Role, dict[tuple[int, int, int, bool], Mapping]] = {"client": {}, "server": {}}
        self.proved = False
        """The third ACK with its HMAC was sent."""
        self.answered = False
        """The responder has sent an ACK after that."""
        self.fins: set[Role] = set()
        self.resets: set[Role] = set()

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(end.rpartition(":")[0] for end in self.name.split("-"))

    @property
    def is_closed(self) -> bool:
        return len(self.fins) == 2 or bool(self.resets)

    def carried(self, sender: Role) -> int:
        """Return how many octets of data a side sent on the subflow, each counted once."""
        self.octets[sender].join()
        return sum(len(run) for _, run in self.octets[sender].whole)


class Verifier:
    """Takes segments in the order of capture; `breaches` and the rest are right after `finish`."""

    def __init__(self) -> None:
        self.breaches: list[str] = []
        self._frames = 0
        self.opener: Role | None = None
        self.checksum = False
        self.keys: dict[Role, int] = {}
        self.idsn: dict[Role, int] = {}
        self.subflows: dict[frozenset[bytes], Subflow] = {}
        self.options: list[tuple[Sent, MptcpOption]] = []
        """Every MPTCP option that was sent."""
        self.resets: list[Sent] = []
        self.streams: dict[Role, Octets] = {"client": Octets(), "server": Octets()}
        self.ends: dict[Role, int] = {}
        """The offset of each side's DATA_FIN, the first octet of data at 1."""
        self.declared: dict[Role, int] = {"client": 1, "server": 1}
        self.data_acked: dict[Role, int] = {"client": 1, "server": 1}
        """Up to which offset each side's stream was Data ACKed by the other."""
        self.closed_windows: dict[Role, int] = {"client": 0, "server": 0}
        """How often each side advertised a window of nothing."""
        self.probes: list[tuple[Role, Mapping]] = []
        """Mappings of one octet that had been Data ACKed before: what Linux sends into a closed window."""
        self.checked = 0
        """How many mappings had their checksum recomputed."""
        self._ids: dict[Role, dict[int, str]] = {"client": {}, "server": {}}
        self._announced: dict[Role, list[AddAddr]] = {"client": [], "server": []}

    # -- Segments ------------------------------------------------------------------------------------------

    def add(self, sender: Role, raw: bytes) -> None:
        """Take the next packet, as its sender sent it; frames are counted from 1."""
        self._frames += 1
        frame = self._frames
        try:
            segment = decode(raw)
        except WireError as error:
            self.breaches.append(f"frame {frame}, {sender}: {error}")
            return
        if isinstance(segment, Segment):
            self._take(Sent(frame, sender, segment))

    def _breach(self, sent: Sent, words: str) -> None:
        self.breaches.append(f"frame {sent.frame}, {sent.sender}: {words}")

    def _require(self, holds: bool, sent: Sent, words: str) -> None:
        if not holds:
            self._breach(sent, words)

    def _take(self, sent: Sent) -> None:
        segment = sent.segment
        self._require(segment.checksum_is_right(), sent, "TCP checksum wrong")
        for option in segment.options:
            if isinstance(option, Malformed | UnknownOption | UnknownMptcp):
                self._breach(sent, f"option in no known form: {option!r}")
            elif isinstance(option, MptcpOption):
                self.options.append((sent, option))
        subflow = self._subflow(sent)
        if subflow is None:
            if not segment.rst:
                self._breach(sent, "segment of no known subflow")
            return
        if segment.rst:
            self.resets.append(sent)
            subflow.resets.add(sent.sender)
        if segment.syn:
            known = subflow.isn.setdefault(sent.sender, int(segment.seq))
            self._require(known == segment.seq, sent, "a repeated SYN has another sequence number")
        if not segment.window and not segment.rst:
            self.closed_windows[sent.sender] += 1
        if segment.fin:
            subflow.fins.add(sent.sender)
        for option in segment.options:
            if isinstance(option, MptcpOption):
                self._take_option(sent, subflow, option)
        self._take_payload(sent, subflow)
        answers = sent.sender != subflow.opener and segment.has_ack and not segment.syn
        if subflow.proved and answers and not segment.rst:
            subflow.answered = True

    def _subflow(self, sent: Sent) -> Subflow | None:
        segment = sent.segment
        flow = frozenset(segment.flow)
        if segment.syn and not segment.has_ack and flow not in self.subflows:
            name = f"{segment.source}:{segment.source_port}-{segment.destination}:{segment.destination_port}"
            self.subflows[flow] = Subflow(sent.sender, name, segment.option(MpJoin) is not None)
            self.opener = self.opener or sent.sender
        return self.subflows.get(flow)

    def _take_payload(self, sent: Sent, subflow: Subflow) -> None:
        segment = sent.segment
        if not segment.payload_length:
            return
        start = (int(segment.seq) - subflow.isn.get(sent.sender, 0)) & MASK_32
        subflow.octets[sent.sender].add(start, segment.payload)
        if subflow.is_joined:
            # RFC 8684 §3.2: data only once the third ACK, with the HMAC, was answered or has arrived.
            allowed = subflow.answered if sent.sender == subflow.opener else subflow.proved
            self._require(allowed, sent, "data on a subflow that is not authenticated (§3.2)")

    # -- Options -------------------------------------------------------------------------------------------

    def _take_option(self, sent: Sent, subflow: Subflow, option: MptcpOption) -> None:
        sender, segment = sent.sender, sent.segment
        if isinstance(option, MpCapable):
            self._take_capable(sent, subflow, option)
            return
        if not {sender, OTHER[sender]} <= set(self.keys):
            self._breach(sent, f"{option.name} before the keys were exchanged")
            return
        own, peer = self.keys[sender], self.keys[OTHER[sender]]
        if isinstance(option, MpJoin):
            self._take_join(sent, subflow, option)
        elif isinstance(option, Dss):
            self._take_dss(sent, subflow, option)
        elif isinstance(option, AddAddr):
            known = [option.address_id, option.address, option.port]
            if option.echo:
                theirs = [
                    [other.address_id, other.address, other.port] for other in self._announced[OTHER[sender]]
                ]
                self._require(known in theirs, sent, "echo of an ADD_ADDR that was not sent (§3.4.1)")
                self._require(option.hmac is None, sent, "echo of an ADD_ADDR with an HMAC (§3.4.1)")
                return
            proof = add_addr_hmac(own, peer, option.address_id, option.address, option.port or 0)
            self._require(option.hmac == proof, sent, "HMAC of ADD_ADDR wrong (§3.4.1)")
            self._announced[sender].append(option)
            self._identify(sent, option.address_id, str(option.address))
        elif isinstance(option, RemoveAddr):
            for identifier in option.address_ids:
                self._require(
                    identifier in self._ids[sender], sent, f"REMOVE_ADDR of unknown ID {identifier}"
                )
                self._ids[sender].pop(identifier, None)
        elif isinstance(option, MpFastclose):
            self._require(option.receiver_key == peer, sent, "MP_FASTCLOSE with a wrong key (§3.5)")
        elif isinstance(option, MpTcprst):
            self._require(segment.rst, sent, "MP_TCPRST on a segment that is no RST (§3.6)")

    def _identify(self, sent: Sent, identifier: int, address: str) -> None:
        """RFC 8684 §3.2: an ID stands for one address of a connection."""
        known = self._ids[sent.sender].setdefault(identifier, address)
        self._require(
            known == address, sent, f"address ID {identifier} is of {known} and of {address} (§3.2)"
        )

    def _take_capable(self, sent: Sent, subflow: Subflow, option: MpCapable) -> None:
        sender, segment = sent.sender, sent.segment
        self._require(not subflow.is_joined, sent, "MP_CAPABLE on a further subflow")
        self._require(option.version == 1, sent, f"MP_CAPABLE of version {option.version}")
        self._require(option.flags & HMAC_SHA256 != 0, sent, "MP_CAPABLE without flag H (§3.1)")
        self._require(not option.flags & EXTENSIBILITY, sent, "MP_CAPABLE with flag B (§3.1)")
        if segment.syn:
            self.checksum |= option.checksum_required
            has_key = option.sender_key is not None
            self._require(has_key == segment.has_ack, sent, "MP_CAPABLE of a SYN in the wrong form (§3.1)")
            self._identify(sent, 0, str(segment.source))
        else:
            self._require(option.receiver_key == self.keys.get(OTHER[sender]), sent, "MP_CAPABLE: wrong echo")
            self._require(
                option.checksum_required == self.checksum, sent, "MP_CAPABLE: flag A not as negotiated (§3.1)"
            )
        if option.sender_key is not None:
            known = self.keys.setdefault(sender, option.sender_key)
            self._require(known == option.sender_key, sent, "MP_CAPABLE: another key than before")
            self.idsn[sender] = int(initial_data_sequence_number(known))
        if option.data_length:
            has_checksum = option.checksum is not None
            self._require(
                has_checksum == self.checksum, sent, "MP_CAPABLE: checksum not as negotiated (§3.1)"
            )
            self._declare(
                sent, subflow, Mapping(1, 1, option.data_length, False, option.checksum, sent.frame)
            )

    def _take_join(self, sent: Sent, subflow: Subflow, option: MpJoin) -> None:
        sender = sent.sender
        own, peer = self.keys[sender], self.keys[OTHER[sender]]
        address = str(sent.segment.source)
        if isinstance(option, MpJoinSyn):
            self._require(option.token == token(peer), sent, "MP_JOIN with a wrong token (§3.2)")
            subflow.nonce[sender], subflow.backup[sender] = option.nonce, option.backup
            self._identify(sent, option.address_id, address)
        elif isinstance(option, MpJoinSynAck):
            subflow.nonce[sender], subflow.backup[sender] = option.nonce, option.backup
            proof = join_hmac(own, peer, option.nonce, subflow.nonce[OTHER[sender]])
            right = option.hmac == int.from_bytes(proof[:8], "big")
            self._require(right, sent, "HMAC of MP_JOIN on a SYN/ACK wrong (§3.2)")
            self._identify(sent, option.address_id, address)
        elif isinstance(option, MpJoinAck):
            proof = join_hmac(own, peer, subflow.nonce[sender], subflow.nonce[OTHER[sender]])
            self._require(option.hmac == proof[:20], sent, "HMAC of MP_JOIN on a third ACK wrong (§3.2)")
            subflow.proved = True

    def _take_dss(self, sent: Sent, subflow: Subflow, option: Dss) -> None:
        sender = sent.sender
        own, peer = self.idsn[sender], self.idsn[OTHER[sender]]
        if option.data_ack is not None:
            offset = (option.data_ack - peer) & (MASK_64 if option.data_ack_64 else MASK_32)
            most = self.declared[OTHER[sender]]
            self._require(
                1 <= offset <= most, sent, f"Data ACK of offset {offset}, not within 1 to {most} (§3.3.2)"
            )
            self.data_acked[OTHER[sender]] = max(self.data_acked[OTHER[sender]], offset)
        if option.dsn is None:
            self._require(not option.data_fin, sent, "DATA_FIN without a mapping (§3.3.3)")
            return
        has_checksum = option.checksum is not None
        self._require(has_checksum == self.checksum, sent, "DSS: checksum not as negotiated (§3.3.1)")
        if not option.length:
            self._breach(sent, "infinite mapping, though nothing went wrong (§3.7)")
            return
        data = (option.dsn - own) & (MASK_64 if option.dsn_64 else MASK_32)
        length = option.length - option.data_fin
        if option.data_fin:
            end = self.ends.setdefault(sender, data + length)
            self._require(
                end == data + length, sent, f"DATA_FIN at {data + length}, before at {end} (§3.3.3)"
            )
            if not length:
                self._require(
                    not option.subflow_sequence, sent, "DATA_FIN alone, subflow sequence not 0 (§3.3.3)"
                )
        self._declare(
            sent,
            subflow,
            Mapping(option.subflow_sequence, data, length, option.data_fin, option.checksum, sent.frame),
        )

    def _declare(self, sent: Sent, subflow: Subflow, mapping: Mapping) -> None:
        self.declared[sent.sender] = max(
            self.declared[sent.sender], mapping.data + mapping.length + mapping.fin
        )
        if mapping.length == 1 and not mapping.fin and mapping.data < self.data_acked[sent.sender]:
            self.probes.append((sent.sender, mapping))
        known = subflow.mappings[sent.sender].setdefault(mapping[:4], mapping)
        same = known.checksum == mapping.checksum
        self._require(same, sent, f"mapping of frame {known.frame} with another checksum (§3.3.1)")

    # -- The end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Recompute checksums, and put the streams together."""
        for subflow in self.subflows.values():
            for sender, mappings in subflow.mappings.items():
                self._finish_direction(subflow, sender, sorted(mappings.values()))
        for sender, stream in self.streams.items():
            stream.join()
            if stream.differs is not None:
                self.breaches.append(f"{sender}: octet {stream.differs} of the stream was sent in two forms")
            end = self.ends.get(sender)
            if end is not None and stream.whole and stream.whole[-1][0] + len(stream.whole[-1][1]) > end:
                self.breaches.append(f"{sender}: data after its DATA_FIN at {end} (§3.3.3)")

    def _finish_direction(self, subflow: Subflow, sender: Role, mappings: list[Mapping]) -> None:
        octets = subflow.octets[sender]
        octets.join()
        if octets.differs is not None:
            self.breaches.append(f"{sender}, {subflow.name}: octet {octets.differs} was sent in two forms")
        idsn = self.idsn.get(sender, 0)
        covered, shift = 1, 0
        for mapping in mappings:
            if mapping.length:
                if mapping.start < covered and mapping.data - mapping.start != shift:
                    self.breaches.append(f"frame {mapping.frame}, {sender}: a mapping was changed (§3.3.1)")
                if mapping.start > covered:
                    self._complain_of_gap(subflow, sender, covered, mapping.start)
                covered, shift = max(covered, mapping.start + mapping.length), mapping.data - mapping.start
            data = octets.part(mapping.start, mapping.length) if mapping.length else b""
            if data is None:
                # The subflow ended before all of the mapping was sent on it.
                continue
            if (sender, mapping) not in self.probes:
                self.streams[sender].add(mapping.data, data)
            if mapping.checksum is None:
                continue
            self.checked += 1
            dsn = (idsn + mapping.data) & MASK_64
            right = dss_checksum(dsn, mapping.start, mapping.length + mapping.fin, data)
            if right % 0xFFFF != mapping.checksum % 0xFFFF:
                self.breaches.append(f"frame {mapping.frame}, {sender}: DSS checksum wrong (§3.3.1)")
        self._complain_of_gap(subflow, sender, covered, 1 << 32)

    def _complain_of_gap(self, subflow: Subflow, sender: Role, start: int, end: int) -> None:
        for begin, run in subflow.octets[sender].whole:
            low, high = max(begin, start), min(begin + len(run), end)
            if low < high:
                words = f"octets {low} to {high} have no mapping (§3.3.1)"
                self.breaches.append(f"{sender}, {subflow.name}: {words}")

    def stream(self, sender: Role) -> bytes:
        """Return what a side sent, as far as it is whole from its first octet on."""
        whole = self.streams[sender].whole
        return bytes(whole[0][1]) if whole and whole[0][0] == 1 else b""
