"""RFC 8684 §3.3.5: both windows, and the buffer, of a sender."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Configuration
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, KIB, SECOND, SERVER, Scene, octets, through


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=2, **settings).open().confirm()


def sent_beyond(peer: Peer) -> int:
    """Return the offset after the last octet of the stream that the endpoint sent."""
    return peer.made.outgoing.nxt


def test_the_edge_is_data_ack_plus_window():
    """No octet of the stream is sent beyond it."""
    peer = ready()
    line = peer.initial
    line.window = 5000
    line.acknowledge()
    peer.write(octets(50_000))
    for _ in range(10):
        edge = peer.expected + 5000
        line.acknowledge()
        peer.wait(10_000)
        assert sent_beyond(peer) <= edge + 5000
    assert sent_beyond(peer) > 20_000


def test_an_edge_that_was_granted_is_not_taken_back():
    """A smaller sum of Data ACK and window, from a slower path or out of order, does not shrink it."""
    peer = ready()
    line = peer.join()
    edge = peer.made.outgoing.edge
    for window in (30_000, 2000):
        peer.initial.window = line.window = window
        peer.initial.acknowledge()
        line.acknowledge()
        assert peer.made.outgoing.edge == edge


def test_of_several_windows_the_largest_counts():
    """Where subflows advertise different windows, the stream's edge is the one furthest right."""
    peer = ready()
    line = peer.join()
    peer.made.send(octets(500_000), peer.now)
    for _ in range(40):
        line.window, peer.initial.window = 1000, 20_000
        line.acknowledge()
        granted = peer.expected + 20_000
        peer.initial.acknowledge()
    assert peer.made.outgoing.edge == granted
    assert peer.expected > 100_000


def test_each_subflow_keeps_to_its_own_window():
    """A box that narrows the window of one path is not sent more there than it has room for."""
    scene = Scene({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2}).joined()

    def narrow(segment, side):
        if side is SERVER and through(A2)(segment, side) and not segment.syn:
            return segment.replace(window=1)
        return segment

    scene.boxes.append(narrow)
    scene.run(SECOND)
    since = scene.now
    subflow = scene.client.subflows[1]
    scene.exchange(5 * KIB, 0)
    scene.exchange(500 * KIB, 0)
    assert subflow.send_window <= 1 << subflow.send_shift
    largest = 0
    for entry in scene.log:
        if entry.time > since + SECOND and entry.segment.source == A2:
            largest = max(largest, entry.segment.payload_length)
    assert largest <= 1 << subflow.send_shift


def test_a_closed_window_is_probed_until_it_opens():
    """Nothing is lost when the news of an open window is: a probe asks for it."""
    scene = Scene({}, {"receive_buffer": 20_000}).exchange()
    scene.server.reads = False
    scene.client.write(octets(100 * KIB))
    scene.run(3 * SECOND)
    already = len(scene.server.got)

    def mute(segment, side):
        return None if side is SERVER and not segment.payload_length and muted else segment

    muted = [True]
    scene.boxes.append(mute)
    scene.server.reads = True
    scene.run(SECOND // 2)
    muted.clear()
    scene.run(60 * SECOND, until=lambda: len(scene.server.got) >= 100 * KIB + already - 20_000)


@pytest.mark.parametrize("reset", [False, True])
def test_a_subflow_whose_window_was_closed_is_probed_when_it_is_needed(reset):
    """Its last window was 0, as the shared one was then; news came by the other subflow alone."""
    peer = ready()
    line = peer.join()
    line.window = 0
    line.acknowledge()
    peer.write(octets(5000))
    assert not any(segment.payload_length for segment in line.got)
    if reset:
        peer.initial.reset()
    before = len(line.got)
    peer.wait(20 * SECOND)
    assert any(segment.payload_length for segment in line.got[before:])
    line.window = 65_535
    for _ in range(20):
        line.acknowledge()
        peer.wait(SECOND)
    assert peer.expected == 5001


def test_the_send_buffer_is_as_large_as_the_receive_buffer():
    """At least that is needed for full throughput."""
    configuration = Configuration()
    assert configuration.send_buffer >= configuration.receive_buffer
