from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Subflow
from mbtest.wire import ACK, FIN, RST, SYN, Dss, MpJoinSyn, Sack, Seq32, Timestamps
from middleboxes.sequence import RewriteSequence
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, talk

NUMBER = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from((0, 1, 2**32 - 1, 2**31)))
OFFSET = st.one_of(NUMBER, NUMBER.map(lambda number: -number))


@given(NUMBER, OFFSET, st.sampled_from((SYN, ACK, ACK | FIN, RST, RST | ACK)), st.binary(max_size=20))
def test_numbers_move_one_way_and_acknowledgments_back(
    seq: int, offset: int, flags: int, payload: bytes
) -> None:
    line = Line(RewriteSequence(offset, directions="to_server"))
    one = segment(seq, payload, flags, ack=77, options=[Timestamps(1, 2), Dss(5)])
    (out,) = line.put(one)
    assert out == one.replace(seq=seq + offset)
    assert out.checksum_is_right()
    answer = segment(77, flags=ACK, ack=out.next_seq, direction=TO_CLIENT)
    (back,) = line.put(answer, TO_CLIENT)
    assert back.ack == one.next_seq
    assert back.seq == answer.seq
    assert back.checksum_is_right()


@given(OFFSET)
def test_both_directions_move_by_their_own_offsets(offset: int) -> None:
    line = Line(RewriteSequence(offset))
    line.put(segment(1, flags=SYN))
    (back,) = line.put(segment(5, flags=SYN | ACK, ack=2 + offset, direction=TO_CLIENT), TO_CLIENT)
    assert (back.seq, back.ack) == (Seq32(5 + offset), 2)
    (third,) = line.put(segment(2, ack=6 + offset))
    assert (third.seq, third.ack) == (Seq32(2 + offset), 6)


def answered(sack: Any) -> Sack | None:
    line = Line(RewriteSequence(1000, sack=sack))
    line.put(segment(2**32 - 5, b"x" * 10))
    blocks = ((2**32 - 5 + 1003, 1005), (1007, 1009))
    (back,) = line.put(segment(ack=996, options=[Sack(blocks)], direction=TO_CLIENT), TO_CLIENT)
    return back.option(Sack)


def test_sack_blocks_follow_across_the_wrap_or_are_left_behind() -> None:
    assert answered("followed") == Sack(((2**32 - 2, 5), (7, 9)))
    assert answered("left behind") == Sack(((998, 1005), (1007, 1009)))


def test_an_acknowledgment_field_without_ack_is_left_alone() -> None:
    line = Line(RewriteSequence(50))
    line.put(segment(1, flags=SYN))
    (reset,) = line.put(segment(9, flags=RST, ack=7, direction=TO_CLIENT), TO_CLIENT)
    assert (reset.seq, reset.ack) == (59, 7)


def test_a_reset_answers_in_the_numbers_of_the_one_it_aborts() -> None:
    line = Line(RewriteSequence())
    (syn,) = line.put(segment(100, flags=SYN))
    (reset,) = line.put(segment(0, flags=RST | ACK, ack=syn.next_seq, direction=TO_CLIENT), TO_CLIENT)
    assert reset.ack == 101


def test_each_flow_and_direction_draws_its_own_offset_from_the_seed() -> None:
    def offsets(seed: int) -> list[int]:
        line = Line(RewriteSequence(), seed=seed)
        return [
            int(line.put(segment(0, direction=way, ports=(port, 80)), way)[0].seq)
            for port in (40000, 40001)
            for way in (TO_SERVER, TO_CLIENT)
        ]

    assert len(set(offsets(1))) == 4
    assert offsets(1) == offsets(1) != offsets(2)


def test_a_retransmission_moves_as_the_first_did() -> None:
    line = Line(RewriteSequence())
    one = segment(100, b"data")
    assert line.put(one) == line.put(one)


def test_an_aim_limits_it_to_some_flows_and_their_acknowledgments_only() -> None:
    line = Line(RewriteSequence(1000, aim=Aim(subflow=Subflow.JOINED)))
    initial, joined = (40000, 80), (40001, 80)
    line.put(segment(0, flags=SYN, ports=initial))
    line.put(segment(0, flags=SYN, ports=joined, options=[MpJoinSyn(1, 2, 3)]))
    for ports, shift in ((initial, 0), (joined, 1000)):
        (out,) = line.put(segment(1, b"data", ports=ports))
        assert out.seq == 1 + shift
        (back,) = line.put(segment(9, ack=5 + shift, direction=TO_CLIENT, ports=ports), TO_CLIENT)
        assert (back.seq, back.ack) == (9 + shift, 5)


def test_an_aim_at_one_direction_mends_the_acknowledgments_of_the_other() -> None:
    line = Line(RewriteSequence(1000, aim=Aim(direction=TO_SERVER)))
    line.put(segment(0, flags=SYN))
    (back,) = line.put(segment(9, ack=1001, direction=TO_CLIENT), TO_CLIENT)
    assert (back.seq, back.ack) == (9, 1)


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.one_of(st.none(), OFFSET))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, offset: int | None) -> None:
    for connection in talk(RewriteSequence(offset), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


def test_an_impossible_offset_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^RewriteSequence: offset=4294967296 is out of range"):
        RewriteSequence(2**32)


@pytest.mark.parametrize("start", [0, 7, 2**32 - 20_000])
def test_numbers_start_where_they_are_told_to(start: int) -> None:
    line = Line(RewriteSequence(start_at=start))
    (out,) = line.put(segment(99, flags=SYN))
    assert out.seq == Seq32(start)
    (back,) = line.put(segment(5, flags=SYN | ACK, ack=start + 1, direction=TO_CLIENT), TO_CLIENT)
    assert (back.seq, back.ack) == (Seq32(start), 100)
    (later,) = line.put(segment(100, b"data", ack=start + 1))
    assert (later.seq, later.ack) == (Seq32(start + 1), 6)


def test_a_start_and_an_offset_contradict_each_other() -> None:
    with pytest.raises(UsageError, match=r"^RewriteSequence: offset=1 and start_at=2: either"):
        RewriteSequence(1, start_at=2)
