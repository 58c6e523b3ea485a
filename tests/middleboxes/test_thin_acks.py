from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, RST, SYN, Dss, Segment
from middleboxes.thin_acks import ThinAcks
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk

BASE = 1000


def open_line(box: ThinAcks) -> Line:
    """Return a line through which a handshake has passed."""
    line = Line(box)
    story = [
        (segment(BASE, flags=SYN), TO_SERVER),
        (segment(5000, flags=SYN | ACK, ack=BASE + 1, direction=TO_CLIENT), TO_CLIENT),
        (segment(BASE + 1, ack=5001), TO_SERVER),
    ]
    for one, way in story:
        assert line.put(one, way) == [one]
    line.out.clear()
    return line


def ack(number: int) -> Segment:
    return segment(5001, ack=BASE + 1 + number, direction=TO_CLIENT, options=[Dss(number)])


def test_every_nth_passes_and_the_others_do_not() -> None:
    line = open_line(ThinAcks(3, delay=None))
    passed = [one for number in range(9) for one in line.put(ack(number), TO_CLIENT)]
    line.wait(1_000_000)
    assert passed == [ack(2), ack(5), ack(8)]
    assert line.chain.deeds(ThinAcks) == 6


def test_the_last_passes_after_a_time() -> None:
    line = open_line(ThinAcks(10, delay=500))
    for number in range(3):
        assert line.put(ack(number), TO_CLIENT) == []
    assert line.wait(499) == []
    assert line.wait(1) == [ack(2)]
    assert len(line.clock) == 0


def test_one_ack_alone_was_no_deed() -> None:
    line = open_line(ThinAcks(10, delay=500))
    line.put(ack(0), TO_CLIENT)
    line.wait(500)
    assert line.chain.deeds(ThinAcks) == 0


@pytest.mark.parametrize(
    ("flags", "payload"), [(ACK, b"data"), (ACK | FIN, b""), (ACK | RST, b""), (ACK | SYN, b"")]
)
def test_what_is_no_pure_ack_passes_and_takes_the_place_of_those_withheld(flags: int, payload: bytes) -> None:
    line = open_line(ThinAcks(10, delay=500))
    line.put(ack(0), TO_CLIENT)
    one = segment(5001, payload, flags, ack=BASE + 5, direction=TO_CLIENT)
    assert line.put(one, TO_CLIENT) == [one]
    assert line.wait(1000) == []


def test_flows_and_directions_are_counted_apart() -> None:
    line = open_line(ThinAcks(2, delay=None))
    other = segment(BASE + 1, ack=5001, ports=(40001, 80))
    for one, way in ((ack(0), TO_CLIENT), (segment(BASE + 1, ack=5002), TO_SERVER), (other, TO_SERVER)):
        assert line.put(one, way) == []


def test_what_the_aim_leaves_out_passes() -> None:
    line = open_line(ThinAcks(2, aim=Aim(direction=TO_SERVER)))
    assert line.put(ack(0), TO_CLIENT) == [ack(0)]


@given(st.integers(0, 2**32), st.integers(2, 9), st.sampled_from((0.0, 0.3)))
@settings(deadline=None)
def test_streams_arrive_as_they_were_sent(seed: int, every: int, trouble: float) -> None:
    for connection in talk(ThinAcks(every), seed=seed, trouble=trouble):
        assert connection.server.received == connection.client.stream
        assert connection.client.received == connection.server.stream


@given(st.lists(st.booleans(), max_size=30), st.integers(2, 5))
def test_the_highest_acknowledgment_always_comes_through(story: list[bool], every: int) -> None:
    line = open_line(ThinAcks(every, delay=300))
    for number, waits in enumerate(story):
        line.put(ack(number), TO_CLIENT)
        line.wait(400 if waits else 0)
    line.wait(400)
    numbers = [int(one.ack) for one in segments(line.out, TO_CLIENT)]
    assert numbers == sorted(numbers)
    assert not story or numbers[-1] == int(ack(len(story) - 1).ack)


@pytest.mark.parametrize("told", [{"every": 1}, {"delay": 0}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^ThinAcks: \w+=\d is out of range; give at least"):
        ThinAcks(**told)
