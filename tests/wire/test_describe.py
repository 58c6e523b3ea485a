from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.wire import (
    ACK,
    AE,
    SYN,
    AddAddr,
    Authentication,
    Dss,
    EndOfOptionList,
    Experimental,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Md5Signature,
    MpCapable,
    MpExperimental,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MpTcprst,
    NoOperation,
    Packet,
    RemoveAddr,
    Sack,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    UnknownOption,
    UserTimeout,
    WindowScale,
    WireError,
    decode,
    decode_options,
)
from mbtest.wire.describe import changes, flag_names, one_line, option_words

KEY = 0x0102030405060708


def plain(words: str) -> bool:
    """Whether words can go to a terminal, a capture's comment or a page: one line of printable ASCII."""
    return words.isascii() and words.isprintable()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (NoOperation(), "NOP"),
        (EndOfOptionList(bytes(3)), "End of Option List"),
        (EndOfOptionList(b"\x1b[2J"), "End of Option List, then 4 octets"),
        (MaximumSegmentSize(1460), "MSS 1460"),
        (WindowScale(7), "window scale 7"),
        (SackPermitted(), "SACK permitted"),
        (Sack(((1, 2), (3, 4))), "SACK 1-2 3-4"),
        (Timestamps(1, 2), "timestamps 1 2"),
        (UserTimeout(minutes=True, timeout=5), "user timeout 5 min"),
        (UserTimeout(minutes=False, timeout=5), "user timeout 5 s"),
        (FastOpen(), "fast open request"),
        (FastOpen(b"\1\2"), "fast open 0102"),
        (Md5Signature(bytes(16)), "MD5 signature"),
        (Authentication(b"\1\1"), "TCP-AO"),
        (Experimental(254, 0xF989, b"\n"), "experimental 254 ExID 0xf989 0a"),
        (Experimental(254, 0xF989), "experimental 254 ExID 0xf989"),
        (UnknownOption(77, b"\r\n"), "option 77 0d0a"),
        (UnknownOption(77), "option 77"),
        (Malformed(b"\2\0"), "malformed 0200"),
        (MpCapable(flags=0x81), "MP_CAPABLE v1 checksum"),
        (MpCapable(flags=0x20, version=0), "MP_CAPABLE v0 no joins here no HMAC-SHA256"),
        (
            MpCapable(1, KEY, KEY + 1, 1400, 0xBEEF),
            "MP_CAPABLE v1 key 0102030405060708 peer's key 0102030405060709 data length 1400 checksum 0xbeef",
        ),
        (MpJoinSyn(1, 2, 3, flags=1), "MP_JOIN id 1 token 00000002 backup"),
        (MpJoinSynAck(1, KEY, 3), "MP_JOIN id 1 HMAC 0102030405060708"),
        (MpJoinAck(bytes(range(20))), "MP_JOIN HMAC 00010203..."),
        (Dss(), "DSS"),
        (Dss(data_ack=5), "DSS Data ACK 5"),
        (
            Dss(data_ack=5, dsn=6, subflow_sequence=7, length=8, checksum=9, data_fin=True),
            "DSS DATA_FIN DSN 6 SSN 7 length 8 checksum 0x0009 Data ACK 5",
        ),
        (Dss(dsn=6, subflow_sequence=7), "DSS infinite mapping DSN 6 SSN 7"),
        (AddAddr(2, IPv4Address("192.0.2.1"), 80), "ADD_ADDR id 2 192.0.2.1 port 80"),
        (AddAddr(2, IPv6Address("::1"), flags=1), "ADD_ADDR echo id 2 ::1"),
        (RemoveAddr(b"\1\2"), "REMOVE_ADDR id 1 2"),
        (MpPrio(1), "MP_PRIO backup"),
        (MpPrio(), "MP_PRIO regular"),
        (MpFail(5), "MP_FAIL DSN 5"),
        (MpFastclose(KEY), "MP_FASTCLOSE key 0102030405060708"),
        (MpTcprst(6, flags=1), "MP_TCPRST reason 6: middlebox interference transient"),
        (MpTcprst(77), "MP_TCPRST reason 77: unassigned"),
        (MpExperimental(b"\1\2"), "MP_EXPERIMENTAL 2 octets"),
        (UnknownMptcp(b"\x91\0"), "MPTCP subtype 9 in an unknown form, 4 octets"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_option_in_words(option: TcpOption, words: str) -> None:
    assert option_words(option) == words


def test_flags_in_words() -> None:
    assert flag_names(SYN | ACK) == "SYN ACK"
    assert flag_names(AE) == "AE"
    assert flag_names(0x200) == "reserved"
    assert flag_names(0) == "."


def test_segment_in_one_line() -> None:
    segment = Segment.build(
        "192.0.2.1", "192.0.2.2", 1, 80, seq=5, ack=6, options=[NoOperation(), Timestamps(1, 2)],
        payload=b"\n<b>",
    )  # fmt: skip

    assert one_line(segment) == ("192.0.2.1.1 > 192.0.2.2.80 ACK seq 5 ack 6 length 4 [timestamps 1 2]")
    assert one_line(segment.replace(flags=SYN, options=())) == (
        "192.0.2.1.1 > 192.0.2.2.80 SYN seq 5 length 4"
    )


def test_packet_in_one_line() -> None:
    packet = Packet(bytes.fromhex("45000014000000004011 0000 c0000201 c6336402"))

    assert one_line(packet) == "192.0.2.1 > 198.51.100.2 protocol 17"


@given(st.from_type(Packet))
def test_no_packet_is_beyond_words(packet: Packet) -> None:
    assert plain(one_line(packet))
    assert plain(repr(packet))


@given(st.from_type(TcpOption))
def test_no_option_is_beyond_words(option: TcpOption) -> None:
    assert plain(option_words(option))


@given(st.binary(max_size=40))
def test_octets_never_get_through(block: bytes) -> None:
    assert all(plain(option_words(option)) for option in decode_options(block))


@given(st.binary(max_size=80))
def test_any_octets_are_described_or_refused(raw: bytes) -> None:
    try:
        words = one_line(decode(raw))
    except WireError as error:
        words = str(error)

    assert plain(words)


BASE = Segment.build(
    "192.0.2.1", "192.0.2.2", 1, 80, seq=5, ack=6, payload=b"data",
    options=[MaximumSegmentSize(1460), MaximumSegmentSize(1460)],
)  # fmt: skip


@pytest.mark.parametrize(
    ("replaced", "words"),
    [
        ({}, ""),
        ({"source": IPv4Address("192.0.2.9")}, "source 192.0.2.1 became 192.0.2.9"),
        ({"destination_port": 81}, "destination port 80 became 81"),
        ({"ttl": 63}, "ttl 64 became 63"),
        ({"traffic_class": 3}, "traffic class 0 became 3"),
        ({"identification": 7}, "identification 0 became 7"),
        ({"ip_options": b"\1\1\1\1"}, "IP options or extension headers changed"),
        ({"seq": 4}, "seq -1"),
        ({"ack": 106}, "ack +100"),
        ({"flags": ACK | SYN}, "flags ACK became SYN ACK"),
        ({"window": 1}, "window 65535 became 1"),
        ({"urgent": 1}, "urgent 0 became 1"),
        ({"payload": b"tada"}, "2 octets of payload changed, the first at 0"),
        ({"payload": b""}, "payload 4 became 0 octets"),
        ({"checksum": 1}, "TCP checksum became wrong"),
        ({"ip_checksum": 1}, "IP checksum became wrong"),
        ({"ip_length": 1}, "lengths, offsets or what the link put behind the packet changed"),
        ({"options": [MaximumSegmentSize(1460)]}, "removed MSS 1460"),
        (
            {"options": [MaximumSegmentSize(1460), MaximumSegmentSize(536)]},
            "removed MSS 1460; added MSS 536",
        ),
        (
            {"options": [MaximumSegmentSize(1460)] * 2 + [NoOperation()] * 4},
            "options moved or padded otherwise",
        ),
        (
            {"options": [MaximumSegmentSize(1460), EndOfOptionList(bytes(3))]},
            "removed MSS 1460; added End of Option List",
        ),
    ],
)
def test_changes_in_words(replaced: dict[str, Any], words: str) -> None:
    assert changes(BASE, BASE.replace(**replaced)) == words


@given(st.from_type(Segment), st.from_type(Segment))
def test_changes_are_told_of_any_two_segments(before: Segment, after: Segment) -> None:
    words = changes(before, after)

    assert plain(words)
    assert bool(words) == (before.raw != after.raw)
