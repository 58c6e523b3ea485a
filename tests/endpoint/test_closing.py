"""Ends, of regular TCP and of connections that fell back; those of Multipath TCP are in `clauses/`."""

from __future__ import annotations

import pytest

from mbtest.endpoint.states import Closing
from mbtest.wire import Dss, MpFastclose, MptcpOption, MpTcprst
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, CLIENT, KIB, SECOND, SERVER, Scene, by, drop, octets, strip, through

REGULAR = pytest.mark.parametrize("settings", [({"mptcp": False}, {}), ({}, {"mptcp": False})])


@REGULAR
@pytest.mark.parametrize("first", ["client", "server", "both"])
def test_regular_tcp_ends_with_fins(settings, first):
    scene = Scene(*settings).exchange(20 * KIB, 20 * KIB)
    if first != "both":
        getattr(scene, first).finish()
        scene.run()
    scene.close().run(10 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.connection.closing.state is Closing.M_CLOSED
        assert host.endpoint.connections == []


@REGULAR
def test_regular_tcp_aborts_with_a_reset(settings):
    scene = Scene(*settings).exchange().run()
    scene.client.connection.abort(scene.now)
    scene.run()
    (reset,) = [segment for segment in scene.sent(CLIENT) if segment.rst]
    assert reset.option(MptcpOption) is None
    assert scene.server.connection.error == "ECONNRESET"
    assert scene.server.endpoint.connections == []


def test_a_fallback_between_data_fin_and_its_acknowledgement_loses_no_end():
    """A DATA_FIN that was not acknowledged before the fallback becomes the subflow's FIN."""
    scene = Scene().connect()
    scene.boxes.append(strip(Dss, when=lambda segment, side: not segment.syn))
    scene.client.write(octets(5000))
    scene.client.finish()
    scene.server.write(octets(5000))
    scene.close().run(20 * SECOND)
    assert bytes(scene.server.got) == bytes(scene.client.got) == octets(5000)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.connection.closing.state is Closing.M_CLOSED


def test_unread_octets_make_a_close_an_abort():
    """RFC 9293 §3.6: the peer has to know that they are lost."""
    peer = Peer(opens=True).open()
    peer.initial.data(b"unread")
    peer.made.close(peer.now)
    peer.pull()
    assert peer.initial.options(MpFastclose)


def test_octets_that_come_after_a_close_make_it_an_abort():
    peer = Peer(opens=True).open().confirm()
    peer.made.close(peer.now)
    peer.initial.data(b"nobody reads")
    assert peer.initial.options(MpFastclose)


def test_a_close_delivers_what_was_written():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.client.connection.send(octets(50 * KIB), scene.now)
    scene.client.connection.close(scene.now)
    already = len(scene.server.got)
    scene.run(10 * SECOND, until=lambda: scene.server.ended)
    assert len(scene.server.got) == already + 50 * KIB


def test_an_abort_in_the_handshake_forgets_all():
    peer = Peer(opens=False)
    peer.made.abort(peer.now)
    assert peer.endpoint.connections == []
    assert peer.endpoint.next_timer() is None


def test_an_abort_is_done_once():
    peer = Peer(opens=True, subflows=2).open().confirm()
    for _ in range(3):
        peer.made.abort(peer.now)
    assert len([segment for segment in peer.pull() if segment.option(MpFastclose)]) == 1


def test_an_abort_of_what_is_over_does_nothing():
    scene = Scene().exchange().close()
    scene.run(100_000)
    for host in (scene.client, scene.server):
        host.connection.abort(scene.now)
        assert host.connection.error is None
    scene.run(10 * SECOND)
    assert not scene.sent(CLIENT, MpFastclose) + scene.sent(SERVER, MpFastclose)


def test_a_path_that_is_dead_does_not_hold_up_the_end():
    """The subflow that owes octets is reset: reason 4, too much outstanding data."""
    scene = Scene({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2}).joined()
    scene.exchange(20 * KIB, 0)
    scene.boxes.append(drop(through(A2)))
    scene.exchange(50 * KIB, 0)
    scene.close().run(30 * SECOND)
    assert {option.reason for option in scene.options(CLIENT, MpTcprst)} <= {4}
    assert scene.client.connection.closing.state is Closing.M_CLOSED
    assert scene.client.connection.error is None


@pytest.mark.parametrize("settings", [({}, {}), ({"mptcp": False}, {})])
def test_a_peer_that_vanishes_in_the_end_is_forgotten(settings):
    """Both streams are complete, and no FIN comes any more: that is not waited for without end."""
    scene = Scene(*settings).exchange()
    scene.close()
    scene.boxes.append(drop(lambda segment, side: True))
    scene.run(3600 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.endpoint.connections == []


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_one_that_vanishes_between_the_two_fins_is_forgotten_too(side):
    """In FIN-WAIT-2, with both DATA_FINs acknowledged."""
    scene = Scene().exchange()
    scene.boxes.append(drop(lambda segment, sender: sender is side and segment.fin))
    scene.close()
    scene.run(3600 * SECOND)
    for host in (scene.client, scene.server):
        assert host.endpoint.connections == []


MANY = pytest.mark.parametrize(
    "settings",
    [({}, {}), ({"mptcp": False}, {}), ({"join_from": (A2,), "subflows": 2}, {"subflows": 2})],
    ids=["multipath", "regular", "two subflows"],
)


@MANY
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_connection_that_was_let_go_does_not_wait_for_its_peer_for_ever(settings, side):
    """After close() the peer keeps its own direction open, and says nothing more: FIN-WAIT-2 without end."""
    scene = Scene(*settings).exchange().run()
    host = scene.host(side)
    host.connection.close(scene.now)
    scene.run(30 * SECOND)
    assert host.endpoint.connections
    scene.run(3600 * SECOND)
    assert host.endpoint.connections == []
    assert host.endpoint.next_timer() is None


@MANY
def test_one_that_was_only_shut_down_does(settings):
    """The application still reads: it may wait for its peer as long as it likes."""
    scene = Scene(*settings).exchange().run()
    scene.client.finish()
    scene.run(3600 * SECOND)
    assert scene.client.connection.error is None
    scene.exchange(0, 2 * KIB)
    scene.close()


@MANY
def test_one_that_was_let_go_while_the_peer_is_gone_ends_too(settings):
    """Octets, and the end of the stream, are never acknowledged."""
    scene = Scene(*settings).exchange().run()
    scene.client.connection.send(octets(5000), scene.now)
    scene.boxes.append(drop(by(SERVER)))
    scene.client.connection.close(scene.now)
    scene.run(7200 * SECOND)
    assert scene.client.endpoint.connections == []
    assert scene.client.endpoint.next_timer() is None


@MANY
def test_a_close_after_the_peers_end_is_complete(settings):
    """The control: with both streams at their end nothing is waited for."""
    scene = Scene(*settings).exchange().run()
    scene.server.finish()
    scene.run()
    scene.client.connection.close(scene.now)
    scene.run(20 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.error is None
        assert host.endpoint.connections == []
