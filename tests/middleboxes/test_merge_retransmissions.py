from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import ACK, FIN, SYN, Dss, Segment, Seq32
from middleboxes.merge_retransmissions import MergeRetransmissions
from tests.middlebox.bench import TO_CLIENT, Line, segment, talk

BASE = 2**32 - 3
"""The number of the first octet: streams wrap after three."""
DATA = bytes(range(100))


def open_line(**told: Any) -> Line:
    line = Line(MergeRetransmissions(**told))
    line.put(segment(BASE - 1, flags=SYN))
    line.put(segment(99, flags=SYN | ACK, ack=BASE, direction=TO_CLIENT), TO_CLIENT)
    return line


def data(start: int, end: int, flags: int = ACK) -> Segment:
    return segment(BASE + start, DATA[start:end], flags, ack=100, options=[Dss(start)])


def acknowledge(line: Line, offset: int) -> None:
    line.put(segment(100, ack=BASE + offset, direction=TO_CLIENT), TO_CLIENT)


def test_new_data_passes_as_it_is() -> None:
    line = open_line()
    for start in (0, 10, 20):
        one = data(start, start + 10)
        assert line.put(one)[0] is one
    assert line.chain.deeds(MergeRetransmissions) == 0


def test_what_comes_again_brings_along_what_went_behind_it() -> None:
    line = open_line()
    for start in (0, 10, 20):
        line.put(data(start, start + 10))
    (out,) = line.put(data(10, 20))
    assert (out.payload, out.seq, out.option(Dss)) == (DATA[10:30], Seq32(BASE) + 10, Dss(10))
    assert out.checksum_is_right()
    assert line.chain.comment(out) == ("MergeRetransmissions put 10 octets behind it that had passed before")
    (out,) = line.put(data(5, 12))
    assert out.payload == DATA[5:30]


def test_no_packet_is_made_larger_than_told() -> None:
    line = open_line(largest=len(data(0, 25)))
    for start in (0, 10, 20):
        line.put(data(start, start + 10))
    assert [one.payload for one in line.put(data(0, 10))] == [DATA[:25]]
    one = data(0, 25)
    assert line.put(one)[0] is one


def test_what_was_acknowledged_is_forgotten() -> None:
    line = open_line()
    for start in (0, 10, 20):
        line.put(data(start, start + 10))
    acknowledge(line, 20)
    one = data(0, 10)
    assert line.put(one)[0] is one
    assert [one.payload for one in line.put(data(15, 20))] == [DATA[15:30]]
    acknowledge(line, 30)
    one = data(20, 30)
    assert line.put(one)[0] is one


def test_what_lies_beyond_a_hole_does_not_go_with_what_is_before() -> None:
    line = open_line()
    line.put(data(0, 10))
    line.put(data(20, 30))
    one = data(0, 10)
    assert line.put(one)[0] is one


def test_segments_that_end_the_stream_and_wrong_ones_pass_as_they_are() -> None:
    line = open_line()
    line.put(data(0, 10))
    line.put(data(10, 20))
    for one in (data(0, 10, ACK | FIN), data(0, 10).replace(checksum=0x1234), data(0, 0)):
        assert line.put(one)[0] is one


@given(st.integers(0, 2**32), st.sampled_from((0.0, 0.3)), st.sampled_from((100, 1500, 65535)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, trouble: float, largest: int) -> None:
    for connection in talk(MergeRetransmissions(largest), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


@pytest.mark.parametrize("largest", [67, 65536])
def test_impossible_parameters_are_refused(largest: int) -> None:
    words = f"^MergeRetransmissions: largest={largest} is out of range; give 68 to 65535 octets$"
    with pytest.raises(UsageError, match=words):
        MergeRetransmissions(largest)
