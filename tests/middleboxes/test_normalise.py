from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import SYN, Dss, Segment
from middleboxes.normalise import NormaliseData
from tests.middlebox.bench import TO_CLIENT, Line, segment, talk

ISN = 2**32 - 5


def data(at: int, payload: bytes, **more: Any) -> Segment:
    return segment(ISN + 1 + at, payload, options=[Dss(4)], **more)


def opened(limit: int = 1000, aim: Aim | None = None) -> Line:
    line = Line(NormaliseData(limit, aim=aim))
    line.put(segment(ISN, flags=SYN))
    line.put(data(0, b"hello"))
    return line


def test_octets_that_are_sent_again_are_those_that_were_sent_first() -> None:
    line = opened()
    assert line.put(data(0, b"HELLO", window=7)) == [data(0, b"hello", window=7)]
    (out,) = line.put(data(3, b"LO world"))
    assert out == data(3, b"lo world")
    assert out.checksum_is_right()
    assert line.chain.comment(out) == "NormaliseData put back the octets that were sent first"


def test_what_says_the_same_again_is_no_deed() -> None:
    line = opened()
    assert line.put(one := data(0, b"hello"))[0] is one
    assert line.chain.deeds(NormaliseData) == 0


def test_acknowledged_octets_are_forgotten() -> None:
    line = opened()
    line.put(segment(1, ack=ISN % 2**32 + 1 + 3 - 2**32, direction=TO_CLIENT), TO_CLIENT)
    assert line.put(data(0, b"HELLO")) == [data(0, b"HELlo")]


def test_an_acknowledgment_of_what_never_passed_does_no_harm() -> None:
    line = opened()
    line.put(segment(1, ack=(ISN + 1 + 500) % 2**32, direction=TO_CLIENT), TO_CLIENT)
    line.put(data(5, b" world"))
    assert line.put(data(5, b" WORLD")) == [data(5, b" world")]


def test_a_segment_with_a_wrong_checksum_counts_for_nothing() -> None:
    line = opened()
    wrong = data(5, b"noise").replace(checksum=0x1234)
    assert line.put(wrong) == [wrong]
    assert line.put(data(5, b"world")) == [data(5, b"world")]


def test_no_more_is_remembered_than_told() -> None:
    line = opened(limit=3)
    assert line.put(data(0, b"HELLO")) == [data(0, b"helLO")]


def test_what_the_aim_leaves_out_counts_as_seen() -> None:
    line = opened(aim=Aim(retransmissions=True))
    assert line.put(data(0, b"HELLO")) == [data(0, b"hello")]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float) -> None:
    for connection in talk(NormaliseData(), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream
        assert connection.line.chain.deeds(NormaliseData) == 0


def test_an_impossible_limit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^NormaliseData: limit=0 is out of range; give at least 1$"):
        NormaliseData(0)
