"""MPTCP v1 options (RFC 8684 §3; formats in its figures 4 to 17), each form in its own lengths.

Reserved and unassigned bits are fields too, so that every option survives a round trip. An option of
kind 30 that is not one of these forms (another length, an unassigned subtype) is kept whole as
`UnknownMptcp`. MP_CAPABLE is read in the forms of version 1 whatever version it names.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import ClassVar, Self

from mbtest.errors import LocalProtocolError
from mbtest.wire.block import register
from mbtest.wire.options import MPTCP, TcpOption
from mbtest.wire.sequence import Seq64

MP_CAPABLE, MP_JOIN, DSS, ADD_ADDR, REMOVE_ADDR, MP_PRIO, MP_FAIL, MP_FASTCLOSE, MP_TCPRST = range(9)
MP_EXPERIMENTAL = 15
SUBTYPE_NAMES = {
    MP_CAPABLE: "MP_CAPABLE", MP_JOIN: "MP_JOIN", DSS: "DSS", ADD_ADDR: "ADD_ADDR",
    REMOVE_ADDR: "REMOVE_ADDR", MP_PRIO: "MP_PRIO", MP_FAIL: "MP_FAIL", MP_FASTCLOSE: "MP_FASTCLOSE",
    MP_TCPRST: "MP_TCPRST", MP_EXPERIMENTAL: "MP_EXPERIMENTAL",
}  # fmt: skip


class Reason(enum.IntEnum):
    """Why a subflow is reset: the reason codes of MP_TCPRST (RFC 8684 §3.6)."""

    UNSPECIFIED = 0
    MPTCP_ERROR = 1
    RESOURCES = 2
    PROHIBITED = 3
    OUTSTANDING = 4
    PERFORMANCE = 5
    MIDDLEBOX = 6


RESET_REASONS = {
    0: "unspecified", 1: "MPTCP-specific error", 2: "lack of resources", 3: "administratively prohibited",
    4: "too much outstanding data", 5: "unacceptable performance", 6: "middlebox interference",
}  # fmt: skip

# MP_CAPABLE flags (RFC 8684 §3.1)
CHECKSUM_REQUIRED = 0x80
EXTENSIBILITY = 0x40
NO_JOIN_TO_THIS_ADDRESS = 0x20
HMAC_SHA256 = 0x01

# DSS flags (RFC 8684 §3.3)
DATA_FIN, DSN_64, HAS_MAPPING, DATA_ACK_64, HAS_DATA_ACK = 0x10, 0x08, 0x04, 0x02, 0x01

_KEY = Struct("!Q")
_LENGTH = Struct("!H")
_JOIN_SYN = Struct("!BII")
_JOIN_SYN_ACK = Struct("!BQI")


class MptcpOption(TcpOption, frozen=True):
    """An option of kind 30 (RFC 8684 §3)."""

    KIND = MPTCP
    SUBTYPE: ClassVar[int] = -1

    @property
    def subtype(self) -> int:
        """The subtype, 0 to 15."""
        return self.SUBTYPE

    @property
    def name(self) -> str:
        """The RFC's name of the option."""
        return SUBTYPE_NAMES.get(self.subtype, f"MPTCP subtype {self.subtype}")

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option in the form that its subtype and length tell; no length is refused."""
        form = FORMS.get(data[2] >> 4) if len(data) > 2 else None
        option = form.decode(data) if form is not None else None
        return UnknownMptcp(data[2:]) if option is None else option  # type: ignore[return-value]

    def _head(self, length: int, low: int) -> bytes:
        """Return kind, length and the octet of subtype and low nibble, which is 0 to 15."""
        if low >> 4:
            raise LocalProtocolError(f"{low} does not fit the 4 bits beside the subtype of {self.name}")
        return bytes((MPTCP, length, self.SUBTYPE << 4 | low))


class UnknownMptcp(MptcpOption, frozen=True):
    """An MPTCP option in no form of RFC 8684; content: all octets after kind and length, at least 0."""

    content: bytes

    @property
    def subtype(self) -> int:
        """The subtype, 0 to 15; -1 where the option has not even room for one."""
        return self.content[0] >> 4 if self.content else -1

    def encode(self) -> bytes:
        """Return the option as it arrived."""
        return bytes((MPTCP, len(self.content) + 2)) + self.content


class MpCapable(MptcpOption, frozen=True):
    """MP_CAPABLE (RFC 8684 §3.1).

    Four forms: no key (SYN, 4 octets), the sender's (SYN/ACK, 12), both (third ACK, 20), both and a
    data-level length (first data, 22, or 24 with a checksum). flags: bits A to H, A the highest.
    """

    SUBTYPE = MP_CAPABLE
    flags: int = HMAC_SHA256
    sender_key: int | None = None
    receiver_key: int | None = None
    data_length: int | None = None
    checksum: int | None = None
    version: int = 1

    @property
    def checksum_required(self) -> bool:
        """Flag A."""
        return bool(self.flags & CHECKSUM_REQUIRED)

    def encode(self) -> bytes:
        """Return 4, 12, 20, 22 or 24 octets, as many as the first of the fields that are there."""
        body = b""
        if self.sender_key is not None:
            body = _KEY.pack(self.sender_key)
            if self.receiver_key is not None:
                body += _KEY.pack(self.receiver_key)
                if self.data_length is not None:
                    body += _LENGTH.pack(self.data_length)
                    if self.checksum is not None:
                        body += _LENGTH.pack(self.checksum)
        return self._head(4 + len(body), self.version) + bytes((self.flags,)) + body

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if its length is that of one of the forms."""
        length = len(data)
        if length not in (4, 12, 20, 22, 24):
            return None
        sender = _KEY.unpack_from(data, 4)[0] if length >= 12 else None
        receiver = _KEY.unpack_from(data, 12)[0] if length >= 20 else None
        data_length = _LENGTH.unpack_from(data, 20)[0] if length >= 22 else None
        checksum = _LENGTH.unpack_from(data, 22)[0] if length == 24 else None
        return cls(data[3], sender, receiver, data_length, checksum, data[2] & 0x0F)


class MpJoin(MptcpOption, frozen=True):
    """MP_JOIN in any of its three forms (RFC 8684 §3.2)."""

    SUBTYPE = MP_JOIN

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the form that has this length."""
        form = _JOIN_FORMS.get(len(data))
        return form.decode(data) if form else None  # type: ignore[return-value]


class MpJoinSyn(MpJoin, frozen=True):
    """MP_JOIN on a SYN. token: the receiver's, 32 bits; nonce: 32 bits; flags: the low nibble, B is 1."""

    address_id: int
    token: int
    nonce: int
    flags: int = 0

    @property
    def backup(self) -> bool:
        """Flag B: use this subflow only when the others fail."""
        return bool(self.flags & 1)

    def encode(self) -> bytes:
        """Return 12 octets."""
        return self._head(12, self.flags) + _JOIN_SYN.pack(self.address_id, self.token, self.nonce)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 12 octets."""
        if len(data) != 12:
            return None
        address_id, token, nonce = _JOIN_SYN.unpack_from(data, 3)
        return cls(address_id, token, nonce, data[2] & 0x0F)


class MpJoinSynAck(MpJoin, frozen=True):
    """MP_JOIN on a SYN/ACK. hmac: the leftmost 64 bits, as a number; flags: the low nibble, B is 1."""

    address_id: int
    hmac: int
    nonce: int
    flags: int = 0

    @property
    def backup(self) -> bool:
        """Flag B: use this subflow only when the others fail."""
        return bool(self.flags & 1)

    def encode(self) -> bytes:
        """Return 16 octets."""
        return self._head(16, self.flags) + _JOIN_SYN_ACK.pack(self.address_id, self.hmac, self.nonce)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 16 octets."""
        if len(data) != 16:
            return None
        address_id, hmac, nonce = _JOIN_SYN_ACK.unpack_from(data, 3)
        return cls(address_id, hmac, nonce, data[2] & 0x0F)


class MpJoinAck(MpJoin, frozen=True):
    """MP_JOIN on the third ACK. hmac: the leftmost 20 octets; reserved: 12 bits."""

    hmac: bytes
    reserved: int = 0

    def encode(self) -> bytes:
        """Return 24 octets, fewer or more where the HMAC has not 20."""
        head = self._head(4 + len(self.hmac), self.reserved >> 8)
        return head + bytes((self.reserved & 0xFF,)) + self.hmac

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 24 octets."""
        return cls(data[4:], (data[2] & 0x0F) << 8 | data[3]) if len(data) == 24 else None


_JOIN_FORMS: dict[int, type[MpJoin]] = {12: MpJoinSyn, 16: MpJoinSynAck, 24: MpJoinAck}


class Dss(MptcpOption, frozen=True):
    """Data Sequence Signal (RFC 8684 §3.3): a Data ACK, a mapping, both or neither.

    data_ack, dsn: as on the wire, 32 bits or (with data_ack_64, dsn_64) 64; None where absent.
    subflow_sequence: relative to the subflow's initial sequence number; length: data-level, octets,
    0 for an infinite mapping. reserved: the 4 bits beside the subtype and the 3 above the flags.
    """

    SUBTYPE = DSS
    data_ack: int | None = None
    dsn: int | None = None
    subflow_sequence: int = 0
    length: int = 0
    checksum: int | None = None
    data_fin: bool = False
    data_ack_64: bool = False
    dsn_64: bool = False
    reserved: int = 0

    @property
    def has_mapping(self) -> bool:
        """Flag M."""
        return self.dsn is not None

    @property
    def infinite(self) -> bool:
        """Whether this is an infinite mapping: a data-level length of 0 (RFC 8684 §3.3.1)."""
        return self.dsn is not None and self.length == 0

    def encode(self) -> bytes:
        """Return 4 to 28 octets."""
        flags = (self.reserved & 0x07) << 5
        values: list[int] = []
        if self.data_fin:
            flags |= DATA_FIN
        if self.data_ack_64:
            flags |= DATA_ACK_64
        if self.dsn_64:
            flags |= DSN_64
        if self.data_ack is not None:
            flags |= HAS_DATA_ACK
            values.append(self.data_ack)
        if self.dsn is not None:
            flags |= HAS_MAPPING
            values += (self.dsn, self.subflow_sequence, self.length)
            if self.checksum is not None:
                values.append(self.checksum)
        layout, length = _DSS_LAYOUTS[flags & 0x0F, len(values)]
        return self._head(length, self.reserved >> 3) + layout.pack(flags, *values)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if its length is what its flags ask for, with or without a checksum."""
        size = len(data)
        flags = data[3] if size > 3 else 0
        form = _DSS_FORMS.get((size, flags & 0x0F))
        if form is None:
            return None
        values = form.unpack_from(data, 4)
        data_ack = dsn = checksum = None
        subflow_sequence = length = mapping = 0
        if flags & HAS_DATA_ACK:
            data_ack = values[0]
            mapping = 1
        if flags & HAS_MAPPING:
            dsn, subflow_sequence, length = values[mapping : mapping + 3]
            checksum = values[-1] if len(values) > mapping + 3 else None
        return cls(
            data_ack, dsn, subflow_sequence, length, checksum, bool(flags & DATA_FIN),
            bool(flags & DATA_ACK_64), bool(flags & DSN_64), (data[2] & 0x0F) << 3 | flags >> 5,
        )  # fmt: skip


def _dss_forms() -> dict[tuple[int, int], Struct]:
    """Return what follows the flags of a DSS, by the option's length and the flags m, M, a and A."""
    forms = {}
    for flags in range(16):
        data_ack = ("Q" if flags & DATA_ACK_64 else "I") if flags & HAS_DATA_ACK else ""
        mapping = ("QIH" if flags & DSN_64 else "IIH") if flags & HAS_MAPPING else ""
        for checksum in ("", "H") if mapping else ("",):
            layout = Struct("!" + data_ack + mapping + checksum)
            forms[4 + layout.size, flags] = layout
    return forms


_DSS_FORMS = _dss_forms()
_DSS_LAYOUTS = {
    (flags, len(form.unpack(bytes(form.size)))): (Struct("!B" + form.format.removeprefix("!")), length)
    for (length, flags), form in _DSS_FORMS.items()
}
"""The flags of a DSS and what follows them, and the option's length, by flags and how many values follow."""


class AddAddr(MptcpOption, frozen=True):
    """ADD_ADDR (RFC 8684 §3.4.1).

    hmac: the rightmost 8 octets, None on an echo; flags: the low nibble, E is 1; port: None where absent.
    """

    SUBTYPE = ADD_ADDR
    address_id: int
    address: IPv4Address | IPv6Address
    port: int | None = None
    hmac: bytes | None = None
    flags: int = 0

    @property
    def echo(self) -> bool:
        """Flag E."""
        return bool(self.flags & 1)

    def encode(self) -> bytes:
        """Return 8 to 18 octets for IPv4, 20 to 30 for IPv6."""
        body = bytes((self.address_id,)) + self.address.packed
        if self.port is not None:
            body += _LENGTH.pack(self.port)
        body += self.hmac or b""
        return self._head(3 + len(body), self.flags) + body

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if its length is that of an address, with or without port and HMAC."""
        form = _ADDRESS_FORMS.get(len(data))
        if form is None:
            return None
        octets, has_port, has_hmac = form
        end = 4 + octets
        port = _LENGTH.unpack_from(data, end)[0] if has_port else None
        return cls(data[3], ip_address(data[4:end]), port, data[-8:] if has_hmac else None, data[2] & 0x0F)


_ADDRESS_FORMS = {
    4 + octets + 2 * has_port + 8 * has_hmac: (octets, has_port, has_hmac)
    for octets in (4, 16)
    for has_port in (False, True)
    for has_hmac in (False, True)
}


class RemoveAddr(MptcpOption, frozen=True):
    """REMOVE_ADDR (RFC 8684 §3.4.2). address_ids: at least one; reserved: the low nibble."""

    SUBTYPE = REMOVE_ADDR
    address_ids: bytes
    reserved: int = 0

    def encode(self) -> bytes:
        """Return 3 octets and one for each address ID."""
        return self._head(3 + len(self.address_ids), self.reserved) + self.address_ids

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it names at least one address ID."""
        return cls(data[3:], data[2] & 0x0F) if len(data) >= 4 else None


class MpPrio(MptcpOption, frozen=True):
    """MP_PRIO (RFC 8684 §3.3.8). flags: the low nibble, B is 1."""

    SUBTYPE = MP_PRIO
    flags: int = 0

    @property
    def backup(self) -> bool:
        """Flag B."""
        return bool(self.flags & 1)

    def encode(self) -> bytes:
        """Return 3 octets."""
        return self._head(3, self.flags)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 3 octets."""
        return cls(data[2] & 0x0F) if len(data) == 3 else None


class MpFail(MptcpOption, frozen=True):
    """MP_FAIL (RFC 8684 §3.7). dsn: 64 bits; reserved: 12 bits."""

    SUBTYPE = MP_FAIL
    dsn: int
    reserved: int = 0

    def encode(self) -> bytes:
        """Return 12 octets."""
        return self._head(12, self.reserved >> 8) + bytes((self.reserved & 0xFF,)) + _KEY.pack(self.dsn)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 12 octets."""
        if len(data) != 12:
            return None
        return cls(_KEY.unpack_from(data, 4)[0], (data[2] & 0x0F) << 8 | data[3])


class MpFastclose(MptcpOption, frozen=True):
    """MP_FASTCLOSE (RFC 8684 §3.5). receiver_key: 64 bits; reserved: 12 bits."""

    SUBTYPE = MP_FASTCLOSE
    receiver_key: int
    reserved: int = 0

    def encode(self) -> bytes:
        """Return 12 octets."""
        low = bytes((self.reserved & 0xFF,))
        return self._head(12, self.reserved >> 8) + low + _KEY.pack(self.receiver_key)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 12 octets."""
        if len(data) != 12:
            return None
        return cls(_KEY.unpack_from(data, 4)[0], (data[2] & 0x0F) << 8 | data[3])


class MpTcprst(MptcpOption, frozen=True):
    """MP_TCPRST (RFC 8684 §3.6). flags: U V W T, T (transient) is 1; reason: 0 to 255."""

    SUBTYPE = MP_TCPRST
    reason: int
    flags: int = 0

    @property
    def transient(self) -> bool:
        """Flag T: the error may go away."""
        return bool(self.flags & 1)

    def encode(self) -> bytes:
        """Return 4 octets."""
        return self._head(4, self.flags) + bytes((self.reason,))

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option if it has 4 octets."""
        return cls(data[3], data[2] & 0x0F) if len(data) == 4 else None


class MpExperimental(MptcpOption, frozen=True):
    """MP_EXPERIMENTAL, private use (RFC 8684 §9.3). low: the nibble beside the subtype."""

    SUBTYPE = MP_EXPERIMENTAL
    content: bytes = b""
    low: int = 0

    def encode(self) -> bytes:
        """Return 3 octets and the content."""
        return self._head(3 + len(self.content), self.low) + self.content

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the option, whatever its content."""
        return cls(data[3:], data[2] & 0x0F)


FORMS: dict[int, type[MptcpOption]] = {
    form.SUBTYPE: form
    for form in (
        MpCapable, MpJoin, Dss, AddAddr, RemoveAddr, MpPrio, MpFail, MpFastclose, MpTcprst, MpExperimental,
    )
}  # fmt: skip


register(MPTCP, MptcpOption, every_length=True)


def full_dsn(option: Dss, reference: Seq64) -> Seq64 | None:
    """Return the 64-bit DSN of a mapping, nearest to `reference` where the wire has 32 bits."""
    if option.dsn is None:
        return None
    return Seq64(option.dsn) if option.dsn_64 else reference.nearest(option.dsn)


def full_data_ack(option: Dss, reference: Seq64) -> Seq64 | None:
    """Return the 64-bit Data ACK, nearest to `reference` where the wire has 32 bits."""
    if option.data_ack is None:
        return None
    return Seq64(option.data_ack) if option.data_ack_64 else reference.nearest(option.data_ack)
