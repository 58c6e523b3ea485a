"""One direction of a subflow, put together from what comes in whatever order."""

import itertools
import random

import pytest

from mbtest.observe.mappings import KEPT, Mapped, Mapping
from mbtest.wire.checksum import dss_checksum

PAYLOAD = bytes(random.Random(1).randrange(256) for _ in range(301))
BASE = 0xFFFF_FFFF_FFFF_FF00


def mapping(start=1, data=1, length=301, *, checksum=None, fin=False) -> Mapping:
    return Mapping(start, data, length, fin, checksum, 1)


def summed(**over) -> Mapping:
    total = dss_checksum(BASE + 1, 1, 301 + over.get("fin", False), PAYLOAD)
    return mapping(checksum=total, **over)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fin", [False, True])
def test_a_checksum_over_pieces_in_any_order(seed, fin):
    order = random.Random(seed)
    edges = sorted({0, 301, *(order.randrange(301) for _ in range(6))})
    pieces = list(itertools.pairwise(edges))
    order.shuffle(pieces)
    whole, mapped = summed(fin=fin), Mapped()
    mapped.declare(whole)
    for left, right in pieces:
        mapped.arrive(1 + left, PAYLOAD[left:right])
    assert whole.until == whole.end
    assert whole.is_right(BASE)
    assert not whole.is_right(BASE + 1)


def test_octets_before_their_mapping():
    mapped = Mapped()
    assert mapped.arrive(1, b"abc") == []
    first = mapping(length=3)
    assert mapped.declare(first) == [(first, 1, 4)]


def test_octets_behind_some_without_a_mapping():
    mapped = Mapped()
    second = mapping(4, 40, 4)
    mapped.declare(second)
    assert mapped.arrive(1, b"abcdefgh") == [(second, 4, 8)]
    assert mapped.lacked
    assert mapped.unmapped == [(1, b"abc"), (8, b"h")]
    first = mapping(1, 1, 3)
    assert mapped.declare(first) == [(first, 1, 4)]


def test_octets_between_a_mapping_and_an_infinite_one():
    mapped = Mapped()
    first, infinite = mapping(1, 1, 2), mapping(5, 5, 0)
    mapped.declare(first)
    mapped.declare(infinite)
    assert mapped.arrive(1, b"abcdefgh") == [(first, 1, 3), (infinite, 5, 9)]
    assert mapped.unmapped == [(3, b"cd")]


def test_octets_count_once():
    mapped = Mapped()
    mapped.declare(mapping(length=10))
    assert [piece[1:] for piece in mapped.arrive(1, bytes(6))] == [(1, 7)]
    assert [piece[1:] for piece in mapped.arrive(4, bytes(7))] == [(7, 11)]


def test_a_segment_with_parts_of_two_mappings():
    mapped = Mapped()
    mapped.declare(mapping(1, 1, 5))
    mapped.declare(mapping(6, 100, 5))
    assert [(one.data, left, right) for one, left, right in mapped.arrive(1, bytes(10))] == [
        (1, 1, 6),
        (100, 6, 11),
    ]


def test_a_clash_is_another_number_for_an_octet():
    mapped = Mapped()
    mapped.declare(mapping(1, 1, 10))
    assert mapped.clash(mapping(5, 5, 20)) is None
    assert mapped.clash(mapping(5, 6, 20)) is not None
    assert mapped.clash(mapping(11, 50, 5)) is None


def test_an_infinite_mapping_takes_what_no_other_has():
    mapped = Mapped()
    infinite = mapping(1, 1, 0)
    mapped.declare(infinite)
    assert mapped.arrive(1, b"x") == [(infinite, 1, 2)]
    assert mapped.covers(1, 1_000_000)


def test_what_is_forgotten_and_what_is_kept():
    mapped = Mapped()
    for number in range(KEPT + 10):
        mapped.declare(mapping(1 + number * 10, 1 + number * 10, 10))
    assert len(mapped.found) == KEPT
    mapped.forget(1 + KEPT * 10)
    assert len(mapped.found) == 10
    assert mapped.at(1) is None
