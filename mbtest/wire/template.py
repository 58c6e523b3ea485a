"""Segments of one flow: what they have in common is encoded and summed once.

For a sender of many segments; `Segment.build` makes a single one, and what it makes is the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from struct import Struct

from mbtest.errors import LocalProtocolError
from mbtest.wire import ip
from mbtest.wire.block import encode_options
from mbtest.wire.checksum import PROTOCOL_TCP, finish, ones_sum
from mbtest.wire.ip import IPV4_FIXED, IPV6_FIXED, Address, Layout
from mbtest.wire.options import TcpOption
from mbtest.wire.packet import TCP_FIXED, Segment

_REST = Struct("!IIHHHH")
"""Sequence and acknowledgement number, offset and flags, window, checksum, urgent pointer."""
_HEADER_CHECKSUM = 10
_SHORT = Struct("!H")


class Template:
    """What every segment of one direction of a flow has in common."""

    __slots__ = ("_head", "_header_sum", "_network", "_sum", "_version")

    def __init__(
        self, source: Address, destination: Address, source_port: int, destination_port: int, ttl: int = 64
    ) -> None:
        """Prepare segments between two addresses and ports. Raises LocalProtocolError as `Segment.build`."""
        if source.version != destination.version:
            raise LocalProtocolError(f"{source} and {destination} are of two address families")
        self._version = source.version
        self._network = IPV4_FIXED if source.version == 4 else IPV6_FIXED
        header = ip.new_header(source, destination, 0, ttl, 0, 0)
        if source.version == 4:
            header[2:4] = header[_HEADER_CHECKSUM : _HEADER_CHECKSUM + 2] = b"\0\0"
        self._header_sum = ones_sum(header)
        try:
            ports = struct.pack("!HH", source_port, destination_port)
        except struct.error as error:
            raise LocalProtocolError(f"a port is out of its range: {error}") from error
        self._head = bytes(header) + ports
        self._sum = ones_sum(source.packed) + ones_sum(destination.packed) + PROTOCOL_TCP + ones_sum(ports)

    def build(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        options: Iterable[TcpOption] = (),
        payload: bytes = b"",
    ) -> Segment:
        """Return a segment with right lengths and checksums.

        seq, ack: 32 bits; flags: 12 bits. Raises LocalProtocolError where the options do not fit, a number
        is out of range, or the payload is too long for a packet.
        """
        block = encode_options(options)
        header = TCP_FIXED + len(block)
        length = header + len(payload)
        offset_flags = header << 10 | flags & 0x0FFF
        # A number of several words is congruent to their sum.
        total = self._sum + length + seq + ack + offset_flags + window + int.from_bytes(block, "big")
        try:
            rest = _REST.pack(seq, ack, offset_flags, window, finish(total + ones_sum(payload)), 0)
        except struct.error as error:
            raise LocalProtocolError(f"a field is out of its range: {error}") from error
        head = bytearray(self._head)
        end = self._network + length
        if self._version == 4:
            if end > 0xFFFF:
                raise LocalProtocolError(f"an IPv4 packet of {end} octets; at most 65535 are possible")
            _SHORT.pack_into(head, 2, end)
            _SHORT.pack_into(head, _HEADER_CHECKSUM, finish(self._header_sum + end))
        else:
            if length > 0xFFFF:
                raise LocalProtocolError(f"an IPv6 packet of {end} octets; at most 65575 are possible")
            _SHORT.pack_into(head, 4, length)
        layout: Layout = (self._version, PROTOCOL_TCP, self._network, end)
        return Segment(b"".join((head, rest, block, payload)), layout)
