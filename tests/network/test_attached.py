"""Stacks that are no kernel, on a network of namespaces."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import msgspec
import pytest

from mbtest.errors import LocalProtocolError
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import Topology
from mbtest.wire import SYN, MaximumSegmentSize, Segment, decode
from tests.network.traffic import Chatter

Build = Callable[..., NamespaceNetwork]
SECOND = 1_000_000
CLIENT, SERVER = frozenset({"client"}), frozenset({"server"})
C1, S1 = "198.18.1.2", "198.19.1.2"


def arrive(network: NamespaceNetwork, received: list[bytes], number: int = 1) -> list[Segment]:
    assert network.loop.run(lambda: len(received) >= number, network.loop.now + 5 * SECOND)
    segments = [decode(raw) for raw in received]
    assert all(isinstance(segment, Segment) for segment in segments)
    return segments  # type: ignore[return-value]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_an_attached_client_and_a_kernel_answer_each_other(build: Build, family: str) -> None:
    network = build(family=family, attached=CLIENT)
    assert set(network.hosts) == {"server"}
    server = network.hosts["server"].interfaces[0]
    there = server.v4 if family == "v4" else server.v6
    here = network.topology.client[0].addresses(network.family)[0].ip
    received: list[bytes] = []
    send = network.attach("client", received.append)
    sent: list[None] = []
    with network.hosts["server"].socket(socket.AF_INET if family == "v4" else socket.AF_INET6) as listener:
        listener.bind((str(there), 80))
        listener.listen()
        syn = Segment.build(
            here, there, 4000, 80, seq=100, flags=SYN, options=(MaximumSegmentSize(1_000),), window=1_000
        )
        network.loop.at_round_end(lambda: sent or sent.append(send["c1"](syn.raw)))
        network.loop.call_at(0, lambda: None)
        (answer,) = arrive(network, received)
    assert answer.syn
    assert answer.ack == 101
    assert network.losses() == []
    assert network.capture is not None
    assert len(network.capture) == 4


def test_no_kernel_answers_for_an_attached_host(build: Build) -> None:
    network = build(attached=CLIENT)
    received: list[bytes] = []
    network.attach("client", received.append)
    with network.hosts["server"].socket(socket.AF_INET) as caller:
        assert caller.connect_ex((C1, 80)) == errno.EINPROGRESS
        # A kernel would refuse the first; here the caller has to ask a second time.
        first, second = arrive(network, received, 2)
        assert first.syn
        assert second.seq == first.seq
    assert network.losses() == []


def test_an_attached_server_is_called_by_a_kernel(build: Build) -> None:
    network = build("dual-homed-both", attached=SERVER)
    received: list[bytes] = []
    network.attach("server", received.append)
    with network.hosts["client"].socket(socket.AF_INET) as caller:
        caller.connect_ex(("198.19.2.2", 80))
        (syn,) = arrive(network, received)
    assert str(syn.destination) == "198.19.2.2"
    assert [frame.point for frame in network.capture or ()] == ["c1-s2/client", "c1-s2/server"]


def test_both_attached_need_no_namespace(build: Build) -> None:
    network = build("dual-homed-client", attached=CLIENT | SERVER)
    assert network.hosts == {}
    server, client = Chatter(network, "server"), Chatter(network, "client", 20)
    assert network.loop.run(lambda: len(client.received) == 20, 5 * SECOND)
    assert len(server.received) == 20
    assert network.losses() == []
    assert not network.fabric.unroutable


def test_a_stated_delay_holds_for_attached_hosts(build: Build, topology: Callable[[str], Topology]) -> None:
    one_path = topology("one-path")
    slow = msgspec.structs.replace(
        one_path, paths=(msgspec.structs.replace(one_path.paths[0], delay_us=20_000),)
    )
    network = build(slow, attached=CLIENT | SERVER)
    Chatter(network, "server")
    client = Chatter(network, "client", 1)
    assert network.loop.run(lambda: bool(client.received), 5 * SECOND)
    assert client.received[0][0] >= 40_000


def test_a_host_with_a_namespace_takes_no_stack(build: Build) -> None:
    network = build(attached=CLIENT)
    with pytest.raises(LocalProtocolError, match="the server has a namespace"):
        network.attach("server", lambda raw: None)
