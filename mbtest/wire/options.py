"""TCP options: a block of octets to a tuple of values, and back without loss.

Every octet of the block belongs to exactly one value. An option of a known kind whose length is not
one that its definition allows is kept as `UnknownOption`; what cannot be an option at all (a length
below 2, or past the end of the block) is kept as `Malformed` with all that follows it. So
`encode_options(decode_options(block)) == block` for every block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from struct import Struct as Layout
from typing import ClassVar, Self

import msgspec

from mbtest.errors import LocalProtocolError

END_OF_LIST, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
MD5, USER_TIMEOUT, AUTHENTICATION, MPTCP, FAST_OPEN = 19, 28, 29, 30, 34
EXPERIMENTAL = (253, 254)
MALFORMED = -1
"""The kind of what cannot be an option, and of classes whose instances have kinds of their own."""
MAX_OPTIONS = 40
"""Octets that the options of one segment can take: a data offset of 15 words less the fixed header."""

_MSS = Layout("!BBH")
_SCALE = Layout("!BBB")
_TIMESTAMPS = Layout("!BBII")
_BLOCK = Layout("!II")
_WORD = Layout("!BBH")


class TcpOption(msgspec.Struct, frozen=True):
    """One TCP option (RFC 9293 §3.2)."""

    KIND: ClassVar[int] = MALFORMED

    @property
    def kind(self) -> int:
        """The option kind, 0 to 255."""
        return self.KIND

    def encode(self) -> bytes:
        """Return the option as it stands on the wire, kind and length included."""
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option that `data` (kind and length included) spells, or None if it spells another."""
        raise NotImplementedError


class UnknownOption(TcpOption, frozen=True):
    """An option of any kind whose content is opaque: not known here, or of an odd length."""

    option_kind: int
    content: bytes = b""

    @property
    def kind(self) -> int:
        """The option kind, 2 to 255."""
        return self.option_kind

    def encode(self) -> bytes:
        """Return kind, length and content."""
        return bytes((self.option_kind, len(self.content) + 2)) + self.content


class Malformed(TcpOption, frozen=True):
    """The rest of an option block, from an option whose length cannot be right."""

    rest: bytes

    def encode(self) -> bytes:
        """Return the octets as they arrived."""
        return self.rest


class EndOfOptionList(TcpOption, frozen=True):
    """End of Option List, and whatever octets follow it up to the data offset (RFC 9293 §3.2)."""

    KIND = END_OF_LIST
    trailing: bytes = b""

    def encode(self) -> bytes:
        """Return the zero octet and the octets after it."""
        return b"\0" + self.trailing


class NoOperation(TcpOption, frozen=True):
    """One octet of padding (RFC 9293 §3.2)."""

    KIND = NOP

    def encode(self) -> bytes:
        """Return the one octet."""
        return b"\x01"


class MaximumSegmentSize(TcpOption, frozen=True):
    """MSS (RFC 9293 §3.7.1). size: octets, 0 to 65535."""

    KIND = MSS
    size: int

    def encode(self) -> bytes:
        """Return 4 octets."""
        return _MSS.pack(MSS, 4, self.size)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 4 octets."""
        return cls(_MSS.unpack(data)[2]) if len(data) == 4 else None


class WindowScale(TcpOption, frozen=True):
    """Window scale (RFC 7323 §2.2). shift: 0 to 255 on the wire, at most 14 in use."""

    KIND = WINDOW_SCALE
    shift: int

    def encode(self) -> bytes:
        """Return 3 octets."""
        return _SCALE.pack(WINDOW_SCALE, 3, self.shift)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 3 octets."""
        return cls(data[2]) if len(data) == 3 else None


class SackPermitted(TcpOption, frozen=True):
    """SACK permitted (RFC 2018 §2)."""

    KIND = SACK_PERMITTED

    def encode(self) -> bytes:
        """Return 2 octets."""
        return b"\x04\x02"

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 2 octets."""
        return cls() if len(data) == 2 else None


class Sack(TcpOption, frozen=True):
    """Selective acknowledgement (RFC 2018 §3). blocks: (left edge, right edge), 32-bit sequence numbers."""

    KIND = SACK
    blocks: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        """Return 2 octets and 8 for each block."""
        body = b"".join(_BLOCK.pack(left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in self.blocks)
        return bytes((SACK, len(body) + 2)) + body

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if its content is a number of whole blocks, none included."""
        if (len(data) - 2) % 8:
            return None
        return cls(tuple((left, right) for left, right in _BLOCK.iter_unpack(data[2:])))


class Timestamps(TcpOption, frozen=True):
    """Timestamps (RFC 7323 §3.2). value, echo: 32 bits each."""

    KIND = TIMESTAMPS
    value: int
    echo: int

    def encode(self) -> bytes:
        """Return 10 octets."""
        return _TIMESTAMPS.pack(TIMESTAMPS, 10, self.value, self.echo)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 10 octets."""
        return cls(*_TIMESTAMPS.unpack(data)[2:]) if len(data) == 10 else None


class UserTimeout(TcpOption, frozen=True):
    """User timeout (RFC 5482 §3). minutes: the granularity flag; timeout: 15 bits, seconds or minutes."""

    KIND = USER_TIMEOUT
    minutes: bool
    timeout: int

    def encode(self) -> bytes:
        """Return 4 octets."""
        return _WORD.pack(USER_TIMEOUT, 4, self.minutes << 15 | self.timeout)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 4 octets."""
        if len(data) != 4:
            return None
        word = _WORD.unpack(data)[2]
        return cls(bool(word >> 15), word & 0x7FFF)


class _Opaque(TcpOption, frozen=True):
    """An option whose content mbtest carries and does not read."""

    content: bytes = b""

    def encode(self) -> bytes:
        """Return kind, length and content."""
        return bytes((self.KIND, len(self.content) + 2)) + self.content

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option, whatever its content."""
        return cls(data[2:])


class Md5Signature(_Opaque, frozen=True):
    """MD5 signature (RFC 2385 §3), opaque."""

    KIND = MD5


class Authentication(_Opaque, frozen=True):
    """TCP-AO (RFC 5925 §2.2), opaque."""

    KIND = AUTHENTICATION


class FastOpen(_Opaque, frozen=True):
    """TCP Fast Open (RFC 7413 §2). content: the cookie, empty where one is asked for."""

    KIND = FAST_OPEN


class Experimental(TcpOption, frozen=True):
    """Experimental option (RFC 6994 §3). option_kind: 253 or 254; exid: the 16-bit identifier."""

    option_kind: int
    exid: int
    content: bytes = b""

    @property
    def kind(self) -> int:
        """The option kind, 253 or 254."""
        return self.option_kind

    def encode(self) -> bytes:
        """Return kind, length, identifier and content."""
        return _WORD.pack(self.option_kind, len(self.content) + 4, self.exid) + self.content

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if there is room for an identifier."""
        return cls(data[0], int.from_bytes(data[2:4], "big"), data[4:]) if len(data) >= 4 else None


_END = EndOfOptionList()
_NOP = NoOperation()
_DECODERS: dict[int, type[TcpOption]] = {
    option.KIND: option
    for option in (
        MaximumSegmentSize, WindowScale, SackPermitted, Sack, Timestamps, UserTimeout,
        Md5Signature, Authentication, FastOpen,
    )
} | dict.fromkeys(EXPERIMENTAL, Experimental)  # fmt: skip


_EVERY_LENGTH: set[type[TcpOption]] = {Md5Signature, Authentication, FastOpen}


def register(kind: int, option: type[TcpOption], *, every_length: bool = False) -> None:
    """Have options of `kind` (2 to 255) decoded by `option.decode`.

    every_length: whether it takes options of every length, so that the kind alone tells what they are.
    """
    _DECODERS[kind] = option
    if every_length:
        _EVERY_LENGTH.add(option)
    _kinds_of.cache_clear()


def spans(block: bytes) -> list[tuple[int, int, int]]:
    """Return (kind, start, end) of each option of a block, in octets; every octet is in one span.

    The kind is MALFORMED (-1) for the rest of a block from a length that cannot be right.
    """
    found: list[tuple[int, int, int]] = []
    position, size = 0, len(block)
    while position < size:
        kind = block[position]
        if kind == NOP:
            end = position + 1
        elif kind == END_OF_LIST:
            end = size
        else:
            length = block[position + 1] if position + 1 < size else 0
            end = position + length
            if length < 2 or end > size:
                kind, end = MALFORMED, size
        found.append((kind, position, end))
        position = end
    return found


def _decode_option(kind: int, data: bytes) -> TcpOption:
    """Return the option of one span."""
    decoder = _DECODERS.get(kind)
    option = decoder.decode(data) if decoder is not None else None
    if option is not None:
        return option
    if kind == NOP:
        return _NOP
    if kind == END_OF_LIST:
        return EndOfOptionList(data[1:]) if len(data) > 1 else _END
    return UnknownOption(kind, data[2:]) if kind != MALFORMED else Malformed(data)


def decode_options(block: bytes) -> tuple[TcpOption, ...]:
    """Return the options of a block of 0 to 40 octets, every octet accounted for."""
    return tuple([_decode_option(kind, block[start:end]) for kind, start, end in spans(block)])


def encode_options(options: Iterable[TcpOption]) -> bytes:
    """Return the block of these options, padded with no-operations to a whole number of 32-bit words.

    Padding stands last, or before an End of Option List or a malformed rest that stands last: octets
    put behind those would become part of them. Raises LocalProtocolError where the options take more
    than 40 octets, or where a field of one is out of its range.
    """
    options = list(options)
    try:
        pieces = [option.encode() for option in options]
    except (struct.error, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"an option of {options} cannot be encoded: {error}") from error
    tail = pieces.pop() if options and isinstance(options[-1], (EndOfOptionList, Malformed)) else b""
    block = _aligned(b"".join(pieces), tail)
    if len(block) > MAX_OPTIONS:
        raise LocalProtocolError(f"options take {len(block)} octets; a segment has room for {MAX_OPTIONS}")
    return block


def strip_options(block: bytes, forms: tuple[type[TcpOption], ...]) -> bytes:
    """Return `block` without options of these forms, aligned as by `encode_options`.

    Returns `block` itself where it has none. Only what `forms` may concern is decoded.
    """
    certain, possible = _kinds_of(forms)
    # The walk of `spans`, written out: it runs for every frame.
    pieces: list[bytes] = []
    keep_nops = NOP not in certain and NOP not in possible
    kept_from = last = end = kind = 0
    size = len(block)
    while end < size:
        last = end
        kind = block[last]
        if kind == NOP:
            end += 1
            if keep_nops:
                continue
        elif kind == END_OF_LIST:
            end = size
        else:
            length = block[last + 1] if last + 1 < size else 0
            end += length
            if length < 2 or end > size:
                kind, end = MALFORMED, size
        if kind in certain or (kind in possible and isinstance(_decode_option(kind, block[last:end]), forms)):
            pieces.append(block[kept_from:last])
            kept_from = end
    if not pieces:
        return block
    if kind <= END_OF_LIST and kept_from < size:
        pieces.append(block[kept_from:last])
        return _aligned(b"".join(pieces), block[last:])
    pieces.append(block[kept_from:])
    return _aligned(b"".join(pieces))


@lru_cache(maxsize=256)
def _kinds_of(forms: tuple[type[TcpOption], ...]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the kinds of which every option is of one of `forms`, and those of which some may be."""
    certain, possible = set(), set()
    for form in forms:
        if form in _EVERY_LENGTH or form in (NoOperation, EndOfOptionList):
            certain.add(form.KIND)
        elif form.KIND != MALFORMED:
            possible.add(form.KIND)
        else:
            possible.update(range(-1, 256))
    return frozenset(certain), frozenset(possible)


def _aligned(block: bytes, tail: bytes = b"") -> bytes:
    """Return `block` and `tail` as whole words. tail: what nothing may come after."""
    excess = (len(block) + len(tail)) & 3
    return block + b"\x01\x01\x01"[excess - 1 :] + tail if excess else block + tail
