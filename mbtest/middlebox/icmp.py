"""ICMP errors: made for boxes that complain, and read for boxes whose changes an error has to follow."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from mbtest.errors import LocalProtocolError
from mbtest.middlebox.bindings import Endpoint
from mbtest.wire import Address, Packet, Seq32
from mbtest.wire.checksum import finish, mend, ones_sum
from mbtest.wire.ip import ICMP, ICMPV6, IPV4_FIXED, IPV6_FIXED, TCP, new_header

# RFC 792: unreachable, source quench, time exceeded, parameter problem. RFC 4443 §3: the four errors.
_ERRORS = {ICMP: (3, 4, 11, 12), ICMPV6: (1, 2, 3, 4)}
_HEAD = 8
"""Octets of an ICMP error before the quoted packet; and of the TCP header that RFC 792 has quoted."""

_LONGEST = {4: 576, 6: 1280}
"""Octets of a whole error (RFC 1812 §4.3.2.3, RFC 4443 §2.4 (c))."""
_INTERNETWORK_CONTROL = 0xC0
_TTL = 64

Complaint = Literal[
    "net-unreachable",
    "host-unreachable",
    "protocol-unreachable",
    "port-unreachable",
    "too-big",
    "source-quench",
    "prohibited",
    "time-exceeded",
]
"""What a router, or the far end, can say of a packet. Only IPv4 has ever had source quench (RFC 6633)."""
_TYPE_AND_CODE: dict[Complaint, dict[int, tuple[int, int]]] = {
    # RFC 792 and RFC 1812 §5.2.7; RFC 4443 §3.
    "net-unreachable": {4: (3, 0), 6: (1, 0)},
    "host-unreachable": {4: (3, 1), 6: (1, 3)},
    "protocol-unreachable": {4: (3, 2), 6: (4, 1)},
    "port-unreachable": {4: (3, 3), 6: (1, 4)},
    "too-big": {4: (3, 4), 6: (2, 0)},
    "source-quench": {4: (4, 0)},
    "prohibited": {4: (3, 13), 6: (1, 1)},
    "time-exceeded": {4: (11, 0), 6: (3, 0)},
}
ROUTER: dict[int, Address] = {4: IPv4Address("192.0.0.8"), 6: IPv6Address("2001:db8:fffe::8")}
"""Who complains where no address is given; of IPv4 the dummy address that RFC 7600 §4.8 has for this."""


def icmp_error(
    about: Packet,
    complaint: Complaint,
    *,
    mtu: int = 0,
    reporter: Address | None = None,
    quoted_octets: int | None = None,
) -> Packet:
    """Return an ICMP error about a packet, addressed to its source; send it in the reverse direction.

    about: quoted as it is, so that a forger can say what it likes. mtu: of the next hop, octets, for
    "too-big" (RFC 1191 §4, RFC 8201); 0 is what a router from before RFC 1191 says. reporter: the
    error's source; none: `ROUTER`. quoted_octets: of what the packet carries; none: as much as fits,
    8 at least are needed for ports and sequence number. Raises LocalProtocolError for a source quench
    of IPv6.
    """
    version = about.version
    if version not in _TYPE_AND_CODE[complaint]:
        raise LocalProtocolError(f"ICMPv6 has no {complaint}")
    fixed = IPV4_FIXED if version == 4 else IPV6_FIXED
    room = _LONGEST[version] - fixed - _HEAD
    quote = about.raw[: about.end if quoted_octets is None else about.transport + quoted_octets][:room]
    message = bytearray(_HEAD) + quote
    message[:2] = bytes(_TYPE_AND_CODE[complaint][version])
    if complaint == "too-big":
        message[4:8] = mtu.to_bytes(4, "big")
    source = reporter or ROUTER[version]
    header = new_header(source, about.source, len(message), _TTL, _INTERNETWORK_CONTROL, 0)
    total = ones_sum(message)
    if version == 4:
        header[9] = ICMP
        header[10:12] = bytes(2)
        header[10:12] = finish(ones_sum(header)).to_bytes(2, "big")
    else:
        header[6] = ICMPV6
        total += ones_sum(header[8:]) + len(message) + ICMPV6
    message[2:4] = finish(total).to_bytes(2, "big")
    return Packet(bytes(header + message))


class Quote:
    """The TCP segment in an ICMP error; it is cut off, often behind the sequence number."""

    def __init__(self, error: Packet, start: int, transport: int) -> None:
        """Read from `error`. start, transport: where the quoted IP and TCP headers begin in it."""
        self._error = error
        self._start = start
        self._transport = transport
        self._addresses = start + (12 if error.version == 4 else 8)
        self._size = 4 if error.version == 4 else 16

    @property
    def source(self) -> Endpoint:
        """The end that sent the quoted segment."""
        return self._end(0)

    @property
    def destination(self) -> Endpoint:
        """The end that the quoted segment was sent to."""
        return self._end(1)

    @property
    def seq(self) -> Seq32:
        """The sequence number of the quoted segment."""
        return Seq32(int.from_bytes(self._error.raw[self._transport + 4 : self._transport + 8], "big"))

    def rewritten(
        self,
        *,
        source: Endpoint | None = None,
        destination: Endpoint | None = None,
        seq: int | None = None,
        reporter: Address | None = None,
        recipient: Address | None = None,
    ) -> Packet:
        """Return the ICMP error with these fields of the quote changed, and every checksum mended.

        reporter, recipient: source and destination of the error itself.
        """
        old = self._error.raw
        new = bytearray(self._error.with_addresses(reporter, recipient).raw)
        for number, end in enumerate((source, destination)):
            if end is not None:
                address, port = self._places(number)
                new[address : address + self._size] = end[:-2]
                new[port : port + 2] = end[-2:]
        if seq is not None:
            new[self._transport + 4 : self._transport + 8] = (seq & 0xFFFFFFFF).to_bytes(4, "big")
        addresses = slice(self._addresses, self._addresses + 2 * self._size)
        ends = slice(self._transport, self._transport + _HEAD)
        if self._error.version == 4:
            _mend(old, new, self._start + 10, slice(self._start, self._transport))
        if self._transport + 18 <= self._error.end:
            _mend(old, new, self._transport + 16, addresses, ends)
        covered = [slice(self._error.transport, self._error.end)]
        if self._error.version == 6:
            covered.append(slice(8, IPV6_FIXED))
        _mend(old, new, self._error.transport + 2, *covered)
        return Packet(bytes(new))

    def _places(self, number: int) -> tuple[int, int]:
        return self._addresses + number * self._size, self._transport + number * 2

    def _end(self, number: int) -> Endpoint:
        address, port = self._places(number)
        return self._error.raw[address : address + self._size] + self._error.raw[port : port + 2]


def quoted(packet: Packet) -> Quote | None:
    """Return the TCP segment that an ICMP error quotes, None where `packet` is nothing of the kind."""
    start = packet.transport + _HEAD
    fixed = IPV4_FIXED if packet.version == 4 else IPV6_FIXED
    raw = packet.raw[: packet.end]
    if len(raw) < start + fixed or raw[packet.transport] not in _ERRORS.get(packet.protocol, ()):
        return None
    if raw[start] >> 4 != packet.version or raw[start + (9 if packet.version == 4 else 6)] != TCP:
        return None
    transport = start + ((raw[start] & 0x0F) * 4 if packet.version == 4 else fixed)
    return Quote(packet, start, transport) if len(raw) >= transport + _HEAD else None


def _mend(old: bytes, new: bytearray, at: int, *covered: slice) -> None:
    """Update the checksum at `at` for what differs in the octets covered; its own octets do not yet."""
    removed = sum(ones_sum(old[part]) for part in covered)
    added = sum(ones_sum(new[part]) for part in covered)
    new[at : at + 2] = mend(old[at] << 8 | old[at + 1], removed, added).to_bytes(2, "big")
