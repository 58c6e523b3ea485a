"""What subflows ask and tell their connection."""

from __future__ import annotations

from mbtest.endpoint import Kind
from mbtest.endpoint.bundle import Bundle
from mbtest.wire import Dss
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, Scene, octets


def test_subflows_of_a_connection_have_one_owner():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    for host in (scene.client, scene.server):
        assert isinstance(host.connection.bundle, Bundle)
        assert {subflow.owner for subflow in host.subflows} == {host.connection.bundle}


def test_states_of_subflows_are_told_with_their_numbers():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    for number in (0, 1):
        moves = [event.words for event in scene.client.heard(Kind.STATE) if event.subflow == number]
        assert moves[0].startswith("CLOSED -> SYN-SENT")


def test_a_window_is_asked_for_with_every_segment():
    peer = Peer(opens=True, receive_buffer=20_000).open()
    peer.initial.data(octets(5000))
    before = peer.initial.last.window
    peer.initial.data(octets(5000))
    assert before - peer.initial.last.window == 5000
    assert peer.initial.last.option(Dss) is not None
