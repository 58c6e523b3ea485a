"""RFC 8684 §3.5: MP_FASTCLOSE on an ACK (option A) and on RSTs (option R)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Closing
from mbtest.wire import ACK, RST, Dss, MpFastclose
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import A2, CLIENT, MASK_64, SECOND, SERVER, Scene, drop, has, octets

TWO = ({"join_from": (A2,), "subflows": 2}, {"subflows": 2})


def ready(**settings) -> tuple[Peer, object]:
    """Return a peer with two subflows, and the line of the second."""
    peer = Peer(opens=True, subflows=2, **settings).open().confirm()
    line = peer.join()
    line.acknowledge()
    return peer, line


def aborted(**settings) -> tuple[Peer, list, object]:
    """Return such a peer after the endpoint's application aborted, what was sent, and the line in use."""
    peer, line = ready(**settings)
    peer.made.abort(peer.now)
    segments = peer.pull()
    fast = next(segment for segment in segments if segment.option(MpFastclose) is not None)
    return peer, segments, peer.initial if fast in peer.initial.got else line


# -- Option A: on an ACK -------------------------------------------------------------------------------


def test_an_ack_carries_the_peers_key_and_the_other_subflows_are_reset():
    """One subflow has an ACK with MP_FASTCLOSE and the receiver's key, all others a plain RST."""
    peer, segments, _ = aborted()
    (fast,) = [segment for segment in segments if segment.option(MpFastclose) is not None]
    assert fast.option(MpFastclose).receiver_key == KEY
    assert not fast.rst
    (reset,) = [segment for segment in segments if segment.rst]
    assert reset.option(MpFastclose) is None
    assert peer.made.closing.state is Closing.FASTCLOSE_WAIT


def test_the_reset_in_answer_ends_the_connection():
    """FASTCLOSE_WAIT ends with the RST."""
    peer, _, line = aborted()
    line.reset()
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.endpoint.connections == []
    assert peer.wait(60 * SECOND) == []


def test_a_host_that_receives_it_resets_all_subflows():
    """Its subflow is answered with a RST, the others have one too, and the connection is closed at once."""
    peer, line = ready()
    line.send(line.ack_option(), MpFastclose(peer.endpoint_key))
    assert line.last.rst
    assert peer.initial.last.rst
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.made.error == "ECONNRESET"
    assert peer.endpoint.connections == []


@pytest.mark.parametrize("flags", [ACK, ACK | RST])
def test_a_wrong_key_is_ignored(flags):
    """Only who knows the receiver's key may close the connection; the RST ends its subflow alone."""
    peer, line = ready()
    line.send(MpFastclose(peer.endpoint_key ^ 1), flags=flags)
    assert not peer.initial.is_reset
    assert peer.heard(Kind.IGNORED, "key")
    assert peer.made.error is None
    peer.initial.data(b"lives")
    assert peer.read() == b"lives"


def test_both_at_once():
    """MP_FASTCLOSE in place of the RST: it is answered with a RST, and all is torn down."""
    peer, _, line = aborted()
    line.send(MpFastclose(peer.endpoint_key))
    assert line.last.rst
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.endpoint.connections == []


@pytest.mark.parametrize("settings", [({}, {}), TWO])
def test_two_hosts_that_abort_at_once_both_end(settings):
    """Crossing on the wire."""
    scene = Scene(*settings).exchange()
    scene.run()
    for host in (scene.client, scene.server):
        host.connection.abort(scene.now)
    scene.run(30 * SECOND)
    for host in (scene.client, scene.server):
        assert host.connection.closing.state is Closing.M_CLOSED
        assert host.endpoint.connections == []
        assert host.endpoint.next_timer() is None


def test_without_an_answer_it_is_repeated_three_times_and_then_reset():
    """Each time after a retransmission timeout; in the end a RST with MP_FASTCLOSE clears up."""
    peer, segments, line = aborted()
    segments += peer.wait(120 * SECOND)
    fast = [segment for segment in segments if segment.option(MpFastclose) is not None]
    assert [segment.rst for segment in fast] == [False] * 4 + [True]
    assert len({segment.option(MpFastclose) for segment in fast}) == 1
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.endpoint.connections == []
    assert line.last.rst


def test_a_lost_mp_fastclose_is_made_up_for():
    """The peer learns of it by a repetition."""
    scene = Scene(*TWO).joined()
    scene.boxes.append(drop(has(MpFastclose), times=2))
    scene.client.connection.abort(scene.now)
    scene.run(20 * SECOND)
    assert scene.server.connection.error == "ECONNRESET"
    assert scene.server.endpoint.connections == []
    assert scene.client.endpoint.connections == []


def test_a_lost_answer_is_made_up_for():
    """The RST is lost: the repetition meets a host that knows nothing of it any more, and resets it."""
    scene = Scene().exchange()
    scene.boxes.append(drop(lambda segment, side: side is SERVER and segment.rst, times=1))
    scene.client.connection.abort(scene.now)
    scene.run(20 * SECOND)
    assert len(scene.sent(CLIENT, MpFastclose)) == 2
    assert scene.client.endpoint.connections == []


def test_no_data_is_accepted_after_it():
    """The connection ends abruptly: what comes afterwards is not read."""
    peer, line = ready()
    line.send(MpFastclose(peer.endpoint_key))
    peer.initial.data(b"too late")
    assert peer.initial.last.rst
    assert peer.read() is None


def test_who_sends_it_accepts_no_data_either():
    """What comes until the RST is not Data ACKed, as nobody will read it."""
    peer, _, line = aborted()
    start = peer.next
    line.data(b"too late")
    line.data_fin()
    options = [option for option in line.options(Dss) if option.data_ack is not None]
    assert max((option.data_ack - peer.idsn) & MASK_64 for option in options) <= start
    assert peer.read() is None


def test_a_fallback_does_not_make_a_good_end_of_it():
    """A peer that no option reaches falls back in that moment: it is to learn of the abort by a RST."""
    peer, line = ready()
    line.reset()
    line = peer.initial
    peer.made.abort(peer.now)
    peer.made.shutdown(peer.now)
    peer.pull()
    number = (peer.idsn + peer.next) & MASK_64
    line.send(Dss(None, number, line.next, 0, dsn_64=True), payload=b"never saw it")
    line.fin()
    peer.wait(60 * SECOND)
    assert line.is_reset
    assert not any(segment.fin for segment in line.got)
    assert peer.endpoint.connections == []


# -- Option R: on RSTs ---------------------------------------------------------------------------------


def test_resets_on_all_subflows_carry_the_peers_key():
    """All subflows and the connection can be forgotten at once."""
    peer, segments, _ = aborted(fastclose_with_reset=True)
    assert len(segments) == 2
    assert all(segment.rst for segment in segments)
    assert {segment.option(MpFastclose) for segment in segments} == {MpFastclose(KEY)}
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.endpoint.connections == []


def test_a_host_that_receives_such_a_reset_tears_all_down():
    """A RST with the valid key ends the connection: RSTs go out on all other subflows."""
    peer, line = ready()
    before = len(line.got)
    line.reset(MpFastclose(peer.endpoint_key))
    assert peer.initial.last.rst
    assert peer.made.closing.state is Closing.M_CLOSED
    assert peer.made.error == "ECONNRESET"
    assert peer.endpoint.connections == []
    # On the subflow that is reset already another RST would answer a RST.
    assert all(segment.rst for segment in line.got[before:])


def test_a_reset_out_of_the_window_changes_nothing():
    """TCP's checks come first."""
    peer, line = ready()
    line.send(MpFastclose(peer.endpoint_key), flags=RST | ACK, at=line.next + 1000)
    line.send(MpFastclose(peer.endpoint_key), flags=RST | ACK, at=line.next - 1000)
    assert peer.made.closing.state is Closing.M_ESTAB
    assert len(peer.made.subflows) == 2


def test_both_ways_end_a_transfer_in_the_middle():
    """Whatever is under way, both sides end soon."""
    for with_reset in (False, True):
        scene = Scene({**TWO[0], "fastclose_with_reset": with_reset}, TWO[1]).joined()
        scene.client.write(octets(500_000))
        scene.server.write(octets(500_000))
        scene.run(30_000)
        scene.client.connection.abort(scene.now)
        scene.run(10 * SECOND)
        for host in (scene.client, scene.server):
            assert host.endpoint.connections == []
        assert scene.server.connection.error == "ECONNRESET"


def test_a_plain_reset_ends_its_subflow_only():
    """Without MP_FASTCLOSE a RST has the scope of its subflow."""
    peer, line = ready()
    line.reset()
    assert peer.made.error is None
    assert len(peer.made.subflows) == 1
    peer.initial.data(b"lives")
    assert peer.read() == b"lives"


# -- Nothing but the close -----------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}])
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_no_data_follows_the_option(settings, silent, side):
    """With a window in flight and more to send: no new segment and no lost one, however long it takes."""
    scene = Scene(settings, {"subflows": 2, "scheduler": "round-robin"})
    scene.exchange().run()
    host, other = scene.host(side), scene.host(SERVER if side is CLIENT else CLIENT)
    other.reads = False
    host.write(octets(200_000))
    scene.run(1_000)
    if silent:
        scene.boxes.append(drop(lambda segment, sender: sender is not side))
    host.connection.abort(scene.now)
    scene.run(60 * SECOND)
    sent = [entry.segment for entry in scene.log if entry.side is side]
    first = next(at for at, segment in enumerate(sent) if segment.option(MpFastclose))
    assert [segment for segment in sent[first:] if segment.payload_length] == []
    assert host.connection.closing.state is Closing.M_CLOSED
    assert host.endpoint.connections == []


def test_attempts_are_those_of_the_close_alone():
    """What was in flight is given up, so that no timeout of its own hurries or hinders the three attempts."""
    scene = Scene().exchange().run()
    scene.client.write(octets(50_000))
    scene.run(1_000)
    scene.boxes.append(drop(lambda segment, side: side is SERVER))
    since = scene.now
    scene.client.connection.abort(scene.now)
    scene.run(60 * SECOND)
    times = [
        entry.time
        for entry in scene.log
        if entry.side is CLIENT and entry.time >= since and entry.segment.option(MpFastclose)
    ]
    # Three on ACKs, and a RST in the end, each twice as long after the one before.
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) in (3, 4)
    assert all(later >= 2 * earlier for earlier, later in pairwise(gaps))
