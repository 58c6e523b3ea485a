"""IP packets: IPv4 with options, IPv6 with its extension headers walked.

`locate` finds where things are, `Packet` reads them and makes changed copies.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import TypeAlias

from mbtest.errors import LocalProtocolError
from mbtest.wire.checksum import finish, mend, ones_sum
from mbtest.wire.errors import WireError

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
HOP_BY_HOP, ROUTING, FRAGMENT, ENCAPSULATING, AUTHENTICATION, NO_NEXT = 0, 43, 44, 50, 51, 59
DESTINATION_OPTIONS, MOBILITY, HIP, SHIM6 = 60, 135, 139, 140
_EXTENSIONS = frozenset(
    (HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HIP, SHIM6)
)
IPV4_FIXED, IPV6_FIXED = 20, 40
MAX_IP_OPTIONS = 40
"""Octets that IPv4 options can take: a header length of 15 words less the fixed header."""

Address: TypeAlias = IPv4Address | IPv6Address

_SHORT = Struct("!H")
_LONG = Struct("!I")
_LENGTH_TO_CHECKSUM = Struct("!HHHHH")

Layout: TypeAlias = tuple[int, int, int, int]
"""Of a packet: IP version; protocol; offset of the transport header; offset of the packet's end.

The protocol is FRAGMENT for a fragment, whose content is not a whole header. The transport header
starts where the IP header, options and extension headers included, ends. The packet ends by its own
length field; octets after that are a trailer of the link. (A plain tuple: one is made for each frame.)
"""


def locate(raw: bytes) -> Layout:
    """Return the layout of an IP packet. Raises WireError where it is cut off or contradicts itself."""
    version = raw[0] >> 4 if raw else 0
    if version == 4:
        return _locate_ipv4(raw)
    if version == 6:
        return _locate_ipv6(raw)
    raise WireError(0, f"IP version {version}, neither 4 nor 6" if raw else "no octets, not an IP packet")


def _locate_ipv4(raw: bytes) -> Layout:
    size = len(raw)
    if size < IPV4_FIXED:
        raise WireError(size, f"IPv4 header of 20 octets cut off after {size}")
    header = (raw[0] & 0x0F) * 4
    total = raw[2] << 8 | raw[3]
    if header < IPV4_FIXED:
        raise WireError(0, f"IPv4 header length of {header} octets, at least 20 are needed")
    if total < header:
        raise WireError(2, f"IPv4 total length of {total} octets is less than the header's {header}")
    if total > size:
        raise WireError(2, f"IPv4 total length of {total} octets, only {size} are there")
    # RFC 791 §3.1: more fragments, or an offset, and this is no whole datagram.
    fragment = raw[6] & 0x3F or raw[7]
    return 4, FRAGMENT if fragment else raw[9], header, total


def _locate_ipv6(raw: bytes) -> Layout:
    size = len(raw)
    if size < IPV6_FIXED:
        raise WireError(size, f"IPv6 header of 40 octets cut off after {size}")
    end = IPV6_FIXED + (raw[4] << 8 | raw[5])
    if end > size:
        raise WireError(4, f"IPv6 packet of {end} octets, only {size} are there")
    protocol, position = raw[6], IPV6_FIXED
    while protocol in _EXTENSIONS:
        if position + 8 > end:
            raise WireError(position, f"IPv6 extension header {protocol} cut off")
        # RFC 6946: a fragment that is the whole packet is read as if it were none.
        if protocol == FRAGMENT and (raw[position + 2] or raw[position + 3] & 0xF9):
            return 6, FRAGMENT, position, end
        length = _extension_length(raw, protocol, position)
        if position + length > end:
            raise WireError(position + 1, f"IPv6 extension header {protocol} runs past the packet's end")
        protocol, position = raw[position], position + length
    return 6, protocol, position, end


def final_destination(raw: bytes | bytearray, transport: int) -> bytes:
    """Return the destination that the pseudo-header has, 4 octets or 16.

    It is the last one on the way where an IPv6 routing header has segments left (RFC 8200 §8.1).
    transport: offset of the transport header.
    """
    if raw[0] >> 4 == 4:
        return bytes(raw[16:20])
    at = _final_destination_at(raw, transport)
    return bytes(raw[at : at + 16])


def _final_destination_at(raw: bytes | bytearray, transport: int) -> int:
    """Return the offset of the IPv6 address that `final_destination` returns, 24 in the fixed header."""
    protocol, position = raw[6], IPV6_FIXED
    while position < transport:
        end = position + _extension_length(raw, protocol, position)
        if protocol == ROUTING and raw[position + 3] and end - position >= 24:
            # RFC 5095 and RFC 6275 §6.4: the last address in the list; RFC 8754 §2: the first.
            if raw[position + 2] in (0, 2):
                return end - 16
            if raw[position + 2] == 4:
                return position + 8
        protocol, position = raw[position], end
    return 24


def _extension_length(raw: bytes | bytearray, protocol: int, position: int) -> int:
    """Return the octets of the IPv6 extension header of this kind at `position`, 8 at least."""
    if protocol == FRAGMENT:
        return 8
    if protocol == AUTHENTICATION:
        return (raw[position + 1] + 2) * 4  # RFC 4302 §2.2: in words, less two
    return (raw[position + 1] + 1) * 8


@lru_cache(maxsize=4096)
def address(octets: bytes) -> Address:
    """Return the address that 4 or 16 octets spell."""
    return ip_address(octets)


def new_header(
    source: Address, destination: Address, content: int, ttl: int, traffic_class: int, identification: int
) -> bytearray:
    """Return the IP header, without options or extension headers, of `content` octets of TCP.

    Addresses are of one family. "Do not fragment" is set. Raises LocalProtocolError where a number is
    out of range.
    """
    if source.version == 4:
        header = bytearray(IPV4_FIXED)
        header[0], header[6], header[9] = 0x45, 0x40, TCP
        _SHORT.pack_into(header, 10, finish(ones_sum(header)))
    else:
        header = bytearray(IPV6_FIXED)
        header[0], header[6] = 0x60, TCP
    set_length(header, len(header) + content)
    set_fields(header, len(header), source, destination, ttl, traffic_class, identification)
    return header


def set_fields(
    raw: bytearray,
    transport: int,
    source: Address | None,
    destination: Address | None,
    ttl: int | None,
    traffic_class: int | None,
    identification: int | None,
) -> int:
    """Write these fields into the IP header of `raw` and mend its checksum; None leaves a field alone.

    Returns what that adds to the sum over the pseudo-header, any integer. Raises LocalProtocolError
    for an address of the other family and for a number out of range.
    """
    pseudo = other = 0
    v4 = raw[0] >> 4 == 4
    if source is not None:
        pseudo += _set_address(raw, 12 if v4 else 8, source)
    if destination is not None:
        change = _set_address(raw, 16 if v4 else 24, destination)
        # Behind a routing header with segments left, the pseudo-header has another address.
        if v4 or _final_destination_at(raw, transport) == 24:
            pseudo += change
    if ttl is not None:
        at = 8 if v4 else 7
        other += _in_range("ttl", ttl, 0xFF) - raw[at] << 8
        raw[at] = ttl
    if traffic_class is not None:
        _in_range("traffic_class", traffic_class, 0xFF)
        if v4:
            other += traffic_class - raw[1]
            raw[1] = traffic_class
        else:
            raw[0] = 0x60 | traffic_class >> 4
            raw[1] = (traffic_class & 0x0F) << 4 | raw[1] & 0x0F
    if identification is not None:
        if v4:
            other += _in_range("identification", identification, 0xFFFF) - (raw[4] << 8 | raw[5])
            _SHORT.pack_into(raw, 4, identification)
        else:
            label = _in_range("identification", identification, 0xFFFFF)
            _LONG.pack_into(raw, 0, int.from_bytes(raw[:4], "big") & 0xFFF00000 | label)
    if v4:
        _SHORT.pack_into(raw, 10, mend(raw[10] << 8 | raw[11], 0, pseudo + other))
    return pseudo


def set_length(raw: bytearray, length: int) -> None:
    """Write the packet's length (octets, IP header included) into `raw` and mend its header checksum."""
    if raw[0] >> 4 == 6:
        if length > 0xFFFF + IPV6_FIXED:
            raise LocalProtocolError(f"an IPv6 packet of {length} octets; at most 65575 are possible")
        _SHORT.pack_into(raw, 4, length - IPV6_FIXED)
    else:
        if length > 0xFFFF:
            raise LocalProtocolError(f"an IPv4 packet of {length} octets; at most 65535 are possible")
        # The five words at once: two of them alone take longer.
        before, identification, fragment, ttl_protocol, checksum = _LENGTH_TO_CHECKSUM.unpack_from(raw, 2)
        mended = mend(checksum, before, length)
        _LENGTH_TO_CHECKSUM.pack_into(raw, 2, length, identification, fragment, ttl_protocol, mended)


def set_derived(raw: bytearray, length: int | None, checksum: int | None) -> None:
    """Write the length field (of IPv4 the total, of IPv6 the payload's) and the header checksum of IPv4.

    None leaves a field alone; the checksum is then mended for the length. Raises LocalProtocolError for
    a number that does not fit 16 bits, and for a header checksum of IPv6.
    """
    v4 = raw[0] >> 4 == 4
    if length is not None:
        before, at = raw[2] << 8 | raw[3], 2 if v4 else 4
        _SHORT.pack_into(raw, at, _in_range("ip_length", length, 0xFFFF))
        if v4:
            _SHORT.pack_into(raw, 10, mend(raw[10] << 8 | raw[11], before, length))
    if checksum is not None:
        if not v4:
            raise LocalProtocolError("an IPv6 header has no checksum")
        _SHORT.pack_into(raw, 10, _in_range("ip_checksum", checksum, 0xFFFF))


def header_with(
    packet: Packet, options: bytes | None, extensions: Iterable[tuple[int, bytes]] | None
) -> bytearray:
    """Return the IP header of `packet` with other IPv4 options or other IPv6 extension headers.

    Its checksum is mended, its length field is the packet's. Raises LocalProtocolError where they are
    not of the packet's version, or not as long as a header can say or says.
    """
    raw, version = packet.raw, packet.version
    if (version == 4 and extensions is not None) or (version == 6 and options is not None):
        raise LocalProtocolError("IPv4 has options, IPv6 has extension headers")
    if options is not None:
        options += b"\0" * (-len(options) & 3)
        if len(options) > MAX_IP_OPTIONS:
            raise LocalProtocolError(f"IPv4 options take {len(options)} octets; there is room for 40")
        header = bytearray(raw[:IPV4_FIXED] + options)
        header[0] = 0x40 | len(header) >> 2
        checksum = raw[10] << 8 | raw[11]
        _SHORT.pack_into(header, 10, mend(checksum, ones_sum(raw[: packet.transport]), ones_sum(header)))
        return header
    header = bytearray(raw[:IPV6_FIXED])
    link = 6  # where the kind of the next header is written
    for kind, octets in extensions or ():
        if kind not in _EXTENSIONS or len(octets) < 8 or _extension_length(octets, kind, 0) != len(octets):
            raise LocalProtocolError(f"{len(octets)} octets are no IPv6 extension header of kind {kind}")
        header[link] = kind
        link = len(header)
        header += octets
    header[link] = packet.protocol
    return header


def _set_address(raw: bytearray, at: int, value: Address) -> int:
    if value.version != raw[0] >> 4:
        raise LocalProtocolError(f"{value} is not an IPv{raw[0] >> 4} address")
    packed = value.packed
    end = at + len(packed)
    # Any integer is congruent to the sum of its 16-bit words.
    change = int.from_bytes(packed, "big") - int.from_bytes(raw[at:end], "big")
    raw[at:end] = packed
    return change


def _in_range(name: str, value: int, highest: int) -> int:
    if not 0 <= value <= highest:
        raise LocalProtocolError(f"{name} {value} is out of range: 0 to {highest}")
    return value


class Packet:
    """An IP packet of any protocol. Equal to another when every octet is.

    raw: the packet from its IP version to its last octet, what the link put behind it included.
    """

    __slots__ = ("end", "protocol", "raw", "transport", "version")

    def __init__(self, raw: bytes, layout: Layout | None = None) -> None:
        """Hold `raw`. Raises WireError where it is no IP packet."""
        self.raw = raw
        self.version, self.protocol, self.transport, self.end = layout or locate(raw)

    def __bytes__(self) -> bytes:
        return self.raw

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packet) and type(self) is type(other) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.source} > {self.destination} protocol {self.protocol}>"

    @property
    def source_octets(self) -> bytes:
        """The source address, 4 octets or 16."""
        return self.raw[12:16] if self.version == 4 else self.raw[8:24]

    @property
    def destination_octets(self) -> bytes:
        """The destination address, 4 octets or 16."""
        return self.raw[16:20] if self.version == 4 else self.raw[24:40]

    @property
    def source(self) -> Address:
        """The source address."""
        return address(self.source_octets)

    @property
    def destination(self) -> Address:
        """The destination address."""
        return address(self.destination_octets)

    @property
    def ttl(self) -> int:
        """Time to live, or hop limit, 0 to 255."""
        return self.raw[8] if self.version == 4 else self.raw[7]

    @property
    def traffic_class(self) -> int:
        """DSCP and ECN, 0 to 255 (RFC 2474, RFC 3168)."""
        return self.raw[1] if self.version == 4 else (self.raw[0] & 0x0F) << 4 | self.raw[1] >> 4

    @property
    def identification(self) -> int:
        """The IPv4 identification, 0 to 65535; the flow label of IPv6, 0 to 1048575."""
        if self.version == 4:
            return self.raw[4] << 8 | self.raw[5]
        return int.from_bytes(self.raw[1:4], "big") & 0xFFFFF

    @property
    def ip_options(self) -> bytes:
        """The octets between the fixed IP header and the transport's: options, or extension headers."""
        return self.raw[IPV4_FIXED if self.version == 4 else IPV6_FIXED : self.transport]

    @property
    def extension_headers(self) -> tuple[tuple[int, bytes], ...]:
        """The extension headers of an IPv6 packet, each its kind and its octets; none of IPv4."""
        found: list[tuple[int, bytes]] = []
        kind, position = self.raw[6], IPV6_FIXED
        while self.version == 6 and position < self.transport:
            end = position + _extension_length(self.raw, kind, position)
            found.append((kind, self.raw[position:end]))
            kind, position = self.raw[position], end
        return tuple(found)

    @property
    def ip_checksum(self) -> int | None:
        """The header checksum of IPv4 as on the wire; None of IPv6, which has none."""
        return self.raw[10] << 8 | self.raw[11] if self.version == 4 else None

    def ip_checksum_is_right(self) -> bool:
        """Whether the IPv4 header checksum is that of the header; IPv6 has none that could be wrong."""
        return self.version == 6 or ones_sum(self.raw[: self.transport]) == 0

    @property
    def content(self) -> bytes:
        """What the IP packet carries, from the transport header on."""
        return self.raw[self.transport : self.end]

    @property
    def trailer(self) -> bytes:
        """Octets behind the packet's own end, as of a link that pads."""
        return self.raw[self.end :]

    def with_addresses(self, source: Address | None = None, destination: Address | None = None) -> Packet:
        """Return the packet with other addresses; what it carries is not touched."""
        raw = bytearray(self.raw)
        set_fields(raw, self.transport, source, destination, None, None, None)
        return type(self)(bytes(raw), (self.version, self.protocol, self.transport, self.end))
