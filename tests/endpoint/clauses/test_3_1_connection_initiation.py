"""RFC 8684 §3.1: MP_CAPABLE, its keys, versions and flags."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from mbtest.endpoint import Configuration, Endpoint, Kind
from mbtest.endpoint.states import Mode
from mbtest.wire import SYN, Dss, MaximumSegmentSize, MpCapable, MpJoin, MptcpOption, Segment
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import A1, B1, CLIENT, MASK_64, PORT, SERVER, Scene

H = 0x01
OTHER_KEY = 0x0102_0304_0506_0708


def offered(**changes) -> Peer:
    """Return a peer that has sent a SYN with a MP_CAPABLE like that."""
    peer = Peer(opens=True)
    peer.initial.send(MaximumSegmentSize(1460), MpCapable(**changes), flags=SYN)
    return peer


def hashed(key: int) -> bytes:
    return hashlib.sha256(key.to_bytes(8, "big")).digest()


def assert_regular(peer: Peer) -> None:
    """What the endpoint sends and takes from now on is regular TCP."""
    line = peer.initial
    line.send(payload=b"plain")
    assert peer.read() == b"plain"
    segments = peer.write(b"as well")
    assert b"".join(segment.payload for segment in segments) == b"as well"
    assert all(segment.option(MptcpOption) is None for segment in segments)
    assert not peer.made.is_mptcp


# -- What each segment carries -------------------------------------------------------------------------


def test_the_syn_carries_four_octets_without_a_key():
    """The SYN has the header of MP_CAPABLE alone: version and flags, no key."""
    (option,) = Peer(opens=False).initial.options(MpCapable)
    assert len(option.encode()) == 4
    assert option == MpCapable(H, version=1)


def test_the_syn_ack_carries_the_listeners_key():
    """The SYN/ACK has 12 octets, with the key of who sends it."""
    peer = offered()
    (option,) = peer.initial.options(MpCapable)
    assert len(option.encode()) == 12
    assert option.sender_key is not None
    assert option.receiver_key is None


def test_the_third_ack_carries_both_keys():
    """Without data to send, the initiator's third ACK has its key and the echoed one, 20 octets."""
    peer = Peer(opens=False).open()
    option = peer.initial.last.option(MpCapable)
    assert option is not None
    assert len(option.encode()) == 20
    assert option.receiver_key == KEY
    assert option.sender_key != KEY
    assert peer.initial.last.payload_length == 0


@pytest.mark.parametrize(("checksum", "size"), [(False, 22), (True, 24)])
def test_the_first_data_repeats_the_keys_with_a_length(checksum, size):
    """The initiator's first data is mapped by MP_CAPABLE: keys, data-level length, checksum if agreed on."""
    peer = Peer(opens=False, checksum=checksum).open()
    (segment,) = peer.write(b"first octets")
    option = segment.option(MpCapable)
    assert option is not None
    assert len(option.encode()) == size
    assert (option.receiver_key, option.data_length) == (KEY, 12)
    assert option.sender_key == peer.endpoint_key
    assert segment.option(Dss) is None
    if checksum:
        assert option.checksum == peer_checksum(peer, b"first octets")


def peer_checksum(peer: Peer, payload: bytes) -> int:
    words = ((peer.endpoint_idsn + 1) & MASK_64).to_bytes(8, "big") + (1).to_bytes(4, "big")
    words += len(payload).to_bytes(2, "big") + b"\0\0" + payload
    return -sum(int.from_bytes(words[at : at + 2], "big") for at in range(0, len(words), 2)) % 65535


# -- Versions ------------------------------------------------------------------------------------------


def test_the_initiator_names_its_highest_version():
    """A SYN offers the highest version that its sender has."""
    assert Peer(opens=False).initial.options(MpCapable)[0].version == 1


@pytest.mark.parametrize("version", [1, 2, 15])
def test_the_answer_names_a_version_up_to_the_offered_one(version):
    """The listener answers with the version that it wants, never with a higher one than was offered."""
    peer = offered(version=version)
    assert [option.version for option in peer.initial.options(MpCapable)] == [1]


@pytest.mark.parametrize("key", [None, KEY])
def test_a_listener_without_version_0_does_not_answer_it(key):
    """An offer of version 0, which puts the key on the SYN, is one for which there is no common version."""
    peer = offered(version=0, sender_key=key)
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


@pytest.mark.parametrize("version", [0, 2])
def test_an_answer_in_another_version_is_no_agreement(version):
    """The initiator cannot go on in a version that it has not, nor in one above what it offered."""
    peer = Peer(opens=False)
    peer.initial.send(MaximumSegmentSize(1460), MpCapable(H, KEY, version=version), flags=SYN | 0x10)
    assert peer.initial.last.option(MptcpOption) is None
    assert_regular(peer)


# -- Keys ----------------------------------------------------------------------------------------------


def test_every_connection_has_a_key_of_its_own():
    """Keys are unique among the connections of a host, and not to be guessed from one another."""
    endpoint = Endpoint(Configuration(), [A1], Random(1))
    for _ in range(50):
        endpoint.connect(B1, PORT, 0)
    keys = {connection.own_key for connection in endpoint.connections}
    assert len(keys) == 50
    assert min(bin(first ^ second).count("1") for first in keys for second in keys if first != second) > 8


def test_a_key_whose_token_is_taken_is_not_used():
    """Before a key is sent, its token is compared with those of all connections; another key is drawn."""

    class Repeating(Random):
        def getrandbits(self, k: int, /) -> int:
            if k == 64 and drawn:
                return drawn.pop()
            return super().getrandbits(k)

    drawn = [OTHER_KEY, KEY, KEY]
    endpoint = Endpoint(Configuration(), [A1], Repeating(1))
    endpoint.connect(B1, PORT, 0)
    endpoint.connect(B1, PORT, 0)
    assert [connection.own_key for connection in endpoint.connections] == [KEY, OTHER_KEY]


def test_the_token_is_the_leftmost_32_bits_of_the_hash():
    """A token is the most significant 32 bits of the SHA-256 of the key in network byte order."""
    peer = Peer(opens=True, subflows=1).open().confirm()
    assert peer.made.describe()["token"] == int.from_bytes(hashed(peer.endpoint_key)[:4], "big")
    # The endpoint finds its connection by that token.
    line = peer.join_syn(token=int.from_bytes(hashed(peer.endpoint_key)[:4], "big"))
    assert line.last.syn


@pytest.mark.parametrize("opens", [False, True])
def test_the_idsn_is_the_rightmost_64_bits_of_the_hash(opens):
    """The stream begins one after the least significant 64 bits of the key's SHA-256."""
    peer = Peer(opens=opens).open().confirm()
    (segment,) = peer.write(b"x")
    option = segment.option(Dss)
    assert option is not None
    idsn = int.from_bytes(hashed(peer.endpoint_key)[-8:], "big")
    assert option.dsn == (idsn + 1) & MASK_64


def test_the_syn_takes_the_first_number_of_the_stream():
    """MP_CAPABLE on the SYN counts as one octet, which the Data ACK of the first data covers too."""
    peer = Peer(opens=True).open()
    peer.initial.data(b"four")
    option = peer.initial.last.option(Dss)
    assert option is not None
    assert option.data_ack == (peer.idsn + 1 + 4) & MASK_64


# -- The ACK is delivered reliably ---------------------------------------------------------------------


def test_a_lost_third_ack_is_sent_again_with_its_keys():
    """Without the third ACK the SYN/ACK comes again, and is answered with both keys again."""
    scene = Scene()
    lost: list[Segment] = []

    def box(segment, side):
        if side is CLIENT and not segment.syn and not lost:
            lost.append(segment)
            return None
        return segment

    scene.boxes.append(box)
    scene.exchange(0, 1000)
    acks = [segment for segment in scene.sent(CLIENT, MpCapable) if not segment.syn]
    assert len(acks) >= 2
    assert scene.client.connection.is_mptcp
    assert scene.server.connection.is_mptcp


def test_the_first_data_stands_in_for_a_lost_third_ack():
    """The keys on the first data establish the connection where the third ACK never came."""
    peer = Peer(opens=True)
    line = peer.initial
    line.send(MaximumSegmentSize(1460), MpCapable(), flags=SYN)
    peer.learn(line.options(MpCapable)[0].sender_key)
    line.send(peer.capable(b"first"), payload=b"first")
    assert peer.made.established
    assert peer.made.is_mptcp
    assert peer.read() == b"first"


def test_lost_first_data_comes_again_with_its_keys():
    """TCP repeats the first data, and the MP_CAPABLE on it, until it has arrived."""
    scene = Scene()
    scene.connect()
    dropped = []

    def box(segment, side):
        if side is CLIENT and segment.payload_length and len(dropped) < 2:
            dropped.append(segment)
            return None
        return segment

    scene.boxes.append(box)
    scene.exchange(500, 0)
    first = [segment for segment in scene.sent(CLIENT, MpCapable) if segment.payload_length]
    assert len(first) == 3
    assert len({(int(segment.seq), segment.payload, segment.option(MpCapable)) for segment in first}) == 1
    assert scene.server.connection.is_mptcp


def test_first_data_that_is_overtaken_establishes_the_connection_later():
    """Later data with a DSS may come before the first, while the third ACK is lost: nothing falls back."""
    scene = Scene()
    held = []

    def box(segment, side):
        if side is CLIENT and not segment.syn:
            if not segment.payload_length and not held:
                return None
            if segment.payload_length and not held:
                held.append(segment)
                return []
            if segment.payload_length and len(held) == 1:
                held.append(segment)
                return [segment, held[0]]
        return segment

    scene.boxes.append(box)
    scene.client.made = scene.client.endpoint.connect(B1, PORT, 0)
    scene.exchange(10_000, 10_000)
    assert scene.server.connection.is_mptcp
    assert scene.client.connection.is_mptcp


def test_data_from_the_listener_shows_that_the_third_ack_arrived():
    """A DSS with data from the listener proves that it has the keys: they need not be sent again."""
    peer = Peer(opens=False).open().confirm()
    (segment,) = peer.write(b"answer")
    assert segment.option(MpCapable) is None
    assert segment.option(Dss) is not None


def test_both_may_send_first_at_the_same_time():
    """MP_CAPABLE with data arrives at a listener that has sent data with a DSS already: both count."""
    scene = Scene()
    scene.connect()
    scene.exchange(3000, 3000)
    assert [segment for segment in scene.sent(CLIENT, MpCapable) if segment.payload_length]
    assert scene.sent(SERVER, Dss)[0].payload_length
    assert scene.client.connection.is_mptcp
    assert scene.server.connection.is_mptcp


@pytest.mark.parametrize("checksum", [False, True])
def test_a_mapping_by_mp_capable_may_stand_on_several_segments(checksum):
    """Segmentation offload copies MP_CAPABLE with its data parameters: the copies change nothing."""
    peer = Peer(opens=True, checksum=checksum).open()
    whole = b"one half and the other"
    option = peer.capable(whole)
    peer.initial.send(option, payload=whole[:8])
    peer.initial.send(option, payload=whole[8:])
    assert peer.read() == whole
    assert not peer.heard(Kind.IGNORED)


def test_mp_capable_and_dss_mappings_are_interchangeable():
    """The same octets may be mapped by MP_CAPABLE and, when they come again, by a DSS."""
    peer = Peer(opens=True).open()
    payload = b"mapped twice"
    peer.initial.send(peer.capable(payload), payload=payload)
    peer.initial.data(payload, offset=1, at=1)
    assert peer.read() == payload
    assert peer.made.is_mptcp


@pytest.mark.parametrize("checksum", [False, True])
def test_data_with_mp_capable_is_data_acked(checksum):
    """The receiver acknowledges data that MP_CAPABLE maps by a Data ACK, as if a DSS had come."""
    peer = Peer(opens=True, checksum=checksum).open()
    peer.initial.send(peer.capable(b"hello"), payload=b"hello")
    option = peer.initial.last.option(Dss)
    if option is None:
        peer.wait()
        option = peer.initial.last.option(Dss)
    assert option is not None
    assert option.data_ack == (peer.idsn + 6) & MASK_64


# -- A negotiation that is compromised -----------------------------------------------------------------


def test_a_third_ack_that_echoes_another_key_ends_mptcp():
    """Whoever finds the negotiation tampered with stops using MPTCP options."""
    peer = offered()
    peer.learn(OTHER_KEY)
    peer.initial.send(peer.capable())
    assert peer.made.mode.state is Mode.REGULAR
    assert_regular(peer)


def test_no_subflow_joins_before_a_dss_arrived():
    """Further subflows have to wait until a DSS has crossed the path."""
    scene = Scene({"join_from": (scene_address := A1,), "subflows": 2}, {"subflows": 2})
    scene.connect()
    client = scene.client.connection
    assert client.mode.state is Mode.CONFIRMING
    assert client.join(scene_address, B1, PORT, scene.now) is None
    scene.run()
    assert scene.sent(CLIENT, MpJoin) == []
    scene.exchange(100, 100)
    assert client.join(scene_address, B1, PORT, scene.now) is not None
