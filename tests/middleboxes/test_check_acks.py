from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, RST, SYN, Dss, Sack, Segment, Seq32
from middleboxes.check_acks import CheckAcks
from tests.middlebox.bench import TO_CLIENT, Line, segment, talk

ISN = 2**32 - 15


def data(at: int, size: int, flags: int = ACK) -> Segment:
    return segment(ISN + 1 + at, bytes(size), flags)


def answer(acked: int, flags: int = ACK, **more: Any) -> Segment:
    return segment(900, flags=flags, ack=Seq32(ISN + 1 + acked), direction=TO_CLIENT, **more)


def opened(**told: Any) -> Line:
    """Return a line on which the octets from 20 to 30 are missing."""
    line = Line(CheckAcks(**told))
    line.put(segment(ISN, flags=SYN))
    line.put(answer(0, SYN | ACK), TO_CLIENT)
    line.put(data(0, 20))
    line.put(data(30, 10))
    return line


def test_an_acknowledgment_of_what_was_not_seen_is_set_back_and_all_else_kept() -> None:
    options = [Sack(((1, 2),)), Dss(7)]
    (out,) = opened().put(answer(40, options=options, window=77, payload=b"data"), TO_CLIENT)
    assert out == answer(20, options=options, window=77, payload=b"data")
    assert out.checksum_is_right()


def test_or_it_is_dropped() -> None:
    line = opened(manner="drop")
    assert line.put(one := answer(40), TO_CLIENT) == []
    assert line.chain.comment(one) == "CheckAcks dropped it: it acknowledged 20 octets that were not seen"


def test_what_was_seen_may_be_acknowledged_once_the_hole_is_filled() -> None:
    line = opened()
    assert line.put(answer(20), TO_CLIENT) == [answer(20)]
    line.put(data(20, 10))
    assert line.put(answer(40), TO_CLIENT) == [answer(40)]
    line.put(data(40, 0, ACK | FIN))
    assert line.put(answer(41), TO_CLIENT) == [answer(41)]
    assert line.put(answer(42), TO_CLIENT) == [answer(40)]


def test_resets_and_flows_that_were_not_seen_are_left_alone() -> None:
    line = opened()
    reset = answer(77, RST | ACK)
    assert line.put(reset, TO_CLIENT) == [reset]
    stray = segment(5, ack=9, direction=TO_CLIENT, ports=(1, 2))
    assert line.put(stray, TO_CLIENT) == [stray]


def test_data_goes_unseen_once_and_is_seen_when_it_is_sent_again() -> None:
    line = Line(CheckAcks(blind_from=10, blind_until=12))
    line.put(segment(ISN, flags=SYN))
    for one in (first := data(0, 10), lost := data(10, 10), data(20, 10)):
        assert line.put(one) == [one]
    assert line.put(answer(30), TO_CLIENT) == [answer(first.payload_length)]
    line.put(lost)
    assert line.put(answer(30), TO_CLIENT) == [answer(30)]


def test_an_aim_at_some_acknowledgments_still_sees_all_data() -> None:
    line = opened(aim=Aim(direction=TO_CLIENT, nth=2))
    assert line.put(answer(40), TO_CLIENT) == [answer(20)]
    assert line.put(answer(40), TO_CLIENT) == [answer(40)]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.integers(0, 600))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, blind: int) -> None:
    box = CheckAcks(blind_from=blind, blind_until=blind * 2)
    for connection in talk(box, seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


def test_a_flow_that_keeps_to_the_path_is_left_alone() -> None:
    line = Line(CheckAcks())
    for one, way in (
        (segment(1, flags=SYN), None),
        (segment(8, flags=SYN | ACK, ack=2, direction=TO_CLIENT), TO_CLIENT),
        (segment(2, b"data", ack=9), None),
        (segment(9, b"answer", ack=6, direction=TO_CLIENT), TO_CLIENT),
    ):
        line.put(one, way) if way else line.put(one)
    assert line.chain.deeds(CheckAcks) == 0


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"manner": "pass"}, "manner='pass' should be 'correct' or 'drop'"),
        ({"blind_from": 5, "blind_until": 4}, "blind_from=5 is behind blind_until=4"),
    ],
)
def test_impossible_parameters_are_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^CheckAcks: {words}$"):
        CheckAcks(**told)
