from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox import Edit, HalfFlow, MovedHalf, StreamMap, mend_sack
from mbtest.wire import Sack, Seq32, Timestamps
from tests.middlebox.bench import segment

BASES = st.sampled_from((0, 2**32 - 1, 2**32 - 30, 2**31 - 10))


def moved(base: int, seen: int, *edits: Edit) -> MovedHalf:
    half = HalfFlow(Seq32(base))
    half.passed(seen)
    return MovedHalf(half, StreamMap(edits))


@given(BASES, st.integers(0, 60))
def test_what_was_sent_forward_is_acknowledged_backward(base: int, offset: int) -> None:
    half = moved(base, 60, Edit(10, 2, b"longer"), Edit(30, 0, b"inserted"))
    assert half.backward(half.forward(Seq32(base + offset))) == Seq32(base + offset)


@given(BASES)
def test_removed_octets_are_acknowledged_once_they_were_seen(base: int) -> None:
    edit = Edit(10, 5)
    for seen, acknowledged in ((10, 10), (12, 12), (15, 15), (40, 15)):
        assert moved(base, seen, edit).backward(Seq32(base + 10)) == Seq32(base + acknowledged)


@given(BASES, st.integers(0, 2))
def test_an_octet_is_not_acknowledged_by_a_part_of_what_stands_for_it(base: int, part: int) -> None:
    half = moved(base, 40, Edit(10, 0, b"abc"))
    assert half.backward(Seq32(base + 10 + part)) == Seq32(base + 10)


@given(BASES)
def test_an_acknowledgment_of_what_never_passed_is_not_made_better(base: int) -> None:
    half = moved(base, 20, Edit(10, 5))
    assert half.backward(Seq32(base + 100)) == Seq32(base + 105)


@given(BASES)
def test_the_fin_is_acknowledged_behind_the_last_octet(base: int) -> None:
    half = moved(base, 20, Edit(10, 5))
    assert half.backward(Seq32(base + 16)) == Seq32(base + 21)


@given(BASES)
def test_a_block_covers_only_octets_that_are_whole_in_it(base: int) -> None:
    half = moved(base, 60, Edit(10, 0, b"abc"), Edit(30, 5))

    def block(left: int, right: int) -> tuple[int, int] | None:
        found = half.block((Seq32(base + left), Seq32(base + right)))
        return found and (Seq32(found[0]) - Seq32(base), Seq32(found[1]) - Seq32(base))

    assert block(0, 10) == (0, 10)
    assert block(11, 20) == (11, 17)
    assert block(10, 12) is None
    assert block(20, 33) == (17, 35)
    assert block(33, 40) == (30, 42)


def test_offsets_go_on_beyond_the_wrap_of_numbers() -> None:
    half = moved(2**32 - 5, 0, Edit(2, 0, b"x"))
    for _ in range(5):
        half.half.passed(half.half.highest + 2**30)
    assert half.half.highest == 5 * 2**30
    assert half.forward(Seq32(2**32 - 5 + 5 * 2**30)) == Seq32(2**32 - 4 + 5 * 2**30)


def test_a_sack_is_mended_block_by_block_and_left_out_when_empty() -> None:
    stamps = Timestamps(1, 2)
    answer = segment(options=[stamps, Sack(((5, 9), (20, 30)))])
    assert mend_sack(answer, lambda block: (block[0] + 1, block[1] + 1)) == (
        *answer.options[:1],
        Sack(((6, 10), (21, 31))),
        *answer.options[2:],
    )
    kept = mend_sack(answer, lambda block: block if block[0] == 20 else None)
    assert kept is not None
    assert Sack(((20, 30),)) in kept
    gone = mend_sack(answer, lambda block: None)
    assert gone is not None
    assert not any(isinstance(option, Sack) for option in gone)
    assert mend_sack(segment(options=[stamps]), lambda block: block) is None
