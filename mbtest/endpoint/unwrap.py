"""Wire numbers that wrap to plain integers that do not.

Inside the endpoint a sequence number is an offset from the initial one, compared as any integer.
Only the edge to the wire reads and writes numbers modulo 2**32 or 2**64.
"""

from __future__ import annotations


def unwrap32(wire: int, near: int) -> int:
    """Return the number closest to `near` that is `wire` modulo 2**32; it may be negative.

    Of two as close, the lower one: RFC 9293 §3.4 has neither come first, and `Seq32` decides the same.
    """
    return near + ((wire - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def unwrap64(wire: int, near: int) -> int:
    """Return the number closest to `near` that is `wire` modulo 2**64, by the rules of `unwrap32`.

    Data sequence numbers and Data ACKs of 8 octets (RFC 8684 §3.3.1); those of 4 take `unwrap32`.
    """
    return near + ((wire - near + 0x8000_0000_0000_0000) & 0xFFFF_FFFF_FFFF_FFFF) - 0x8000_0000_0000_0000
