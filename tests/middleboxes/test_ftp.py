from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, SYN, Seq32
from middleboxes.ftp import TranslateFtp
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

BASE = 2**32 - 3
DIALOGUES = [
    (b"PORT 192,0,2,1,19,137\r\n", b"PORT 198,51,100,1,19,137\r\n"),
    (b"USER a\r\nport 10,0,0,1,0,9\r\nLIST\r\n", b"USER a\r\nport 198,51,100,1,0,9\r\nLIST\r\n"),
    (
        b"227 Entering Passive Mode (192,0,2,2,4,1).\r\n",
        b"227 Entering Passive Mode (198,51,100,1,4,1).\r\n",
    ),
    (b"EPRT |1|192.0.2.1|6275|\r\n", b"EPRT |1|198.51.100.1|6275|\r\n"),
    (b"EPRT |2|2001:db8::1|6275|\r\n", b"EPRT |2|2001:db8:ffff::1|6275|\r\n"),
    (b"PORT 1,1,1,1,1,1\r\nPORT 2,2,2,2,2,2\r\n", b"PORT 198,51,100,1,1,1\r\nPORT 198,51,100,1,2,2\r\n"),
]
OTHERS = [
    b"EPSV\r\n229 Entering Extended Passive Mode (|||6446|)\r\n",
    b"PORT 192,0,2,1\r\n",
    b"SITE PORT 192,0,2,1,4,1\r\n",
    b"EPRT |3|192.0.2.1|6275|\r\n",
    b"227 none\r\n1,2,3,4,5,6",
]


def open_line(box: TranslateFtp) -> Line:
    line = Line(box)
    line.put(segment(BASE - 1, flags=SYN))
    line.put(segment(99, flags=SYN | ACK, ack=BASE, direction=TO_CLIENT), TO_CLIENT)
    return line


@pytest.mark.parametrize(("said", "heard"), DIALOGUES)
def test_addresses_are_rewritten_and_numbers_carried_on(said: bytes, heard: bytes) -> None:
    line = open_line(TranslateFtp())
    more = b"behind it"
    (first,) = line.put(segment(BASE, said, ack=100))
    (second,) = line.put(segment(BASE + len(said), more, ack=100))
    assert (first.payload, second.payload) == (heard, more)
    assert second.seq == Seq32(BASE) + len(heard)
    end = len(heard + more)
    (back,) = line.put(segment(100, ack=BASE + end, direction=TO_CLIENT), TO_CLIENT)
    assert back.ack == Seq32(BASE) + len(said + more)
    assert line.put(segment(BASE, said, ack=100))[0].payload == heard
    assert TranslateFtp().delivers(said + more, TO_SERVER) == heard + more


@pytest.mark.parametrize("said", OTHERS)
def test_everything_else_is_left_alone(said: bytes) -> None:
    line = open_line(TranslateFtp())
    one = segment(BASE, said, ack=100)
    assert line.put(one)[0] is one
    assert TranslateFtp().delivers(said, TO_SERVER) == said


@given(st.integers(1, 22))
def test_a_command_cut_across_segments_passes_as_it_is(at: int) -> None:
    said = DIALOGUES[0][0]
    line = open_line(TranslateFtp())
    first, second = segment(BASE, said[:at], ack=100), segment(BASE + at, said[at:], ack=100)
    assert [line.put(first), line.put(second)] == [[first], [second]]
    whole = segment(BASE, said, ack=100)
    assert line.put(whole) == [whole]


def test_addresses_can_be_given_and_one_direction_spared() -> None:
    box = TranslateFtp(IPv4Address("10.9.8.7"), IPv6Address("::1"), aim=Aim(direction=TO_CLIENT))
    said = b"227 (1,2,3,4,5,6)\r\nEPRT |2|::2|9|\r\n"
    assert box.delivers(said, TO_CLIENT) == b"227 (10,9,8,7,5,6)\r\nEPRT |2|::1|9|\r\n"
    assert box.delivers(said, TO_SERVER) == said
    line = open_line(box)
    one = segment(BASE, said, ack=100)
    assert line.put(one)[0] is one


@pytest.mark.parametrize("told", [{"external_v4": "2001:db8::1"}, {"external_v6": 5}, {"mtu": 575}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^TranslateFtp: "):
        TranslateFtp(**told)
