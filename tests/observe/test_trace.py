"""A capture as two hosts saw it, from both sides and from one point."""

import random

import pytest

from mbtest.observe.rules import Rulebook
from mbtest.observe.state import Mode
from mbtest.observe.trace import Trace
from tests.observe.conversation import Talk


@pytest.mark.parametrize("one_point", [False, True])
def test_both_hosts_are_followed(one_point):
    talk = Talk(one_point=one_point).established().exchange().close()
    trace = talk.traced(Rulebook())
    trace.finish()
    assert trace.two_points is not one_point
    for who in ("client", "server"):
        (found,) = trace.hosts[who].connections
        assert found.mode is Mode.MPTCP
        assert trace.hosts[who].exact is not one_point
        other = trace.counterpart(trace.hosts[who], found)
        assert other is trace.hosts["server" if who == "client" else "client"].connections[0]


def test_with_one_point_the_opener_is_the_client_whatever_its_port():
    talk = Talk(one_point=True)
    talk.flows[0].port = {"client": 80, "server": 40_000}
    assert talk.established().traced().hosts["client"].connections[0].opened_here is True


def test_a_join_from_the_listener_has_it_as_its_opener():
    talk = Talk(one_point=True).established()
    talk.join(flow=talk.open("server"))
    subflow = talk.traced().hosts["server"].connections[0].subflows[1]
    assert subflow.opened_here is True


@pytest.mark.parametrize("where", ["client", "server", None])
def test_what_reached_a_host_is_known_where_the_capture_was_taken(where):
    talk = Talk(one_point=True).established()
    trace = Trace(taken_at=where)
    for frame in talk.frames:
        trace.add(*frame)
    assert [who for who, host in trace.hosts.items() if host.exact] == ([where] if where else [])
    assert trace.two_points is False


@pytest.mark.parametrize("opener", ["client", "server"])
def test_with_a_point_at_each_host_who_sent_what_is_told_by_who_opened_its_flow(opener):
    talk = Talk().established()
    talk.join(flow=talk.open(opener))
    trace = Trace()
    for number, time, _, side, _, raw in talk.frames:
        trace.add(number, time, "", side, None, raw)
    both = talk.traced()
    assert trace.two_points
    for who, host in trace.hosts.items():
        assert host.exact
        (found,), (known,) = host.connections, both.hosts[who].connections
        assert [subflow.opened_here for subflow in found.subflows] == [
            subflow.opened_here for subflow in known.subflows
        ]
        assert found.peer.arrived.front == known.peer.arrived.front == 101


def test_what_cannot_be_read_is_counted():
    trace = Talk().established().traced()
    trace.add(99, 0, "p", "client", "client", b"\x45junk")
    trace.add(100, 0, "p", "client", "client", bytes.fromhex("450000140000000040110000c6120102c6130102"))
    assert (trace.undecodable, trace.others) == (1, 1)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("one_point", [False, True])
def test_whatever_a_packet_holds_it_is_followed(seed, one_point):
    chance = random.Random(seed)
    talk = Talk(checksum=bool(seed % 2), one_point=one_point).established()
    talk.join()
    talk.exchange().close()
    trace = Trace(Rulebook())
    for *where, raw in talk.frames:
        octets = bytearray(raw)
        for _ in range(chance.randrange(4)):
            octets[chance.randrange(20, len(octets))] = chance.choice([0, 255, chance.randrange(256)])
        if chance.random() > 0.1:
            trace.add(*where, bytes(octets))
    trace.finish()
    assert trace.frames > 0
