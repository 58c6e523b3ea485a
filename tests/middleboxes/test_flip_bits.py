from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import (
    SYN,
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    RemoveAddr,
    Segment,
    TcpOption,
    Timestamps,
    UnknownMptcp,
)
from mbtest.wire.mptcp import CHECKSUM_REQUIRED, EXTENSIBILITY, HAS_MAPPING
from middleboxes.flip_bits import Field, FlipBits
from tests.middlebox.bench import Line, segment

ADDRESS = IPv4Address("192.0.2.1")
OPTIONS = (
    MpCapable(1), MpCapable(1, 2, 3, 4, 5), MpJoinSyn(1, 2, 3), MpJoinSynAck(1, 2, 3), MpJoinAck(bytes(20)),
    Dss(1), Dss(1, 2, 3, 4, 5), Dss(1, 2, 3, 4, data_ack_64=True, dsn_64=True), RemoveAddr(b"\1\2"),
    AddAddr(1, ADDRESS, 2, bytes(8)), AddAddr(1, IPv6Address(1)), MpPrio(1), MpFail(3), MpFastclose(4),
    MpTcprst(5), UnknownMptcp(b"\xf0abc"),
)  # fmt: skip
FIELDS = get_args(Field)


def flipped(one: Segment, *told: Any, **also: Any) -> Segment:
    (out,) = Line(FlipBits(*told, **also)).put(one)
    return out


@pytest.mark.parametrize(
    ("field", "mask", "before", "after"),
    [
        ("sender_key", 1 << 63, MpCapable(1, 2, 3), MpCapable(1, 2 | 1 << 63, 3)),
        ("receiver_key", 1, MpCapable(1, 2, 2), MpCapable(1, 2, 3)),
        ("receiver_key", 1, MpFastclose(2), MpFastclose(3)),
        ("version", 3, MpCapable(1), MpCapable(1, version=2)),
        ("flags", CHECKSUM_REQUIRED | EXTENSIBILITY, MpCapable(0x41), MpCapable(0x81)),
        ("flags", 1, MpJoinSyn(1, 2, 3), MpJoinSyn(1, 2, 3, 1)),
        ("flags", 1, MpPrio(1), MpPrio(0)),
        ("flags", 0x11, MpPrio(1), MpPrio(0)),
        ("flags", HAS_MAPPING, Dss(1), UnknownMptcp(b"\x20\x05\0\0\0\1")),
        ("data_length", 1, MpCapable(1, 2, 3, 4), MpCapable(1, 2, 3, 5)),
        ("checksum", 0x8000, MpCapable(1, 2, 3, 4, 5), MpCapable(1, 2, 3, 4, 0x8005)),
        ("token", 1, MpJoinSyn(1, 2, 3), MpJoinSyn(1, 3, 3)),
        ("nonce", 1, MpJoinSyn(1, 2, 3), MpJoinSyn(1, 2, 2)),
        ("nonce", 1, MpJoinSynAck(1, 2, 3), MpJoinSynAck(1, 2, 2)),
        ("hmac", 1, MpJoinSynAck(1, 2, 3), MpJoinSynAck(1, 3, 3)),
        ("hmac", 0x101, MpJoinAck(bytes(20)), MpJoinAck(bytes(18) + b"\1\1")),
        ("hmac", 1, AddAddr(1, ADDRESS, None, bytes(8)), AddAddr(1, ADDRESS, None, bytes(7) + b"\1")),
        ("address_id", 1, AddAddr(2, ADDRESS), AddAddr(3, ADDRESS)),
        ("address_ids", 1, RemoveAddr(b"\1\2"), RemoveAddr(b"\1\3")),
        ("address", 3, AddAddr(2, ADDRESS), AddAddr(2, ADDRESS + 1)),
        ("port", 1, AddAddr(2, ADDRESS, 80), AddAddr(2, ADDRESS, 81)),
        ("dsn", 1, Dss(1, 2, 3, 4), Dss(1, 3, 3, 4)),
        ("dsn", 1 | 1 << 40, Dss(1, 2, 3, 4), Dss(1, 3, 3, 4)),
        ("dsn", 1 << 40, Dss(1, 2, 3, 4, dsn_64=True), Dss(1, 2 | 1 << 40, 3, 4, dsn_64=True)),
        ("dsn", 1 << 40, MpFail(2), MpFail(2 | 1 << 40)),
        ("data_ack", 1, Dss(2), Dss(3)),
        ("subflow_sequence", 1, Dss(1, 2, 2, 4), Dss(1, 2, 3, 4)),
        ("length", 1, Dss(1, 2, 3, 4), Dss(1, 2, 3, 5)),
        ("checksum", 1, Dss(1, 2, 3, 4, 4), Dss(1, 2, 3, 4, 5)),
        ("data_ack", 1 << 40, Dss(2), Dss(2)),
        ("data_ack", 1 << 63, Dss(2, data_ack_64=True), Dss(2 | 1 << 63, data_ack_64=True)),
        ("subtype", 8, Dss(2), UnknownMptcp(b"\xa0\1\0\0\0\2")),
        ("reason", 1, MpTcprst(2), MpTcprst(3)),
        ("subtype", 8, MpCapable(1), UnknownMptcp(b"\x81\1")),
    ],
)
def test_the_bits_of_the_field_are_flipped(
    field: Any, mask: int, before: MptcpOption, after: MptcpOption
) -> None:
    out = flipped(segment(options=[Timestamps(1, 2), before]), field, mask)
    assert out.options == segment(options=[Timestamps(1, 2), after]).options
    assert out.checksum_is_right()


@pytest.mark.parametrize(
    ("field", "bits"),
    [("data_ack", 64), ("dsn", 64), ("subflow_sequence", 32), ("length", 16), ("checksum", 16)],
)
@given(data=st.data())
def test_each_bit_of_each_number_of_a_dss_can_be_flipped(field: Any, bits: int, data: st.DataObject) -> None:
    mask = data.draw(st.integers(1, 2**bits - 1))
    before = Dss(5, 6, 7, 8, 9, data_ack_64=True, dsn_64=True)
    after = msgspec.structs.replace(before, **{field: getattr(before, field) ^ mask})
    out = flipped(segment(payload=b"data", options=[before]), field, mask)
    assert out.options == segment(options=[after]).options
    assert (out.payload, out.checksum_is_right()) == (b"data", True)


@pytest.mark.parametrize("option", [Dss(1), Dss(1, 2, 3, 4, 5, data_ack_64=True, dsn_64=True)])
def test_a_dss_can_say_a_wrong_length(option: Dss) -> None:
    out = flipped(segment(options=[option]), "option_length", 1)
    said = option.encode()
    assert out.option_block.startswith(said[:1] + bytes([said[1] ^ 1]) + said[2:])


def test_an_option_can_say_a_wrong_length() -> None:
    out = flipped(segment(options=[MpCapable(1), Timestamps(1, 2)]), "option_length", 2)
    assert out.option_block.startswith(b"\x1e\6\1\1")


@pytest.mark.parametrize("field", FIELDS)
@given(mask=st.integers(1, 15), option=st.sampled_from(OPTIONS))
def test_nothing_else_is_touched_and_to_flip_twice_is_to_do_nothing(
    field: Any, mask: int, option: TcpOption
) -> None:
    one = segment(payload=b"data", options=[option, Timestamps(1, 2)])
    out = flipped(one, field, mask)
    assert (len(out), out.with_options(())) == (len(one), one.with_options(()))
    # These tell what the option is: flipped, they make it another.
    if field not in ("option_length", "subtype", "flags"):
        assert flipped(out, field, mask) == one


@pytest.mark.parametrize("field", FIELDS)
def test_a_segment_without_the_field_is_the_very_one(field: Any) -> None:
    one = segment(options=[Timestamps(1, 2)])
    assert flipped(one, field) is one
    other = segment(options=[Dss(5)])
    if field not in ("data_ack", "flags", "subtype", "option_length"):
        assert flipped(other, field) is other


def test_forms_that_are_not_named_pass_as_they_are() -> None:
    one = segment(options=[MpFail(2)])
    assert flipped(one, "dsn", forms=Dss) is one


def test_octets_that_are_sent_again_meet_the_same_fate() -> None:
    line = Line(FlipBits("dsn", 1 << 4, aim=Aim(from_byte=100, until_byte=200)))
    line.put(segment(2**32 - 1, flags=SYN))
    for start, size in ((0, 100), (100, 100), (200, 100), (100, 100), (150, 20), (50, 100), (0, 100)):
        (out,) = line.put(segment(start, bytes(size), options=[Dss(None, 0, start + 1, size)]))
        dss = out.option(Dss)
        assert dss is not None
        assert dss.dsn == (16 if start < 200 and start + size > 100 else 0)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"field": "key"}, "should be one of 'sender_key'"),
        ({"field": "token", "mask": 0}, "mask=0 is out of range"),
        ({"field": "version", "mask": 16}, "mask=0x10: version has only 4 bits"),
        ({"field": "token", "mask": 1 << 32}, "token has only 32 bits"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^FlipBits: .*{words}"):
        FlipBits(**told)
