from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.endpoint.reassembly import MOST_BLOCKS, SMALL, Reassembly

LIMIT = 1 << 20
BASE = 1_000
STREAM = random.Random(7).randbytes(400)

# Stretches of a short stream: any order, overlap and repetition.
STRETCHES = st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 25)), max_size=25)


def part(left: int, length: int) -> bytes:
    return STREAM[left : left + length]


class Model:
    """The same by one octet at a time: what each offset holds, and how it got there."""

    def __init__(self, limit: int, start: int = 0) -> None:
        self.limit = limit
        self.next = start
        self.octets: dict[int, int] = {}

    def insert(self, start: int, data: bytes) -> int:
        new = 0
        offsets = range(start, start + len(data))
        in_order = start <= self.next
        for offset in offsets:
            if offset < self.next or offset in self.octets:
                continue
            if not in_order and len(self.octets) >= self.limit:
                break
            self.octets[offset] = data[offset - start]
            new += 1
        return new

    def take(self) -> bytes:
        data = bytearray()
        while self.next in self.octets:
            data.append(self.octets.pop(self.next))
            self.next += 1
        return bytes(data)

    def blocks(self) -> set[tuple[int, int]]:
        lefts = sorted(offset for offset in self.octets if offset - 1 not in self.octets)
        rights = sorted(offset + 1 for offset in self.octets if offset + 1 not in self.octets)
        return set(zip(lefts, rights, strict=True))


def test_in_order_octets_come_out_as_they_went_in():
    stream = Reassembly(LIMIT, BASE)
    first = b"one"
    assert stream.insert(BASE, first) == 3
    assert stream.next == BASE + 3
    assert stream.take() is first
    assert stream.take() == b""
    stream.insert(BASE + 3, b"two")
    stream.insert(BASE + 6, b"")
    stream.insert(BASE + 6, b"three")
    assert stream.take() == b"twothree"
    assert (stream.held, stream.refused, stream.blocks(), stream.duplicate) == (0, 0, (), None)


def test_a_gap_holds_back_what_follows():
    stream = Reassembly(LIMIT)
    assert stream.insert(3, b"def") == 3
    assert (stream.take(), stream.next, stream.held, stream.blocks()) == (b"", 0, 3, ((3, 6),))
    assert stream.insert(0, b"abc") == 3
    assert (stream.take(), stream.next, stream.held, stream.blocks()) == (b"abcdef", 6, 0, ())


@given(STRETCHES, st.integers(0, 40), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=400)
def test_it_does_what_the_model_does(stretches, limit, chance, eager):
    stream, model = Reassembly(limit), Model(limit)
    refused = 0
    taken = expected = b""
    for start, length in stretches:
        # Every copy has octets of its own: which one was first shows.
        data = chance.randbytes(length)
        known = set(range(min(start, 0), model.next)) | set(model.octets)
        new = stream.insert(start, data)
        assert new == model.insert(start, data)
        refused += len(set(range(start, start + length)) - known) - new
        expected += model.take()
        if eager:
            taken += stream.take()
            assert taken == expected
        assert stream.next == model.next
        assert stream.held == len(model.octets) <= limit
        assert stream.refused == refused
        blocks = stream.blocks(1_000)
        assert len(blocks) == len(set(blocks))
        assert set(blocks) == model.blocks()
    assert taken + stream.take() == expected


@given(STRETCHES)
@settings(max_examples=200)
def test_any_pieces_of_a_stream_give_its_beginning(stretches):
    stream = Reassembly(LIMIT)
    for left, length in stretches:
        stream.insert(max(left, 0), part(max(left, 0), length))
    assert stream.take() == STREAM[: stream.next]


@given(st.lists(st.integers(1, 400), max_size=30), st.randoms(use_true_random=False), st.integers(0, 15))
def test_all_pieces_give_the_stream_in_any_order(cuts, chance, overlap):
    edges = sorted({0, 400, *cuts})
    pieces = [(max(0, left - overlap), right) for left, right in pairwise(edges)]
    pieces += chance.sample(pieces, len(pieces) // 2)
    chance.shuffle(pieces)
    stream = Reassembly(LIMIT)
    assert sum(stream.insert(left, STREAM[left:right]) for left, right in pieces) == 400
    assert (stream.take(), stream.held, stream.blocks()) == (STREAM, 0, ())


@given(STRETCHES)
def test_the_block_that_changed_last_comes_first(stretches):
    stream = Reassembly(LIMIT)
    order: list[tuple[int, int]] = []
    for left, length in stretches:
        start = max(left, 0)
        stream.insert(start, part(start, length))
        blocks = stream.blocks(1_000)
        # The others keep their order, less what became part of the first, or ready.
        untouched = [block for block in order if block in blocks and not (touches(block, start, length))]
        changed = [block for block in blocks if block not in untouched]
        assert len(changed) <= 1
        assert list(blocks) == changed + untouched
        order = list(blocks)


def touches(block: tuple[int, int], start: int, length: int) -> bool:
    return length > 0 and start <= block[1] and start + length >= block[0]


def test_blocks_reported_are_the_latest():
    stream = Reassembly(LIMIT)
    for start in (10, 30, 50, 70, 90):
        stream.insert(start, b"xx")
    assert stream.blocks(3) == ((90, 92), (70, 72), (50, 52))
    assert len(stream.blocks()) == 4
    assert stream.blocks(0) == ()
    stream.insert(32, b"x")
    assert stream.blocks(2) == ((30, 33), (90, 92))
    stream.insert(10, b"x")
    assert stream.blocks(2) == ((10, 12), (30, 33))


@pytest.mark.parametrize(
    ("start", "length", "duplicate"),
    [
        (0, 5, (0, 5)),
        (5, 10, (5, 10)),
        (10, 5, None),
        (20, 10, (20, 30)),
        (22, 3, (22, 25)),
        (15, 10, (20, 25)),
        (25, 10, (25, 30)),
        (30, 10, None),
        (15, 5, None),
        (15, 30, (20, 30)),
        (10, 60, (20, 30)),
        (9, 60, (9, 10)),
        (10, 15, (20, 25)),
        (10, 10, None),
        (40, 0, None),
    ],
)
def test_the_duplicate_is_the_lowest_stretch_that_was_there(start, length, duplicate):
    stream = Reassembly(LIMIT)
    stream.insert(0, bytes(10))
    stream.insert(20, bytes(10))
    stream.insert(40, bytes(10))
    assert stream.duplicate is None
    stream.insert(start, bytes(length))
    assert stream.duplicate == duplicate
    assert stream.duplicate is None


def test_a_duplicate_waits_until_it_is_read():
    stream = Reassembly(LIMIT)
    stream.insert(0, b"abc")
    stream.insert(0, b"a")
    stream.insert(1, b"b")
    stream.insert(3, b"d")
    assert stream.duplicate == (1, 2)


def test_a_later_duplicate_replaces_one_that_was_not_read():
    stream = Reassembly(LIMIT)
    stream.insert(10, b"abc")
    stream.insert(11, b"b")
    stream.insert(0, bytes(12))
    assert stream.duplicate == (10, 12)


def test_octets_in_order_need_no_room():
    stream = Reassembly(0)
    assert stream.insert(0, b"abc") == 3
    assert stream.insert(4, b"e") == 0
    assert stream.insert(3, b"de") == 2
    assert (stream.take(), stream.refused) == (b"abcde", 1)


def test_what_finds_no_room_may_come_again():
    stream = Reassembly(4)
    assert stream.insert(1, b"bcdefg") == 4
    assert stream.insert(3, b"DEFG") == 0
    assert (stream.held, stream.refused, stream.duplicate) == (4, 4, (3, 5))
    stream.insert(0, b"a")
    assert stream.insert(5, b"fg") == 2
    assert stream.take() == b"abcdefg"


def test_a_smaller_limit_refuses_and_keeps():
    stream = Reassembly(10)
    stream.insert(1, b"bcd")
    stream.limit = 2
    assert stream.insert(5, b"f") == 0
    assert (stream.held, stream.refused) == (3, 1)


def test_no_more_blocks_than_are_kept():
    stream = Reassembly(LIMIT)
    for number in range(MOST_BLOCKS):
        assert stream.insert(1 + 2 * number, b"x") == 1
    assert stream.insert(3 + 2 * MOST_BLOCKS, b"x") == 0
    assert (stream.held, stream.refused) == (MOST_BLOCKS, 1)
    # What makes a block longer, or joins two, is welcome.
    assert stream.insert(2 * MOST_BLOCKS, b"y") == 1
    assert stream.insert(2, b"y") == 1
    assert stream.insert(0, b"y" * (2 * MOST_BLOCKS)) == MOST_BLOCKS - 1
    assert stream.take() == b"yx" * MOST_BLOCKS + b"y"


@pytest.mark.parametrize("step", [1, -1])
def test_small_segments_in_a_row(step):
    size = 4 * SMALL
    data = random.Random(3).randbytes(size)
    stream = Reassembly(LIMIT)
    for offset in range(1, size)[::step]:
        stream.insert(offset, data[offset : offset + 1])
    assert stream.blocks() == ((1, size),)
    stream.insert(0, data[:1])
    assert stream.take() == data


def test_falling_forward():
    stream = Reassembly(LIMIT)
    stream.insert(0, b"ab")
    stream.insert(4, b"ef")
    stream.insert(8, b"ijkl")
    stream.insert(14, b"op")
    stream.drop_before(1)
    assert (stream.next, stream.held) == (2, 8)
    stream.drop_before(9)
    assert (stream.next, stream.held, stream.blocks()) == (12, 2, ((14, 16),))
    assert stream.take() == b"jkl"
    stream.drop_before(13)
    assert (stream.next, stream.take()) == (13, b"")
    stream.drop_before(14)
    assert (stream.next, stream.take(), stream.held) == (16, b"op", 0)
    assert stream.insert(15, b"pq") == 1
    assert stream.take() == b"q"


@given(STRETCHES, st.integers(0, 90))
def test_falling_forward_keeps_what_lies_beyond(stretches, offset):
    stream = Reassembly(LIMIT)
    held = set()
    for left, length in stretches:
        stream.insert(max(left, 0), part(max(left, 0), length))
        held |= set(range(max(left, 0), max(left, 0) + length))
    before = stream.next
    stream.drop_before(offset)
    if offset <= before:
        assert stream.next == before
        return
    right = offset
    while right in held:
        right += 1
    assert stream.next == right
    assert stream.take() == STREAM[offset:right]
    assert stream.held == len([octet for octet in held if octet >= right])
