"""Bytes to values and back: IP, TCP, TCP options, MPTCP options, checksums, sequence numbers.

Everything raises `WireError` on input that cannot be read, and nothing else.
"""

from mbtest.wire.block import decode_options, encode_options
from mbtest.wire.errors import WireError
from mbtest.wire.ip import Address, Packet
from mbtest.wire.mptcp import (
    AddAddr,
    Dss,
    MpCapable,
    MpExperimental,
    MpFail,
    MpFastclose,
    MpJoin,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    RemoveAddr,
    UnknownMptcp,
)
from mbtest.wire.options import (
    Authentication,
    EndOfOptionList,
    Experimental,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Md5Signature,
    NoOperation,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    WindowScale,
)
from mbtest.wire.packet import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment, decode
from mbtest.wire.sequence import Seq32, Seq64

__all__ = [
    "ACK", "AE", "CWR", "ECE", "FIN", "PSH", "RST", "SYN", "URG",
    "AddAddr", "Address", "Authentication", "Dss", "EndOfOptionList", "Experimental", "FastOpen",
    "Malformed", "MaximumSegmentSize", "Md5Signature", "MpCapable", "MpExperimental", "MpFail",
    "MpFastclose", "MpJoin", "MpJoinAck", "MpJoinSyn", "MpJoinSynAck", "MpPrio", "MpTcprst",
    "MptcpOption", "NoOperation", "Packet", "RemoveAddr", "Sack", "SackPermitted", "Segment", "Seq32",
    "Seq64", "TcpOption", "Timestamps", "UnknownMptcp", "UnknownOption", "UserTimeout", "WindowScale",
    "WireError", "decode", "decode_options", "encode_options",
]  # fmt: skip
