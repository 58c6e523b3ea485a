from __future__ import annotations

from random import Random

import pytest

from mbtest.middlebox import Aim
from mbtest.wire import ACK, RST, SYN, MaximumSegmentSize, MpCapable, MptcpOption, Segment, Timestamps
from middleboxes.syn_proxy import ProxySyns
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments, talk
from tests.middlebox.hosts import Hosts

OPTIONS = [MaximumSegmentSize(1400), Timestamps(1, 2), MpCapable()]


def answered(line: Line, seq: int = 100) -> Segment:
    """Have the client's SYN answered, and return the answer."""
    assert line.put(segment(seq, flags=SYN, options=OPTIONS)) == []
    return segments(line.out, TO_CLIENT)[-1]


def opened(line: Line, seq: int = 100) -> Segment:
    """Open up to the server, and return the SYN/ACK that the client got; the server's number is 5000."""
    answer = answered(line, seq)
    line.put(segment(seq + 1, ack=answer.seq + 1, window=7000))
    line.put(segment(5000, flags=SYN | ACK, ack=seq + 1, direction=TO_CLIENT, window=3000), TO_CLIENT)
    return answer


def test_the_syn_is_answered_without_a_window_and_without_mptcp() -> None:
    line = Line(ProxySyns())
    answer = answered(line)
    assert (answer.flags, answer.ack, answer.window) == (SYN | ACK, 101, 0)
    assert answer.options == (MaximumSegmentSize(1400),)
    assert segments(line.out, TO_SERVER) == []
    assert answered(line) == answer


def test_the_server_is_asked_once_the_client_answered() -> None:
    line = Line(ProxySyns())
    answer = answered(line)
    assert line.put(segment(101, ack=answer.seq + 9)) == []
    line.put(segment(101, ack=answer.seq + 1, window=7000))
    (syn,) = segments(line.out, TO_SERVER)
    assert (syn.flags, syn.seq, syn.options) == (SYN, 100, (MaximumSegmentSize(1400),))
    line.put(segment(101, b"data", ack=answer.seq + 1))
    assert segments(line.out, TO_SERVER) == [syn, syn.replace(window=65535)]


def test_the_servers_answer_opens_the_clients_window() -> None:
    line = Line(ProxySyns())
    answer = opened(line)
    third, update = segments(line.out, TO_SERVER)[-1], segments(line.out, TO_CLIENT)[-1]
    assert (third.flags, third.seq, third.ack, third.window) == (ACK, 101, 5001, 7000)
    assert (update.flags, update.seq, update.ack, update.window) == (ACK, answer.seq + 1, 101, 3000)


def test_numbers_are_moved_from_then_on() -> None:
    line = Line(ProxySyns())
    own = opened(line).seq
    (there,) = line.put(segment(101, b"data", ack=own + 1))
    assert (there.seq, there.ack, there.payload) == (101, 5001, b"data")
    (back,) = line.put(segment(5001, b"answer", ack=105, direction=TO_CLIENT), TO_CLIENT)
    assert (back.seq, back.ack, back.payload) == (own + 1, 105, b"answer")
    assert there.checksum_is_right()
    assert back.checksum_is_right()


def test_a_refusal_of_the_server_reaches_the_client() -> None:
    line = Line(ProxySyns())
    answer = answered(line)
    line.put(segment(101, ack=answer.seq + 1))
    (reset,) = line.put(segment(0, flags=RST | ACK, ack=101, direction=TO_CLIENT), TO_CLIENT)
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, answer.seq + 1, 101)


def test_a_client_that_gives_up_is_forgotten() -> None:
    line = Line(ProxySyns())
    answer = answered(line)
    assert line.put(segment(101, flags=RST)) == []
    late = segment(101, ack=answer.seq + 1)
    assert line.put(late)[0] is late
    assert answered(line).seq != answer.seq


def test_flows_whose_syn_it_did_not_answer_pass() -> None:
    line = Line(ProxySyns())
    for one, way in (
        (segment(1, b"data"), TO_SERVER),
        (segment(1, flags=SYN, direction=TO_CLIENT), TO_CLIENT),
        (segment(1, flags=SYN | ACK), TO_SERVER),
    ):
        assert line.put(one, way)[0] is one


@pytest.mark.parametrize("version", [4, 6])
def test_hosts_talk_through_it_without_mptcp(version: int) -> None:
    hosts, random = Hosts(ProxySyns(), version=version), Random(1)
    data, answer = random.randbytes(100_000), random.randbytes(100_000)
    client, server = hosts.talk(data, answer)
    assert (bytes(server.got), bytes(client.got)) == (data, answer)
    assert not any(one.option(MptcpOption) for way in hosts.arrived.values() for one in way)


@pytest.mark.parametrize("seed", range(8))
def test_losses_do_no_harm(seed: int) -> None:
    hosts, random = Hosts(ProxySyns(), seed=seed), Random(seed)
    hosts.loses = lambda packet: random.random() < 0.1
    client, server = hosts.talk(b"request" * 100, b"answer" * 100)
    assert (client.got, server.got) == (b"answer" * 100, b"request" * 100)


def test_an_aim_that_leaves_syns_out_does_nothing() -> None:
    for connection in talk(ProxySyns(aim=Aim(where=lambda one: not one.syn)), seed=1):
        assert connection.server.received == connection.client.stream
