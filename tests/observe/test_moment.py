"""Segments as they pass a host, and what it has taken in of them."""

import pytest

from mbtest.observe.moment import Arrival, Moment
from mbtest.observe.state import PATIENCE, Connection, Subflow
from mbtest.wire import Segment, Timestamps


def moment(subflow: Subflow, time: int, ack: int, echo: int | None) -> Moment:
    """A segment that the host sends."""
    found = Moment(2, time, Segment.build("198.18.1.2", "198.19.1.2", 1, 2), True, subflow, 0)
    found.ack = ack
    found.stamps = None if echo is None else Timestamps(0, echo)
    return found


@pytest.mark.parametrize(
    ("time", "ack", "echo", "is_known"),
    [
        (0, 100, 7, False),
        (0, 101, 7, True),
        (0, 100, 8, True),
        (0, 100, 6, False),
        (0, 100, None, False),
        (PATIENCE, 100, None, True),
    ],
)
def test_a_host_has_taken_in_what_came_before_something_that_it_answers(time, ack, echo, is_known):
    subflow = Subflow((b"a", b"b"), "", "", True)
    subflow.connection = Connection(1, True)
    arrival = Arrival(1, 0, subflow, 100, 7)
    assert arrival.is_known(moment(subflow, time, ack, echo)) is is_known


def test_a_later_timestamp_may_have_wrapped():
    subflow = Subflow((b"a", b"b"), "", "", True)
    subflow.connection = Connection(1, True)
    assert Arrival(1, 0, subflow, 100, 0xFFFF_FFFF).is_known(moment(subflow, 0, 100, 0))


def test_what_a_host_sends_on_another_subflow_shows_nothing_but_time():
    subflow, other = (Subflow((b"a", bytes([number])), "", "", True) for number in range(2))
    subflow.connection = other.connection = Connection(1, True)
    arrival = Arrival(1, 0, subflow, 100, 7)
    assert not arrival.is_known(moment(other, 0, 200, 9))
    assert arrival.is_known(moment(other, PATIENCE, 0, None))
