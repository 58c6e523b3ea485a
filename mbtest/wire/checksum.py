"""The Internet checksum (RFC 1071), mended (RFC 1624), and that of MPTCP data (RFC 8684 §3.3.1).

A ones' complement sum of 16-bit words is the number that the octets spell, modulo 65535; Python
divides a long integer far faster than it adds words.
"""

from __future__ import annotations

PROTOCOL_TCP = 6


def ones_sum(data: bytes | bytearray | memoryview) -> int:
    """Return the ones' complement sum of `data`, 0 to 65534; an odd last octet is padded with zero."""
    value = int.from_bytes(data, "big")
    return (value << 8 if len(data) & 1 else value) % 65535


def finish(total: int) -> int:
    """Return the checksum field for a sum of words, 0 to 65534.

    total: any integer congruent to the sum modulo 65535, negative ones included. 65535 and 0 are the
    same sum in ones' complement arithmetic; words that are not all zero never add up to +0, so that
    the field is never 0xffff (RFC 1624 §3). Compare checksums modulo 65535.
    """
    return -total % 65535


def mend(checksum: int, removed: int, added: int) -> int:
    """Return `checksum` after words that sum to `removed` gave way to words that sum to `added`.

    A checksum that was wrong stays wrong by the same amount, as behind a device that updates it
    (RFC 1624 §3). Where the sum did not change, neither does the field, even one of 0xffff.
    """
    change = (added - removed) % 65535
    return (checksum - change) % 65535 if change else checksum


def transport_checksum(source: bytes, destination: bytes, segment: bytes | bytearray) -> int:
    """Return the checksum of a TCP segment whose checksum field is zero; 0 for one whose field is right.

    source, destination: addresses, 4 octets each or 16 (RFC 9293 §3.1, RFC 8200 §8.1).
    """
    pseudo = ones_sum(source) + ones_sum(destination) + len(segment) + PROTOCOL_TCP
    return finish(pseudo + ones_sum(segment))


def dss_checksum(dsn: int, subflow_sequence: int, length: int, payload: bytes) -> int:
    """Return the DSS checksum of a mapping over `payload` (RFC 8684 §3.3.1).

    dsn: always the 64-bit number, however many octets the option spends on it.
    subflow_sequence: relative to the subflow's initial sequence number, 32 bits.
    length: data-level length of the mapping, in octets; with a DATA_FIN one more than the payload.
    """
    pseudo = ones_sum((dsn & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big"))
    pseudo += ones_sum((subflow_sequence & 0xFFFFFFFF).to_bytes(4, "big")) + (length & 0xFFFF)
    return finish(pseudo + ones_sum(payload))
