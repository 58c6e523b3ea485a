from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox import Reassembly

STREAM = bytes(range(200))
STRETCH = st.tuples(st.integers(0, 199), st.integers(0, 60))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 199), st.binary(max_size=60)),
        st.tuples(st.just("discard"), st.integers(0, 220)),
        st.tuples(st.just("take")),
    ),
    max_size=30,
)


class Model:
    """The same, octet by octet."""

    def __init__(self, limit: int) -> None:
        self.limit, self.begin, self.octets = limit, 0, dict[int, int]()

    def insert(self, start: int, data: bytes) -> int:
        new = 0
        for at, octet in enumerate(data, start):
            if at >= self.begin and at not in self.octets and len(self.octets) < self.limit:
                self.octets[at] = octet
                new += 1
        return new

    def discard(self, before: int) -> None:
        self.begin = max(self.begin, before)
        self.octets = {at: octet for at, octet in self.octets.items() if at >= self.begin}

    def take(self) -> bytes:
        end = self.next
        data = bytes(self.octets[at] for at in range(self.begin, end))
        self.discard(end)
        return data

    @property
    def next(self) -> int:
        return next(at for at in range(self.begin, 1000) if at not in self.octets)

    @property
    def end(self) -> int:
        return max(self.octets, default=self.begin - 1) + 1

    def missing(self) -> list[int]:
        return [at for at in range(self.begin, self.end) if at not in self.octets]


@given(STEPS, st.sampled_from((7, 50, 1000)))
def test_it_is_what_octets_one_by_one_would_be(steps: list[tuple[Any, ...]], limit: int) -> None:
    tested, model = Reassembly(limit), Model(limit)
    for name, *told in steps:
        assert getattr(tested, name)(*told) == getattr(model, name)(*told)
        assert (tested.begin, tested.next, tested.end) == (model.begin, model.next, model.end)
        assert tested.kept == len(model.octets) <= limit
        assert [at for left, right in tested.holes() for at in range(left, right)] == model.missing()
        assert all(left < right for left, right in tested.holes())
        kept = bytes(model.octets.get(at, 0xAA) for at in range(250))
        assert tested.overlaid(0, b"\xaa" * 250) == kept
        assert tested.overlaid(30, b"\xaa" * 40) == kept[30:70]


@given(st.lists(STRETCH), st.randoms(use_true_random=False))
def test_a_stream_comes_out_in_order_whatever_the_order_in_which_it_came(
    stretches: list[tuple[int, int]], random: Random
) -> None:
    pieces = [(at, STREAM[at : at + size]) for at, size in stretches]
    pieces += [(at, STREAM[at : at + 50]) for at in range(0, 200, 50)]
    random.shuffle(pieces)
    tested, out = Reassembly(), b""
    for at, piece in pieces:
        tested.insert(at, piece)
        out += tested.take()
    assert out == STREAM
    assert (tested.kept, tested.holes()) == (0, [])


def test_a_hole_is_told_until_it_is_filled_or_given_up() -> None:
    tested = Reassembly()
    tested.insert(10, b"behind")
    tested.insert(20, b"far")
    assert (tested.next, tested.end, tested.holes()) == (0, 23, [(0, 10), (16, 20)])
    tested.insert(0, b"ten octets")
    assert (tested.next, tested.holes()) == (16, [(16, 20)])
    tested.discard(18)
    assert (tested.next, tested.holes()) == (18, [(18, 20)])
    tested.discard(20)
    assert (tested.next, tested.take()) == (23, b"far")


def test_what_came_first_counts() -> None:
    tested = Reassembly()
    assert tested.insert(2, b"first") == 5
    assert tested.insert(0, b"another") == 2
    assert tested.overlaid(0, b"-- other --") == b"anfirst" + b"r --"
    assert tested.take() == b"anfirst"
    assert tested.insert(0, b"taken before") == 5


def test_what_finds_no_room_has_not_come() -> None:
    tested = Reassembly(limit=4)
    assert tested.insert(2, b"cdefgh") == 4
    assert tested.insert(0, b"ab") == 0
    assert (tested.next, tested.end, tested.kept) == (0, 6, 4)
    tested.discard(4)
    assert tested.insert(6, b"gh") == 2
    assert tested.take() == b"efgh"
