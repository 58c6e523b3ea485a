"""A box that flips bits of MPTCP options."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions, changed
from mbtest.wire import Dss, MpCapable, MptcpOption, Segment

Field = Literal[
    "sender_key", "receiver_key", "token", "nonce", "hmac", "dsn", "data_ack", "subflow_sequence", "length",
    "data_length", "checksum", "flags", "version", "address_id", "address_ids", "address", "port", "reason",
    "option_length", "subtype",
]  # fmt: skip
_BITS: dict[Field, int] = {
    "token": 32, "nonce": 32, "subflow_sequence": 32, "length": 16, "data_length": 16, "checksum": 16,
    "flags": 8, "version": 4, "address_id": 8, "port": 16, "reason": 8, "option_length": 8, "subtype": 4,
}  # fmt: skip
"""The width of fields of less than 64 bits; that of flags is 4 bits but in MP_CAPABLE and DSS."""
_PLACES: dict[Field, int] = {"option_length": 1, "subtype": 2, "flags": 3}
"""In which octet of an option these stand; the flags of a DSS, that is, on which its form depends."""


class FlipBits(Middlebox):
    """Flips bits of one field of MPTCP options, as faulty memory and boxes that use fields for their own do.

    Every option that has the field is changed, however often it is sent: a retransmission meets the same
    fate. The TCP checksum is mended, a DSS checksum is not. Whatever else a segment has passes as it is.
    """

    field: Annotated[
        Field, Parameter("the field, as mbtest.wire names it; option_length is the octet behind the kind")
    ]
    mask: Annotated[int, Parameter("bits to flip, the field's lowest is 1", "", 1, 2**64 - 1)] = 1
    forms: Annotated[Forms, Parameter("option classes; none: all that have the field")] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask >> (bits := _BITS.get(self.field, 64)):
            raise UsageError(f"FlipBits: mask={self.mask:#x}: {self.field} has only {bits} bits")

    def start(self) -> None:
        self._named = NamedOptions(self.forms)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        block = b"".join(
            self._flipped(option)
            if isinstance(option, MptcpOption) and option in self._named
            else option.encode()
            for option in segment.options
        )
        return (segment.with_option_block(block),)

    def _flipped(self, option: MptcpOption) -> bytes:
        """Return an option's octets with the bits flipped; as they are where it has no such field."""
        octets = bytearray(option.encode())
        if self.field in ("option_length", "subtype") or (self.field == "flags" and isinstance(option, Dss)):
            octets[_PLACES[self.field]] ^= self.mask << 4 if self.field == "subtype" else self.mask
            return bytes(octets)
        value = getattr(option, self.field, None)
        if value is None:
            return bytes(octets)
        return changed(option, **{self.field: _xor(value, self.mask, _bits(option, self.field))}).encode()


def _bits(option: MptcpOption, field: Field) -> int:
    if field == "flags" and not isinstance(option, MpCapable):
        return 4
    if field in ("dsn", "data_ack") and not getattr(option, f"{field}_64", True):
        return 32
    return _BITS.get(field, 64)


def _xor(value: int | bytes | IPv4Address | IPv6Address, mask: int, bits: int) -> object:
    """Return a value with those bits of the mask flipped that it has."""
    if isinstance(value, bytes):
        kept = mask & (1 << 8 * len(value)) - 1
        return (int.from_bytes(value, "big") ^ kept).to_bytes(len(value), "big")
    if isinstance(value, (IPv4Address, IPv6Address)):
        return type(value)(int(value) ^ mask & (1 << value.max_prefixlen) - 1)
    return value ^ mask & (1 << bits) - 1
