"""The endpoint: listeners, limits that are reached and held, packets that are nobody's."""

from __future__ import annotations

import gc
from ipaddress import ip_address
from random import Random
from types import FunctionType, ModuleType

import pytest

from mbtest.endpoint import Configuration, Endpoint, Kind
from mbtest.errors import LocalProtocolError
from mbtest.wire import ACK, FIN, RST, SYN, MaximumSegmentSize, MpCapable, MptcpOption, Segment
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A1, A2, B1, B2, KIB, PORT, SECOND, Scene, octets


def listener(**settings) -> Endpoint:
    endpoint = Endpoint(Configuration(**settings), [B1], Random(1))
    endpoint.listen(PORT)
    return endpoint


def syn(port: int, seq: int = 1000) -> Segment:
    return Segment.build(A1, B1, port, PORT, seq=seq, flags=SYN, options=[MpCapable()])


# -- The application ------------------------------------------------------------------------------


def test_a_port_has_one_listener():
    endpoint = listener()
    with pytest.raises(LocalProtocolError, match="port 80"):
        endpoint.listen(PORT)


def test_nothing_is_accepted_where_nobody_listens():
    with pytest.raises(LocalProtocolError, match=r"listen\(81\)"):
        listener().accept(81)
    assert listener().accept(PORT) is None


@pytest.mark.parametrize(("address", "source"), [("2001:db8::1", None), ("10.9.0.1", "10.9.9.9")])
def test_a_connection_needs_an_own_address_that_fits(address, source):
    endpoint = Endpoint(Configuration(), [A1], Random(1))
    with pytest.raises(LocalProtocolError):
        endpoint.connect(ip_address(address), PORT, 0, source=source and ip_address(source))


def test_the_source_may_be_chosen():
    endpoint = Endpoint(Configuration(), [A1, A2], Random(1))
    endpoint.connect(B1, PORT, 0, source=A2)
    assert endpoint.packets_to_send(0)[0].source == A2


def test_the_port_may_be_chosen_once():
    endpoint = Endpoint(Configuration(), [A1], Random(1))
    endpoint.connect(B1, PORT, 0, source_port=4000)
    assert endpoint.packets_to_send(0)[0].source_port == 4000
    with pytest.raises(LocalProtocolError, match="no room for a connection to"):
        endpoint.connect(B1, PORT, 0, source_port=4000)
    assert len(endpoint.connections) == 1


def test_ipv6_works_alike():
    own, other = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    client, server = (Endpoint(Configuration(), [address], Random(1)) for address in (own, other))
    server.listen(PORT)
    connection, accepted, now = client.connect(other, PORT, 0), None, 0
    sent = False
    for now in range(0, 200_000, 1000):
        if connection.established and not sent:
            sent = connection.send(octets(10 * KIB), now) > 0
        for here, there in ((client, server), (server, client)):
            for segment in here.packets_to_send(now):
                there.receive(segment.raw, now)
        accepted = accepted or server.accept(PORT)
    assert accepted is not None
    assert accepted.is_mptcp
    assert accepted.receive(1 << 20, now) == octets(10 * KIB)


def test_connections_are_accepted_in_their_order():
    scene = Scene().exchange()
    for _ in range(3):
        scene.client.endpoint.connect(B1, PORT, scene.now)
        scene.run()
    accepted = [scene.server.endpoint.accept(PORT) for _ in range(4)]
    assert [connection and connection.number for connection in accepted] == [1, 2, 3, None]


def test_the_same_seed_gives_the_same_octets():
    first, second = (Scene(seed=7).exchange(20 * KIB, 20 * KIB).close() for _ in range(2))
    assert [entry.segment.raw for entry in first.log] == [entry.segment.raw for entry in second.log]
    other = Scene(seed=8).exchange(20 * KIB, 20 * KIB)
    assert [entry.segment.raw for entry in first.log] != [entry.segment.raw for entry in other.log]


# -- Packets that are nobody's ------------------------------------------------------------------------


def test_a_closed_port_answers_with_a_reset():
    endpoint = listener()
    endpoint.receive(Segment.build(A1, B1, 9, PORT + 1, seq=7, flags=SYN).raw, 0)
    (reset,) = endpoint.packets_to_send(0)
    assert (reset.flags, int(reset.seq), int(reset.ack)) == (RST | ACK, 0, 8)


@pytest.mark.parametrize("flags", [ACK, FIN | ACK, SYN | ACK])
def test_a_segment_of_no_connection_is_answered_with_a_reset(flags):
    endpoint = listener()
    endpoint.receive(Segment.build(A1, B1, 9, PORT, seq=7, ack=99, flags=flags).raw, 0)
    (reset,) = endpoint.packets_to_send(0)
    assert (reset.flags, int(reset.seq)) == (RST, 99)
    assert endpoint.connections == []


def test_a_reset_is_never_answered():
    endpoint = listener()
    endpoint.receive(Segment.build(A1, B1, 9, PORT, flags=RST | ACK).raw, 0)
    assert endpoint.packets_to_send(0) == []


def test_packets_for_others_are_counted_and_passed_over():
    endpoint = listener()
    endpoint.receive(Segment.build(A1, B2, 9, PORT, flags=SYN).raw, 0)
    udp = bytearray(syn(9).raw)
    udp[9] = 17
    endpoint.receive(bytes(udp), 0)
    assert endpoint.packets_to_send(0) == []
    assert endpoint.counters["for another host"] == endpoint.counters["not TCP"] == 1


@pytest.mark.parametrize("cut", [0, 1, 19, 30, 40])
def test_what_is_cut_off_is_an_event(cut):
    endpoint = listener()
    endpoint.receive(syn(9).raw[:cut], 0)
    assert [event.kind for event in endpoint.events()] == [Kind.MALFORMED]
    assert endpoint.packets_to_send(0) == []


def test_random_octets_never_raise():
    """Whatever comes from the wire, nothing is raised, and the connection lives."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange()
    chance = Random(5)
    samples = [entry.segment.raw for entry in scene.log]
    for _ in range(3000):
        raw = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.getrandbits(8)
        for host in (scene.client, scene.server):
            host.endpoint.receive(bytes(raw), scene.now)
    scene.exchange(20 * KIB, 20 * KIB)


def test_random_options_never_raise():
    """The same with right checksums, so that they get further."""
    for seed in range(300):
        chance = Random(seed)
        peer = Peer(opens=bool(seed & 1), subflows=4, checksum=bool(seed & 2)).open().confirm()
        line = peer.join() if seed & 4 else peer.initial
        for _ in range(10):
            kind = bytes((30,)) if chance.random() < 0.9 else chance.randbytes(1)
            length = chance.choice((3, 4, 8, 12, 16, 20, 22, 24, 26, 28))
            block = kind + bytes((length,)) + chance.randbytes(length - 2)
            block = bytearray(block + b"\1" * (-len(block) % 4))
            if chance.random() < 0.7:
                block[2] = chance.randrange(10) << 4 | chance.getrandbits(1)
            segment = line.last
            built = Segment.build(
                *(line.own[0], line.remote[0], line.own[1], line.remote[1]),
                seq=line.iss + line.next & 0xFFFF_FFFF,
                ack=int(segment.next_seq),
                flags=ACK | (RST if chance.random() < 0.05 else 0) | (FIN if chance.random() < 0.05 else 0),
                payload=chance.randbytes(chance.choice((0, 10))),
            ).with_option_block(bytes(block))
            line.next += built.payload_length
            peer.endpoint.receive(built.raw, peer.now)
            peer.wait(SECOND // 10)
            peer.read()
        peer.wait(100 * SECOND)


# -- Limits -------------------------------------------------------------------------------------------


def test_half_open_connections_are_limited():
    endpoint = listener(half_open_limit=3)
    for port in range(1, 10):
        endpoint.receive(syn(port).raw, 0)
    assert len(endpoint.connections) == 3
    assert len([event for event in endpoint.events() if event.kind is Kind.REFUSED]) == 6
    # Those that nobody completes are given up, and make room.
    for _ in range(100):
        at = endpoint.next_timer()
        if at is None:
            break
        endpoint.handle_timer(at)
    assert endpoint.connections == []
    endpoint.receive(syn(77).raw, 10**9)
    assert len(endpoint.connections) == 1


def test_half_open_joins_count_too():
    peer = Peer(opens=True, half_open_limit=2, subflows=8).open().confirm()
    lines = [peer.join_syn(A2, port=41_000 + number) for number in range(4)]
    assert [line.last.rst for line in lines] == [False, False, True, True]


def test_connections_are_limited():
    endpoint = listener(connection_limit=2)
    for port in range(1, 6):
        endpoint.receive(syn(port).raw, 0)
    assert len(endpoint.connections) == 2


def test_events_are_limited_and_the_oldest_are_dropped():
    endpoint = listener(event_limit=10)
    for number in range(25):
        endpoint.receive(b"\x45" + bytes(number), number)
    events = endpoint.events()
    assert [event.time for event in events] == list(range(15, 25))
    assert endpoint.counters["events dropped"] == 15
    assert endpoint.counters["malformed"] == 25


def test_mappings_are_limited():
    peer = Peer(opens=True, mapping_limit=5).open().confirm()
    line = peer.initial
    for number in range(20):
        line.send(line.dss(b"x", offset=100 + number, at=100 + number))
    assert len(peer.made.subflows[0].mappings) == 5
    assert len(peer.heard(Kind.IGNORED, "no room")) == 15


def test_unmapped_octets_are_limited():
    peer = Peer(opens=True, unmapped_limit=4000, subflows=1).open().confirm()
    line = peer.join()
    line.data(b"mapped")
    for _ in range(20):
        if line.is_reset:
            break
        line.send(payload=bytes(500))
    assert line.is_reset
    assert line.next <= 6 + 4000 + 1000


def test_the_subflows_of_a_connection_are_limited():
    peer = Peer(opens=True, subflows=2).open().confirm()
    lines = [peer.join(A2, port=41_000 + number) for number in range(5)]
    assert [line.is_reset for line in lines] == [False, False, True, True, True]
    assert len(peer.made.subflows) == 3


def test_a_closed_connection_leaves_nothing_behind():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    token = scene.server.connection.own_token
    scene.close().run(10 * SECOND)
    endpoint = scene.server.endpoint
    assert endpoint.connections == []
    assert endpoint.next_timer() is None
    for entry in scene.log[:]:
        if entry.segment.destination == B1 and entry.segment.syn:
            again = entry.segment
            endpoint.receive(again.raw, scene.now)
            (answer,) = endpoint.packets_to_send(scene.now)
            join = again.option(MptcpOption)
            assert answer.rst is (getattr(join, "token", None) == token)


def test_a_port_can_be_used_again_after_time_wait():
    """RFC 6191: a new SYN in TIME-WAIT begins a new connection."""
    peer = Peer(opens=True, time_wait=60 * SECOND).open().confirm()
    peer.made.shutdown(peer.now)
    peer.wait(SECOND)
    peer.initial.acknowledge()
    peer.initial.data_fin()
    peer.wait(SECOND)
    peer.initial.send(peer.initial.ack_option())
    peer.initial.fin(peer.initial.ack_option())
    peer.wait(SECOND)
    line = peer.line(peer.initial.own, peer.initial.remote, iss=peer.initial.iss + 100_000)
    peer.lines.remove(peer.initial)
    line.send(MaximumSegmentSize(1460), MpCapable(), flags=SYN, at=0, ack=0)
    assert line.last.syn
    assert line.last.option(MpCapable) is not None


def come_and_go(endpoint: Endpoint, port: int, *, leaves: bool = True) -> None:
    """Do a whole handshake of regular TCP with a listener, and reset the connection."""
    said = {"source": A1, "destination": B1, "source_port": port, "destination_port": PORT}
    endpoint.receive(Segment.build(**said, seq=100, flags=SYN).raw, 0)
    answers = endpoint.packets_to_send(0)
    if not answers:
        return
    following = int(answers[0].next_seq)
    for flags in (ACK, RST | ACK) if leaves else (ACK,):
        endpoint.receive(Segment.build(**said, seq=101, ack=following, flags=flags).raw, 0)
        endpoint.packets_to_send(0)


def accepted(endpoint: Endpoint) -> int:
    """Accept all that waits, and return how many connections that were."""
    count = 0
    while endpoint.accept(PORT) is not None:
        count += 1
    return count


@pytest.mark.parametrize("leaves", [True, False])
def test_connections_that_nobody_accepts_are_limited(leaves):
    """Also those that are reset before: they would be kept without counting as connections."""
    endpoint = listener(connection_limit=8)
    for number in range(100):
        come_and_go(endpoint, 1024 + number, leaves=leaves)
    assert accepted(endpoint) <= 8
    assert len(endpoint.connections) <= 8
    if leaves:
        # Once they are accepted there is room again.
        come_and_go(endpoint, 5000, leaves=False)
        assert accepted(endpoint) == 1


def things(root: object) -> int:
    """Return how many objects something holds on to, types and code aside."""
    seen: dict[int, object] = {}
    pending = [root]
    while pending:
        thing = pending.pop()
        if id(thing) in seen or isinstance(thing, type | ModuleType | FunctionType):
            continue
        seen[id(thing)] = thing
        pending += gc.get_referents(thing)
    return len(seen)


def test_connections_that_are_over_leave_nothing_behind():
    """However many there were: an endpoint holds on to no more after 400 than after 100."""
    endpoint = listener()
    held = []
    for number in range(400):
        come_and_go(endpoint, 1024 + number)
        accepted(endpoint)
        endpoint.events()
        if number in (99, 399):
            held.append(things(endpoint))
    assert held[1] <= held[0] + 10


def test_addresses_to_join_from_are_the_hosts_own():
    """Refused where the endpoint is made, and not when a SYN or a DSS comes."""
    foreign = ip_address("10.7.7.7")
    with pytest.raises(LocalProtocolError, match=r"10\.7\.7\.7"):
        Endpoint(Configuration(join_from=(A2, foreign), subflows=2), [A1, A2], Random(1))
    Endpoint(Configuration(join_from=(A2,), subflows=2), [A1, A2], Random(1))


@pytest.mark.parametrize("setting", ["scheduler", "path_manager", "congestion"])
def test_names_that_are_none_are_refused_where_the_endpoint_is_made(setting):
    """The same of a listener, to which nobody has come yet."""
    with pytest.raises(LocalProtocolError, match="bogus"):
        listener(**{setting: "bogus"})
