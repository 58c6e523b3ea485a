"""IP fragments: packets cut to them, and put together again (RFC 791 §3.2, RFC 8200 §4.5)."""

from __future__ import annotations

from mbtest.errors import LocalProtocolError
from mbtest.wire.checksum import finish, ones_sum
from mbtest.wire.ip import FRAGMENT, Packet, header_with, set_fields, set_length
from mbtest.wire.packet import decode

UNIT = 8
"""Octets in which offsets are told, and which every fragment but the last has a multiple of."""
_MORE = {4: 0x2000, 6: 1}
_DO_NOT_FRAGMENT = 0x40
_LONGEST = 0xFFFF
_HELD = 64
"""Packets that can wait for a fragment at a time."""


def may_fragment(packet: Packet) -> bool:
    """Whether routers may cut a packet: one of IPv4 without "do not fragment"."""
    return packet.version == 4 and not packet.raw[6] & _DO_NOT_FRAGMENT


def fragments(packet: Packet, size: int, identification: int) -> list[Packet]:
    """Return a packet in fragments of at most `size` octets; it alone where it is no larger.

    identification: what its fragments have in common, of 16 bits or, of IPv6, 32. All IPv4 options stand
    in every fragment, "do not fragment" in none. Raises LocalProtocolError where headers leave no room.
    """
    if packet.end <= size:
        return [packet]
    if packet.version == 4:
        header = bytearray(packet.raw[: packet.transport])
        set_fields(header, len(header), None, None, None, None, identification)
    else:
        own = bytes(4) + identification.to_bytes(4, "big")
        header = header_with(packet, None, [*packet.extension_headers, (FRAGMENT, own)])
    room = (size - len(header)) // UNIT * UNIT
    if room < UNIT:
        raise LocalProtocolError(f"fragments of {size} octets have no room beside {len(header)} of headers")
    content = packet.content
    return [
        _fragment(packet.version, header, content[at : at + room], at, at + room < len(content))
        for at in range(0, len(content), room)
    ]


def _fragment(version: int, header: bytearray, content: bytes, at: int, more: bool) -> Packet:
    raw = header + content
    place, number = (6, at // UNIT) if version == 4 else (len(header) - UNIT + 2, at)
    raw[place : place + 2] = (number | more * _MORE[version]).to_bytes(2, "big")
    return _finished(raw, len(header))


def _finished(raw: bytearray, transport: int) -> Packet:
    """Return the packet of these octets, with its length and the checksum of IPv4 right."""
    set_length(raw, len(raw))
    if raw[0] >> 4 == 4:
        raw[10:12] = bytes(2)
        raw[10:12] = finish(ones_sum(raw[:transport])).to_bytes(2, "big")
    return decode(bytes(raw))


class Defragmenter:
    """The fragments that came to one place.

    Packets wait for what they lack as long as there is room; the oldest give way to new ones.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: dict[bytes, _Partial] = {}

    def complete(self, fragment: Packet) -> Packet | None:
        """Return the packet of which `fragment` was the last that was missing; None as long as one is.

        None, too, for what is no fragment, or would make a packet too long. What lies over others that
        came before is left out (an implementation of IPv6 gives up the packet, RFC 5722). Raises WireError
        where the whole packet cannot be read, as `decode` does.
        """
        if fragment.protocol != FRAGMENT:
            return None
        raw, at = fragment.raw, fragment.transport
        if fragment.version == 4:
            key, place = raw[4:6] + raw[9:10] + raw[12:20], raw[6] << 8 | raw[7]
            offset, more = (place & 0x1FFF) * UNIT, place & _MORE[4] != 0
            content = fragment.content
        else:
            key, place = raw[at + 4 : at + 8] + raw[8:40], raw[at + 2] << 8 | raw[at + 3]
            offset, more = place & ~7, place & _MORE[6] != 0
            content = fragment.content[UNIT:]
        partial = self._waiting.setdefault(key, _Partial())
        if not partial.add(offset, content, more, _unfragmented(fragment)):
            if len(self._waiting) > _HELD:
                del self._waiting[next(iter(self._waiting))]
            return None
        del self._waiting[key]
        whole = partial.header + partial.content
        return _finished(whole, len(partial.header)) if len(whole) <= _LONGEST else None


class _Partial:
    """What there is of one packet."""

    def __init__(self) -> None:
        self.header = bytearray()
        self.content = bytearray()
        self._pieces: dict[int, bytes] = {}
        self._length: int | None = None

    def add(self, offset: int, content: bytes, more: bool, header: bytearray) -> bool:
        """Take in a fragment; return whether the packet is whole, as `header` and `content`."""
        self._pieces.setdefault(offset, content)
        if not more:
            self._length = offset + len(content)
        if offset == 0:
            self.header = header
        if self._length is None or 0 not in self._pieces:
            return False
        whole = bytearray()
        for start, piece in sorted(self._pieces.items()):
            if start > len(whole):
                return False
            whole += piece[len(whole) - start :]
        self.content = whole[: self._length]
        return len(whole) >= self._length


def _unfragmented(fragment: Packet) -> bytearray:
    """Return the header of the packet that this fragment, its first, is of."""
    header = bytearray(fragment.raw[: fragment.transport])
    if fragment.version == 4:
        header[6:8] = bytes(2)
        return header
    extensions = fragment.extension_headers
    link = fragment.transport - len(extensions[-1][1]) if extensions else 6
    header[link] = fragment.raw[fragment.transport]
    return header
