"""What MPTCP derives from its keys: tokens, initial data sequence numbers, HMACs (SHA-256)."""

from __future__ import annotations

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address

from mbtest.wire.sequence import Seq64


def token(key: int) -> int:
    """Return the 32-bit token of a 64-bit key: the leftmost bits of its hash (RFC 8684 §3.2)."""
    return int.from_bytes(hashlib.sha256(key.to_bytes(8, "big")).digest()[:4], "big")


def initial_data_sequence_number(key: int) -> Seq64:
    """Return the IDSN of a 64-bit key: the rightmost 64 bits of its hash (RFC 8684 §3.1).

    The first octet of data has this number plus one.
    """
    return Seq64(int.from_bytes(hashlib.sha256(key.to_bytes(8, "big")).digest()[-8:], "big"))


def join_hmac(own_key: int, peer_key: int, own_nonce: int, peer_nonce: int) -> bytes:
    """Return the 32 octets of the MP_JOIN HMAC of the side that has `own_key` (RFC 8684 §3.2).

    The SYN/ACK carries its leftmost 8 octets, the third ACK its leftmost 20.
    """
    secret = own_key.to_bytes(8, "big") + peer_key.to_bytes(8, "big")
    message = own_nonce.to_bytes(4, "big") + peer_nonce.to_bytes(4, "big")
    return hmac.digest(secret, message, "sha256")


def add_addr_hmac(
    own_key: int, peer_key: int, address_id: int, address: IPv4Address | IPv6Address, port: int = 0
) -> bytes:
    """Return the rightmost 8 octets of the ADD_ADDR HMAC (RFC 8684 §3.4.1). port: 0 where absent."""
    secret = own_key.to_bytes(8, "big") + peer_key.to_bytes(8, "big")
    message = bytes([address_id]) + address.packed + port.to_bytes(2, "big")
    return hmac.digest(secret, message, "sha256")[-8:]
