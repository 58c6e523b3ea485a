import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.wire.checksum import dss_checksum, finish, mend, ones_sum, transport_checksum
from mbtest.wire.keys import initial_data_sequence_number

OCTETS = st.binary(max_size=200)


def word_by_word(data: bytes) -> int:
    """The sum as RFC 1071 §4.1 has it in C: add 16-bit words, fold the carries."""
    total = 0
    for i in range(0, len(data) - 1, 2):
        total += data[i] << 8 | data[i + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_example_of_rfc_1071() -> None:
    data = bytes.fromhex("0001 f203 f4f5 f6f7")

    assert ones_sum(data) == 0xDDF2
    assert finish(ones_sum(data)) == 0x220D


def test_example_of_rfc_1624() -> None:
    # §4: a device that computed this the way of RFC 1141 got 0xffff.
    assert mend(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_ipv4_header_in_the_wild() -> None:
    header = bytes.fromhex("4500 0073 0000 4000 4011 0000 c0a8 0001 c0a8 00c7")

    assert finish(ones_sum(header)) == 0xB861


@given(OCTETS)
def test_sum_is_that_of_the_words(data: bytes) -> None:
    assert ones_sum(data) == word_by_word(data) % 65535
    assert ones_sum(bytearray(data)) == ones_sum(memoryview(data)) == ones_sum(data)


@given(OCTETS.filter(any))
def test_finished_field_makes_the_whole_add_up_to_nothing(data: bytes) -> None:
    field = finish(ones_sum(data))
    even = data + bytes(len(data) % 2)

    assert 0 <= field < 0xFFFF
    assert word_by_word(even + field.to_bytes(2, "big")) == 0xFFFF


@given(st.binary(min_size=20, max_size=20), st.integers(0, 9), st.binary(min_size=2, max_size=2))
def test_mended_is_recomputed(data: bytes, word: int, value: bytes) -> None:
    old = data[2 * word : 2 * word + 2]
    changed = data[: 2 * word] + value + data[2 * word + 2 :]
    right = finish(ones_sum(data))

    mended = mend(right, ones_sum(old), ones_sum(value))

    assert mended == finish(ones_sum(changed))


@given(st.integers(0, 0xFFFF), st.integers(-(1 << 40), 1 << 40), st.integers(0, 1 << 40))
def test_mending_there_and_back_keeps_the_error(checksum: int, removed: int, added: int) -> None:
    there = mend(checksum, removed, added)

    assert 0 <= there <= 0xFFFF
    assert mend(there, added, removed) % 65535 == checksum % 65535
    assert mend(checksum, removed, removed) == checksum


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), OCTETS)
def test_transport_checksum_over_the_pseudo_header(source: bytes, destination: bytes, data: bytes) -> None:
    pseudo = source + destination + b"\0\6" + len(data).to_bytes(2, "big")

    assert transport_checksum(source, destination, data) == finish(word_by_word(pseudo + data))


def test_dss_checksum_by_hand() -> None:
    # 0102 0304 0506 0708 | 0000 0001 | 0004 | 0000 | 6162 6364: they add up to 0xd4df.
    assert dss_checksum(0x0102030405060708, 1, 4, b"abcd") == 0xFFFF - 0xD4DF


@pytest.mark.parametrize(
    ("key", "offset", "ssn", "length", "payload", "checksum"),
    [  # what Linux sent, with net.mptcp.checksum_enabled: on MP_CAPABLE, on a DSS, on a DATA_FIN alone
        (0x4EB44DF4C4E62A99, 1, 1, 5, b"hello", 0x74F0),
        (0xF1C44BB26F32A275, 1, 1, 7, b"world!!", 0x8EF5),
        (0x4EB44DF4C4E62A99, 6, 6, 5, b"again", 0x87E7),
        (0x4EB44DF4C4E62A99, 11, 0, 1, b"", 0xB8BD),
        (0x5D669115A299F216, 1, 1, 5, b"hello", 0x2903),
    ],
)
def test_dss_checksum_is_that_of_linux(
    key: int, offset: int, ssn: int, length: int, payload: bytes, checksum: int
) -> None:
    dsn = int(initial_data_sequence_number(key) + offset)

    assert dss_checksum(dsn, ssn, length, payload) == checksum


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 65535), OCTETS)
def test_dss_checksum_over_its_pseudo_header(dsn: int, ssn: int, length: int, payload: bytes) -> None:
    pseudo = dsn.to_bytes(8, "big") + ssn.to_bytes(4, "big") + length.to_bytes(2, "big") + bytes(2)

    assert dss_checksum(dsn, ssn, length, payload) == finish(word_by_word(pseudo + payload))
