"""RFC 8684 §3.6: MP_TCPRST."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import ACK, RST, SYN, MaximumSegmentSize, MpJoinSyn, MpTcprst
from mbtest.wire.keys import token
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, A3, B2, CLIENT, PORT, SECOND, SERVER, Scene, strip, through


def ready(**settings) -> tuple[Peer, object]:
    peer = Peer(opens=True, subflows=2, **settings).open().confirm()
    line = peer.join()
    line.acknowledge()
    return peer, line


@pytest.mark.parametrize("reason", [*range(7), 42, 255])
@pytest.mark.parametrize("transient", [False, True])
def test_the_reason_is_told(reason, transient):
    """Whoever asks learns the code, known or not, and whether the peer holds it for transient."""
    peer, line = ready()
    line.reset(MpTcprst(reason, int(transient)))
    (event,) = peer.heard(Kind.RESET)
    assert f"reason {reason}," in event.words
    assert ("transient" in event.words) is transient
    assert (event.subflow, event.clause) == (1, "RFC 8684 §3.6")
    assert len(peer.made.subflows) == 1


@pytest.mark.parametrize("flags", [0x02, 0x04, 0x08, 0x0E])
def test_reserved_flags_are_ignored(flags):
    """U, V and W mean nothing."""
    peer, line = ready()
    line.reset(MpTcprst(3, flags))
    (event,) = peer.heard(Kind.RESET)
    assert "permanent" in event.words
    assert len(peer.made.subflows) == 1


def resets(scene: Scene) -> list[MpTcprst]:
    return [option for side in (CLIENT, SERVER) for option in scene.options(side, MpTcprst)]


def test_reserved_flags_are_sent_as_0():
    """On every RST of ours that gives a reason."""
    scene = Scene({"join_from": (A2, A3), "subflows": 4}, {"subflows": 1}).joined()
    scene.boxes.append(strip(when=through(A2, lambda segment, side: not segment.syn)))
    scene.exchange(50_000, 50_000).run(60 * SECOND)
    assert resets(scene)
    assert {option.flags & 0x0E for option in resets(scene)} == {0}


def test_a_refused_join_is_not_tried_again():
    """A permanent refusal: the path is left alone."""
    scene = Scene({"join_from": (A2,), "subflows": 4}, {"subflows": 0})
    scene.exchange().run(60 * SECOND)
    assert len(scene.sent(CLIENT, MpJoinSyn)) == 1
    assert scene.client.heard(Kind.RESET, "permanent")
    initial = scene.client.connection.initial
    assert scene.client.connection.join(A2, initial.remote, initial.remote_port, scene.now) is None
    scene.exchange()


def test_a_joining_syn_is_refused_with_a_reason():
    """The RST that rejects an attempt carries the option too."""
    peer = Peer(opens=True, subflows=0).open().confirm()
    line = peer.join_syn()
    assert line.last.rst
    assert line.last.option(MpTcprst) is not None


def test_a_reset_needs_no_option():
    """A RST without it ends its subflow as well."""
    peer, line = ready()
    line.reset()
    assert len(peer.made.subflows) == 1
    assert peer.heard(Kind.SUBFLOW_CLOSED, "ECONNRESET")
    assert peer.heard(Kind.RESET) == []


def test_the_option_counts_on_resets_alone():
    """On an ACK it has no meaning."""
    peer, line = ready()
    line.send(line.ack_option(), MpTcprst(6))
    assert len(peer.made.subflows) == 2
    line.data(b"lives")
    assert peer.read() == b"lives"


def test_a_reset_for_an_unknown_token_names_an_mptcp_error():
    """Reason 1, also where no connection at all is there."""
    peer = Peer(opens=True)
    line = peer.line((A2, 999), (B2, PORT))
    line.send(MaximumSegmentSize(1460), MpJoinSyn(1, token(12345), 7), flags=SYN)
    assert line.last.flags == RST | ACK
    assert line.last.option(MpTcprst) == MpTcprst(1)
    assert int(line.last.ack) == line.iss + 1
