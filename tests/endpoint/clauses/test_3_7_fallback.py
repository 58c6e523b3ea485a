"""RFC 8684 §3.7, second to eighth paragraph and the last two: options that are lost, and what follows.

Failed checksums, the ninth to the thirteenth paragraph, are in `test_3_7_checksums`.
"""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.profiles import LongMappings
from mbtest.endpoint.states import Mode
from mbtest.wire import ACK, SYN, Dss, MaximumSegmentSize, MpCapable, MpJoin, MptcpOption, MpTcprst
from tests.endpoint.clauses.test_3_1_connection_initiation import assert_regular
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    B1,
    CLIENT,
    KIB,
    MASK_64,
    SECOND,
    SERVER,
    Scene,
    by,
    has,
    octets,
    strip,
    through,
    with_data,
)

MIDDLEBOX = 6
SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER])


def not_syn(segment, side) -> bool:
    return not segment.syn


def reasons(line) -> list[int]:
    return [option.reason for option in line.options(MpTcprst)]


# -- 2: in the handshake -------------------------------------------------------------------------------


@SIDES
def test_2_a_handshake_without_options_gives_regular_tcp(side):
    """Whichever SYN lost its option, both hosts are regular TCP and say why."""
    scene = Scene()
    scene.boxes.append(strip(when=by(side, lambda segment, _: segment.syn)))
    scene.exchange(30 * KIB, 30 * KIB).close()
    for host in (scene.client, scene.server):
        assert host.connection.mode.state is Mode.REGULAR
        assert host.heard(Kind.FALLBACK)


def test_2_a_third_ack_without_options_gives_regular_tcp():
    """The listener falls back by itself, and the initiator follows."""
    scene = Scene()
    scene.boxes.append(strip(when=by(CLIENT, not_syn)))
    scene.exchange(30 * KIB, 30 * KIB).close()
    assert not scene.client.connection.is_mptcp
    assert not scene.server.connection.is_mptcp


def test_2_a_joining_subflow_is_closed_instead():
    """Options lost on the SYNs of a further subflow close that one alone."""
    scene = Scene({"subflows": 2, "join_from": (A2,)}, {"subflows": 2})
    scene.boxes.append(strip(MpJoin))
    scene.exchange().run(10 * SECOND)
    assert [subflow.local for subflow in scene.client.subflows] == [A1]
    assert scene.client.connection.is_mptcp
    scene.exchange(20 * KIB, 20 * KIB)


# -- 4: a mapping on every segment at first ------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("settings", [{}, {"profile": LongMappings}])
def test_4_every_segment_has_a_mapping_until_the_first_data_ack(side, settings):
    """Until a Data ACK proves that options pass in both directions, no segment goes without a mapping."""
    peer = Peer(opens=side is SERVER, **settings).open()
    segments = peer.write(octets(12 * 1400))
    assert len(segments) >= 8
    for segment in segments:
        option = segment.option(Dss)
        capable = segment.option(MpCapable)
        assert (option is not None and option.has_mapping) or (capable and capable.data_length)


# -- 5: no Data ACK on a subflow that joined -----------------------------------------------------------


@SIDES
def test_5_a_joined_subflow_without_data_acks_is_reset(side):
    """Data acknowledged there without a Data ACK: RST, "middlebox interference"."""
    peer = Peer(opens=side is SERVER, subflows=2, scheduler="redundant").open().confirm()
    line = peer.join()
    peer.initial.acknowledge()
    segments = peer.write(b"both ways")
    assert any(segment in line.got for segment in segments)
    line.send()
    assert line.last.rst
    assert reasons(line) == [MIDDLEBOX]
    assert peer.made.is_mptcp
    peer.initial.acknowledge()
    assert peer.made.describe()["unacknowledged"] == 0


def test_5_the_third_ack_of_a_join_does_not_count():
    """An ACK of the SYN alone, without a Data ACK, says nothing."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    line.send()
    assert not line.is_reset


# -- 6: no Data ACK on the first subflow ---------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("checksum", [False, True])
def test_6_the_first_subflow_falls_back_with_an_infinite_mapping(side, checksum):
    """Data acknowledged without a Data ACK: one last mapping, infinite, and regular TCP from there on."""
    peer = Peer(opens=side is SERVER, checksum=checksum).open()
    line = peer.initial
    peer.write(b"first")
    line.send()
    assert peer.made.mode.state is Mode.INFINITE
    (segment,) = peer.write(b"second")
    option = segment.option(Dss)
    assert option is not None
    assert (option.length, option.data_fin, option.data_ack) == (0, False, None)
    assert option.checksum == (0 if checksum else None)
    # On the first subflow both count alike: the mapping is right wherever it begins.
    assert option.dsn == (peer.endpoint_idsn + option.subflow_sequence) & MASK_64
    line.send()
    segments = peer.write(b"third")
    assert [each.option(MptcpOption) for each in segments] == [None]
    assert peer.made.mode.state is Mode.REGULAR
    line.send(payload=b"plain")
    assert peer.read() == b"plain"


@SIDES
def test_6_a_data_ack_before_any_data_proves_nothing(side):
    """Only a Data ACK that acknowledges a segment of ours shows that its DSS got through.

    Options may pass one way until the first data: sent again at the data level, as long as MPTCP is believed
    to work, it would reach a peer that has fallen back, as new octets.
    """
    peer = Peer(opens=side is SERVER).open().confirm()
    line = peer.initial
    peer.write(b"first")
    line.send()
    assert not peer.made.is_mptcp
    peer.wait(30 * SECOND)
    assert {int(segment.seq) - line.irs for segment in line.got if segment.payload_length} == {1}


def test_6_the_handshake_does_not_count():
    """An ACK of the SYN without a Data ACK is no sign."""
    peer = Peer(opens=False).open()
    peer.initial.send()
    assert peer.made.is_mptcp


def test_6_with_further_subflows_it_is_reset_instead():
    """Once others were added the first one is treated as they are."""
    peer = Peer(opens=True, subflows=2, scheduler="redundant").open().confirm()
    line = peer.join()
    line.acknowledge()
    peer.write(b"both ways")
    peer.initial.send()
    assert peer.initial.last.rst
    assert reasons(peer.initial) == [MIDDLEBOX]
    line.acknowledge()
    assert peer.made.is_mptcp
    assert peer.made.describe()["unacknowledged"] == 0


@SIDES
def test_6_the_receiver_of_the_infinite_mapping_turns_to_regular_tcp(side):
    """It tells the other side in case options are lost in one direction only."""
    peer = Peer(opens=side is SERVER).open().confirm()
    line = peer.initial
    option = Dss(None, (peer.idsn + peer.next) & MASK_64, line.next, 0, dsn_64=True)
    line.send(option, payload=b"no mapping needed")
    assert peer.read() == b"no mapping needed"
    assert not peer.made.is_mptcp
    line.send(payload=b" any more")
    assert peer.read() == b" any more"


# -- 7: options lost in mid-connection -----------------------------------------------------------------


@SIDES
def test_7_a_path_that_begins_to_strip_options_ends_in_a_reset(side):
    """Nothing can be delivered or told any more: RST with reason 6 once a window of data has come."""
    settings = {"receive_buffer": 40_000, "unmapped_limit": 40_000}
    scene = Scene(settings, settings).exchange(20 * KIB, 20 * KIB)
    scene.boxes.append(strip(when=not_syn))
    sender = scene.host(side)
    receiver = scene.server if side is CLIENT else scene.client
    already = len(receiver.got)
    sender.write(octets(400 * KIB, already))
    scene.run(300 * SECOND)
    # A box that takes options spares RSTs only if it is asked to: look at what was sent.
    found = [option.reason for each in (CLIENT, SERVER) for option in scene.options(each, MpTcprst)]
    assert found
    assert set(found) == {MIDDLEBOX}
    assert receiver.connection.error is not None or sender.connection.error is not None
    assert bytes(receiver.got) == octets(already + 400 * KIB)[: len(receiver.got)]


def test_7_data_is_not_taken_for_the_stream_without_a_mapping():
    """In mid-connection octets without a mapping are not delivered."""
    peer = Peer(opens=True).open().confirm()
    peer.initial.send(payload=b"who knows where")
    assert peer.read() is None
    assert peer.made.is_mptcp


# -- 8: all cases --------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("where", ["up", "down", "both"])
@pytest.mark.parametrize("first", ["client", "server", "both"])
@pytest.mark.parametrize("checksum", [False, True])
def test_8_options_lost_after_the_syns_give_regular_tcp(side, where, first, checksum):
    """Forward or reverse path, whoever sends first: the streams are whole, without multipath."""
    scene = Scene({"checksum": checksum}, {})
    when = {"up": by(CLIENT, not_syn), "down": by(SERVER, not_syn), "both": not_syn}[where]
    scene.boxes.append(strip(when=when))
    scene.connect()
    if first != "both":
        scene.exchange(20 * KIB * (first == "client"), 20 * KIB * (first == "server"))
    scene.exchange(30 * KIB, 30 * KIB)
    scene.host(side).finish()
    scene.run(2 * SECOND)
    scene.close()
    for host in (scene.client, scene.server):
        assert not host.connection.is_mptcp
        assert host.connection.error is None


@SIDES
def test_8_options_lost_on_data_alone_give_regular_tcp(side):
    """As behind a box that keeps options on empty segments only."""
    scene = Scene()
    scene.boxes.append(strip(when=by(side, with_data)))
    scene.exchange(30 * KIB, 30 * KIB).close()
    assert not scene.client.connection.is_mptcp
    assert not scene.server.connection.is_mptcp


@SIDES
def test_8_options_lost_on_a_joined_path_are_a_failure_of_that_path(side):
    """Its data is not Data ACKed, the subflow is reset with reason 6, and the data arrives by the first."""
    settings = {"subflows": 2, "scheduler": "round-robin"}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined()
    scene.boxes.append(strip(when=through(A2, by(side, not_syn))))
    scene.exchange(100 * KIB, 100 * KIB, 120 * SECOND)
    scene.run(30 * SECOND)
    found = [option.reason for each in (CLIENT, SERVER) for option in scene.options(each, MpTcprst)]
    assert set(found) == {MIDDLEBOX}
    assert scene.client.connection.is_mptcp
    assert len(scene.client.subflows) == 1


def test_8_the_other_side_of_a_joined_path_notices_too():
    """Data without a mapping on a subflow that never had one is answered with a RST, reason 6."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    line.send(payload=b"without a mapping")
    assert line.last.rst
    assert reasons(line) == [MIDDLEBOX]
    assert peer.read() is None


# -- 15: after an infinite mapping ---------------------------------------------------------------------


def fallen_back(side) -> Peer:
    """Return a peer whose endpoint sent an infinite mapping, and one write after it."""
    peer = Peer(opens=side is SERVER).open()
    peer.write(b"first")
    peer.initial.send()
    peer.write(b"second")
    return peer


@SIDES
def test_15_only_subflow_acks_free_the_send_buffer(side):
    """Data ACKs may not fit any more: they count for nothing, and the subflow's ACK for all."""
    peer = fallen_back(side)
    line = peer.initial
    assert peer.made.describe()["unacknowledged"] == 6
    line.send(Dss((peer.endpoint_idsn + 12) & MASK_64, data_ack_64=True), ack=6)
    assert peer.made.describe()["unacknowledged"] == 6
    line.send()
    assert peer.made.describe()["unacknowledged"] == 0


@SIDES
def test_15_the_receiver_of_an_infinite_mapping_sends_no_data_acks(side):
    """They end with the mapping."""
    peer = Peer(opens=side is SERVER).open().confirm()
    line = peer.initial
    line.send(Dss(None, (peer.idsn + peer.next) & MASK_64, line.next, 0, dsn_64=True), payload=b"last")
    before = len(line.got)
    for _ in range(3):
        line.send(payload=b"more")
    assert [segment.option(MptcpOption) for segment in line.got[before:]] == [None] * 3


def test_15_octets_passed_over_are_missed_and_not_left_out():
    """A segment lost its option, one behind it had one, and then the sender falls back.

    The infinite mapping counts from the first octet on, those that had no mapping included: the stream may be
    whole or broken off, but not continue without them.
    """
    peer = Peer(opens=True).open()
    line = peer.initial
    line.data(b"first ")
    line.send(payload=b"second ")
    line.data(b"third ", offset=14)
    line.send(Dss(None, (peer.idsn + 1) & MASK_64, 1, 0, dsn_64=True), payload=b"fourth")
    read = peer.read() or b""
    assert b"first second third fourth".startswith(read)
    assert line.is_reset or read == b"first second third fourth"


# -- 16: one subflow, and no way back ------------------------------------------------------------------


@SIDES
def test_16_no_subflow_joins_after_a_fallback(side):
    """A joining SYN is answered with a RST, and none is sent."""
    peer = Peer(opens=side is SERVER, subflows=4).open().confirm()
    line = peer.initial
    line.send(Dss(None, (peer.idsn + peer.next) & MASK_64, line.next, 0, dsn_64=True), payload=b"x")
    join = peer.join_syn()
    assert join.last.rst
    assert peer.made.join(peer.initial.remote[0], A2 if side is SERVER else B1, 4000, peer.now) is None
    assert len(peer.made.subflows) == 1


@SIDES
def test_16_options_that_come_later_change_nothing(side):
    """MPTCP does not come back: further DSS options are no signals."""
    peer = Peer(opens=side is SERVER).open().confirm()
    line = peer.initial
    line.send(Dss(None, (peer.idsn + peer.next) & MASK_64, line.next, 0, dsn_64=True), payload=b"one")
    line.send(line.dss(b"two", offset=9999, data_ack=5), payload=b"two")
    line.send(line.dss(fin=True))
    assert peer.read() == b"onetwo"
    assert peer.made.mode.state in (Mode.REGULAR, Mode.INFINITE)
    (segment,) = [each for each in peer.write(b"back") if each.payload_length]
    assert segment.payload == b"back"
    # The end is the FIN of TCP.
    line.fin()
    assert peer.read() == b""


def test_16_with_several_subflows_an_infinite_mapping_is_a_failure():
    """Only one subflow can go on after a fallback, so that this one is reset."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    peer.initial.data(b"fine")
    line.send(Dss(None, (peer.idsn + peer.next) & MASK_64, line.next, 0, dsn_64=True), payload=b"x")
    assert line.last.rst
    assert peer.read() == b"fine"
    assert peer.made.is_mptcp


@SIDES
def test_16_no_option_is_sent_after_a_fallback(side):
    """From the acknowledgement of the last one on, to the end of the connection."""
    scene = Scene().connect()
    scene.boxes.append(strip(when=by(side, has(Dss))))
    scene.exchange(30 * KIB, 30 * KIB)
    scene.run(SECOND)
    since = scene.now
    scene.exchange(100 * KIB, 100 * KIB).close().run(5 * SECOND)
    for each in (CLIENT, SERVER):
        assert scene.sent(each, since=since)
        assert scene.sent(each, MptcpOption, since=since) == []
        assert scene.host(each).connection.error is None


def test_16_regular_tcp_ends_with_fins_and_resets_of_tcp():
    """An abort after a fallback is a plain RST."""
    peer = Peer(opens=False)
    peer.initial.send(MaximumSegmentSize(1460), flags=SYN | ACK)
    assert_regular(peer)
    peer.made.abort(peer.now)
    peer.pull()
    assert peer.initial.last.rst
    assert peer.initial.last.option(MptcpOption) is None
    assert peer.endpoint.connections == []
