"""ICMP errors that lower the size of packets: "fragmentation needed" and "packet too big".

RFC 1191 (IPv4), RFC 8201 (IPv6), and what RFC 5927 has a host check before it believes one. Whether the
sequence number that is quoted is under way is for the subflow to say.
"""

from __future__ import annotations

from typing import NamedTuple

from mbtest.wire.checksum import PROTOCOL_TCP, ones_sum
from mbtest.wire.ip import ICMP, ICMPV6, IPV4_FIXED, IPV6_FIXED, Packet

_HEAD = 8
"""Octets of an ICMP error before the quoted packet; and of the quoted TCP header that are needed."""
_FRAGMENTATION_NEEDED = b"\x03\x04"
_PACKET_TOO_BIG = b"\x02\x00"
LEAST = {4: 68, 6: 1_280}
"""What every path takes (RFC 791 §3.2, RFC 8200 §5)."""
PLATEAUS = (65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68)
"""Sizes to try next where a router names none (RFC 1191 §7, table 7-1)."""


class TooBig(NamedTuple):
    """What such an error says of a segment of ours."""

    flow: tuple[bytes, bytes]
    """Our end and the other one, each address and port: the key of a flow."""
    sequence: int
    """The sequence number of the quoted segment, 32 bits."""
    mtu: int
    """Octets that the next hop takes, IP header included."""


def too_big(packet: Packet) -> TooBig | None:
    """Return what an ICMP error says of a segment that was too long; None where it is none or cannot be."""
    message = packet.raw[packet.transport : packet.end]
    quote = message[_HEAD:]
    if packet.version == 4:
        if packet.protocol != ICMP or message[:2] != _FRAGMENTATION_NEEDED or ones_sum(message):
            return None
        mtu = int.from_bytes(message[6:8], "big")
    else:
        pseudo = ones_sum(packet.source_octets) + ones_sum(packet.destination_octets)
        total = pseudo + len(message) + ICMPV6 + ones_sum(message)
        if packet.protocol != ICMPV6 or message[:2] != _PACKET_TOO_BIG or total % 65_535:
            return None
        mtu = int.from_bytes(message[4:8], "big")
    return _quoted(quote, packet, mtu)


def _quoted(quote: bytes, packet: Packet, mtu: int) -> TooBig | None:
    """Read the packet that the error quotes, as far as it goes: at least to the TCP sequence number."""
    version = quote[0] >> 4 if quote else 0
    fixed, width = (IPV4_FIXED, 4) if version == 4 else (IPV6_FIXED, 16)
    # A packet of ours: its source is where the error went (RFC 5927 §4.1), and nothing lies between the
    # headers, as we send neither IPv4 options nor IPv6 extension headers.
    if version != packet.version or len(quote) < fixed + _HEAD:
        return None
    protocol, addresses = (quote[9], 12) if version == 4 else (quote[6], 8)
    source = quote[addresses : addresses + width]
    if protocol != PROTOCOL_TCP or source != packet.destination_octets or (version == 4 and quote[0] != 0x45):
        return None
    length = int.from_bytes(quote[2:4], "big") if version == 4 else fixed + int.from_bytes(quote[4:6], "big")
    if version == 4 and mtu == 0:
        # A router from before RFC 1191: §5 has the next lower plateau tried.
        mtu = next((plateau for plateau in PLATEAUS if plateau < length), 0)
    # RFC 5927 §7.2: it was too long, or the error is a lie. RFC 8201 §4: nothing below the least MTU.
    if not LEAST[version] <= mtu < length:
        return None
    destination = quote[addresses + width : addresses + 2 * width]
    ports = quote[fixed : fixed + 4]
    sequence = int.from_bytes(quote[fixed + 4 : fixed + 8], "big")
    return TooBig((source + ports[:2], destination + ports[2:]), sequence, mtu)
