"""MPTCP options for scapy: `import mbtest.wire.scapy_layer`, and kind 30 reads as `("MPTCP", ...)`.

A TCP packet that is dissected shows a packet of one of the classes below in its options, with the
fields of RFC 8684 under the names that `mbtest.wire.mptcp` gives them; crafting is the way back:

    TCP(flags="S", options=[("MPTCP", MPTCP_CAPABLE(flags="H"))])

What follows kind and length is the packet; the length is worked out. Fields that are None are absent.
Content in no form of RFC 8684 is an `MPTCP`, opaque but for its subtype. scapy pads options with zeros,
mbtest with no-operations.
"""

# What scapy asks for: names in capitals, field lists in the class, arguments that go unused; no types.
# ruff: noqa: ARG002, ARG003, N801, RUF012
# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any

from scapy.fields import BitEnumField, BitField, ByteEnumField, ByteField, Field, FlagsField, XStrField
from scapy.fields import XIntField as Hex32
from scapy.fields import XLongField as Hex64
from scapy.layers.inet import TCPOptions, TCPOptionsField
from scapy.packet import Packet

from mbtest.wire import mptcp

NAME = "MPTCP"


class OptionalNumber(Field):
    """A number that may be absent, and whose width the packet knows.

    width: of (packet, octets that are left to dissect, or None while building), the octets it takes.
    """

    __slots__ = ["hexadecimal", "width"]

    def __init__(
        self, name: str, width: Callable[[Packet, bytes | None], int], *, hexadecimal: bool = False
    ) -> None:
        """Hold `width`; a number in hexadecimal is shown with all of its digits."""
        super().__init__(name, None)
        self.width = width
        self.hexadecimal = hexadecimal

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, int | None]:
        """Take the number off `s`, or nothing where it is absent."""
        width = self.width(pkt, s)
        return s[width:], int.from_bytes(s[:width], "big") if width else None

    def addfield(self, pkt: Packet, s: bytes, val: int | None) -> bytes:
        """Put the number behind `s`, or nothing where it is None."""
        return s if val is None else s + val.to_bytes(self.width(pkt, None), "big")

    def i2repr(self, pkt: Packet, x: int | None) -> str:
        """Return the number for people."""
        if x is None or not self.hexadecimal:
            return str(x)
        return f"{x:#0{2 * self.width(pkt, None) + 2}x}"


class AddressField(Field):
    """An IPv4 or IPv6 address as a string; which of them, the length of the option tells."""

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, str]:
        """Take 16 octets off `s` where there are as many, or else 4."""
        width = 16 if len(s) >= 16 else 4
        return s[width:], str(ip_address(s[:width]))

    def addfield(self, pkt: Packet, s: bytes, val: str) -> bytes:
        """Put the address behind `s`."""
        return s + ip_address(val).packed


def _where(width: int, *lengths: int) -> Callable[[Packet, bytes | None], int]:
    """Return a width function: `width` octets where one of these numbers of octets is left."""
    return lambda _, rest: width if rest is None or len(rest) in lengths else 0


class MPTCP(Packet):
    """An MPTCP option in no form of RFC 8684, and the base of those that are in one."""

    name = "MPTCP option"
    fields_desc = [
        BitEnumField("subtype", mptcp.MP_EXPERIMENTAL - 1, 4, mptcp.SUBTYPE_NAMES),
        BitField("low", 0, 4),
        XStrField("content", b""),
    ]
    form: type[mptcp.MptcpOption] = mptcp.UnknownMptcp
    forms: dict[type, type[MPTCP]] = {}

    def __init_subclass__(cls) -> None:
        """Have options of the class's form dissected as the class."""
        MPTCP.forms[cls.form] = cls

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:
        """Return the class of the form that these octets are in; the codec knows."""
        if not _pkt or cls is not MPTCP:
            return cls
        option = mptcp.MptcpOption.decode(bytes((30, len(_pkt) + 2 & 0xFF)) + bytes(_pkt))
        return MPTCP.forms.get(type(option), MPTCP)

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """Keep what the fields leave over as padding: an option has no payload."""
        return b"", s


def _subtype(number: int) -> BitEnumField:
    return BitEnumField("subtype", number, 4, mptcp.SUBTYPE_NAMES)


class MPTCP_CAPABLE(MPTCP):
    """MP_CAPABLE (RFC 8684 §3.1): no key, the sender's, both, or both and a data-level length."""

    name = "MP_CAPABLE"
    form = mptcp.MpCapable
    fields_desc = [
        _subtype(mptcp.MP_CAPABLE),
        BitField("version", 1, 4),
        FlagsField("flags", "H", 8, "HGFEDCBA"),
        OptionalNumber("sender_key", _where(8, 8, 16, 18, 20), hexadecimal=True),
        OptionalNumber("receiver_key", _where(8, 8, 10, 12), hexadecimal=True),
        OptionalNumber("data_length", _where(2, 2, 4)),
        OptionalNumber("checksum", _where(2, 2), hexadecimal=True),
    ]


class MPTCP_JOIN_SYN(MPTCP):
    """MP_JOIN on a SYN (RFC 8684 §3.2)."""

    name = "MP_JOIN SYN"
    form = mptcp.MpJoinSyn
    fields_desc = [
        _subtype(mptcp.MP_JOIN),
        FlagsField("flags", 0, 4, "B321"),
        ByteField("address_id", 0),
        Hex32("token", 0),
        Hex32("nonce", 0),
    ]


class MPTCP_JOIN_SYNACK(MPTCP):
    """MP_JOIN on a SYN/ACK (RFC 8684 §3.2)."""

    name = "MP_JOIN SYN/ACK"
    form = mptcp.MpJoinSynAck
    fields_desc = [
        _subtype(mptcp.MP_JOIN),
        FlagsField("flags", 0, 4, "B321"),
        ByteField("address_id", 0),
        Hex64("hmac", 0),
        Hex32("nonce", 0),
    ]


class MPTCP_JOIN_ACK(MPTCP):
    """MP_JOIN on the third ACK (RFC 8684 §3.2)."""

    name = "MP_JOIN ACK"
    form = mptcp.MpJoinAck
    fields_desc = [
        _subtype(mptcp.MP_JOIN),
        BitField("reserved", 0, 12),
        XStrField("hmac", bytes(20)),
    ]


def _data_ack_octets(packet: Packet, _: bytes | None) -> int:
    return packet.octets("data_ack") if packet.flag("has_data_ack") else 0


def _dsn_octets(packet: Packet, _: bytes | None) -> int:
    return packet.octets("dsn") if packet.flag("has_mapping") else 0


def _mapping_part(width: int) -> Callable[[Packet, bytes | None], int]:
    return lambda packet, _: width if packet.flag("has_mapping") else 0


class MPTCP_DSS(MPTCP):
    """Data Sequence Signal (RFC 8684 §3.3).

    The flags M, A, m and a are worked out where they are None: from what is there, and whether it takes
    more than 32 bits.
    """

    name = "DSS"
    form = mptcp.Dss
    fields_desc = [
        _subtype(mptcp.DSS),
        BitField("reserved", 0, 7),
        BitField("data_fin", 0, 1),
        BitField("dsn_64", None, 1),
        BitField("has_mapping", None, 1),
        BitField("data_ack_64", None, 1),
        BitField("has_data_ack", None, 1),
        OptionalNumber("data_ack", _data_ack_octets),
        OptionalNumber("dsn", _dsn_octets),
        OptionalNumber("subflow_sequence", _mapping_part(4)),
        OptionalNumber("length", _mapping_part(2)),
        OptionalNumber("checksum", lambda _, rest: 2 if rest is None or len(rest) == 2 else 0,
                       hexadecimal=True),
    ]  # fmt: skip

    def flag(self, name: str) -> bool:
        """Return a flag as it is set or, where it is None, as the fields ask for."""
        value = self.getfieldval(name)
        if value is not None:
            return bool(value)
        if name == "has_data_ack":
            return self.data_ack is not None
        if name == "has_mapping":
            return self.dsn is not None
        return (self.getfieldval(name.removesuffix("_64")) or 0) >> 32 > 0

    def octets(self, name: str) -> int:
        """Return the octets that `data_ack` or `dsn` takes."""
        return 8 if self.flag(f"{name}_64") else 4

    def self_build(self) -> bytes:
        """Return the option with the flags worked out; a mapping's parts are 0 where they are None."""
        if self.raw_packet_cache is not None:
            return super().self_build()  # type: ignore[no-any-return]
        whole = self.copy()
        for name in ("dsn_64", "has_mapping", "data_ack_64", "has_data_ack"):
            whole.setfieldval(name, int(self.flag(name)))
        if whole.has_mapping:
            whole.subflow_sequence = self.subflow_sequence or 0
            whole.length = self.length or 0
        return Packet.self_build(whole)  # type: ignore[no-any-return]


class MPTCP_ADD_ADDR(MPTCP):
    """ADD_ADDR (RFC 8684 §3.4.1): with an HMAC, or (E) an echo."""

    name = "ADD_ADDR"
    form = mptcp.AddAddr
    fields_desc = [
        _subtype(mptcp.ADD_ADDR),
        FlagsField("flags", 0, 4, "E321"),
        ByteField("address_id", 0),
        AddressField("address", "192.0.2.1"),
        OptionalNumber("port", _where(2, 2, 10)),
        XStrField("hmac", b""),
    ]


class MPTCP_REMOVE_ADDR(MPTCP):
    """REMOVE_ADDR (RFC 8684 §3.4.2). address_ids: octets, one for each."""

    name = "REMOVE_ADDR"
    form = mptcp.RemoveAddr
    fields_desc = [
        _subtype(mptcp.REMOVE_ADDR),
        BitField("reserved", 0, 4),
        XStrField("address_ids", b"\0"),
    ]


class MPTCP_PRIO(MPTCP):
    """MP_PRIO (RFC 8684 §3.3.8)."""

    name = "MP_PRIO"
    form = mptcp.MpPrio
    fields_desc = [_subtype(mptcp.MP_PRIO), FlagsField("flags", 0, 4, "B321")]


class MPTCP_FAIL(MPTCP):
    """MP_FAIL (RFC 8684 §3.7)."""

    name = "MP_FAIL"
    form = mptcp.MpFail
    fields_desc = [_subtype(mptcp.MP_FAIL), BitField("reserved", 0, 12), BitField("dsn", 0, 64)]


class MPTCP_FASTCLOSE(MPTCP):
    """MP_FASTCLOSE (RFC 8684 §3.5)."""

    name = "MP_FASTCLOSE"
    form = mptcp.MpFastclose
    fields_desc = [_subtype(mptcp.MP_FASTCLOSE), BitField("reserved", 0, 12), Hex64("receiver_key", 0)]


class MPTCP_TCPRST(MPTCP):
    """MP_TCPRST (RFC 8684 §3.6)."""

    name = "MP_TCPRST"
    form = mptcp.MpTcprst
    fields_desc = [
        _subtype(mptcp.MP_TCPRST),
        FlagsField("flags", 0, 4, "TWVU"),
        ByteEnumField("reason", 0, mptcp.RESET_REASONS),
    ]


class MPTCP_EXPERIMENTAL(MPTCP):
    """MP_EXPERIMENTAL (RFC 8684 §9.3)."""

    name = "MP_EXPERIMENTAL"
    form = mptcp.MpExperimental
    fields_desc = [_subtype(mptcp.MP_EXPERIMENTAL), BitField("low", 0, 4), XStrField("content", b"")]


def _register() -> None:
    """Teach scapy's option field kind 30, once however often this module is loaded."""
    kind = mptcp.MptcpOption.KIND
    TCPOptions[0][kind] = (NAME, None)
    TCPOptions[1][NAME] = kind
    # A reload finds the wrapped methods, and wraps what they wrapped.
    dissect = getattr(TCPOptionsField.m2i, "__wrapped__", TCPOptionsField.m2i)
    build = getattr(TCPOptionsField.i2m, "__wrapped__", TCPOptionsField.i2m)

    @wraps(dissect)
    def m2i(self: TCPOptionsField, pkt: Packet, x: bytes) -> list[tuple[Any, Any]]:
        return [
            (name, MPTCP(value)) if name == NAME and value else (name, value)
            for name, value in dissect(self, pkt, x)
        ]

    @wraps(build)
    def i2m(self: TCPOptionsField, pkt: Packet, x: list[tuple[Any, Any]]) -> bytes:
        octets = [
            (name, bytes(value) if name in (NAME, kind) and isinstance(value, Packet) else value)
            for name, value in x
        ]
        return build(self, pkt, octets)  # type: ignore[no-any-return]

    TCPOptionsField.m2i = m2i
    TCPOptionsField.i2m = i2m


_register()
