from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox.mappings import Mapping, Mappings
from mbtest.wire import Dss, MpCapable, Seq64, TcpOption
from mbtest.wire.keys import initial_data_sequence_number
from tests.middlebox.bench import segment

TOP = 2**64


def told(*options: TcpOption) -> Mappings:
    mappings = Mappings()
    for option in options:
        mappings.learn(segment(payload=b"data", options=[option]))
    return mappings


def dss(dsn: int, at: int, length: int, **more: bool) -> Dss:
    return Dss(None, dsn, at + 1, length, 0x1234, dsn_64=True, **more)


def test_a_dss_maps_octets_by_their_offset() -> None:
    (part,) = told(dss(7000, 100, 50)).parts(110, 120, 100)
    assert part == Mapping(110, 120, Seq64(7010))


def test_mp_capable_with_data_maps_the_first_octets() -> None:
    capable = MpCapable(0x81, 77, 88, 50, 0x1234)
    (part,) = told(capable).parts(0, 50, 100)
    assert part == Mapping(0, 50, initial_data_sequence_number(77) + 1)


def test_data_sequence_numbers_wrap() -> None:
    (part,) = told(dss(TOP - 1, 0, 10)).parts(2, 10, 100)
    assert part.dsn == 1


@pytest.mark.parametrize(
    "option",
    [
        Dss(5),
        Dss(None, 7, 1, 10),
        Dss(None, 7, 1, 10, dsn_64=True),
        Dss(None, 7, 1, 10, 0x1234),
        Dss(None, 7, 0, 1, 0x1234, data_fin=True, dsn_64=True),
        MpCapable(1, 77, 88),
        MpCapable(1, 77, 88, 50),
    ],
)
def test_what_has_no_checksum_of_data_that_could_be_mended_is_not_kept(option: TcpOption) -> None:
    mappings = Mappings()
    assert mappings.learn(segment(payload=b"data", options=[option])) is None
    assert mappings.parts(0, 1, 100) == []


def test_an_infinite_mapping_ends_it_all() -> None:
    mappings = told(dss(7, 0, 10), Dss(None, 17, 11, 0, 0, dsn_64=True))
    assert mappings.parts(0, 4, 100) == []


def test_the_latest_mapping_of_an_octet_counts() -> None:
    (part,) = told(dss(7, 0, 10), dss(1007, 0, 10)).parts(3, 5, 100)
    assert part.dsn == 1010


def test_an_octet_without_a_mapping_spoils_it() -> None:
    assert told(dss(7, 0, 10)).parts(5, 11, 100) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data(), st.integers(1, 50), st.booleans())
def test_parts_say_of_each_octet_what_the_mappings_say(
    lengths: Sequence[int], data: st.DataObject, most: int, fin: bool
) -> None:
    edges = [0]
    options: list[Dss] = []
    for length in lengths:
        is_last = fin and len(options) == len(lengths) - 1
        options.append(dss(edges[-1] * 3 + 5, edges[-1], length + is_last, data_fin=is_last))
        edges.append(edges[-1] + length)
    start = data.draw(st.integers(0, edges[-1] - 1))
    end = data.draw(st.integers(start + 1, edges[-1]))
    parts = told(*options).parts(start, end, most)
    assert (parts[0].start, parts[-1].end) == (start, end)
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert all(0 < part.end - part.start <= most for part in parts)
    for part in parts:
        own = max(edge for edge in edges if edge <= part.start)
        assert part.dsn == own * 3 + 5 + part.start - own
        assert part.data_fin == (fin and part.end == edges[-1])
