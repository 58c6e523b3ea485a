from __future__ import annotations

import pytest

from mbtest.wire import ACK, FIN, RST, SYN
from middleboxes.challenge import ChallengeInexact
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk


def open_line() -> Line:
    """Return a line on which a flow is open: the client's next number is 101, the server's 501."""
    line = Line(ChallengeInexact())
    line.put(segment(100, flags=SYN))
    line.put(segment(500, flags=SYN | ACK, ack=101, direction=TO_CLIENT), TO_CLIENT)
    line.put(segment(101, ack=501))
    line.out.clear()
    return line


def test_a_reset_that_fits_passes_both_ways() -> None:
    for seq, way in ((101, TO_SERVER), (501, TO_CLIENT)):
        one = segment(seq, flags=RST, direction=way)
        assert open_line().put(one, way)[0] is one


@pytest.mark.parametrize("off", [-1, 1, 5000, -(2**31)])
def test_one_that_does_not_fit_is_answered_by_an_ack(off: int) -> None:
    line = open_line()
    one = segment(101 + off, flags=RST)
    assert line.put(one) == []
    (challenge,) = segments(line.out, TO_CLIENT)
    assert (challenge.flags, challenge.seq, challenge.ack) == (ACK, 501, 101)
    assert challenge.flow == one.flow[::-1]


def test_data_on_its_way_is_not_counted_and_an_acknowledgment_is() -> None:
    line = open_line()
    line.put(segment(101, b"data", ack=501))
    assert line.put(segment(105, flags=RST)) == []
    line.put(segment(501, ack=105, direction=TO_CLIENT), TO_CLIENT)
    assert line.put(segment(105, flags=RST))


def test_a_syn_on_an_open_flow_is_answered_by_an_ack() -> None:
    line = open_line()
    assert line.put(segment(100, flags=SYN)) == []
    assert segments(line.out, TO_CLIENT)[0].ack == 101
    line.put(segment(101, flags=FIN | ACK, ack=501))
    assert line.put(segment(9000, flags=SYN))


def test_a_handshake_passes_however_often_it_is_sent() -> None:
    line = Line(ChallengeInexact())
    for _ in range(2):
        assert line.put(segment(100, flags=SYN))
        assert line.put(segment(500, flags=SYN | ACK, ack=101, direction=TO_CLIENT), TO_CLIENT)
    refusal = segment(0, flags=RST | ACK, ack=201, direction=TO_CLIENT, ports=(40001, 81))
    assert line.put(segment(200, flags=SYN, ports=(40001, 81)))
    assert line.put(refusal, TO_CLIENT)[0] is refusal


def test_streams_arrive_as_they_were_sent() -> None:
    for seed in range(5):
        for connection in talk(ChallengeInexact(), seed=seed, trouble=0.3):
            assert connection.server.received == connection.client.stream
            assert connection.client.received == connection.server.stream


def test_who_is_not_known_is_not_asked() -> None:
    one = segment(7, flags=RST, direction=TO_CLIENT)
    assert Line(ChallengeInexact()).put(one, TO_CLIENT)[0] is one
