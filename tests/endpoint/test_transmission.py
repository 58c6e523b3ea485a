"""What waits, what is under way, what is lost: one subflow's sending half by itself."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.mappings import Mapping
from mbtest.endpoint.transmission import Chunk, Transmission


def under_way(count: int, size: int = 10) -> Transmission:
    """Return chunks that were sent at 0, 1, 2, ... µs."""
    out = Transmission()
    for at in range(count):
        out.sent(out.append(bytes([at]) * size), at)
    return out


def edges(chunks: object) -> list[tuple[int, int]]:
    return [(chunk.start, chunk.end) for chunk in chunks]  # type: ignore[attr-defined]


def test_syn_and_fin_take_a_number_each() -> None:
    out = Transmission()
    out.append(b"", syn=True)
    out.append(b"data")
    out.append(b"", fin=True)
    assert edges(out.waiting) == [(0, 1), (1, 5), (5, 6)]
    assert (out.end, out.nxt, out.una) == (6, 0, 0)


def test_an_acknowledgement_frees_whole_chunks_and_trims_the_next() -> None:
    out = under_way(3)
    result = out.acknowledge(15, (), 50)
    assert edges(result.chunks) == [(0, 10)]
    assert (result.octets, result.rtt) == (15, 50)
    assert edges(out.under_way) == [(15, 20), (20, 30)]
    assert out.under_way[0].payload == bytes([1]) * 5
    assert out.in_flight == 15


def test_the_round_trip_is_that_of_the_last_segment() -> None:
    assert under_way(3).acknowledge(30, (), 50).rtt == 48


def test_the_round_trip_is_not_taken_where_a_segment_was_sent_twice() -> None:
    out = under_way(3)
    out.lose_first()
    out.sent(out.under_way[0], 20)
    assert out.acknowledge(30, (), 50).rtt is None


def test_three_segments_behind_a_hole_make_it_lost_and_fewer_do_not() -> None:
    out = under_way(6)
    out.acknowledge(0, [(10, 30)], 9)
    assert not out.find_lost()
    out.acknowledge(0, [(10, 40)], 9)
    assert out.find_lost()
    assert out.next_lost() is out.under_way[0]
    assert out.in_flight == 20
    assert not out.find_lost()


def test_what_was_sent_again_is_left_to_the_timer() -> None:
    out = under_way(6)
    out.acknowledge(0, [(10, 40)], 9)
    out.find_lost()
    out.sent(out.under_way[0], 10)
    out.acknowledge(0, [(10, 60)], 11)
    assert not out.find_lost()
    assert out.next_lost() is None


def test_a_block_that_covers_part_of_a_chunk_does_not_count() -> None:
    out = under_way(3)
    assert out.acknowledge(0, [(11, 20)], 9).sacked == 0
    assert out.acknowledge(0, [(5, 25)], 9).sacked == 10
    assert out.sacked == 10


def test_after_a_timeout_everything_is_lost_whatever_was_reported() -> None:
    out = under_way(3)
    out.acknowledge(0, [(10, 20)], 9)
    out.lose_all()
    assert (out.in_flight, out.sacked) == (0, 0)
    for chunk in list(out.under_way):
        assert out.next_lost() is chunk
        out.sent(chunk, 20)
    assert (out.next_lost(), out.in_flight) == (None, 30)


def test_a_cut_keeps_octets_mappings_and_the_fin_and_loses_what_was_too_long() -> None:
    out = Transmission()
    mapping = Mapping(0, 1, 35)
    out.sent(out.append(b"0123456789", mapping), 0)
    out.sent(out.append(b"abc", mapping), 0)
    chunk = out.append(b"ABCDEFGHIJ", mapping, fin=True)
    chunk.carries_mapping = False
    out.cut(4)
    assert [piece.payload for piece in out.under_way] == [b"0123", b"4567", b"89", b"abc"]
    assert [piece.lost for piece in out.under_way] == [True, True, True, False]
    assert [(piece.payload, piece.fin, piece.pushes) for piece in out.waiting] == [
        (b"ABCD", False, False), (b"EFGH", False, False), (b"IJ", True, True),
    ]  # fmt: skip
    assert edges(out.waiting) == [(13, 17), (17, 21), (21, 24)]
    assert {piece.mapping for piece in (*out.under_way, *out.waiting)} == {mapping}
    assert [piece.carries_mapping for piece in (*out.under_way, *out.waiting)] == [True] * 4 + [False] * 3
    assert out.in_flight == 3
    assert out.next_lost() is out.under_way[0]


def test_the_first_waiting_chunk_can_be_split() -> None:
    out = Transmission()
    out.append(b"abc", fin=True)
    out.append(b"later")
    first = out.split_first(1)
    assert [(chunk.payload, chunk.fin) for chunk in out.waiting] == [
        (b"a", False),
        (b"bc", True),
        (b"later", False),
    ]
    assert out.split_first(1) is first


class Checked(Transmission):
    """Holds its sums against its chunks."""

    def check(self) -> None:
        assert self.in_flight == sum(
            chunk.end - chunk.start for chunk in self.under_way if not chunk.lost and not chunk.sacked
        )
        assert self.sacked == sum(chunk.end - chunk.start for chunk in self.under_way if chunk.sacked)
        chunks: list[Chunk] = [*self.under_way, *self.waiting]
        at = self.una
        for chunk in chunks:
            assert chunk.start == at
            at = chunk.end
            assert not (chunk.lost and chunk.sacked)
        assert at == self.end or not chunks


STEPS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 200), st.integers(1, 80)), max_size=40)


@given(STEPS)
def test_sums_and_order_hold_whatever_happens(steps: list[tuple[int, int, int]]) -> None:
    out = Checked()
    written = bytearray()
    acked = bytearray()
    for now, (step, at, size) in enumerate(steps):
        if step == 0:
            data = Random(now).randbytes(size)
            written += data
            out.append(data)
        elif step in (1, 2):
            lost = out.next_lost()
            if lost is not None or out.waiting:
                out.sent(lost or out.waiting[0], now)
        elif step == 3:
            left = out.una + at
            out.acknowledge(out.una, [(left, min(left + size, out.nxt))], now)
            out.find_lost()
        elif step == 4:
            ack = min(out.nxt, out.una + at)
            acked += written[out.una : ack]
            out.acknowledge(ack, (), now)
        elif step == 5:
            out.lose_first()
        elif step == 6:
            out.lose_all()
        else:
            out.cut(size)
        out.check()
    rest = b"".join(chunk.payload for chunk in (*out.under_way, *out.waiting))
    assert bytes(acked) + rest == bytes(written)


@pytest.mark.parametrize("blocks", [[(0, 0)], [(20, 10)], [(100, 200)], [(-5, 0)]])
def test_blocks_that_say_nothing_change_nothing(blocks: list[tuple[int, int]]) -> None:
    out = under_way(2)
    assert out.acknowledge(0, blocks, 5).sacked == 0
    assert out.in_flight == 20
