"""What a fallback tells, and its timers. The rules are in `clauses/test_3_7_...`."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.wire import MpFail, MpTcprst
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import CLIENT, MASK_64, MILLISECOND, SECOND, SERVER, Scene, by, strip


def damaged(**settings) -> Peer:
    peer = Peer(opens=True, checksum=True, **settings).open().confirm()
    peer.initial.data(b"damaged", checksum=0x1234)
    return peer


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_every_fallback_is_an_event_with_its_clause(side):
    scene = Scene()
    scene.boxes.append(strip(when=by(side, lambda segment, _: segment.syn)))
    scene.exchange()
    for host in (scene.client, scene.server):
        (event,) = host.heard(Kind.FALLBACK)
        assert "§3.7" in event.clause
        assert event.connection == 0


def test_the_story_of_a_failed_checksum():
    peer = damaged()
    number = str((peer.idsn + 6) & MASK_64)
    assert number in peer.heard(Kind.CHECKSUM)[0].words
    assert peer.heard(Kind.MP_FAIL, "sent")
    assert peer.made.mode.state is Mode.CHECKSUM_FAILED
    peer.initial.send(peer.initial.ack_option(), MpFail((peer.endpoint_idsn + 1) & MASK_64))
    assert peer.heard(Kind.MP_FAIL, "received")
    assert peer.heard(Kind.FALLBACK, "answered")
    assert peer.made.mode.state is Mode.INFINITE


def test_an_answer_is_waited_for_as_long_as_was_set():
    peer = damaged(fail_answer=700 * MILLISECOND)
    peer.wait(699 * MILLISECOND)
    assert not peer.initial.is_reset
    peer.wait(10 * MILLISECOND)
    assert peer.initial.last.rst
    assert peer.initial.last.option(MpTcprst) == MpTcprst(6)


def test_mp_fail_stays_on_every_ack_until_it_is_answered():
    peer = damaged()
    for _ in range(3):
        peer.initial.send(payload=b"more")
    acks = [segment for segment in peer.initial.got if segment.option(MpFail)]
    assert len(acks) >= 4
    assert len({segment.option(MpFail) for segment in acks}) == 1


def test_what_waits_for_an_answer_is_limited():
    """A window of data, and the subflow is reset."""
    peer = damaged(receive_buffer=4_000, unmapped_limit=5000)
    for _ in range(10):
        if not peer.initial.is_reset:
            peer.initial.send(payload=bytes(1000))
    assert peer.initial.last.rst
    assert peer.read() is None


def test_after_the_answer_what_waited_is_read():
    """The infinite mapping begins with the failed octets, which are taken as they are."""
    peer = damaged()
    line = peer.initial
    line.send(payload=b" and more")
    line.send(line.ack_option(), MpFail((peer.endpoint_idsn + 1) & MASK_64))
    assert peer.read() == b"damaged and more"


def test_without_an_answer_there_are_no_timers_left():
    peer = damaged()
    peer.wait(60 * SECOND)
    assert peer.endpoint.connections == []
    assert peer.endpoint.next_timer() is None
