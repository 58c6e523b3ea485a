from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import LocalProtocolError
from mbtest.middlebox import Edit, StreamMap

STREAM = bytes(range(40))


@st.composite
def edit_lists(draw: st.DrawFn) -> list[Edit]:
    edits, at = [], 0
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.integers(0, 6))
        removed = draw(st.integers(0, 5))
        edits.append(Edit(at, removed, draw(st.binary(max_size=7))))
        at = max(at + removed, at + 1)
    return edits


def expected(edits: list[Edit], stream: bytes) -> bytes:
    """Octet by octet: what each octet in turns into."""
    out = b""
    for offset in range(len(stream)):
        octet = stream[offset : offset + 1]
        for edit in edits:
            number = offset - edit.at
            if number == 0 and edit.removed == 0:
                octet = edit.inserted + octet
            elif 0 <= number < edit.removed:
                last = number == edit.removed - 1
                octet = edit.inserted[number:] if last else edit.inserted[number : number + 1]
        out += octet
    return out


@given(edit_lists())
def test_a_stream_is_rewritten_octet_by_octet(edits: list[Edit]) -> None:
    assert StreamMap(edits).rewrite(0, STREAM) == expected(edits, STREAM)


@given(edit_lists(), st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_pieces_rewritten_apart_make_the_rewritten_whole(edits: list[Edit], cuts: list[int]) -> None:
    edited = StreamMap(edits)
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = [edited.rewrite(low, STREAM[low:high]) for low, high in pairwise(bounds)]
    assert b"".join(pieces) == edited.rewrite(0, STREAM)


@given(edit_lists(), st.integers(0, 40), st.integers(0, 40))
def test_a_piece_stands_where_forward_says(edits: list[Edit], one: int, other: int) -> None:
    edited, (low, high) = StreamMap(edits), sorted((one, other))
    piece = edited.rewrite(low, STREAM[low:high])
    assert piece == edited.rewrite(0, STREAM)[edited.forward(low) : edited.forward(high)]


@given(edit_lists(), st.integers(-5, 80))
def test_order_is_kept(edits: list[Edit], offset: int) -> None:
    edited = StreamMap(edits)
    assert edited.forward(offset) <= edited.forward(offset + 1)


@given(edit_lists(), st.integers(-5, 80))
def test_backward_returns_the_first_and_the_last_that_forward_brings_there(
    edits: list[Edit], out: int
) -> None:
    edited = StreamMap(edits)
    places = range(-100, 200)
    first = min(place for place in places if edited.forward(place) >= out)
    last = max(place for place in places if edited.forward(place) <= out)
    assert edited.backward(out) == (first, last)


@given(edit_lists(), st.integers(0, len(STREAM)))
def test_a_closed_stream_has_one_more_number_after_its_last_octet(edits: list[Edit], length: int) -> None:
    edited = StreamMap(edit for edit in edits if edit.at < length)
    before = edited.rewrite(0, STREAM[:length])
    edited.close(length)
    assert edited.rewrite(0, STREAM[:length]) == before
    assert edited.forward(length) == len(before)
    assert edited.forward(length + 1) == len(before) + 1
    assert edited.backward(len(before) + 1) == (length + 1, length + 1)


def test_without_edits_nothing_moves() -> None:
    empty = StreamMap()
    assert len(empty) == 0
    assert empty.forward(7) == 7
    assert empty.backward(7) == (7, 7)
    assert empty.rewrite(7, b"as it is") == b"as it is"


@pytest.mark.parametrize(
    "edits",
    [
        [Edit(-1)],
        [Edit(0, -1)],
        [Edit(5, 3), Edit(7, 1)],
        [Edit(5, 0, b"x"), Edit(5, 0, b"y")],
    ],
)
def test_edits_before_the_stream_or_over_each_other_are_refused(edits: list[Edit]) -> None:
    with pytest.raises(LocalProtocolError, match="stand"):
        StreamMap(edits)
