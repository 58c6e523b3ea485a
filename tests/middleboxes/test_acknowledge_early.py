from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, RST, SYN, Dss, Segment, Timestamps, WindowScale
from middleboxes.acknowledge_early import AcknowledgeEarly
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Connection, Line, converse, segment, segments

ISN = 2**32 - 20


def data(at: int, size: int = 10, flags: int = ACK) -> Segment:
    return segment(ISN + 1 + at, bytes(size), flags, ack=901, options=[Timestamps(50, 7), Dss(4)])


def answer(acked: int, flags: int = ACK, **more: Any) -> Segment:
    return segment(
        901 - bool(flags & SYN),
        flags=flags,
        ack=(ISN + 1 + acked) % 2**32,
        options=[Timestamps(8, 40), *([WindowScale(3)] if flags & SYN else [Dss(9)])],
        direction=TO_CLIENT,
        **more,
    )


def opened(**told: Any) -> Line:
    line = Line(AcknowledgeEarly(1000, **told))
    line.put(segment(ISN, flags=SYN, options=[WindowScale(2)]))
    line.put(answer(0, SYN | ACK, window=800), TO_CLIENT)
    line.out.clear()
    return line


def test_data_goes_on_and_is_acknowledged_as_its_receiver_would_but_without_mptcp() -> None:
    line = opened()
    assert line.put(data(0))[0] == data(0)
    (early,) = segments(line.out, TO_CLIENT)
    assert early == answer(10, window=790 >> 3).replace(options=[Timestamps(8, 50)])
    assert early.checksum_is_right()
    assert line.chain.comment(early) == "AcknowledgeEarly acknowledged it early"


def test_its_windows_end_where_those_of_the_receiver_do() -> None:
    line = opened()
    line.put(answer(0, window=150), TO_CLIENT)
    line.out.clear()
    for at in (0, 10):
        line.put(data(at))
    assert [one.window for one in segments(line.out, TO_CLIENT)] == [1190 >> 3, 1180 >> 3]


def test_nothing_behind_a_hole_is_acknowledged_and_what_is_sent_again_is() -> None:
    line = opened()
    for at in (10, 0, 0):
        line.put(data(at))
    assert [(one.ack - segment(ISN + 1).seq) for one in segments(line.out, TO_CLIENT)] == [20, 20]


def test_what_the_receiver_does_not_acknowledge_is_sent_again_until_it_does() -> None:
    line = opened()
    line.put(data(0))
    line.put(data(10))
    line.put(answer(10), TO_CLIENT)
    line.out.clear()
    assert line.wait(999) == []
    assert line.wait(1) == [data(10)]
    assert line.wait(1000) == [data(10)]
    line.put(answer(20), TO_CLIENT)
    assert line.wait(10_000) == []
    assert len(line.clock) == 0


@pytest.mark.parametrize("way", [TO_SERVER, TO_CLIENT])
def test_a_reset_ends_its_care(way: Any) -> None:
    line = opened()
    line.put(data(0))
    line.put(data(10, 0, RST) if way is TO_SERVER else answer(0, RST | ACK), way)
    line.out.clear()
    assert line.wait(10_000) == []


def test_a_copy_of_data_that_is_kept_is_looked_after_once() -> None:
    line = opened()
    line.put(data(0))
    line.wait(400)
    line.put(data(0))
    line.out.clear()
    assert line.wait(999) == []
    assert line.wait(1) == [data(0)]
    assert line.wait(1000) == [data(0)]


def test_everything_else_passes_and_is_not_answered() -> None:
    line = opened()
    story = [data(0, 0), data(0, 0, ACK | FIN), data(0).replace(checksum=0x1234)]
    for one in story:
        assert line.put(one)[0] is one
    assert segments(line.out, TO_CLIENT) == []
    unheard = Line(AcknowledgeEarly())
    unheard.put(data(0))
    assert segments(unheard.out, TO_CLIENT) == []


def test_what_the_aim_leaves_out_is_left_to_the_hosts_and_counts_as_come() -> None:
    line = opened(aim=Aim(from_byte=10))
    line.put(data(0))
    assert segments(line.out, TO_CLIENT) == []
    line.put(data(10))
    assert len(segments(line.out, TO_CLIENT)) == 1
    assert line.wait(1000) == [data(10)]


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float) -> None:
    random = Random(seed)
    line = Line(AcknowledgeEarly(15_000))
    connection = Connection(line, random.randbytes(1200), random.randbytes(700), random, (5, 9), wait=10_000)
    converse([connection], random, trouble)
    assert connection.server.received == connection.client.stream
    assert connection.client.received == connection.server.stream


def test_an_impossible_patience_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^AcknowledgeEarly: patience=999 is out of range; give at least 1000"
    ):
        AcknowledgeEarly(999)
