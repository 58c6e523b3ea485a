"""Packets and segments: immutable values over the bytes that arrived.

A field is decoded when it is read. `replace()` gives a changed copy; a packet that nobody changed is
sent as the very bytes that came in. Derived fields (checksums, lengths, data offset) are worked out
when they are left alone, and are what the caller says when they are set, right or wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from struct import Struct
from typing import TypeVar

from mbtest.errors import LocalProtocolError
from mbtest.wire import ip
from mbtest.wire.block import MAX_OPTIONS, decode_options, encode_options, strip_options
from mbtest.wire.checksum import PROTOCOL_TCP, finish, mend, ones_sum, transport_checksum
from mbtest.wire.errors import WireError
from mbtest.wire.ip import Address, Packet
from mbtest.wire.options import TcpOption
from mbtest.wire.sequence import Seq32

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x100
FLAG_NAMES = {
    SYN: "SYN", FIN: "FIN", RST: "RST", PSH: "PSH", ACK: "ACK", URG: "URG", ECE: "ECE", CWR: "CWR", AE: "AE",
}  # fmt: skip
RESERVED = 0xE00
TCP_FIXED = 20

Option = TypeVar("Option", bound=TcpOption)

_TCP = Struct("!HHIIHHHH")
_SHORT = Struct("!H")
_THREE = Struct("!HHH")
_LONG = Struct("!I")
# `Seq32.from_wire` without a call in between: every layer reads the numbers of every segment.
_seq32: Callable[[int], Seq32] = partial(int.__new__, Seq32)


class Segment(Packet):
    """A TCP segment in its IP packet (RFC 9293 §3.1)."""

    __slots__ = ("_flow", "_options", "payload_offset")

    def __init__(self, raw: bytes, layout: ip.Layout | None = None) -> None:
        """Hold `raw`. Raises WireError where it is no TCP segment in a whole IP packet."""
        # Not super().__init__: one of these is made for each frame, and the call is a fifth of its time.
        self.version, self.protocol, transport, end = layout = layout or ip.locate(raw)
        self.raw, self.transport, self.end = raw, transport, end
        if layout[1] != PROTOCOL_TCP:
            raise WireError(transport, f"IP protocol {self.protocol}, TCP is 6")
        size = end - transport
        if size < TCP_FIXED:
            raise WireError(end, f"TCP header of 20 octets cut off after {size}")
        header = raw[transport + 12] >> 4 << 2
        if header < TCP_FIXED:
            raise WireError(transport + 12, f"TCP data offset of {header} octets, at least 20 are needed")
        if header > size:
            raise WireError(transport + 12, f"TCP data offset of {header} octets, only {size} are there")
        self.payload_offset = transport + header
        self._options: tuple[TcpOption, ...] | None = None
        self._flow: tuple[bytes, bytes] | None = None

    @classmethod
    def build(
        cls,
        source: Address | str,
        destination: Address | str,
        source_port: int,
        destination_port: int,
        *,
        seq: int = 0,
        ack: int = 0,
        flags: int = ACK,
        window: int = 65535,
        options: Iterable[TcpOption] = (),
        payload: bytes = b"",
        urgent: int = 0,
        ttl: int = 64,
        traffic_class: int = 0,
        identification: int = 0,
    ) -> Segment:
        """Return a segment with right lengths and checksums. Fields are as the properties name them.

        Raises LocalProtocolError where the options do not fit or the addresses are of two families.
        """
        source, destination = ip_address(source), ip_address(destination)
        if source.version != destination.version:
            raise LocalProtocolError(f"{source} and {destination} are of two address families")
        block = encode_options(options)
        numbers = seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (TCP_FIXED + len(block)) << 10 | flags & 0x0FFF
        try:
            tcp = bytearray(_TCP.pack(source_port, destination_port, *numbers, window, 0, urgent))
        except struct.error as error:
            raise LocalProtocolError(f"a field is out of its range: {error}") from error
        tcp += block + payload
        _SHORT.pack_into(tcp, 16, transport_checksum(source.packed, destination.packed, tcp))
        header = ip.new_header(source, destination, len(tcp), ttl, traffic_class, identification)
        return cls(bytes(header + tcp))

    def __repr__(self) -> str:
        return (
            f"<Segment {self.source}.{self.source_port} > {self.destination}.{self.destination_port}"
            f" flags {self.flags:#05x} seq {int(self.seq)} ack {int(self.ack)} length {self.payload_length}>"
        )

    # -- fields -----------------------------------------------------------------------------------

    @property
    def source_port(self) -> int:
        """0 to 65535."""
        return self.raw[self.transport] << 8 | self.raw[self.transport + 1]

    @property
    def destination_port(self) -> int:
        """0 to 65535."""
        return self.raw[self.transport + 2] << 8 | self.raw[self.transport + 3]

    @property
    def seq(self) -> Seq32:
        """SEG.SEQ."""
        return _seq32(_LONG.unpack_from(self.raw, self.transport + 4)[0])

    @property
    def ack(self) -> Seq32:
        """SEG.ACK; without meaning unless `has_ack`."""
        return _seq32(_LONG.unpack_from(self.raw, self.transport + 8)[0])

    @property
    def flags(self) -> int:
        """The control bits, and above them the three reserved ones: 12 bits, FIN the lowest."""
        at = self.transport + 12
        return (self.raw[at] & 0x0F) << 8 | self.raw[at + 1]

    @property
    def syn(self) -> bool:
        """Control bit SYN."""
        return self.raw[self.transport + 13] & SYN != 0

    @property
    def fin(self) -> bool:
        """Control bit FIN."""
        return self.raw[self.transport + 13] & FIN != 0

    @property
    def rst(self) -> bool:
        """Control bit RST."""
        return self.raw[self.transport + 13] & RST != 0

    @property
    def psh(self) -> bool:
        """Control bit PSH."""
        return self.raw[self.transport + 13] & PSH != 0

    @property
    def has_ack(self) -> bool:
        """Control bit ACK; `ack` is the number."""
        return self.raw[self.transport + 13] & ACK != 0

    @property
    def window(self) -> int:
        """SEG.WND as on the wire, not scaled, 0 to 65535."""
        return int(_SHORT.unpack_from(self.raw, self.transport + 14)[0])

    @property
    def checksum(self) -> int:
        """The TCP checksum as on the wire."""
        return int(_SHORT.unpack_from(self.raw, self.transport + 16)[0])

    @property
    def urgent(self) -> int:
        """SEG.UP, 0 to 65535."""
        return int(_SHORT.unpack_from(self.raw, self.transport + 18)[0])

    @property
    def option_block(self) -> bytes:
        """The options as octets, 0 to 40."""
        return self.raw[self.transport + TCP_FIXED : self.payload_offset]

    @property
    def options(self) -> tuple[TcpOption, ...]:
        """The options in their order, padding included."""
        if self._options is None:
            self._options = decode_options(self.option_block)
        return self._options

    @property
    def payload(self) -> bytes:
        """The data."""
        return self.raw[self.payload_offset : self.end]

    @property
    def payload_length(self) -> int:
        """Octets of data."""
        return self.end - self.payload_offset

    @property
    def sequence_length(self) -> int:
        """SEG.LEN: octets of data, and one each for SYN and FIN (RFC 9293 §3.4)."""
        flags = self.raw[self.transport + 13]
        return self.end - self.payload_offset + (flags & FIN) + (flags >> 1 & 1)

    @property
    def next_seq(self) -> Seq32:
        """The sequence number after this segment's last."""
        return self.seq + self.sequence_length

    @property
    def flow(self) -> tuple[bytes, bytes]:
        """The two ends, (address and port) of the source and of the destination; a key for flow tables."""
        # Kept: boxes, an endpoint and observation at both ends of a path all look it up.
        if self._flow is None:
            raw, at, v4 = self.raw, self.transport, self.version == 4
            source, destination = (raw[12:16], raw[16:20]) if v4 else (raw[8:24], raw[24:40])
            self._flow = source + raw[at : at + 2], destination + raw[at + 2 : at + 4]
        return self._flow

    def option(self, form: type[Option]) -> Option | None:
        """Return the first option of this form, or None."""
        for option in self._options or self.options:
            if isinstance(option, form):
                return option
        return None

    def checksum_is_right(self) -> bool:
        """Whether the TCP checksum is that of the segment; 0x0000 and 0xffff are one checksum."""
        raw, at, end = self.raw, self.transport, self.end
        if at == (ip.IPV4_FIXED if self.version == 4 else ip.IPV6_FIXED):
            # The addresses stand right before the segment: they are summed with it.
            total = ones_sum(raw[12 if at == ip.IPV4_FIXED else 8 : end])
            return (total + end - at + PROTOCOL_TCP) % 65535 == 0
        destination = ip.final_destination(raw, at)
        return transport_checksum(self.source_octets, destination, self.content) == 0

    # -- changed copies ---------------------------------------------------------------------------

    def without_options(self, *forms: type[TcpOption]) -> Segment:
        """Return the segment without options of these forms; the segment itself where it has none.

        What is left is aligned to 32 bits with no-operations at its end.
        """
        block = self.raw[self.transport + TCP_FIXED : self.payload_offset]
        left = strip_options(block, forms)
        return self if left is block else self._with_block(left)

    def with_options(self, options: Iterable[TcpOption]) -> Segment:
        """Return the segment with these options. Raises LocalProtocolError where they exceed 40 octets."""
        return self._with_block(encode_options(options))

    def with_option_block(self, block: bytes) -> Segment:
        """Return the segment with these octets as its options: whole words, at most 40 octets.

        Raises LocalProtocolError for another number of octets.
        """
        if len(block) & 3 or len(block) > MAX_OPTIONS:
            raise LocalProtocolError(f"an option block of {len(block)} octets; 0, 4, ... 40 are possible")
        return self._with_block(block)

    def with_addresses(self, source: Address | None = None, destination: Address | None = None) -> Segment:
        """Return the segment with other addresses, its checksum mended."""
        return self.replace(source=source, destination=destination)

    def has_room_for(self, options: Iterable[TcpOption]) -> bool:
        """Whether a segment can carry these options."""
        return sum(len(option.encode()) for option in options) <= MAX_OPTIONS

    def replace(
        self,
        *,
        source: Address | None = None,
        destination: Address | None = None,
        ttl: int | None = None,
        traffic_class: int | None = None,
        identification: int | None = None,
        ip_options: bytes | None = None,
        extension_headers: Iterable[tuple[int, bytes]] | None = None,
        source_port: int | None = None,
        destination_port: int | None = None,
        seq: int | None = None,
        ack: int | None = None,
        flags: int | None = None,
        window: int | None = None,
        urgent: int | None = None,
        options: Iterable[TcpOption] | None = None,
        payload: bytes | None = None,
        checksum: int | None = None,
        data_offset: int | None = None,
        ip_length: int | None = None,
        ip_checksum: int | None = None,
    ) -> Segment:
        """Return a copy with these fields changed; None leaves a field alone.

        ip_options: of an IPv4 header, padded with zeros to whole words. extension_headers: of an IPv6
        header, each its kind and its octets, linked by their first octets, which are worked out.

        Derived unless they are given: checksum, data_offset (32-bit words), ip_length (total length of
        IPv4, payload length of IPv6), ip_checksum (of IPv4). A checksum that is not given fits a wrong
        offset or length that is; where the copy has its parts does not follow them. They stay as they
        are until what they measure is replaced.

        A TCP checksum is mended, not made: one that was wrong before stays wrong by as much, except
        where the payload is replaced. Raises LocalProtocolError for options or a payload that do not
        fit, an address of the other family, a number out of range.
        """
        segment = self if options is None else self._with_block(encode_options(options))
        if payload is not None:
            segment = segment._with_payload(payload)
        if ip_options is not None or extension_headers is not None:
            segment = segment._with_network(ip_options, extension_headers)
        raw = bytearray(segment.raw)
        at = segment.transport
        change = 0  # what the new values add to the sum that the checksum is of, less the old ones
        # One by one: a tuple compared with Nones would compare addresses, and that is slow.
        if not (
            source is None
            and destination is None
            and ttl is None
            and traffic_class is None
            and identification is None
        ):
            change = ip.set_fields(raw, at, source, destination, ttl, traffic_class, identification)
        try:
            if source_port is not None:
                change += _exchange(_SHORT, raw, at, source_port)
            if destination_port is not None:
                change += _exchange(_SHORT, raw, at + 2, destination_port)
            if seq is not None:
                change += _exchange(_LONG, raw, at + 4, seq & 0xFFFFFFFF)
            if ack is not None:
                change += _exchange(_LONG, raw, at + 8, ack & 0xFFFFFFFF)
            if flags is not None:
                word = (raw[at + 12] & 0xF0) << 8 | flags & 0x0FFF
                change += _exchange(_SHORT, raw, at + 12, word)
            if window is not None:
                change += _exchange(_SHORT, raw, at + 14, window)
            if urgent is not None:
                change += _exchange(_SHORT, raw, at + 18, urgent)
            if data_offset is not None:
                word = data_offset << 12 | (raw[at + 12] & 0x0F) << 8 | raw[at + 13]
                change += _exchange(_SHORT, raw, at + 12, word)
            if checksum is not None:
                _SHORT.pack_into(raw, at + 16, checksum)
            elif change:
                _SHORT.pack_into(raw, at + 16, mend(raw[at + 16] << 8 | raw[at + 17], 0, change))
        except struct.error as error:
            raise LocalProtocolError(f"a field is out of its range: {error}") from error
        if ip_length is not None or ip_checksum is not None:
            ip.set_derived(raw, ip_length, ip_checksum)
        copy = _segment(bytes(raw), self.version, at, segment.end, segment.payload_offset)
        copy._options = segment._options
        return copy

    def _with_block(self, block: bytes) -> Segment:
        """Return a copy with this option block, lengths and checksums mended."""
        raw, at, offset = self.raw, self.transport, self.payload_offset
        options = at + TCP_FIXED
        head = bytearray(raw[:options])
        grown = options + len(block) - offset
        end = self.end + grown
        word, window, checksum = _THREE.unpack_from(head, at + 12)
        offset_flags = (TCP_FIXED + len(block)) << 10 | word & 0x0FFF
        # What the words that change add to the sum (RFC 1624 §3), the pseudo-header's length among
        # them; an integer of several words will do as it is, being congruent to their sum.
        change = int.from_bytes(block, "big") - int.from_bytes(raw[options:offset], "big")
        change += offset_flags - word + grown
        _THREE.pack_into(head, at + 12, offset_flags, window, mend(checksum, 0, change))
        if grown:
            ip.set_length(head, end)
        return _segment(b"".join((head, block, raw[offset:])), self.version, at, end, offset + grown)

    def _with_payload(self, payload: bytes) -> Segment:
        """Return a copy with this payload, its lengths and its TCP checksum right."""
        raw, at, offset = self.raw, self.transport, self.payload_offset
        end = offset + len(payload)
        head = bytearray(raw[:offset])
        head[at + 16 : at + 18] = b"\0\0"
        ip.set_length(head, end)
        total = ones_sum(self.source_octets) + ones_sum(ip.final_destination(raw, at)) + PROTOCOL_TCP
        total += end - at + ones_sum(head[at:]) + ones_sum(payload)
        _SHORT.pack_into(head, at + 16, finish(total))
        return _segment(b"".join((head, payload, raw[self.end :])), self.version, at, end, offset)

    def _with_network(
        self, ip_options: bytes | None, extension_headers: Iterable[tuple[int, bytes]] | None
    ) -> Segment:
        """Return a copy with other IPv4 options or IPv6 extension headers."""
        header = ip.header_with(self, ip_options, extension_headers)
        grown = len(header) - self.transport
        at, end, offset = len(header), self.end + grown, self.payload_offset + grown
        ip.set_length(header, end)
        content = bytearray(self.raw[self.transport :])
        # A routing header moves the destination that the pseudo-header has.
        removed = ones_sum(ip.final_destination(self.raw, self.transport))
        added = ones_sum(ip.final_destination(header, at))
        _SHORT.pack_into(content, 16, mend(self.checksum, removed, added))
        raw = bytes(header + content)
        if ip.locate(raw) != (self.version, PROTOCOL_TCP, at, end):
            raise LocalProtocolError("these IP headers do not lead to a whole TCP segment")
        return _segment(raw, self.version, at, end, offset)


def _segment(raw: bytes, version: int, transport: int, end: int, payload_offset: int) -> Segment:
    """Return the segment that has these parts, right or wrong as its own fields may be."""
    segment = Segment.__new__(Segment)
    segment.raw, segment.version, segment.protocol = raw, version, PROTOCOL_TCP
    segment.transport, segment.end, segment.payload_offset = transport, end, payload_offset
    segment._options = segment._flow = None
    return segment


def _exchange(layout: Struct, raw: bytearray, at: int, value: int) -> int:
    """Write `value` at offset `at`; return what it exceeds the value before by."""
    before: int = layout.unpack_from(raw, at)[0]
    layout.pack_into(raw, at, value)
    return value - before


def decode(raw: bytes) -> Packet:
    """Return the `Segment` that `raw` holds, or the `Packet` where it carries something else.

    Raises WireError where it is neither: cut off, or its lengths contradict each other.
    """
    layout = ip.locate(raw)
    if layout[1] == PROTOCOL_TCP:
        return Segment(raw, layout)
    return Packet(raw, layout)
