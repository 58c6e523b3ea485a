from __future__ import annotations

import pytest

from mbtest.middlebox.merging import Batch, Merging
from mbtest.wire import MpPrio, NoOperation, Segment, Timestamps
from tests.middlebox.bench import segment

STAMPS = (NoOperation(), NoOperation(), Timestamps(1, 2))


def piece(number: int, *, size: int = 10, options: tuple[object, ...] = (), ack: int = 0) -> Segment:
    """The piece of a stream whose pieces have ten octets each."""
    return segment(seq=10 * number, payload=bytes([number]) * size, options=options, ack=ack)  # type: ignore[arg-type]


def batch(first: Segment, *, options: str = "first", only_equal: bool = False, largest: int = 1500) -> Batch:
    return Batch(Merging(options, only_equal, largest), first)  # type: ignore[arg-type]


def test_the_pieces_concatenate_to_what_is_merged() -> None:
    gathered = batch(piece(0))
    assert all(gathered.add(piece(number)) for number in range(1, 5))
    merged = gathered.merged()
    assert merged.payload == b"".join(piece(number).payload for number in range(5))
    assert merged.seq == piece(0).seq
    assert merged.checksum_is_right()


def test_one_alone_goes_on_as_it_came() -> None:
    first = piece(0)
    assert batch(first).merged() is first


def test_what_does_not_follow_is_not_taken() -> None:
    gathered = batch(piece(0))
    assert not gathered.add(piece(2))
    assert not gathered.add(piece(0))
    assert gathered.segments == [piece(0)]


def test_no_packet_grows_beyond_the_largest() -> None:
    first = piece(0)
    gathered = batch(first, largest=first.end + 10)
    assert gathered.add(piece(1))
    assert not gathered.add(piece(2))
    assert len(gathered.merged().raw) == first.end + 10


@pytest.mark.parametrize(
    ("options", "left"),
    [("first", {MpPrio}), ("last", {Timestamps}), ("both", {MpPrio, Timestamps})],
)
def test_whose_options_are_left(options: str, left: set[type]) -> None:
    gathered = batch(piece(0, options=(MpPrio(),)), options=options)
    assert gathered.add(piece(1, options=(Timestamps(1, 2),)))
    assert {type(one) for one in gathered.merged().options} - {NoOperation} == left


@pytest.mark.parametrize(
    "other", [piece(1, options=STAMPS), piece(1, ack=7), piece(1, size=11)], ids=["options", "ack", "longer"]
)
def test_only_what_is_equal_goes_together_where_that_is_asked(other: Segment) -> None:
    assert not batch(piece(0), only_equal=True).add(other)
    assert batch(piece(0)).add(other)


def test_a_shorter_one_is_the_last_where_only_equal_ones_go_together() -> None:
    short = piece(1, size=4)
    strict, lax = batch(piece(0), only_equal=True), batch(piece(0))
    assert strict.add(short)
    assert strict.ends_with(short)
    assert not lax.ends_with(short)
    assert not batch(short, only_equal=True).ends_with(short)
