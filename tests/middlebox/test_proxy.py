from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from random import Random

import pytest

from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.proxy import BUFFER, Proxy
from mbtest.wire import RST, SYN, MpJoinSyn, MptcpOption, Segment
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment
from tests.middlebox.hosts import Hosts


class Ends(Middlebox):
    """Ends all flows."""

    def start(self) -> None:
        self.proxy = Proxy(self)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return () if self.proxy.take(segment, direction, opens=True) else (segment,)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("boxes", [1, 2])
def test_both_streams_and_their_ends_are_carried_over(version: int, boxes: int) -> None:
    hosts = Hosts(*(Ends() for _ in range(boxes)), version=version)
    data, answer = Random(1).randbytes(300_000), Random(2).randbytes(200_000)
    client, server = hosts.talk(data, answer)
    assert (bytes(server.got), bytes(client.got)) == (data, answer)
    assert (client.connection.error, server.connection.error) == (None, None)


def test_each_host_sees_the_other_and_no_mptcp() -> None:
    hosts = Hosts(Ends())
    client, server = hosts.talk(b"request", b"answer")
    flow = hosts.arrived[TO_SERVER][0].flow
    assert all(one.flow == flow for one in hosts.arrived[TO_SERVER])
    assert all(one.flow == flow[::-1] for one in hosts.arrived[TO_CLIENT])
    assert not any(one.option(MptcpOption) for way in hosts.arrived.values() for one in way)
    assert not client.connection.is_mptcp
    assert not server.connection.is_mptcp


def test_what_is_lost_on_either_side_is_sent_again() -> None:
    hosts, random = Hosts(Ends()), Random(3)
    hosts.loses = lambda packet: random.random() < 0.05
    data = random.randbytes(60_000)
    client, server = hosts.talk(data, data)
    assert bytes(server.got) == bytes(client.got) == data


def test_one_direction_can_end_long_before_the_other() -> None:
    hosts = Hosts(Ends())
    client = hosts.connect(b"request", b"", ends=True)
    assert hosts.run(lambda: bool(hosts.accepted) and hosts.accepted[0].ended)
    assert client.connection.error is None
    assert hosts.accepted[0].got == b"request"


def test_a_reset_is_carried_over() -> None:
    hosts = Hosts(Ends())
    client = hosts.connect(b"request", ends=False)
    assert hosts.run(lambda: bool(hosts.accepted) and hosts.accepted[0].got == b"request")
    client.connection.abort(hosts.loop.now)
    assert hosts.run(lambda: hosts.accepted[0].connection.error is not None, 5)


def test_a_refusal_reaches_the_client_as_a_reset() -> None:
    hosts = Hosts(Ends(), listens=False)
    client = hosts.connect(b"request")
    assert hosts.run(lambda: client.connection.error == "ECONNRESET", 5)


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    hosts = Hosts(Ends())
    hosts.connect(b"", bytes(12_000_000), ends=False).reads = False
    hosts.run(lambda: False, 5)
    written = 12_000_000 - len(hosts.accepted[0].data)
    room = hosts.server.configuration.send_buffer + hosts.client.configuration.receive_buffer
    assert written <= room + 4 * BUFFER


def test_a_port_can_be_used_again_once_its_flow_is_over() -> None:
    line = Line(Ends())
    for number in (7, 50_000):
        line.put(segment(number, flags=SYN))
        answers = [one for one, way in line.out if way is TO_CLIENT]
        assert isinstance(answers[-1], Segment)
        assert answers[-1].ack == number + 1
        line.put(segment(number + 1, flags=RST))


def test_a_join_is_answered_as_any_syn() -> None:
    line = Line(Ends())
    line.put(segment(7, flags=SYN, options=[MpJoinSyn(1, 2, 3)]))
    ((answer, way),) = line.out
    assert way is TO_CLIENT
    assert isinstance(answer, Segment)
    assert answer.syn
    assert answer.option(MptcpOption) is None


def test_what_began_before_is_not_taken() -> None:
    line = Line(Ends())
    for one, way in ((segment(7, b"data"), TO_SERVER), (segment(direction=TO_CLIENT), TO_CLIENT)):
        assert line.put(one, way)[0] is one


def test_boxes_that_are_no_proxies_do_without_the_endpoint() -> None:
    code = "import sys, mbtest.middlebox, middleboxes.nat; print('mbtest.endpoint' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
