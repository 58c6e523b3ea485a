"""Numbers that wrap: 32 bits for a subflow, 64 bits for data.

Comparison is that of RFC 9293 §3.4: `a < b` when `a` comes before `b` by less than half the space.
It is no total order; `sorted` and `max` make sense only within one window.
"""

from __future__ import annotations

from typing import ClassVar, Self, overload


class SequenceNumber(int):
    """An unsigned integer modulo 2**bits.

    `number + n` and `number - n` wrap. `number - other_number` is the signed distance in octets,
    -2**(bits-1) to 2**(bits-1) - 1; between numbers of two widths it has no meaning: TypeError.
    Equality and hashing are those of the integer.
    """

    __slots__ = ()
    bits: ClassVar[int]
    _mask: ClassVar[int]
    _half: ClassVar[int]

    def __init_subclass__(cls) -> None:
        """Work out the modulus once for each width."""
        cls._mask = (1 << cls.bits) - 1
        cls._half = 1 << (cls.bits - 1)

    def __new__(cls, value: int) -> Self:
        """Reduce `value` modulo 2**bits."""
        return super().__new__(cls, value & cls._mask)

    @classmethod
    def from_wire(cls, value: int) -> Self:
        """Take `value`, known to have at most `bits` bits, as it is: twice as fast as the constructor."""
        return int.__new__(cls, value)

    # int's own operators are narrower or wider than these; that is the point of the type.
    def __add__(self, other: int) -> Self:
        return int.__new__(type(self), int.__add__(self, other) & self._mask)

    __radd__ = __add__

    @overload
    def __sub__(self, other: SequenceNumber) -> int: ...  # type: ignore[overload-overlap]
    @overload
    def __sub__(self, other: int) -> Self: ...
    def __sub__(self, other: int) -> int:
        if isinstance(other, SequenceNumber):
            if other.bits != self.bits:
                raise TypeError(f"no distance between {self!r} and {other!r}")
            return ((int.__sub__(self, other) + self._half) & self._mask) - self._half
        return int.__new__(type(self), int.__sub__(self, other) & self._mask)

    def _distance(self, other: int) -> int:
        return ((int.__sub__(self, other) + self._half) & self._mask) - self._half

    def __lt__(self, other: int) -> bool:
        return self._distance(other) < 0

    def __le__(self, other: int) -> bool:
        return self._distance(other) <= 0

    def __gt__(self, other: int) -> bool:
        return self._distance(other) > 0

    def __ge__(self, other: int) -> bool:
        return self._distance(other) >= 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    __str__ = int.__repr__


class Seq32(SequenceNumber):
    """A sequence number of a subflow (RFC 9293 §3.4)."""

    __slots__ = ()
    bits = 32


class Seq64(SequenceNumber):
    """A data sequence number of a connection (RFC 8684 §3.3.1)."""

    __slots__ = ()
    bits = 64

    def nearest(self, low: int) -> Seq64:
        """Return the number closest to this one whose low 32 bits are `low`.

        A DSN or Data ACK of 4 octets is the low half of the 64-bit number (RFC 8684 §3.3.1).
        """
        return self + Seq32(low).__sub__(Seq32(self))
