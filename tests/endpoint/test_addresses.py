"""IDs of own addresses. What is sent and done is in `clauses/test_3_4_1...` and `clauses/test_3_4_2...`."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.errors import LocalProtocolError
from mbtest.wire import AddAddr, Timestamps
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A1, A2, B1, B2, B3, PORT, SECOND, SERVER, Scene, drop, has, strip, through

SIX = ip_address("2001:db8::1")
"""With a port, its ADD_ADDR has no room beside timestamps."""


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=4, **settings).open().confirm()


def test_ids_are_given_once():
    addresses = ready().made.addresses
    assert [addresses.own_id(each) for each in (B1, B2, B3, B2, B1)] == [0, 1, 2, 1, 0]


def test_there_are_255_beside_the_first():
    addresses = ready().made.addresses
    base = ip_address("198.51.100.0")
    assert {addresses.own_id(base + number) for number in range(255)} == set(range(1, 256))
    with pytest.raises(LocalProtocolError, match="one address too many"):
        addresses.own_id(ip_address("203.0.113.1"))


def test_the_timer_is_that_of_the_next_repetition():
    peer = ready()
    assert peer.made.addresses.next_timer() is None
    peer.made.announce(B2, peer.now)
    assert peer.made.addresses.next_timer() == peer.now + SECOND
    peer.wait(10 * SECOND)
    assert peer.made.addresses.next_timer() is None


def test_an_announcement_again_begins_anew():
    peer = ready()
    peer.made.announce(B2, peer.now)
    peer.wait(10 * SECOND)
    peer.made.announce(B2, peer.now, 99)
    peer.wait(10 * SECOND)
    assert [option.port for option in peer.initial.options(AddAddr)] == [None] * 3 + [99] * 3


def test_the_list_of_the_peers_addresses_is_limited():
    peer = ready(address_limit=2)
    for number in range(1, 5):
        peer.initial.send(peer.add_addr(number, ip_address(f"192.0.2.{number}")))
    assert set(peer.made.addresses.peer) == {1, 2}
    # One that is known may still change its port.
    peer.initial.send(peer.add_addr(2, ip_address("192.0.2.2"), 8080))
    assert peer.made.addresses.peer[2] == (ip_address("192.0.2.2"), 8080)


def test_an_announcement_too_long_for_the_subflow_that_comes_is_left_out():
    """Made while no subflow was usable: on the next one, with timestamps, there is no room, and no harm."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange().run()
    scene.server.subflows[0].abort(scene.now)
    scene.server.connection.announce(SIX, scene.now, 8080)
    scene.run(100_000)
    scene.client.connection.join(A2, B1, PORT, scene.now)
    scene.run(20 * SECOND)
    assert scene.options(SERVER, AddAddr) == []
    assert scene.server.endpoint.next_timer() is None
    scene.exchange()


def test_an_announcement_that_no_longer_has_room_is_left_out():
    """Sent on a subflow without timestamps; for the repetition one with timestamps is left."""
    scene = Scene({"subflows": 2}, {"subflows": 2})
    scene.boxes += [strip(Timestamps, when=through(A1)), drop(has(AddAddr))]
    scene.exchange()
    scene.server.connection.announce(SIX, scene.now, 8080)
    scene.client.connection.join(A2, B1, PORT, scene.now)
    scene.run(100_000)
    (announcement,) = scene.sent(SERVER, AddAddr)
    assert announcement.destination == A1
    scene.server.subflows[0].abort(scene.now)
    scene.run(20 * SECOND)
    assert len(scene.sent(SERVER, AddAddr)) == 1
    scene.exchange()


@pytest.mark.parametrize("port", [None, 8080])
def test_an_announcement_without_room_is_told(port):
    """Beside timestamps an IPv6 address fits, and one with a port does not."""
    scene = Scene().exchange()
    scene.server.connection.announce(SIX, scene.now, port)
    scene.run(20 * SECOND)
    assert bool(scene.server.heard(Kind.ADDRESS, "no room")) is (port is not None)
    assert bool(scene.options(SERVER, AddAddr)) is (port is None)


@pytest.mark.parametrize("opens", [True, False])
def test_an_announcement_before_the_first_dss_waits_for_it(opens):
    """Until then options may not pass; then it goes out, as often as any."""
    peer = Peer(opens=opens, subflows=4).open()
    assert peer.made.mode.state is Mode.CONFIRMING
    peer.made.announce(ip_address("198.51.100.7"), peer.now)
    peer.wait(2 * SECOND)
    assert peer.initial.options(AddAddr) == []
    peer.confirm()
    peer.wait(10 * SECOND)
    assert len(peer.initial.options(AddAddr)) == 3
    assert len(peer.heard(Kind.ADDRESS, "no echo")) == 1


def test_an_announcement_before_a_fallback_is_never_sent():
    """After it nothing is announced, and nothing waits."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).connect()
    scene.boxes.append(strip(when=lambda segment, side: not segment.syn))
    scene.server.connection.announce(B2, scene.now)
    scene.exchange().run(20 * SECOND)
    assert not scene.server.connection.is_mptcp
    assert scene.sent(SERVER, AddAddr) == []
    assert scene.server.connection.addresses.next_timer() is None
