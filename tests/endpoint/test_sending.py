"""Data on its way out, where the clauses leave the sender a choice."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import SYN, Dss, MaximumSegmentSize, MpCapable
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    CLIENT,
    KIB,
    MILLISECOND,
    SECOND,
    SERVER,
    Scene,
    drop,
    octets,
    through,
)


@pytest.mark.parametrize("mtu", [576, 1500, 9000])
@pytest.mark.parametrize("checksum", [False, True])
def test_segments_are_as_long_as_the_path_takes(mtu, checksum):
    scene = Scene({"mtu": mtu, "checksum": checksum}, {"mtu": mtu}).exchange()
    scene.exchange(100 * KIB, 100 * KIB)
    for side in (CLIENT, SERVER):
        longest = max(len(segment.raw) for segment in scene.sent(side))
        assert mtu - 8 <= longest <= mtu


def test_the_peers_segment_size_is_kept_to():
    peer = Peer(opens=True)
    line = peer.initial
    line.send(MaximumSegmentSize(500), MpCapable(), flags=SYN)
    peer.learn(line.options(MpCapable)[0].sender_key)
    line.send(peer.capable())
    segments = peer.write(octets(5000))
    assert max(segment.payload_length for segment in segments) <= 500
    # RFC 9293 §3.7.1: options count in the segment size.
    assert max(segment.payload_length + len(segment.option_block) for segment in segments) <= 500


def test_the_application_learns_how_much_there_was_room_for():
    peer = Peer(opens=True, send_buffer=10_000).open().confirm()
    assert peer.made.send(octets(25_000), peer.now) == 10_000
    assert peer.made.send(octets(1), peer.now) == 0
    assert not peer.made.writable()
    peer.pull()
    peer.initial.acknowledge()
    assert peer.made.writable()
    assert peer.made.send(octets(25_000), peer.now) > 0


def test_small_writes_are_sent_at_once():
    scene = Scene().exchange()
    for _ in range(5):
        before = scene.now
        scene.client.write(b"x")
        scene.run(100 * MILLISECOND)
        (sent,) = [
            entry
            for entry in scene.log
            if entry.side is CLIENT and entry.time >= before and entry.segment.payload_length
        ]
        assert sent.time == before


def test_the_head_of_the_stream_is_sent_again_first():
    """A hole at the head holds everything up: it goes another way before what follows it."""
    scene = Scene({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2}).joined()
    scene.exchange(20 * KIB, 0)
    since = scene.now
    scene.boxes.append(drop(through(A2)))
    scene.exchange(60 * KIB, 0)
    assert scene.client.heard(Kind.REINJECTION)
    again = [
        segment.option(Dss).dsn
        for segment in scene.sent(CLIENT, Dss, since=since, address=A1)
        if segment.payload_length
    ]
    assert len(again) == len(set(again))


def test_reinjection_prefers_another_subflow_and_takes_the_same_one_if_there_is_no_other():
    peer = Peer(opens=True, retries=8).open().confirm()
    peer.write(b"acknowledged, not Data ACKed")
    line = peer.initial
    line.send(line.ack_option(1))
    peer.wait(20 * SECOND)
    again = [segment for segment in line.got if segment.payload_length]
    assert {segment.payload for segment in again} == {b"acknowledged, not Data ACKed"}
    assert len(again) >= 2
    # On new subflow sequence numbers: the old ones are acknowledged.
    assert len({int(segment.seq) for segment in again}) >= 2


def test_data_without_a_data_ack_ends_in_a_timeout():
    """In the end the connection is given up."""
    peer = Peer(opens=True, retries=3).open().confirm()
    peer.write(b"never Data ACKed")
    line = peer.initial
    for _ in range(100):
        if peer.made.error:
            break
        line.send(line.ack_option(1))
        peer.wait(SECOND)
    assert peer.made.error is not None


def test_nothing_is_left_to_wait_for_once_all_is_acknowledged():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.exchange(50 * KIB, 50 * KIB).run(5 * SECOND)
    for host in (scene.client, scene.server):
        assert host.endpoint.next_timer() is None
        assert host.connection.describe()["unacknowledged"] == 0


def test_a_window_of_nothing_is_probed_and_data_is_not_lost():
    peer = Peer(opens=True).open().confirm()
    line = peer.initial
    peer.made.send(octets(100_000), peer.now)
    for _ in range(60):
        peer.pull()
        line.window = 0
        line.acknowledge()
    line.window = 65_535
    probes = [segment for segment in peer.wait(10 * SECOND) if segment.payload_length]
    assert probes
    for _ in range(60):
        line.acknowledge()
        peer.wait(300 * MILLISECOND)
    assert peer.expected == 100_001
