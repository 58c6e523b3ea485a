"""RFC 8684 §3.3 and §3.3.1: what a DSS may hold, and the mapping from subflow to data stream."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.profiles import LongMappings, NarrowDataAcks, NarrowNumbers, Profile, SparseMappings
from mbtest.wire import ACK, PSH, URG, Dss, MpTcprst
from mbtest.wire.checksum import dss_checksum
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, CLIENT, KIB, MASK_32, MASK_64, SERVER, Scene, octets, strip, with_data

WHOLE = octets(3000)
NEAR_WRAP = 252_322
"""A key whose IDSN has low 32 bits of 0xFFFFFA5A."""


def ready(**settings) -> Peer:
    """Return a peer of an established connection, and the DSS of one exchange behind it."""
    return Peer(opens=True, subflows=2, **settings).open().confirm()


# -- §3.3: what belongs in a DSS -----------------------------------------------------------------------


def test_a_mapping_without_the_negotiated_checksum_breaks_the_subflow():
    """Where checksums were agreed on, a mapping without one has the subflow reset, reason 1 (§3.3)."""
    peer = ready(checksum=True)
    peer.checksum = False
    peer.initial.data(b"no checksum")
    assert peer.read() is None
    assert peer.initial.last.rst
    assert [option.reason for option in peer.initial.options(MpTcprst)] == [1]


def test_a_checksum_that_was_not_negotiated_breaks_the_subflow():
    """Where they were not, a mapping with one has the subflow reset, reason 1 (§3.3)."""
    peer = ready()
    peer.initial.data(b"a checksum", checksum=0x1234)
    assert peer.read() is None
    assert peer.initial.last.rst
    assert [option.reason for option in peer.initial.options(MpTcprst)] == [1]


def test_data_ack_and_mapping_may_go_together_or_apart():
    """A DSS holds a Data ACK, a mapping, or both."""
    peer = ready()
    peer.write(b"one")
    line = peer.initial
    line.send(line.ack_option())
    assert peer.made.describe()["unacknowledged"] == 0
    mapping = line.dss(b"two")
    line.send(Dss(None, mapping.dsn, mapping.subflow_sequence, 3, dsn_64=True), payload=b"two")
    assert peer.read() == b"two"


# -- What a mapping says -------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_numbers_count_from_the_initial_ones(side):
    """A DSN is absolute, a subflow sequence number relative: the SYN has 0, the first octet 1."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2, "scheduler": "round-robin"})
    scene.joined().exchange(40 * KIB, 40 * KIB)
    isns = {segment.flow: int(segment.seq) for segment in scene.sent(side) if segment.syn}
    mapped = [s for s in scene.sent(side, Dss) if s.payload_length and s.option(Dss).has_mapping]
    for segment in mapped:
        relative = (int(segment.seq) - isns[segment.flow]) & MASK_32
        assert segment.option(Dss).subflow_sequence == relative


def test_the_stream_is_put_together_by_data_sequence_numbers():
    """Octets are delivered in the order of the stream, whichever subflow brings them, in whatever order."""
    peer = ready()
    line = peer.join()
    start = peer.next
    line.data(WHOLE[1000:2000], offset=start + 1000)
    assert peer.read() is None
    peer.initial.data(WHOLE[2000:], offset=start + 2000)
    assert peer.read() is None
    line.data(WHOLE[:1000], offset=start)
    assert peer.read() == WHOLE


def test_a_mapping_may_cover_several_segments():
    """Its length counts octets, not segments; it need not be on each of them."""
    peer = ready()
    line = peer.initial
    line.send(line.dss(WHOLE), payload=WHOLE[:1000])
    line.send(payload=WHOLE[1000:2000])
    line.send(payload=WHOLE[2000:])
    assert peer.read() == WHOLE


def test_a_mapping_may_come_before_its_octets():
    """An ACK can declare what later segments carry."""
    peer = ready()
    line = peer.initial
    line.send(line.dss(WHOLE))
    line.send(payload=WHOLE)
    assert peer.read() == WHOLE


def test_a_mapping_may_come_after_its_octets():
    """Unmapped octets are kept for a while and acknowledged on the subflow, but not Data ACKed."""
    peer = ready()
    line = peer.initial
    mapping = line.dss(WHOLE)
    acked = line.last.option(Dss).data_ack
    line.send(payload=WHOLE)
    assert int(line.last.ack) == (line.iss + line.next) & MASK_32
    assert line.last.option(Dss).data_ack == acked
    assert peer.read() is None
    line.send(mapping)
    assert peer.read() == WHOLE


@pytest.mark.parametrize("profile", [LongMappings, SparseMappings])
@pytest.mark.parametrize("checksum", [False, True])
def test_long_mappings_survive_loss(profile, checksum):
    """One mapping for several segments, on each or on the first alone, and what is lost is sent again."""
    settings = {"profile": profile, "checksum": checksum}
    scene = Scene(settings, settings).exchange()
    lost = [0]

    def box(segment, side):
        lost[0] += segment.payload_length > 0
        return None if segment.payload_length and lost[0] % 23 == 0 else segment

    scene.boxes.append(box)
    scene.exchange(200 * KIB, 100 * KIB)
    assert max(option.length for option in scene.options(CLIENT, Dss)) > 1500
    assert scene.client.connection.is_mptcp


def test_a_sender_never_changes_a_mapping():
    """Whatever is sent again on a subflow has the mapping that it had the first time."""
    scene = Scene({"checksum": True}).exchange()
    lost = [0]

    def box(segment, side):
        lost[0] += segment.payload_length > 0
        return None if segment.payload_length and lost[0] % 11 == 0 else segment

    scene.boxes.append(box)
    scene.exchange(100 * KIB, 100 * KIB)
    for side in (CLIENT, SERVER):
        known: dict[int, tuple[int | None, int, int | None]] = {}
        for segment in scene.sent(side, Dss):
            option = segment.option(Dss)
            if option.length and segment.payload_length:
                said = (option.dsn, option.length, option.checksum)
                assert known.setdefault(option.subflow_sequence, said) == said


def test_a_mapping_that_contradicts_an_earlier_one_changes_nothing():
    """Once declared a mapping stands: the octets go where the first one put them."""
    peer = ready()
    line = peer.initial
    start = peer.next
    line.send(line.dss(WHOLE[:100], offset=start))
    line.send(line.dss(WHOLE[:100], offset=start + 500), payload=WHOLE[:100])
    assert peer.read() == WHOLE[:100]
    assert peer.heard(Kind.IGNORED, "contradicts")


def test_a_repeated_mapping_is_nothing_new():
    """The same mapping may be declared any number of times."""
    peer = ready()
    line = peer.initial
    option = line.dss(WHOLE[:100])
    for _ in range(5):
        line.send(option)
    line.send(option, payload=WHOLE[:100])
    assert peer.read() == WHOLE[:100]
    assert not peer.heard(Kind.IGNORED)


def test_of_octets_that_come_twice_the_first_count():
    """Two subflows may carry the same data; what came first is delivered, what comes later is ignored."""
    peer = ready()
    line = peer.join()
    start = peer.next
    peer.initial.data(b"first!", offset=start)
    line.data(b"second", offset=start)
    line.data(b"third", offset=start + 6)
    assert peer.read() == b"first!third"


def test_first_octets_count_also_where_they_wait():
    """The same for octets beyond a gap."""
    peer = ready()
    line = peer.join()
    start = peer.next
    peer.initial.data(b"first!", offset=start + 4)
    line.data(b"second", offset=start + 4)
    line.data(b"gap:", offset=start)
    assert peer.read() == b"gap:first!"


# -- Checksums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [None, NarrowNumbers, LongMappings])
def test_the_checksum_covers_data_and_pseudo_header(profile):
    """The TCP checksum of the mapped data, the 64-bit DSN whatever is on the wire, SSN and length."""
    settings = {"checksum": True} | ({"profile": profile} if profile else {})
    scene = Scene(settings, {}).exchange(0, 100).exchange(20 * KIB, 0)
    stream, sums = bytearray(), []
    key = scene.client.connection.own_idsn
    for option in scene.options(CLIENT, Dss):
        if option.length:
            offset = (option.dsn - key) & MASK_32
            sums.append((option, offset))
    stream += scene.server.got
    for option, offset in sums:
        payload = bytes(stream[offset - 1 : offset - 1 + option.length])
        expected = dss_checksum((key + offset) & MASK_64, option.subflow_sequence, option.length, payload)
        assert option.checksum == expected


@pytest.mark.parametrize("wide", [False, True])
def test_a_right_checksum_is_accepted_with_either_dsn(wide):
    """A receiver reckons with 64 bits too."""
    peer = ready(checksum=True)
    peer.initial.data(WHOLE[:1000], wide=wide)
    assert peer.read() == WHOLE[:1000]


def test_data_of_a_mapping_with_checksum_waits_until_it_is_whole():
    """Nothing of a mapping is delivered or Data ACKed before its checksum was seen to be right."""
    peer = ready(checksum=True)
    line = peer.initial
    option = line.dss(WHOLE)
    acked = line.last.option(Dss).data_ack
    line.send(option, payload=WHOLE[:2000])
    assert peer.read() is None
    assert line.last.option(Dss).data_ack == acked
    line.send(option, payload=WHOLE[2000:])
    assert peer.read() == WHOLE


# -- Urgent data ---------------------------------------------------------------------------------------


def test_a_sender_uses_no_urgent_pointer():
    """The urgent pointer would interrupt a mapping."""
    scene = Scene().exchange(20 * KIB, 20 * KIB)
    assert not any(segment.flags & URG or segment.urgent for side in (CLIENT, SERVER)
                   for segment in scene.sent(side))  # fmt: skip


def test_urgent_data_is_delivered_in_its_place():
    """If urgent data comes it is mapped like any other."""
    peer = ready()
    line = peer.initial
    line.send(line.dss(b"urgent"), payload=b"urgent", flags=ACK | PSH | URG)
    assert peer.read() == b"urgent"


# -- Without a mapping ---------------------------------------------------------------------------------


def test_a_window_of_octets_without_a_mapping_breaks_the_subflow():
    """Unmapped octets that fill a receive window are discarded, and the subflow is reset."""
    peer = ready(unmapped_limit=20_000, receive_buffer=200_000)
    line = peer.join()
    line.data(b"mapped")
    for _ in range(30):
        if line.is_reset:
            break
        line.send(payload=bytes(1000))
    assert line.last.rst
    assert line.next < 30_000
    assert peer.read() == b"mapped"
    peer.initial.data(b"lives")
    assert peer.read() == b"lives"


# -- 32 and 64 bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True])
def test_both_widths_of_dsn_are_understood(wide):
    """A receiver takes 32 and 64 bits, in any mixture."""
    peer = ready()
    peer.initial.data(b"one ", wide=wide)
    peer.initial.data(b"two ", wide=not wide)
    peer.initial.data(b"three", wide=wide)
    assert peer.read() == b"one two three"


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_the_low_half_of_a_dsn_may_wrap(wide, checksum):
    """A DSN of 32 bits stands for the number of 64 bits nearest to what is expected, also across 2**32."""
    peer = Peer(opens=True, key=NEAR_WRAP, checksum=checksum).open()
    assert MASK_32 - (peer.idsn & MASK_32) < 1500
    for at in range(0, 3000, 500):
        peer.initial.data(WHOLE[at : at + 500], wide=wide)
    assert peer.read() == WHOLE
    assert peer.initial.last.option(Dss).data_ack & MASK_32 == (peer.idsn + 3001) & MASK_32


def test_octets_out_of_order_do_not_wrap_a_dsn_twice():
    """Around a wrap, late octets from before it keep the old upper half."""
    peer = Peer(opens=True, key=NEAR_WRAP, subflows=1).open()
    peer.initial.data(WHOLE[:500], wide=False)
    line = peer.join()
    line.data(WHOLE[2000:], wide=False, offset=2001)
    peer.initial.data(WHOLE[500:2000], wide=False, offset=501)
    line.data(WHOLE[:500], wide=False, offset=1)
    assert peer.read() == WHOLE
    line.data(b"and on", wide=True, offset=3001)
    assert peer.read() == b"and on"


@pytest.mark.parametrize("profile", [Profile, NarrowNumbers, NarrowDataAcks])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_a_stream_that_wraps_is_transferred(profile, side):
    """With numbers of either width on the wire a transfer passes the wrap of its low 32 bits."""
    peer = Peer(opens=side is SERVER, keys=(NEAR_WRAP,), profile=profile).open().confirm()
    assert MASK_32 - (peer.endpoint_idsn & MASK_32) < 1500
    sent = octets(20_000)
    segments = peer.write(sent)
    for _ in range(50):
        if peer.expected == 1 + len(sent):
            break
        peer.initial.send(peer.initial.ack_option(wide=profile is not NarrowDataAcks))
        segments = [segment for segment in peer.initial.got if segment.payload_length]
    assert b"".join(segment.payload for segment in segments) == sent
    peer.initial.acknowledge()
    assert peer.made.describe()["unacknowledged"] == 0


def test_a_jump_that_is_no_wrap_is_refused():
    """A DSN far from what is expected is not one beyond a wrap: nothing is delivered or Data ACKed."""
    peer = ready()
    for distance in (1 << 30, 1 << 31, -(1 << 30)):
        peer.initial.data(b"far away", offset=peer.next + distance, wide=False)
        peer.wait()
        assert peer.read() is None
    assert peer.initial.last.option(Dss).data_ack == (peer.idsn + peer.next) & MASK_32


# -- Mappings that are not repeated --------------------------------------------------------------------


def test_once_mptcp_is_confirmed_a_mapping_need_not_be_on_every_segment():
    """Boxes that split segments leave the option on one piece: the mapping covers the other too."""
    scene = Scene().exchange()

    def box(segment, side):
        if segment.payload_length < 1000:
            return segment
        first = segment.replace(payload=segment.payload[:700])
        second = segment.without_options(Dss).replace(
            payload=segment.payload[700:], seq=int(segment.seq) + 700 & MASK_32
        )
        return [first, second]

    scene.boxes.append(box)
    scene.exchange(100 * KIB, 100 * KIB)
    assert scene.client.connection.is_mptcp
    assert not scene.client.heard(Kind.FALLBACK)


def test_an_infinite_mapping_has_length_0_and_checksum_0():
    """The reserved length of 0 maps all that follows; its checksum, where there is one, is 0."""
    scene = Scene({"checksum": True}).connect()
    # Before any further subflow, data that is acknowledged without a Data ACK ends MPTCP.
    scene.boxes.append(strip(Dss, when=lambda segment, side: side is SERVER and not with_data(segment, side)))
    scene.exchange(20 * KIB, 0)
    mappings = [option for option in scene.options(CLIENT, Dss) if option.infinite]
    assert mappings
    assert {(option.length, option.checksum, option.data_fin) for option in mappings} == {(0, 0, False)}
