"""The application's calls, the early ones and the illegal ones too."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.errors import LocalProtocolError
from mbtest.wire import AddAddr, MpCapable, MptcpOption
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A1, A2, B1, B2, CLIENT, PORT, SECOND, Scene, octets


def test_before_the_handshake_nothing_is_sent_read_or_told():
    peer = Peer(opens=False)
    connection = peer.made
    assert not connection.established
    assert connection.send(b"too early", 0) == 0
    assert connection.receive(100, 0) is None
    assert not connection.readable()
    assert not connection.writable()
    assert connection.describe()["mptcp"] == 0
    assert connection.describe()["mode"] == Mode.NEGOTIATING


def test_a_shutdown_before_the_handshake_takes_effect_after_it():
    peer = Peer(opens=False)
    peer.made.shutdown(0)
    peer.open()
    peer.initial.acknowledge()
    peer.wait(SECOND)
    assert peer.expected == 2 or any(segment.fin for segment in peer.initial.got)


def test_after_a_shutdown_nothing_is_written():
    peer = Peer(opens=True).open().confirm()
    peer.made.shutdown(peer.now)
    assert peer.made.send(b"too late", peer.now) == 0
    peer.pull()
    assert peer.expected == 2
    assert not peer.made.writable()
    peer.made.shutdown(peer.now)


def test_after_an_error_everything_says_so():
    scene = Scene().exchange()
    scene.client.connection.abort(scene.now)
    scene.run()
    connection = scene.server.connection
    assert connection.error == "ECONNRESET"
    assert connection.readable()
    assert connection.writable()
    assert connection.send(b"x", scene.now) == 0
    connection.shutdown(scene.now)
    connection.close(scene.now)


def test_what_came_before_an_error_can_be_read():
    peer = Peer(opens=True).open()
    peer.initial.data(b"last words")
    peer.initial.reset()
    peer.wait(10 * SECOND)
    assert peer.made.error is not None
    assert peer.read() == b"last words"


def test_a_connection_that_nobody_answers_ends_with_an_error():
    peer = Peer(opens=False, syn_retries=2)
    peer.wait(100 * SECOND)
    assert peer.made.error == "ETIMEDOUT"
    assert peer.endpoint.connections == []


def test_a_connection_that_is_refused_ends_with_an_error():
    scene = Scene()
    scene.client.made = scene.client.endpoint.connect(B1, PORT + 1, 0)
    scene.run()
    assert scene.client.connection.error == "ECONNREFUSED"


def test_reading_sends_no_ack_unless_the_window_opened():
    """An ACK without news would be a duplicate one (RFC 9293 §3.8.6.2.2)."""
    peer = Peer(opens=True, window_scaling=False).open()
    for _ in range(5):
        peer.initial.data(b"a few octets")
        assert peer.read() == b"a few octets"
        assert peer.pull() == []


def test_reading_tells_of_a_window_that_was_closed():
    peer = Peer(opens=True, receive_buffer=10_000).open()
    for _ in range(10):
        peer.initial.data(octets(1000))
    assert peer.initial.last.window < 1460
    assert len(peer.read() or b"") == 10_000
    (update,) = peer.pull()
    assert update.window > 8000


@pytest.mark.parametrize("early", ["handshake", "confirming"])
def test_joins_before_a_dss_are_not_possible(early):
    peer = Peer(opens=False, subflows=2)
    if early == "confirming":
        peer.open()
    assert peer.made.join(A2, B1, PORT, peer.now) is None
    assert peer.pull() == []


def test_a_join_beyond_the_limit_or_after_the_end_is_not_possible():
    peer = Peer(opens=False, subflows=1).open().confirm()
    assert peer.made.join(A2, B1, PORT, peer.now) is not None
    assert peer.made.join(A2, B2, PORT, peer.now) is None
    peer.made.abort(peer.now)
    assert peer.made.join(A1, B2, PORT, peer.now) is None


def test_a_join_from_an_address_of_another_host_is_a_mistake():
    peer = Peer(opens=False, subflows=2).open().confirm()
    with pytest.raises(LocalProtocolError):
        peer.made.join(ip_address("203.0.113.9"), B1, PORT, peer.now)


def test_a_join_between_two_families_is_a_mistake():
    peer = Peer(opens=False, subflows=2).open().confirm()
    with pytest.raises(LocalProtocolError):
        peer.made.join(A2, ip_address("2001:db8::1"), PORT, peer.now)
    assert len(peer.made.subflows) == 1
    peer.initial.data(b"unharmed")
    assert peer.read() == b"unharmed"


def test_a_second_subflow_between_the_same_addresses_takes_another_port():
    peer = Peer(opens=False, subflows=2).open().confirm()
    subflow = peer.made.join(A1, B1, PORT, peer.now)
    assert subflow is not None
    assert subflow.local_port != peer.made.initial.local_port


def test_a_subflow_that_is_opened_again_takes_another_port():
    """The peer may have the flow in TIME-WAIT, or not know yet that it is gone."""
    peer = Peer(opens=False, subflows=2).open().confirm()
    first = peer.made.join(A2, B1, PORT, peer.now)
    assert first.local_port == peer.made.initial.local_port
    first.abort(peer.now)
    second = peer.made.join(A2, B1, PORT, peer.now)
    assert second.local_port != first.local_port


def test_addresses_can_be_announced_by_hand_once_mptcp_is_confirmed():
    peer = Peer(opens=True, subflows=2).open().confirm()
    peer.made.announce(B2, peer.now, 8080)
    peer.pull()
    (option,) = peer.initial.options(AddAddr)
    assert (option.address, option.port) == (B2, 8080)


def test_regular_tcp_announces_and_asks_for_nothing():
    scene = Scene({}, {"mptcp": False}).exchange()
    connection = scene.client.connection
    scene.client.connection.announce(A2, scene.now)
    connection.set_backup(connection.subflows[0], True, scene.now)
    connection.remove(A2, scene.now)
    scene.run()
    assert [type(option) for option in scene.options(CLIENT, MptcpOption)] == [MpCapable]


def test_numbers_count_connections_and_subflows():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    other = scene.client.endpoint.connect(B1, PORT, scene.now)
    assert (scene.client.connection.number, other.number) == (0, 1)
    assert [subflow.number for subflow in scene.client.subflows] == [0, 1]
    assert {event.connection for event in scene.client.heard(Kind.SUBFLOW)} == {0}


def test_the_description_says_how_it_stands():
    peer = Peer(opens=True, checksum=True, subflows=2).open().confirm()
    peer.join()
    peer.write(b"waits")
    said = peer.made.describe()
    assert said["mptcp"] == said["checksum"] == 1
    assert (said["subflows"], said["unacknowledged"]) == (2, 5)
    assert (said["mode"], said["closing"]) == ("MULTIPATH", "M_ESTAB")


def test_once_all_is_acknowledged_nothing_is_left():
    """The DATA_FIN is no octet."""
    scene = Scene().exchange()
    scene.server.finish()
    scene.run()
    assert scene.server.connection.describe()["unacknowledged"] == 0
    scene.client.finish()
    scene.run(100_000)
    assert scene.client.connection.describe()["unacknowledged"] == 0
