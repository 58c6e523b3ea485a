from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Kind, Sighting, Subflow
from mbtest.wire import ACK, FIN, RST, SYN, Dss, MpCapable, MpJoinSyn, MpJoinSynAck, Seq32, TcpOption
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, segment

ISN = st.sampled_from((0, 2**32 - 1, 2**32 - 7, 2**31 - 3))


class Passage:
    """One flow as it passes a flow table; offsets are of the stream."""

    def __init__(self, isn: int = 2**32 - 7) -> None:
        self.table = FlowTable()
        self.isn = isn

    def pass_(
        self,
        offset: int = 0,
        payload: bytes = b"",
        flags: int = ACK,
        direction: Direction = TO_SERVER,
        ack: int = 0,
        options: tuple[TcpOption, ...] = (),
    ) -> Sighting:
        seq = self.isn + 1 + offset - bool(flags & SYN)
        one = segment(seq, payload, flags, ack=ack, direction=direction, options=options)
        return self.table.sight(one, direction)

    def open(self) -> Passage:
        self.pass_(flags=SYN)
        self.pass_(flags=SYN | ACK, direction=TO_CLIENT)
        self.pass_()
        return self


@given(ISN)
def test_the_handshake_is_told_apart(isn: int) -> None:
    flow = Passage(isn)
    assert flow.pass_(flags=SYN).kinds == Kind.SYN
    assert flow.pass_(flags=SYN | ACK, direction=TO_CLIENT).kinds == Kind.SYN_ACK
    assert flow.pass_(ack=5).kinds == Kind.THIRD_ACK
    assert flow.pass_(ack=5, direction=TO_CLIENT).kinds == Kind.PURE_ACK
    assert flow.pass_(ack=9).kinds == Kind.PURE_ACK


def test_a_third_ack_that_is_sent_again_is_one_again() -> None:
    flow = Passage().open()
    assert flow.pass_()[0] == Kind.THIRD_ACK
    assert flow.pass_().again
    assert flow.pass_(options=(Dss(1),)).kinds == Kind.PURE_ACK
    flow.pass_(0, b"data")
    assert flow.pass_().kinds == Kind.PURE_ACK


def test_the_third_ack_is_the_openers_whichever_side_opens() -> None:
    flow = Passage()
    flow.pass_(flags=SYN, direction=TO_CLIENT)
    flow.pass_(flags=SYN | ACK)
    assert flow.pass_().kinds == Kind.PURE_ACK
    assert flow.pass_(direction=TO_CLIENT).kinds == Kind.THIRD_ACK


def test_data_in_place_of_the_third_ack_leaves_none() -> None:
    flow = Passage()
    flow.pass_(flags=SYN)
    assert flow.pass_(0, b"abc").kinds == Kind.FIRST_DATA
    assert flow.pass_(3).kinds == Kind.PURE_ACK


@given(ISN)
def test_data_stands_at_stream_offsets_in_each_direction(isn: int) -> None:
    flow = Passage(isn).open()
    for direction in (TO_SERVER, TO_CLIENT):
        assert flow.pass_(0, b"abc", direction=direction) == (Kind.FIRST_DATA, 0, 3, False, Subflow.INITIAL)
        assert flow.pass_(7, b"abc", direction=direction)[:4] == (Kind.LATER_DATA, 7, 10, False)
        assert flow.pass_(3, b"abcd", direction=direction)[:4] == (Kind.LATER_DATA, 3, 7, True)
        assert flow.pass_(2, b"abc", ACK | FIN, direction)[0] == Kind.LATER_DATA | Kind.FIN


def test_a_probe_before_the_stream_is_not_its_first_data() -> None:
    flow = Passage().open()
    assert flow.pass_(-1, b"x").kinds == Kind.LATER_DATA
    assert flow.pass_(-1, b"xy").kinds == Kind.FIRST_DATA


def test_only_what_passed_before_in_full_passes_again() -> None:
    flow = Passage()
    assert not flow.pass_(flags=SYN).again
    assert flow.pass_(flags=SYN).again
    assert not flow.pass_(0, b"abcdef").again
    assert flow.pass_(1, b"bc").again
    assert not flow.pass_(4, b"efg").again
    assert not flow.pass_(4, b"efg", ACK | FIN).again
    assert flow.pass_(4, b"efg", ACK | FIN).again
    assert not flow.pass_(7, flags=RST).again
    assert flow.pass_(7, flags=RST).again


def test_an_acknowledgment_ahead_of_data_does_not_make_the_data_a_retransmission() -> None:
    flow = Passage().open()
    flow.pass_(100)
    assert not flow.pass_(0, b"abc").again


def test_a_flow_is_of_the_subflow_that_its_syn_or_syn_ack_opens() -> None:
    assert Passage().pass_(flags=SYN, options=(MpCapable(),)).subflow is Subflow.INITIAL
    joined = Passage()
    assert joined.pass_(flags=SYN, options=(MpJoinSyn(1, 2, 3),)).subflow is Subflow.JOINED
    assert joined.pass_(0, b"data", direction=TO_CLIENT).subflow is Subflow.JOINED
    half_seen = Passage()
    answer = half_seen.pass_(flags=SYN | ACK, direction=TO_CLIENT, options=(MpJoinSynAck(1, 2, 3),))
    assert answer.subflow is Subflow.JOINED


def test_ports_that_are_opened_anew_make_a_new_flow() -> None:
    flow = Passage().open()
    flow.pass_(0, b"abc")
    flow.isn += 1000
    assert flow.pass_(flags=SYN, options=(MpJoinSyn(1, 2, 3),)) == (Kind.SYN, 0, 0, False, Subflow.JOINED)
    assert flow.pass_(0, b"abc").kinds == Kind.FIRST_DATA


def test_flows_are_kept_apart_by_both_ends_and_found_from_both_sides() -> None:
    table = FlowTable()
    one, other = segment(5, b"abc"), segment(5, b"abc", ports=(40001, 80))
    answer = segment(direction=TO_CLIENT)
    assert table.key(one, TO_SERVER) == table.key(answer, TO_CLIENT)
    assert table.key(one, TO_SERVER) != table.key(other, TO_SERVER)
    assert table.flow(one, TO_SERVER) is table.flow(answer, TO_CLIENT)
    table.sight(one, TO_SERVER)
    assert not table.sight(other, TO_SERVER).again


def test_a_flow_met_in_the_middle_begins_where_it_is_met() -> None:
    table = FlowTable()
    assert table.sight(segment(2**32 - 2, b"abcd"), TO_SERVER)[1:4] == (0, 4, False)
    assert table.sight(segment(2, b"ef"), TO_SERVER)[1:4] == (4, 6, False)
    assert table.sight(segment(2**32 - 4, b"yz"), TO_SERVER)[1:4] == (-2, 0, True)


@given(ISN, st.lists(st.integers(1, 2**31 - 1), max_size=8))
def test_offsets_and_numbers_turn_into_each_other_beyond_any_wrap(base: int, steps: list[int]) -> None:
    half = HalfFlow(Seq32(base))
    for step in steps:
        reached = half.highest + step
        assert half.offset(half.sequence(reached)) == reached
        half.passed(reached)
        assert half.highest == reached
        assert half.offset(Seq32(base + reached)) == reached
        assert half.offset(Seq32(base + reached - 1)) == reached - 1
