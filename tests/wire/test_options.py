import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.wire import (
    EndOfOptionList,
    Malformed,
    MaximumSegmentSize,
    NoOperation,
    Sack,
    TcpOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    decode_options,
)


def test_vector_decodes_and_encodes(vector: tuple[bytes, TcpOption]) -> None:
    octets, option = vector

    assert decode_options(octets) == (option,)
    assert option.encode() == octets
    assert option.kind == octets[0]


@given(st.from_type(TcpOption))
def test_option_survives_encoding(option: TcpOption) -> None:
    assert decode_options(option.encode()) == (option,)


@given(st.from_type(TcpOption))
def test_length_octet_is_the_length(option: TcpOption) -> None:
    octets = option.encode()

    assert octets[0] == option.kind
    assert isinstance(option, NoOperation) or octets[1] == len(octets)


def test_options_are_values() -> None:
    assert Timestamps(1, 2) == Timestamps(1, 2) != Timestamps(2, 1)
    assert len({MaximumSegmentSize(1460), MaximumSegmentSize(1460), NoOperation()}) == 2
    with pytest.raises(AttributeError):
        MaximumSegmentSize(1460).size = 536  # type: ignore[misc]


def test_single_octets_and_rests() -> None:
    assert NoOperation().encode() == b"\1"
    assert EndOfOptionList().encode() == b"\0"
    assert EndOfOptionList(b"\2\4").encode() == b"\0\2\4"
    assert Malformed(b"\2\1\0").encode() == b"\2\1\0"
    assert [option.kind for option in (EndOfOptionList(), NoOperation(), Malformed(b"\2"))] == [0, 1, -1]


def test_values_that_no_decoding_gives_can_be_made() -> None:
    octets = UnknownOption(2, b"\5\xb4").encode()

    assert decode_options(octets) == (MaximumSegmentSize(1460),)


def test_sack_edges_wrap() -> None:
    assert Sack(((-1, 1 << 32),)).encode() == bytes.fromhex("050a ffffffff 00000000")


def test_user_timeout_has_a_granularity() -> None:
    assert UserTimeout(minutes=True, timeout=2).encode() == bytes.fromhex("1c04 8002")
