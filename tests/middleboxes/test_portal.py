from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.wire import ACK, RST, SYN
from middleboxes.portal import PAGE, CaptivePortal
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments
from tests.middlebox.hosts import Hosts


def test_a_connection_that_is_taken_never_reaches_the_server() -> None:
    hosts = Hosts(CaptivePortal())
    client = hosts.connect(b"GET / HTTP/1.1\r\n\r\n")
    assert hosts.run(lambda: client.ended, 5)
    assert client.got == PAGE
    assert client.connection.error is None
    assert not client.connection.is_mptcp
    assert hosts.arrived[TO_SERVER] == []


def test_a_request_that_is_taken_is_answered_and_the_server_reset() -> None:
    line = Line(CaptivePortal("request"))
    line.put(segment(100, flags=SYN))
    line.put(segment(500, flags=SYN | ACK, ack=101, direction=TO_CLIENT), TO_CLIENT)
    line.put(segment(101, ack=501))
    line.out.clear()
    assert line.put(segment(101, b"GET", ack=501)) == segments(line.out, TO_SERVER)
    (reset,), (page,) = segments(line.out, TO_SERVER), segments(line.out, TO_CLIENT)
    assert (reset.flags & RST, reset.seq) == (RST, 101)
    assert (page.seq, page.ack, page.payload, page.fin) == (501, 104, PAGE, True)
    line.out.clear()
    line.put(segment(101, b"GET", ack=501))
    line.put(segment(104, ack=page.next_seq))
    line.put(segment(104, flags=ACK | 1, ack=page.next_seq))
    again, end = segments(line.out)
    assert (again.payload, again.seq) == (PAGE, 501)
    assert (end.flags, end.seq, end.ack) == (ACK, page.next_seq, 105)


def test_a_taken_request_ends_in_good_order_for_the_client_alone() -> None:
    hosts = Hosts(CaptivePortal("request"))
    client = hosts.connect(b"GET / HTTP/1.1\r\n\r\n")
    assert hosts.run(lambda: client.ended and hosts.accepted[0].connection.error == "ECONNRESET", 5)
    assert client.got == PAGE
    assert not client.connection.is_mptcp


@pytest.mark.parametrize("takes", ["connection", "request"])
def test_it_says_what_is_delivered(takes: Any) -> None:
    box = CaptivePortal(takes)
    assert box.delivers(b"GET", TO_SERVER) == b""
    assert box.delivers(b"answer", TO_CLIENT) == PAGE


@pytest.mark.parametrize("takes", ["connection", "request"])
def test_flows_that_the_server_opens_pass(takes: Any) -> None:
    line = Line(CaptivePortal(takes))
    for one, way in (
        (segment(7, flags=SYN, direction=TO_CLIENT), TO_CLIENT),
        (segment(9, flags=SYN | ACK), TO_SERVER),
        (segment(8, b"data", direction=TO_CLIENT), TO_CLIENT),
    ):
        assert line.put(one, way)[0] is one


def test_impossible_parameters_are_refused() -> None:
    told: dict[str, Any] = {"takes": "money"}
    with pytest.raises(
        UsageError, match=r"^CaptivePortal: takes='money' should be 'connection' or 'request'"
    ):
        CaptivePortal(**told)
