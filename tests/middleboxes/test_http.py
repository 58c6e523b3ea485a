from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, SYN, Seq32
from middleboxes.http import InsertHttpHeader
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

BASE = 2**32 - 3
REQUEST = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nServer: c\r\n\r\n"
FIELD = b"X-Forwarded-For: 192.0.2.1\r\n"
CHANGED = b"GET /a HTTP/1.1\r\n" + FIELD + b"Host: b\r\n\r\n"
REST = bytes(range(200))


def open_line(box: InsertHttpHeader) -> Line:
    line = Line(box)
    line.put(segment(BASE - 1, flags=SYN))
    line.put(segment(99, flags=SYN | ACK, ack=BASE, direction=TO_CLIENT), TO_CLIENT)
    return line


def test_the_field_stands_behind_the_request_line_and_numbers_are_carried_on() -> None:
    line = open_line(InsertHttpHeader(aim=Aim(direction=TO_SERVER)))
    (out,) = line.put(segment(BASE, REQUEST, ack=100))
    assert out.payload == CHANGED
    (behind,) = line.put(segment(BASE + len(REQUEST), REQUEST, ACK | FIN, ack=100))
    assert (behind.payload, behind.seq) == (REQUEST, Seq32(BASE) + len(CHANGED))
    (back,) = line.put(segment(100, ANSWER, ack=BASE + len(CHANGED), direction=TO_CLIENT), TO_CLIENT)
    assert (back.payload, back.ack) == (ANSWER, Seq32(BASE) + len(REQUEST))


def test_answers_get_it_too_unless_the_aim_says_otherwise() -> None:
    box = InsertHttpHeader("Via: 1.1 x")
    changed = b"HTTP/1.1 200 OK\r\nVia: 1.1 x\r\nServer: c\r\n\r\n"
    (out,) = open_line(box).put(segment(100, ANSWER, ack=BASE, direction=TO_CLIENT), TO_CLIENT)
    assert out.payload == changed == box.delivers(ANSWER, TO_CLIENT)
    aimed = InsertHttpHeader(aim=Aim(direction=TO_SERVER))
    assert aimed.delivers(ANSWER, TO_CLIENT) == ANSWER
    assert aimed.delivers(REQUEST, TO_SERVER) == CHANGED


@pytest.mark.parametrize(
    "said", [b"get / HTTP/1.1\r\n", b"GET / HTTP/2\r\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1", REST]
)
def test_other_streams_are_left_alone(said: bytes) -> None:
    box = InsertHttpHeader()
    one = segment(BASE, said, ack=100)
    assert open_line(box).put(one)[0] is one
    assert box.delivers(said, TO_SERVER) == said


@given(st.lists(st.integers(0, 250), min_size=1, max_size=6), st.integers(17, 60))
@settings(deadline=None)
def test_whatever_comes_again_is_what_came_before(starts: list[int], first: int) -> None:
    stream = REQUEST + REST
    line = open_line(InsertHttpHeader())
    read: dict[int, int] = {}
    for start, end in ((0, first), *((at, at + 40) for at in starts)):
        for out in line.put(segment(BASE + start, stream[start:end], ack=100)):
            for number, octet in enumerate(out.payload):
                assert read.setdefault(out.seq - Seq32(BASE) + number, octet) == octet
    changed = CHANGED + REST
    assert all(changed[at] == octet for at, octet in read.items())


@pytest.mark.parametrize("field", ["", "no colon", "X: a\r\nY: b", ": value", "A b: c"])
def test_what_is_no_header_field_is_refused(field: str) -> None:
    with pytest.raises(
        UsageError, match=r"^InsertHttpHeader: field=.* is no header field; give 'Name: value'"
    ):
        InsertHttpHeader(field)


@pytest.mark.parametrize("told", [{"mtu": 575}, {"field": b"A: b"}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^InsertHttpHeader: "):
        InsertHttpHeader(**told)
