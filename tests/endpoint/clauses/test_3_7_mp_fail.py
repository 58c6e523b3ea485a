"""RFC 8684 §3.7, eleventh to fourteenth paragraph: which subflows count, and MP_FAIL with much in flight."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.wire import MpFail
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A2,
    B1,
    CLIENT,
    KIB,
    MASK_64,
    MILLISECOND,
    PORT,
    SECOND,
    SERVER,
    Scene,
    by,
    corrupt,
    drop,
    octets,
    through,
)

SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER])
WRONG = 0x4321


def ready(side, **settings) -> Peer:
    """Return a peer with checksums and two exchanges behind it; the endpoint is on that side."""
    peer = Peer(opens=side is SERVER, checksum=True, subflows=4, **settings).open().confirm()
    peer.write(b"acknowledged")
    peer.initial.acknowledge()
    return peer


def answer(peer: Peer) -> list:
    """Answer the endpoint's MP_FAIL, and return what it sends then."""
    return peer.initial.send(peer.initial.ack_option(), MpFail((peer.endpoint_idsn + 1) & MASK_64))


def fell_back(scene: Scene) -> bool:
    """Whether both sides are regular TCP on one subflow, and nobody was told an error."""
    connections = [scene.client.connection, scene.server.connection]
    return all(
        connection.error is None and not connection.is_mptcp and len(connection.subflows) == 1
        for connection in connections
    )


def different(got: bytes, sent: bytes) -> int:
    """Return how many octets are not as they were sent."""
    assert len(got) == len(sent)
    return sum(one != other for one, other in zip(got, sent, strict=True))


# -- 11: several subflows "in use" ------------------------------------------------------------------------


@SIDES
def test_11_a_join_to_a_dead_address_is_no_subflow_in_use(side):
    """A SYN with MP_JOIN that nobody answers leaves one subflow, and MP_FAIL on an ACK for it."""
    scene = Scene({"checksum": True, "join_from": (A2,), "subflows": 2}, {"checksum": True, "subflows": 2})
    scene.boxes.append(drop(through(A2)))
    scene.exchange()
    scene.boxes.append(corrupt(by(side), 3))
    sender = scene.host(side)
    receiver = scene.server if side is CLIENT else scene.client
    already = len(receiver.got)
    sender.write(octets(20 * KIB, already))
    scene.run(10 * SECOND, until=lambda: len(receiver.got) == already + 20 * KIB)
    assert different(bytes(receiver.got), octets(already + 20 * KIB)) == 1
    scene.run(SECOND)
    assert fell_back(scene)
    assert not [segment for each in (CLIENT, SERVER) for segment in scene.sent(each) if segment.rst]


def test_11_a_join_that_is_half_open_is_no_subflow_in_use():
    """Its third ACK has not come; once the connection is regular TCP, nothing may be left of it."""
    peer = ready(SERVER)
    line = peer.join_syn()
    assert line.last.syn
    peer.initial.data(b"damaged", checksum=WRONG)
    assert peer.initial.last.option(MpFail)
    assert not peer.initial.is_reset
    answer(peer)
    assert not peer.made.is_mptcp
    assert line.is_reset
    assert len(peer.made.subflows) == 1
    assert peer.read() == b"damaged"


def test_11_a_subflow_that_is_closing_is_no_subflow_in_use():
    """Both FINs of the other one are sent; what is left of it ends with the fallback."""
    peer = ready(SERVER)
    line = peer.join()
    line.acknowledge()
    line.fin(line.ack_option())
    assert any(segment.fin for segment in line.got)
    peer.initial.data(b"damaged", checksum=WRONG)
    assert peer.initial.last.option(MpFail)
    assert not peer.initial.is_reset
    answer(peer)
    assert not peer.made.is_mptcp
    assert len(peer.made.subflows) == 1
    assert peer.read() == b"damaged"


@SIDES
def test_11_a_subflow_that_only_one_side_has_lost_is_no_end_of_the_data(side):
    """The RST of the other one got lost, so that the two disagree on how many there are."""
    settings = {"checksum": True, "subflows": 2}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined().run()
    scene.boxes.append(drop(through(A2)))
    lost = next(subflow for subflow in scene.host(side).subflows if subflow.joins)
    lost.abort(scene.now)
    scene.run(100 * MILLISECOND)
    scene.boxes.append(corrupt(by(CLIENT)))
    scene.client.write(octets(20 * KIB, KIB))
    scene.server.write(octets(20 * KIB, KIB))
    scene.run(300 * SECOND)
    errors = [host.connection.error for host in (scene.client, scene.server)]
    if errors == [None, None]:
        assert different(bytes(scene.server.got), octets(21 * KIB)) <= 1
        assert bytes(scene.client.got) == octets(21 * KIB)
    else:
        # Both applications are told, and neither waits for ever.
        assert None not in errors


def test_11_two_subflows_in_use_are_several():
    """The control: with a second one established it is a RST, and the connection stays as it is."""
    peer = ready(SERVER)
    line = peer.join()
    line.acknowledge()
    peer.initial.data(b"damaged", checksum=WRONG)
    assert peer.initial.last.rst
    assert peer.initial.last.option(MpFail)
    assert peer.made.is_mptcp


@SIDES
def test_16_subflows_in_the_making_end_with_the_fallback(side):
    """All but one are terminated: a SYN of our own that is under way is not repeated."""
    peer = ready(side)
    own, remote = peer.initial.remote[0], peer.initial.own[0]
    subflow = peer.made.join(own, remote if side is SERVER else B1, PORT + 1, peer.now)
    assert subflow is not None
    peer.pull()
    assert len(peer.strays) == 1
    peer.initial.data(b"damaged", checksum=WRONG)
    answer(peer)
    assert not peer.made.is_mptcp
    assert peer.made.subflows == [next(each for each in peer.made.subflows if not each.joins)]
    peer.wait(60 * SECOND)
    assert len(peer.strays) == 1


# -- 13: one subflow, whatever is in flight ---------------------------------------------------------------


@pytest.mark.parametrize("at", [320, 400, 900])
def test_13_a_window_in_flight_does_not_keep_the_answer_out(at):
    """2 MB over 40 ms: what was sent before MP_FAIL arrived waits, and is delivered after the answer."""
    scene = Scene({"checksum": True}, {"checksum": True})
    scene.delay = 20 * MILLISECOND
    scene.boxes.append(corrupt(by(CLIENT), at))
    scene.connect()
    sent = octets(2_000_000)
    scene.client.write(sent)
    scene.run(30 * SECOND, until=lambda: len(scene.server.got) >= len(sent))
    assert scene.server.heard(Kind.CHECKSUM)
    assert different(bytes(scene.server.got), sent) == 1
    assert fell_back(scene)


@SIDES
def test_13_the_window_that_was_advertised_is_kept_until_the_answer(side):
    """Far more than a window that is not scaled: the peer was allowed to send it."""
    peer = ready(side)
    line = peer.initial
    line.data(b"damaged", checksum=WRONG)
    piece = octets(1400)
    for _ in range(200):
        line.send(payload=piece)
    assert not line.is_reset
    answer(peer)
    assert peer.read() == b"damaged" + 200 * piece


# -- 5, 6 and 13 together -------------------------------------------------------------------------------


@SIDES
def test_6_an_ack_without_options_while_mp_fail_is_unanswered_raises_nothing(side):
    """A box that strips pure ACKs acknowledges our first data: the answer is waited for as before."""
    peer = Peer(opens=side is SERVER, checksum=True).open()
    line = peer.initial
    line.data(b"hello")
    assert peer.read() == b"hello"
    peer.write(b"answer")
    damaged = line.dss(b"damaged", checksum=WRONG, data_ack=1)
    line.send(damaged, payload=b"damaged", ack=1)
    assert peer.made.mode.state is Mode.CHECKSUM_FAILED
    line.send()
    assert not line.is_reset
    line.send(payload=b" and more")
    answer(peer)
    assert not peer.made.is_mptcp
    assert peer.made.error is None
    assert peer.read() == b"damaged and more"
    (segment,) = peer.write(b"goes on")
    assert segment.payload == b"goes on"


@SIDES
@pytest.mark.parametrize("stripped", ["acks", "all"])
def test_6_boxes_that_strip_while_mp_fail_is_unanswered_break_nothing(side, stripped):
    """The same on a whole connection: data is changed, and from then on options are lost as well."""
    scene = Scene({"checksum": True}, {"checksum": True}).connect()
    spoilt = []

    def box(segment, sender):
        if segment.payload_length and sender is side and len(spoilt) < 1:
            spoilt.append(segment.seq)
            return segment.replace(payload=segment.payload[:-1] + bytes((segment.payload[-1] ^ 0x55,)))
        if spoilt and (stripped == "all" or not segment.payload_length):
            return segment.without_options(*{type(option) for option in segment.options if option.kind == 30})
        return segment

    scene.boxes.append(box)
    scene.client.write(octets(20 * KIB))
    scene.server.write(octets(20 * KIB))
    scene.run(120 * SECOND)
    errors = [host.connection.error for host in (scene.client, scene.server)]
    complete = [len(host.got) == 20 * KIB for host in (scene.client, scene.server)]
    assert all(complete) or None not in errors
