from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.wire import (
    Authentication,
    Dss,
    EndOfOptionList,
    Experimental,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Md5Signature,
    MpCapable,
    MpJoin,
    MpJoinSyn,
    MptcpOption,
    NoOperation,
    RemoveAddr,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    UnknownOption,
    WindowScale,
    decode_options,
    encode_options,
)
from mbtest.wire.block import register, spans, strip_options

# Octets that are likely to be kinds and lengths, so that a block holds more than one option.
LIKELY = st.sampled_from((0, 1, 1, 1, 2, 3, 4, 5, 8, 10, 12, 16, 28, 29, 30, 30, 34, 253))
BLOCKS = st.integers(0, 10).flatmap(
    lambda words: st.lists(LIKELY | st.integers(0, 255), min_size=4 * words, max_size=4 * words).map(bytes)
)
FORMS = st.lists(
    st.sampled_from(
        (Authentication, Dss, EndOfOptionList, Experimental, FastOpen, Malformed, MaximumSegmentSize,
         Md5Signature, MpCapable, MpJoin, MpJoinSyn, MptcpOption, NoOperation, RemoveAddr, Sack,
         SackPermitted, TcpOption, Timestamps, UnknownMptcp, UnknownOption, WindowScale)
    ),
    max_size=3,
)  # fmt: skip


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


@given(BLOCKS)
def test_every_block_survives(block: bytes) -> None:
    assert encode_options(decode_options(block)) == block


@given(st.binary(max_size=60))
def test_octets_of_any_number_decode_to_options_that_hold_each_of_them(block: bytes) -> None:
    assert b"".join(option.encode() for option in decode_options(block)) == block


@given(BLOCKS)
def test_spans_leave_no_gap(block: bytes) -> None:
    position = 0
    for _, start, end in spans(block):
        assert start == position < end
        position = end
    assert position == len(block)


@given(st.lists(st.from_type(TcpOption), max_size=4))
def test_options_survive_but_for_padding(options: list[TcpOption]) -> None:
    if sum(len(option.encode()) for option in options) > 40:
        with pytest.raises(LocalProtocolError, match="room for 40"):
            encode_options(options)
        return
    padding = -sum(len(option.encode()) for option in options) % 4

    assert decode_options(encode_options(options)) == (*options, *[NoOperation()] * padding)


def test_octets_after_end_of_option_list_are_kept() -> None:
    block = hexed("0204 05b4 00 1e04 0181 ff01 00")

    assert decode_options(block) == (
        MaximumSegmentSize(1460),
        EndOfOptionList(hexed("1e040181ff0100")),
    )


@pytest.mark.parametrize(
    "rest",
    ["02", "0200 0101", "0201 0101", "08ff 0000", "1e0c 0181", "1e00", "ff29 0000"],
    ids=["cut-off", "length-0", "length-1", "length-255", "past-the-end", "mptcp-length-0", "one-too-many"],
)
def test_what_cannot_be_an_option_is_kept_with_all_that_follows(rest: str) -> None:
    assert decode_options(b"\1" + hexed(rest)) == (NoOperation(), Malformed(hexed(rest)))


def test_padding_is_no_operations_at_the_end() -> None:
    assert encode_options([WindowScale(7)]) == hexed("030307 01")
    assert encode_options([RemoveAddr(b"\1\2")]) == hexed("1e05400102 010101")
    assert encode_options([]) == b""


def test_padding_never_becomes_part_of_what_stands_last() -> None:
    # With one more octet, the rest would be a whole MSS option.
    assert encode_options([Malformed(hexed("020405"))]) == hexed("01 020405")
    assert encode_options([SackPermitted(), EndOfOptionList()]) == hexed("0402 01 00")
    assert strip_options(hexed("1e0540 0102 020405"), (MptcpOption,)) == hexed("01 020405")


def test_too_many_options_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="take 44 octets; a segment has room for 40"):
        encode_options([MaximumSegmentSize(1460)] * 11)


@pytest.mark.parametrize(
    "option",
    [
        MaximumSegmentSize(65536),
        WindowScale(256),
        UnknownOption(256),
        UnknownOption(77, bytes(254)),
        MpCapable(flags=256),
        MpCapable(sender_key=1 << 64),
        MpCapable(version=16),
        MpJoinSyn(address_id=1, token=-1, nonce=0),
        MpJoinSyn(address_id=1, token=1, nonce=0, flags=16),
        Dss(data_ack=1 << 32),
        Dss(reserved=128),
    ],
    ids=repr,
)
def test_field_out_of_range_is_our_callers_fault(option: TcpOption) -> None:
    with pytest.raises(LocalProtocolError):
        encode_options([option])


@given(BLOCKS, FORMS)
def test_stripping_is_leaving_out_what_decoding_finds(block: bytes, forms: list[type[TcpOption]]) -> None:
    options = decode_options(block)
    kept = [option for option in options if not isinstance(option, tuple(forms))]

    stripped = strip_options(block, tuple(forms))

    assert stripped == (block if len(kept) == len(options) else encode_options(kept))


def test_stripping_nothing_returns_the_block_itself() -> None:
    block = hexed("0101 080a 00000001 00000002")

    assert strip_options(block, (MptcpOption,)) is block


def test_stripping_leaves_the_alignment_of_the_rest() -> None:
    block = hexed("0101 080a 00000001 00000002 1e0c 2003 0102030405060708")

    assert strip_options(block, (Dss,)) == block[:12]


class Renamed(UnknownOption, frozen=True):
    """An option that is known only once it is registered."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls(data[0], data[2:])


def test_an_option_registered_later_is_found_in_a_block_seen_before() -> None:
    block = hexed("c8 04 0102")
    assert decode_options(block) == (UnknownOption(200, b"\1\2"),)

    register(200, Renamed)

    assert decode_options(block) == (Renamed(200, b"\1\2"),)
