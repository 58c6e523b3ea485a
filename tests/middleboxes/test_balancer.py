from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbtest.wire import SYN, MaximumSegmentSize, MpCapable, MpJoinAck, MpJoinSyn, Timestamps
from middleboxes.balancer import MisdirectJoins
from tests.middlebox.bench import Line, segment

TOKENS = st.integers(0, 2**32 - 1)


@given(TOKENS, st.integers(0, 255), TOKENS, st.integers(0, 1))
def test_a_join_has_another_token_and_is_the_same_otherwise(
    token: int, address_id: int, nonce: int, backup: int
) -> None:
    line, others = Line(MisdirectJoins()), [MaximumSegmentSize(1400), Timestamps(1, 2)]
    one = segment(7, flags=SYN, options=[*others, MpJoinSyn(address_id, token, nonce, backup)])
    (out,) = line.put(one)
    join = out.option(MpJoinSyn)
    assert join is not None
    assert join.token != token
    assert (join.address_id, join.nonce, join.flags) == (address_id, nonce, backup)
    assert out.with_options(one.options) == one
    assert line.put(one)[0] == out  # a retransmission goes to the same server


def test_all_else_passes_as_it_is() -> None:
    line = Line(MisdirectJoins())
    for one in (
        segment(7, flags=SYN, options=[MpCapable()]),
        segment(8, options=[MpJoinAck(bytes(20))]),
        segment(8, b"data"),
    ):
        assert line.put(one)[0] is one
