"""TCP options as values, one class a form; `block` finds them in a segment and puts them there.

An option of a known kind whose length is not one that its definition allows is an `UnknownOption`.
Values that no decoding gives (an `UnknownOption` that spells an MSS) can be made, and are encoded.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Self

import msgspec

END_OF_LIST, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
MD5, USER_TIMEOUT, AUTHENTICATION, MPTCP, FAST_OPEN = 19, 28, 29, 30, 34
EXPERIMENTAL = (253, 254)
MALFORMED = -1
"""The kind of what cannot be an option, and of classes whose instances have kinds of their own."""

_MSS = Struct("!BBH")
_SCALE = Struct("!BBB")
_TIMESTAMPS = Struct("!BBII")
_BLOCK = Struct("!II")
_WORD = Struct("!BBH")


class TcpOption(msgspec.Struct, frozen=True, gc=False):
    """One TCP option (RFC 9293 §3.2)."""

    # gc=False: options hold octets and numbers alone, and runs keep many: the collector need not look.

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
        if len(data) != 10:
            return None
        _, _, value, echo = _TIMESTAMPS.unpack(data)
        return cls(value, echo)


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
