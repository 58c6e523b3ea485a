"""ICMP errors and the TCP segment that they quote, for boxes whose changes an error has to follow."""

from __future__ import annotations

from mbtest.middlebox.bindings import Endpoint
from mbtest.wire import Address, Packet, Seq32
from mbtest.wire.checksum import mend, ones_sum
from mbtest.wire.ip import ICMP, ICMPV6, IPV4_FIXED, IPV6_FIXED, TCP

# RFC 792: unreachable, time exceeded, parameter problem. RFC 4443 §3: the four errors.
_ERRORS = {ICMP: (3, 11, 12), ICMPV6: (1, 2, 3, 4)}
_HEAD = 8
"""Octets of an ICMP error before the quoted packet; and of the TCP header that RFC 792 has quoted."""


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
