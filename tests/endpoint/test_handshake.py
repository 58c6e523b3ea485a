"""What SYNs are taken for. The rules themselves are in `clauses/test_3_1...` and `clauses/test_3_2...`."""

from __future__ import annotations

import pytest

from mbtest.endpoint.handshake import acceptable
from mbtest.endpoint.states import Mode
from mbtest.wire import ACK, SYN, MaximumSegmentSize, MpCapable, MpJoinSyn, MptcpOption
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import A2, CLIENT, SECOND, SERVER, Scene, by, drop


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (None, "no MP_CAPABLE"),
        (MpCapable(0x41), "flag B"),
        (MpCapable(0x80), "flags D to H"),
        (MpCapable(0x02), "flag H"),
        (MpCapable(0x81), "requires checksums"),
        (MpCapable(0x01), ""),
        (MpCapable(0x21), ""),
    ],
)
def test_why_an_mp_capable_cannot_be_agreed_to(option, words):
    connection = Peer(opens=False, refuse_checksum=True).made
    why = acceptable(option, connection)
    assert words in why
    assert bool(why) is bool(words)


@pytest.mark.parametrize("option", [MpCapable(0x01), MpCapable(0x01, KEY, KEY)])
def test_a_syn_ack_needs_one_key(option):
    peer = Peer(opens=False)
    peer.initial.send(MaximumSegmentSize(1460), option, flags=SYN | ACK)
    assert peer.made.mode.state is Mode.REGULAR
    assert peer.initial.last.option(MptcpOption) is None


def test_simultaneous_opens_are_regular_tcp():
    """Both SYNs cross: there is no MP_CAPABLE for that."""
    peer = Peer(opens=False)
    line = peer.initial
    line.send(MaximumSegmentSize(1460), MpCapable(0x01), flags=SYN)
    assert peer.made.mode.state is Mode.REGULAR
    line.send()
    line.send(payload=b"plain")
    assert peer.read() == b"plain"


def test_syns_are_repeated_with_the_same_options():
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2})
    scene.boxes.append(drop(by(CLIENT, lambda segment, side: segment.syn), times=2))
    scene.connect()
    syns = scene.sent(CLIENT, MpCapable)
    assert len({segment.option(MpCapable) for segment in syns if segment.syn}) == 1
    scene.boxes.append(drop(by(CLIENT, lambda segment, side: segment.syn), times=1))
    scene.exchange()
    scene.run(10 * SECOND, until=lambda: len(scene.client.connection.usable()) == 2)
    assert len({segment.option(MpJoinSyn) for segment in scene.sent(CLIENT, MpJoinSyn)}) == 1


def test_a_syn_ack_is_repeated_with_the_same_key():
    scene = Scene()
    scene.boxes.append(drop(by(SERVER, lambda segment, side: segment.syn), times=2))
    scene.exchange()
    assert len({segment.option(MpCapable) for segment in scene.sent(SERVER, MpCapable)}) == 1
    assert scene.client.connection.is_mptcp


def test_data_before_the_handshake_is_over_is_not_taken_for_regular():
    """Data with a DSS that overtook the third ACK and the first data: it comes again."""
    peer = Peer(opens=True)
    line = peer.initial
    line.send(MaximumSegmentSize(1460), MpCapable(), flags=SYN)
    peer.learn(line.options(MpCapable)[0].sender_key)
    line.expected = 1
    late = line.dss(b"late", offset=6, at=6)
    line.send(late, payload=b"late", at=6)
    assert peer.connection is None
    line.send(peer.capable(b"first"), payload=b"first", at=1)
    line.send(late, payload=b"late", at=6)
    assert peer.read() == b"firstlate"
    assert peer.made.is_mptcp


def test_without_mptcp_nothing_is_offered_or_answered():
    for settings in (({"mptcp": False}, {}), ({}, {"mptcp": False})):
        scene = Scene(*settings).exchange(20_000, 20_000).close()
        offered = scene.sent(CLIENT, MptcpOption)
        assert len(offered) == (0 if settings[0] else 1)
        assert scene.sent(SERVER, MptcpOption) == []
