from __future__ import annotations

from random import Random

from mbtest.middlebox import Aim, icmp_error
from mbtest.wire import MptcpOption
from middleboxes.proxy import TerminateConnections
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment
from tests.middlebox.hosts import Hosts


def test_a_connection_is_two_without_mptcp() -> None:
    hosts, data = Hosts(TerminateConnections()), Random(1).randbytes(50_000)
    client, server = hosts.talk(data, data[::-1])
    assert (bytes(server.got), bytes(client.got)) == (data, data[::-1])
    assert not any(one.option(MptcpOption) for way in hosts.arrived.values() for one in way)
    assert not client.connection.is_mptcp


def test_what_the_aim_leaves_out_passes() -> None:
    hosts = Hosts(
        TerminateConnections(aim=Aim(where=lambda one: 443 in (one.source_port, one.destination_port)))
    )
    client, server = hosts.talk(b"request", b"answer")
    assert (client.got, server.got) == (b"answer", b"request")
    assert client.connection.is_mptcp
    assert hosts.chain.deeds(TerminateConnections) == 0


def test_a_flow_that_was_taken_stays_taken_whatever_the_aim() -> None:
    hosts = Hosts(TerminateConnections(aim=Aim(nth=1)))
    client, server = hosts.talk(b"request", b"answer")
    assert (client.got, server.got) == (b"answer", b"request")
    assert not client.connection.is_mptcp


def test_segments_of_unknown_flows_and_other_protocols_pass() -> None:
    line = Line(TerminateConnections())
    one = segment(7, b"data")
    assert line.put(one, TO_SERVER)[0] is one
    error = icmp_error(one, "host-unreachable")
    assert line.chain.forward(error, TO_CLIENT) == (error,)


def test_the_record_says_so() -> None:
    hosts = Hosts(TerminateConnections())
    hosts.talk(b"request", b"answer")
    assert hosts.chain.comment(hosts.arrived[TO_SERVER][0]) == "TerminateConnections sent by its own TCP"
