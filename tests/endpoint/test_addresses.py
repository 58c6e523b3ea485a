"""IDs of own addresses. What is sent and done is in `clauses/test_3_4_1...` and `clauses/test_3_4_2...`."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mbtest.errors import LocalProtocolError
from mbtest.wire import AddAddr
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import B1, B2, B3, SECOND


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
