import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpJoin,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    Seq64,
    TcpOption,
    UnknownMptcp,
)
from mbtest.wire.mptcp import FORMS, full_data_ack, full_dsn


@given(st.from_type(MptcpOption))
def test_option_survives_encoding(option: MptcpOption) -> None:
    octets = option.encode()

    assert MptcpOption.decode(octets) == option
    assert (octets[0], octets[1]) == (30, len(octets))
    assert option.subtype == (octets[2] >> 4 if len(octets) > 2 else -1)


@given(st.binary(max_size=38))
def test_whatever_the_content_is_it_survives(content: bytes) -> None:
    octets = bytes((30, len(content) + 2)) + content
    option = MptcpOption.decode(octets)

    assert option is not None
    assert option.encode() == octets


@given(st.integers(0, 255), st.integers(2, 40))
def test_every_subtype_in_every_length(head: int, length: int) -> None:
    octets = bytes((30, length, head) + (0xA5,) * 37)[:length]
    option = MptcpOption.decode(octets)

    assert option is not None
    assert option.encode() == octets


def test_the_vectors_have_every_form(option_vectors: list[tuple[bytes, TcpOption]]) -> None:
    seen = {type(option) for _, option in option_vectors}

    assert {form for form in FORMS.values() if form is not MpJoin} <= seen
    assert {MpJoinSyn, MpJoinSynAck, MpJoinAck, UnknownMptcp} <= seen


def test_the_vectors_have_every_length(option_vectors: list[tuple[bytes, TcpOption]]) -> None:
    lengths: dict[type[TcpOption], set[int]] = {}
    for octets, option in option_vectors:
        lengths.setdefault(type(option), set()).add(len(octets))

    assert lengths[MpCapable] == {4, 12, 20, 22, 24}
    assert lengths[AddAddr] == {8, 10, 16, 18, 20, 22, 28, 30}
    assert lengths[Dss] == {4, 8, 12, 14, 16, 18, 20, 22, 24, 26, 28}


@pytest.mark.parametrize(
    ("subtype", "lengths"),
    [
        (0, {4, 12, 20, 22, 24}),
        (1, {12, 16, 24}),
        (3, {8, 10, 16, 18, 20, 22, 28, 30}),
        (4, set(range(4, 41))),
        (5, {3}),
        (6, {12}),
        (7, {12}),
        (8, {4}),
        (9, set()),
        (14, set()),
        (15, set(range(3, 41))),
    ],
)
def test_other_lengths_are_unknown(subtype: int, lengths: set[int]) -> None:
    for length in range(3, 41):
        octets = bytes((30, length, subtype << 4)) + bytes(length - 3)
        known = not isinstance(MptcpOption.decode(octets), UnknownMptcp)
        assert known == (length in lengths), length


@pytest.mark.parametrize("flags", range(32))
def test_dss_takes_the_lengths_that_its_flags_ask_for(flags: int) -> None:
    size = 4
    if flags & 1:
        size += 8 if flags & 2 else 4
    if flags & 4:
        size += 14 if flags & 8 else 10
    lengths = {size, size + 2} if flags & 4 else {size}

    known = {
        length
        for length in range(4, 41)
        if isinstance(MptcpOption.decode(bytes((30, length, 0x20, flags)) + bytes(length - 4)), Dss)
    }

    assert known == lengths


def test_flags_by_name() -> None:
    assert MpCapable(flags=0x81).checksum_required
    assert not MpCapable().checksum_required
    assert MpJoinSyn(1, 2, 3, flags=1).backup
    assert not MpJoinSynAck(1, 2, 3, flags=14).backup
    assert MpPrio(1).backup
    assert MpTcprst(0, flags=1).transient
    assert AddAddr(1, address=AddAddr.decode(bytes.fromhex("1e083101c0000201")).address, flags=1).echo  # type: ignore[union-attr]


def test_infinite_mapping_has_length_0() -> None:
    assert Dss(dsn=7, length=0).infinite
    assert not Dss(dsn=7, length=1).infinite
    assert not Dss(data_ack=7).infinite
    assert not Dss(data_ack=7).has_mapping


def test_names_are_those_of_the_rfc() -> None:
    assert MpCapable().name == "MP_CAPABLE"
    assert MpJoinAck(bytes(20)).name == "MP_JOIN"
    assert UnknownMptcp(b"\x90").name == "MPTCP subtype 9"
    assert UnknownMptcp(b"").subtype == -1


def test_form_with_a_part_of_the_wrong_size_is_still_an_option() -> None:
    octets = MpJoinAck(b"short").encode()

    assert octets[1] == len(octets) == 9
    assert isinstance(MptcpOption.decode(octets), UnknownMptcp)


def test_low_nibble_never_spills_into_the_subtype() -> None:
    with pytest.raises(LocalProtocolError, match="16 does not fit"):
        MpPrio(16).encode()


def test_numbers_of_32_bits_are_completed() -> None:
    reference = Seq64(0x1_FFFF_FFF0)

    assert full_dsn(Dss(dsn=0x10), reference) == 0x2_0000_0010
    assert full_dsn(Dss(dsn=0x10, dsn_64=True), reference) == 0x10
    assert full_dsn(Dss(), reference) is None
    assert full_data_ack(Dss(data_ack=0xFFFF_FFF1), reference) == 0x1_FFFF_FFF1
    assert full_data_ack(Dss(data_ack=1, data_ack_64=True), reference) == 1
    assert full_data_ack(Dss(), reference) is None
