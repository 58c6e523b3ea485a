from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import Packet, Segment
from mbtest.wire.fragments import Defragmenter
from middleboxes.fragment import FragmentPackets
from middleboxes.pass_through import PassThrough
from tests.middlebox.bench import Line, segment


def put_together(line: Line) -> list[Packet]:
    pieces = Defragmenter()
    return [whole for piece, _ in line.out if (whole := pieces.complete(piece)) is not None]


@given(st.sampled_from((4, 6)), st.integers(600, 1460), st.integers(256, 600), st.booleans())
def test_large_packets_pass_in_pieces_that_make_them(
    version: int, length: int, size: int, is_reversed: bool
) -> None:
    line = Line(FragmentPackets(size, order="reversed" if is_reversed else "kept"))
    one = segment(7, bytes(number % 251 for number in range(length)), version=version)
    line.put(one)
    line.put(one)
    assert all(len(piece) <= size for piece, _ in line.out)
    for whole in put_together(line):
        assert isinstance(whole, Segment)
        assert whole.content == one.content
        assert whole.checksum_is_right()
    assert len(put_together(line)) == 2
    first = line.out[0][0].transport - (20 if version == 4 else 40)
    offset = int.from_bytes(line.out[0][0].raw[6:8], "big") & 0x1FFF if version == 4 else first
    assert bool(offset) is (is_reversed and version == 4)


def test_small_packets_are_left_alone() -> None:
    line = Line(FragmentPackets(576))
    one = segment(7, bytes(536))
    assert line.put(one)[0] is one
    assert line.chain.deeds(FragmentPackets) == 0


def test_packets_that_share_an_identification_are_not_mixed_up() -> None:
    line = Line(FragmentPackets(256))
    for octet in b"ab":
        line.put(segment(7, bytes((octet,)) * 400))
    mixed = [line.out[number] for number in (0, 2, 1, 3)]
    line.out = mixed
    assert [whole.content[-1:] for whole in put_together(line)] == [b"a", b"b"]


def test_boxes_behind_let_fragments_pass_and_the_record_knows_them() -> None:
    line = Line(FragmentPackets(576), PassThrough())
    one = segment(7, bytes(1000))
    line.put(one)
    assert len(line.out) == 2
    words = "FragmentPackets made 2 segments of it: IP fragments of at most 576 octets"
    assert line.chain.comment(one) == line.chain.comment(line.out[1][0]) == words


@pytest.mark.parametrize("told", [{"size": 255}, {"size": 65536}, {"order": "random"}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^FragmentPackets: "):
        FragmentPackets(**told)
