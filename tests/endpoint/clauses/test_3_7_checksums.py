"""RFC 8684 §3.7, ninth to fourteenth paragraph and the last: checksums that fail, and MP_FAIL."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.profiles import NarrowNumbers
from mbtest.endpoint.states import Mode
from mbtest.wire import Dss, MpFail, MptcpOption
from mbtest.wire.checksum import mend, ones_sum
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    CLIENT,
    KIB,
    MASK_32,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    by,
    corrupt,
    drop,
    has,
    octets,
    through,
)

SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER])
TWO = ({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin", "checksum": True}, {"subflows": 2})
WRONG = 0x4321


def ready(side, **settings) -> Peer:
    """Return a peer with checksums and two exchanges behind it; the endpoint is on that side."""
    peer = Peer(opens=side is SERVER, checksum=True, subflows=2, **settings).open().confirm()
    peer.write(b"acknowledged")
    peer.initial.acknowledge()
    return peer


def infinite(peer: Peer) -> list[Dss]:
    return [option for line in peer.lines for option in line.options(Dss) if option.infinite]


# -- 9, 10: what a checksum finds ----------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("at", [1, 2, 5, 12])
def test_9_changed_octets_are_found_and_not_delivered_as_multipath(side, at):
    """Whichever segment is changed: the connection falls back and every octet is what its path delivers."""
    scene = Scene({"checksum": True}, {}).connect()
    if at > 1:
        scene.exchange(200, 200)
    scene.boxes.append(corrupt(by(side), at))
    sender, receiver = (scene.client, scene.server) if side is CLIENT else (scene.server, scene.client)
    already = len(receiver.got)
    sender.write(octets(60 * KIB, already))
    scene.run(60 * SECOND, until=lambda: len(receiver.got) == already + 60 * KIB)
    assert receiver.heard(Kind.CHECKSUM)
    assert not sender.connection.is_mptcp
    assert not receiver.connection.is_mptcp
    different = [
        place for place, octet in enumerate(octets(already + 60 * KIB)) if octet != receiver.got[place]
    ]
    assert len(different) <= 1


@SIDES
@pytest.mark.parametrize("grow", [3, -3])
def test_9_octets_inserted_or_removed_are_found(side, grow):
    """A box that changes lengths shifts the subflow's numbers: what follows is as in regular TCP."""
    scene = Scene({"checksum": True}, {}).exchange(300, 300)
    box = Resize(side, grow)
    scene.boxes.append(box)
    sender, receiver = (scene.client, scene.server) if side is CLIENT else (scene.server, scene.client)
    already, size = len(receiver.got), 20 * KIB
    sender.write(octets(size, already))
    scene.run(60 * SECOND, until=lambda: len(receiver.got) >= already + size + grow)
    expected = octets(already + size)
    cut = already + box.cut
    changed = expected[:cut] + (b"+++" + expected[cut:] if grow > 0 else expected[cut + 3 :])
    assert bytes(receiver.got) == changed
    assert not sender.connection.is_mptcp


class Resize:
    """Inserts or removes three octets at one place of a stream, and keeps TCP's numbers in order."""

    def __init__(self, side, grow: int) -> None:
        self.side, self.grow = side, grow
        self.place: int | None = None
        self.cut = 0

    def __call__(self, segment, side):
        if self.place is None:
            if side is not self.side or not segment.payload_length:
                return segment
            self.place = int(segment.seq) + 10
            self.cut = 10
        place = self.place
        if side is self.side:
            start = int(segment.seq)
            if start <= place < start + segment.payload_length:
                head, tail = segment.payload[: place - start], segment.payload[place - start :]
                payload = head + (b"+++" + tail if self.grow > 0 else tail[3:])
                return segment.replace(payload=payload)
            return segment if start < place else segment.replace(seq=start + self.grow & MASK_32)
        if segment.has_ack and int(segment.ack) > place:
            return segment.replace(ack=int(segment.ack) - self.grow & MASK_32)
        return segment


def test_10_without_checksums_a_change_goes_unnoticed():
    """There is nothing that would tell, and no fallback."""
    scene = Scene().exchange(200, 200)
    scene.boxes.append(corrupt(by(CLIENT), 3))
    scene.client.write(octets(20 * KIB, 200))
    scene.run(10 * SECOND, until=lambda: len(scene.server.got) == 200 + 20 * KIB)
    assert scene.client.connection.is_mptcp
    assert bytes(scene.server.got) != octets(200 + 20 * KIB)


# -- 11: several subflows ------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("wide", [False, True])
def test_11_with_other_subflows_it_is_reset_with_mp_fail(side, wide):
    """RST and MP_FAIL, which names the start of the failed mapping in 64 bits whatever the DSS had."""
    peer = ready(side)
    line = peer.join()
    start = peer.next
    line.data(b"damaged", checksum=WRONG, wide=wide)
    assert line.last.rst
    assert line.last.option(MpFail) == MpFail((peer.idsn + start) & MASK_64)
    assert peer.read() is None
    # It was not Data ACKed, and comes again by the other subflow.
    peer.initial.data(b"damaged", offset=start)
    assert peer.read() == b"damaged"
    assert peer.made.is_mptcp


@SIDES
@pytest.mark.parametrize("path", [A1, A2])
def test_11_the_data_arrives_by_another_subflow(side, path):
    """The damaged path is left, and the stream is whole."""
    scene = Scene({**TWO[0]}, {**TWO[1], "scheduler": "round-robin"}).joined()
    scene.boxes.append(corrupt(by(side, through(path)), 4))
    scene.exchange(100 * KIB, 100 * KIB, 120 * SECOND).run(10 * SECOND)
    assert scene.client.connection.is_mptcp
    assert len(scene.client.subflows) == 1
    assert scene.host(SERVER if side is CLIENT else CLIENT).heard(Kind.CHECKSUM)


@SIDES
def test_11_who_receives_it_sends_the_data_by_another_subflow(side):
    """MP_FAIL on a RST: what was not Data ACKed there is sent again elsewhere."""
    peer = ready(side, scheduler="round-robin")
    line = peer.join()
    line.acknowledge()
    peer.write(octets(4000))
    held = [segment for segment in line.got if segment.payload_length]
    assert held
    first = held[0].option(Dss).dsn
    line.reset(MpFail(first))
    for _ in range(10):
        peer.initial.acknowledge()
        peer.wait(SECOND)
    assert peer.expected == 13 + 4000
    assert peer.heard(Kind.MP_FAIL, str(first))
    assert peer.made.is_mptcp


# -- 13: one subflow -----------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("wide", [False, True])
def test_13_a_receiver_answers_with_mp_fail_on_an_ack(side, wide):
    """It names the start of the failed mapping; what failed is neither delivered nor Data ACKed."""
    peer = ready(side)
    line = peer.initial
    start = peer.next
    line.data(b"damaged", checksum=WRONG, wide=wide)
    option = line.last.option(MpFail)
    assert option == MpFail((peer.idsn + start) & MASK_64)
    assert not line.last.rst
    assert peer.read() is None
    acknowledged = line.last.option(Dss)
    if acknowledged is not None and acknowledged.data_ack is not None:
        mask = MASK_64 if acknowledged.data_ack_64 else MASK_32
        assert acknowledged.data_ack == (peer.idsn + start) & mask


@SIDES
def test_13_a_sender_answers_with_mp_fail_and_an_infinite_mapping(side):
    """MP_FAIL in the reverse direction, and on the next new segment the infinite mapping."""
    peer = ready(side)
    line = peer.initial
    peer.write(b"in flight")
    before = len(line.got)
    line.send(line.ack_option(13), MpFail((peer.endpoint_idsn + 13) & MASK_64))
    assert any(segment.option(MpFail) for segment in line.got[before:])
    assert not line.is_reset
    peer.write(b"what follows")
    assert infinite(peer)
    assert {(option.length, option.checksum, option.data_fin) for option in infinite(peer)} == {(0, 0, False)}


@SIDES
def test_13_the_infinite_mapping_begins_at_the_last_segment_that_was_data_acked(side):
    """It acts retroactively: subflow and data sequence number of the last segment known to be intact."""
    peer = ready(side)
    line = peer.initial
    (intact,) = peer.write(b"intact segment")
    line.acknowledge()
    peer.write(b"damaged segment")
    line.send(line.ack_option(27), MpFail((peer.endpoint_idsn + 27) & MASK_64))
    peer.write(b"what follows")
    said = {(option.dsn, option.subflow_sequence) for option in infinite(peer)}
    assert said == {(intact.option(Dss).dsn, intact.option(Dss).subflow_sequence)}
    assert said == {((peer.endpoint_idsn + 13) & MASK_64, 13)}


@SIDES
def test_13_the_infinite_mapping_begins_at_the_start_where_nothing_was_data_acked(side):
    """With the first data damaged nothing is known to be intact: both numbers are the first ones."""
    peer = Peer(opens=side is SERVER, checksum=True).open()
    line = peer.initial
    peer.write(b"the very first")
    line.send(line.ack_option(1), MpFail((peer.endpoint_idsn + 1) & MASK_64))
    peer.write(b"what follows")
    said = {(option.dsn, option.subflow_sequence) for option in infinite(peer)}
    assert said == {((peer.endpoint_idsn + 1) & MASK_64, 1)}


@SIDES
@pytest.mark.parametrize("profile", [None, NarrowNumbers])
def test_13_both_directions_are_regular_tcp_afterwards(side, profile):
    """After MP_FAIL, its answer and the infinite mappings, no option is sent by either."""
    settings = {"checksum": True} | ({"profile": profile} if profile else {})
    scene = Scene(settings, settings).exchange(5000, 5000)
    scene.boxes.append(corrupt(by(side), 2))
    sender, receiver = (scene.client, scene.server) if side is CLIENT else (scene.server, scene.client)
    sender.write(octets(20 * KIB))
    receiver.write(octets(20 * KIB))
    scene.run(5 * SECOND)
    assert len(scene.server.got) == len(scene.client.got) == 5000 + 20 * KIB
    since = scene.now
    sender.write(octets(20 * KIB))
    receiver.write(octets(20 * KIB))
    scene.close()
    assert len(scene.server.got) == len(scene.client.got) == 5000 + 40 * KIB
    for each in (CLIENT, SERVER):
        assert scene.options(each, MpFail)
        assert [option for option in scene.options(each, Dss) if option.infinite] or each is not side
        late = scene.sent(each, MptcpOption, since=since)
        assert all(segment.option(Dss) and segment.option(Dss).infinite for segment in late)
        assert len(late) <= 2


@SIDES
@pytest.mark.parametrize("lost", [1, 3])
@pytest.mark.parametrize("whose", ["first", "answer"])
def test_13_a_lost_mp_fail_is_made_up_for(side, lost, whose):
    """The first one, or the answer, may be lost more than once: the fallback comes about all the same."""
    scene = Scene({"checksum": True}, {}).exchange(5000, 5000)
    scene.boxes.append(corrupt(by(side), 2))
    other = SERVER if side is CLIENT else CLIENT
    scene.boxes.append(drop(by(other if whose == "first" else side, has(MpFail)), times=lost))
    sender, receiver = scene.host(side), scene.host(other)
    sender.write(octets(20 * KIB))
    scene.run(60 * SECOND, until=lambda: len(receiver.got) == 5000 + 20 * KIB)
    scene.run(5 * SECOND)
    sender.write(octets(1000))
    receiver.write(octets(1000))
    scene.run(10 * SECOND)
    assert len(receiver.got) == 5000 + 21 * KIB - 24
    assert len(sender.got) == 6000
    for host in (sender, receiver):
        assert host.connection.error is None
        assert not host.connection.is_mptcp


def test_13_an_mp_fail_that_is_never_answered_ends_the_subflow():
    """A peer that does not speak of it any more cannot be understood: the subflow is reset."""
    peer = ready(SERVER)
    peer.initial.data(b"damaged", checksum=WRONG)
    peer.wait(60 * SECOND)
    assert peer.initial.is_reset
    assert peer.made.error is not None
    assert peer.read() is None


def test_13_mp_fail_does_not_interrupt_the_other_direction():
    """Data on its way to the host that found the fault is still delivered, once each octet."""
    scene = Scene({"checksum": True}, {}).exchange(5000, 5000)
    scene.boxes.append(corrupt(by(CLIENT), 3))
    scene.exchange(0, 50 * KIB)
    scene.client.write(octets(30 * KIB, 5000))
    scene.server.write(octets(50 * KIB, 5000 + 50 * KIB))
    scene.run(30 * SECOND, until=lambda: len(scene.server.got) == 5000 + 30 * KIB)
    scene.run(10 * SECOND, until=lambda: len(scene.client.got) == 5000 + 100 * KIB)
    assert bytes(scene.client.got) == octets(5000 + 100 * KIB)


@SIDES
@pytest.mark.parametrize("unread", [False, True])
def test_13_what_was_acknowledged_before_the_fallback_is_delivered(side, unread):
    """Regular TCP never drops what it has acknowledged, however small the buffer and slow the reader."""
    peer = Peer(opens=side is SERVER, checksum=True, subflows=2, receive_buffer=4000).open().confirm()
    line = peer.initial
    sent = octets(12_000)
    at = line.next
    line.send(line.dss(sent[:700], checksum=WRONG), payload=sent[:700])
    for start in range(700, 8000, 700):
        line.send(payload=sent[start : start + 700])
    line.send(MpFail((peer.endpoint_idsn + 1) & MASK_64))
    got = b"" if unread else peer.read() or b""
    acknowledged = int(line.last.ack) - line.iss - at & MASK_32
    for start in range(acknowledged, 12_000, 700):
        line.send(payload=sent[start : start + 700], at=at + start)
    acknowledged = int(line.last.ack) - line.iss - at & MASK_32
    got += peer.read() or b""
    assert len(got) == acknowledged
    assert got == sent[:acknowledged]


# -- 14: one subflow, data with gaps -------------------------------------------------------------------


@SIDES
def test_14_a_receiver_with_a_gap_resets_with_mp_fail(side):
    """The failed octets are not the next of the stream: no infinite mapping could place what follows."""
    peer = ready(side)
    line = peer.join()
    start = peer.next
    line.data(b"beyond", offset=start + 100)
    line.reset()
    peer.initial.data(b"damaged", offset=start + 50, checksum=WRONG)
    assert peer.initial.last.rst
    assert peer.initial.last.option(MpFail) == MpFail((peer.idsn + start + 50) & MASK_64)
    assert peer.read() is None


@SIDES
def test_14_a_sender_with_gaps_in_flight_resets(side):
    """It repeats the data of a subflow that was closed: what is in flight is not contiguous."""
    peer = ready(side, scheduler="round-robin")
    line = peer.join()
    line.acknowledge()
    peer.write(octets(8000))
    line.reset()
    peer.pull()
    peer.wait(3 * SECOND)
    peer.initial.send(peer.initial.ack_option(13), MpFail((peer.endpoint_idsn + 13) & MASK_64))
    assert peer.initial.is_reset
    assert any(segment.option(MpFail) for segment in peer.initial.got if segment.rst)


# -- 17: boxes that know MPTCP -------------------------------------------------------------------------


def test_17_a_box_that_rewrites_the_checksum_is_welcome():
    """Whoever changes data and mends the DSS checksum causes no fallback."""

    def box(segment, side):
        option = segment.option(Dss)
        if side is not CLIENT or not segment.payload_length or option is None or not option.length:
            return segment
        payload = segment.payload[:-1] + bytes((segment.payload[-1] ^ 0x55,))
        checksum = mend(option.checksum, ones_sum(segment.payload), ones_sum(payload))
        mended = Dss(
            option.data_ack, option.dsn, option.subflow_sequence, option.length, checksum,
            option.data_fin, option.data_ack_64, option.dsn_64,
        )  # fmt: skip
        options = [mended if each == option else each for each in segment.options]
        return segment.replace(options=options, payload=payload)

    scene = Scene({"checksum": True}, {}).exchange(200, 200)
    scene.boxes.append(box)
    scene.client.write(octets(20 * KIB))
    scene.run(10 * SECOND, until=lambda: len(scene.server.got) == 200 + 20 * KIB)
    assert scene.server.connection.mode.state is Mode.MULTIPATH
