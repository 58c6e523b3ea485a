"""Mappings of one side and of the other."""

from __future__ import annotations

import pytest

from mbtest.endpoint.mappings import Mapping, PeerMappings
from mbtest.wire.checksum import dss_checksum

IDSN = 0xFFFF_FFFF_FFFF_FFF0


def test_the_example_of_the_rfc():
    """RFC 8684 §3.3.3: DSN 80, data-level length 11 with DATA_FIN: octets 80 to 89, acknowledged with 91."""
    mapping = Mapping(1, 80, 10, data_fin=True)
    assert (mapping.end, mapping.data_end) == (11, 91)
    assert not mapping.infinite


def test_a_length_of_nothing_is_infinite():
    assert Mapping(1, 80, 0).infinite
    assert not Mapping(0, 80, 0, data_fin=True).infinite


def test_the_checksum_is_of_the_whole_number():
    """The DSN counts with 64 bits, and wraps."""
    mapping = Mapping(7, 0x20, 4)
    assert mapping.expected_checksum(IDSN, b"data") == dss_checksum(0x10, 7, 4, b"data")


def test_a_data_fin_alone_has_subflow_sequence_number_0_in_the_checksum():
    assert Mapping(99, 5, 0, data_fin=True).expected_checksum(0, b"") == dss_checksum(5, 0, 1, b"")


@pytest.mark.parametrize("other", [b"dat!", b"adta", b"data\0"])
def test_other_octets_are_not_intact(other):
    mapping = Mapping(1, 1, 4)
    mapping.checksum = mapping.expected_checksum(IDSN, b"data")
    assert mapping.is_intact(IDSN, b"data")
    # Octets of 16-bit words that change places have the same sum, and so has a zero at the end.
    same = sum(other[0::2]) == sum(b"data"[0::2]) and sum(other[1::2]) == sum(b"data"[1::2])
    assert mapping.is_intact(IDSN, other) is same


def test_both_zeros_are_one_checksum():
    mapping = Mapping(0, 0, 0, 0xFFFF)
    assert mapping.is_intact(0, b"")
    mapping.checksum = 0
    assert mapping.is_intact(0, b"")


def test_without_a_checksum_everything_is_intact():
    assert Mapping(1, 1, 4).is_intact(IDSN, b"data")


def kept(*stretches: tuple[int, int], limit: int = 10) -> PeerMappings:
    mappings = PeerMappings(limit)
    for start, length in stretches:
        assert mappings.add(Mapping(start, 1000 + start, length)) == ""
    return mappings


def test_a_mapping_is_found_by_any_of_its_octets():
    mappings = kept((1, 10), (31, 10), (11, 10))
    assert [mappings.at(offset).start for offset in (1, 10, 11, 20, 31, 40)] == [1, 1, 11, 11, 31, 31]
    assert [mappings.at(offset) for offset in (0, 21, 30, 41)] == [None] * 4
    assert len(mappings) == 3


def test_the_same_mapping_again_is_nothing_new():
    mappings = kept((1, 10), (11, 10))
    assert mappings.add(Mapping(1, 1001, 10)) == ""
    assert len(mappings) == 2


@pytest.mark.parametrize(
    ("start", "data_start", "length"),
    [(1, 1002, 10), (1, 1001, 9), (5, 1005, 2), (0, 1000, 2), (10, 1010, 40)],
)
def test_one_that_contradicts_is_refused(start, data_start, length):
    mappings = kept((1, 10), (31, 10))
    assert "contradicts" in mappings.add(Mapping(start, data_start, length))
    assert mappings.at(1).data_start == 1001
    assert len(mappings) == 2


def test_the_limit_is_held():
    mappings = kept((1, 10), (11, 10), limit=2)
    assert "no room" in mappings.add(Mapping(21, 1021, 10))
    assert "no room" in kept((11, 10), limit=1).add(Mapping(1, 1001, 10))
    mappings.forget_before(11)
    assert mappings.add(Mapping(21, 1021, 10)) == ""


def test_what_was_passed_on_is_forgotten():
    mappings = kept((1, 10), (11, 10), (31, 10))
    mappings.forget_before(20)
    assert mappings.first().start == 11
    mappings.forget_before(21)
    assert mappings.first().start == 31
    mappings.forget_before(100)
    assert mappings.first() is None
