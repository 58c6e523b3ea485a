"""RFC 8684 §3.7: how often an infinite mapping is declared, what it may be taken for, what comes after it."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.fallback import MOST_TOLD
from mbtest.endpoint.states import Mode
from mbtest.wire import Dss, MptcpOption, Sack
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    CLIENT,
    MASK_32,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    by,
    corrupt,
    octets,
    strip,
)

SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER])
PIECE = 1000


def infinite(peer: Peer) -> Dss:
    """Return an infinite mapping of the peer's that begins with its next octet."""
    return Dss(None, (peer.idsn + peer.next) & MASK_64, peer.initial.next, 0, dsn_64=True)


def split(segment, side):
    """A box that cuts segments with data into pieces; the first alone keeps the options (segmentation)."""
    payload = segment.payload
    if len(payload) <= PIECE or segment.syn:
        return segment
    pieces = []
    for start in range(0, len(payload), PIECE):
        piece = segment.replace(
            seq=int(segment.seq) + start & MASK_32, payload=payload[start : start + PIECE]
        )
        pieces.append(piece if start == 0 else piece.replace(options=[]))
    return pieces


# -- 13, 15: declared a few times, and then no option any more -------------------------------------------


def test_13_a_receiver_declares_its_infinite_mapping_on_a_few_acks_alone():
    """It has no data for the mapping to go with: after MOST_TOLD ACKs with it, no option is sent at all."""
    scene = Scene({"checksum": True}, {"checksum": True})
    scene.boxes.append(corrupt(by(CLIENT), 5))
    scene.connect()
    scene.client.write(octets(1_000_000))
    scene.run(20 * SECOND, until=lambda: len(scene.server.got) == 1_000_000)
    (fallback,) = scene.server.heard(Kind.FALLBACK)
    sent = scene.sent(SERVER, since=fallback.time + 1)
    assert len(sent) > 100
    assert len([segment for segment in sent if segment.option(MptcpOption)]) <= MOST_TOLD
    declared = [at for at, segment in enumerate(sent) if (option := segment.option(Dss)) and option.infinite]
    assert 1 <= len([option for option in scene.options(SERVER, Dss) if option.infinite]) <= MOST_TOLD
    assert max(declared, default=0) < 20


@SIDES
def test_6_a_host_with_no_more_data_declares_it_on_a_few_acks_alone(side):
    """Its data was acknowledged without a Data ACK, and nothing follows: ACKs are plain then."""
    peer = Peer(opens=side is SERVER).open()
    line = peer.initial
    peer.write(b"all there is")
    line.send()
    assert peer.made.mode.state is Mode.INFINITE
    before = len(line.got)
    for _ in range(20):
        line.send(payload=b"plain")
    acks = line.got[before:]
    assert len(acks) >= 20
    assert len([segment for segment in acks if segment.option(MptcpOption)]) <= MOST_TOLD
    assert [segment.option(MptcpOption) for segment in acks[-10:]] == [None] * 10
    assert peer.read() == b"plain" * 20


@SIDES
def test_6_data_that_comes_later_still_declares_it(side):
    """The first new segment carries it, the second does not."""
    peer = Peer(opens=side is SERVER).open()
    line = peer.initial
    peer.write(b"first")
    line.send()
    for _ in range(10):
        line.send(payload=b"plain")
    (segment,) = peer.write(b"second")
    assert segment.option(Dss).infinite
    line.send()
    (segment,) = peer.write(b"third")
    assert segment.option(MptcpOption) is None
    assert peer.made.mode.state is Mode.REGULAR


# -- 13, 15: what is in flight where one arrives ----------------------------------------------------------


@SIDES
def test_15_an_infinite_mapping_while_our_flight_is_not_contiguous_is_refused(side):
    """Data of a subflow that was lost went again, out of order: read as a stream it would be another one."""
    peer = Peer(opens=side is SERVER, subflows=2, scheduler="round-robin").open().confirm()
    line = peer.join()
    line.acknowledge()
    peer.initial.acknowledge()
    peer.write(octets(1420 * 4))
    line.reset()
    peer.pull()
    flight = [segment for segment in peer.initial.got if segment.payload_length]
    places = {
        (segment.option(Dss).dsn - segment.option(Dss).subflow_sequence) & MASK_64 for segment in flight
    }
    assert len(places) > 1
    peer.initial.send(peer.initial.ack_option(1, wide=True), infinite(peer))
    assert peer.initial.is_reset
    assert peer.made.mode.state is not Mode.REGULAR


@SIDES
def test_15_an_infinite_mapping_while_our_flight_is_one_stretch_is_taken(side):
    """The control: two segments in flight, one after the other."""
    peer = Peer(opens=side is SERVER).open().confirm()
    peer.write(octets(2800))
    peer.initial.send(infinite(peer), payload=b"plain", ack=1)
    assert not peer.initial.is_reset
    assert not peer.made.is_mptcp
    assert peer.read() == b"plain"
    peer.initial.send()
    assert peer.made.describe()["unacknowledged"] == 0


# -- 15: after it, DSS options say nothing ----------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("distance", [3, 1000])
def test_15_a_data_fin_after_a_fallback_does_not_end_the_stream(side, distance):
    """Its number may be wrong by what a box put in or took out: the FIN of the subflow ends the stream."""
    peer = Peer(opens=side is SERVER).open()
    line = peer.initial
    peer.write(b"first")
    line.send()
    assert peer.made.mode.state is Mode.INFINITE
    line.send(line.dss(offset=peer.next + distance, fin=True))
    line.send(payload=b"plain octets")
    assert peer.read() == b"plain octets"
    line.fin()
    assert peer.read() == b""
    assert peer.made.error is None


@SIDES
def test_15_the_end_is_heard_where_a_box_shortened_the_stream(side):
    """Checksums tell, both fall back, and the DATA_FIN that was under way is beyond all that will come."""
    scene = Scene({"checksum": True}, {"checksum": True}).exchange(300, 300)
    cut: list[int] = []
    sender = scene.host(side)
    receiver = scene.server if side is CLIENT else scene.client

    def box(segment, sent_by):
        if sent_by is side:
            if not cut and segment.payload_length:
                cut.append(int(segment.seq))
            if cut and int(segment.seq) == cut[0] and segment.payload_length:
                return segment.replace(payload=segment.payload[3:])
            return segment.replace(seq=int(segment.seq) - 3 & MASK_32) if cut else segment
        if cut and segment.has_ack and int(segment.ack) > cut[0]:
            return segment.replace(ack=int(segment.ack) + 3 & MASK_32)
        return segment

    scene.boxes.append(box)
    sender.write(octets(5000, 300))
    sender.finish()
    scene.run(60 * SECOND, until=lambda: receiver.ended or receiver.connection.error)
    if receiver.connection.error is None:
        assert bytes(receiver.got) == octets(300) + octets(5300)[303:]
    else:
        scene.run(60 * SECOND)
        assert sender.connection.error


# -- 7, 8: octets never wait without end -------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("size", [1001, 2500, 10_000])
def test_7_data_behind_a_box_that_splits_and_strips_arrives_or_an_error_does(side, checksum, size):
    """MP_CAPABLE passes with the first piece, no DSS ever does, and the sender waits for an answer."""
    scene = Scene({"checksum": checksum}, {"checksum": checksum})
    scene.boxes += [split, strip(Dss, Sack)]
    scene.connect()
    scene.host(side).write(octets(size))
    scene.run(60 * SECOND)
    receiver = scene.server if side is CLIENT else scene.client
    errors = [host.connection.error for host in (scene.client, scene.server)]
    assert bytes(receiver.got) == octets(size) or None not in errors
    assert octets(size).startswith(bytes(receiver.got))


@SIDES
def test_7_a_stream_that_ends_behind_such_a_box_ends(side):
    """The same where both have written all they will: both ends come, or both are told an error."""
    scene = Scene()
    scene.boxes += [split, strip(Dss, Sack)]
    scene.connect()
    scene.host(side).write(octets(2500))
    scene.client.finish()
    scene.server.finish()
    scene.run(120 * SECOND)
    hosts = (scene.client, scene.server)
    assert all(host.ended for host in hosts) or None not in [host.connection.error for host in hosts]


def test_7_octets_without_a_mapping_do_not_wait_for_ever():
    """Mappings came before, so that one may yet come; the subflow is reset once none did for long."""
    peer = Peer(opens=True).open().confirm()
    peer.initial.send(payload=b"who knows where")
    assert not peer.initial.is_reset
    peer.wait(60 * SECOND)
    assert peer.initial.is_reset
    assert peer.read() is None
    assert peer.made.error is not None


def test_7_a_mapping_that_comes_late_is_in_time():
    """Its DSS was lost with the options of one segment, and the repetition brings it: the wait is over."""
    peer = Peer(opens=True).open().confirm()
    line = peer.initial
    option = line.dss(b"late")
    line.send(payload=b"late")
    peer.wait(SECOND)
    line.send(option)
    assert peer.read() == b"late"
    peer.next += 4
    peer.wait(60 * SECOND)
    assert not line.is_reset
    line.data(b"goes on")
    assert peer.read() == b"goes on"


def test_7_a_wait_that_is_over_does_not_shorten_the_next():
    """Each octet has the whole time for its mapping to come."""
    peer = Peer(opens=True, unmapped_wait=3 * SECOND).open().confirm()
    line = peer.initial
    for payload in (b"late", b"later", b"latest"):
        option = line.dss(payload)
        line.send(payload=payload)
        peer.wait(2 * SECOND)
        line.send(option)
        assert peer.read() == payload
        assert not line.is_reset
        peer.next += len(payload)
