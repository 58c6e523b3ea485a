"""Options on segments: what fits beside what."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Mode
from mbtest.wire import Dss, MpCapable, MptcpOption, Sack, Timestamps, UnknownMptcp
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, B2, CLIENT, KIB, SERVER, Scene, by, drop, with_data


@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("checksum", [False, True])
def test_every_segment_keeps_to_40_octets_of_options(timestamps, sack, checksum):
    settings = {"timestamps": timestamps, "sack": sack, "checksum": checksum, "subflows": 4}
    scene = Scene(
        {**settings, "join_from": (A2,), "accept_signals": 2}, {**settings, "signal": (B2,)}
    ).joined()
    count = [0]

    def lossy(segment, side):
        count[0] += 1
        return None if count[0] % 13 == 0 else segment

    scene.boxes.append(lossy)
    scene.exchange(100 * KIB, 100 * KIB).close()
    for side in (CLIENT, SERVER):
        for segment in scene.sent(side):
            assert len(segment.option_block) <= 40
            assert len(segment.raw) <= 1500
            assert segment.checksum_is_right()
    assert bool(scene.sent(SERVER, Sack)) is sack
    assert bool(scene.sent(SERVER, Timestamps)) is timestamps
    assert not scene.sent(CLIENT, UnknownMptcp)


def test_there_is_one_dss_on_a_segment():
    scene = Scene().exchange(50 * KIB, 50 * KIB).close()
    for side in (CLIENT, SERVER):
        for segment in scene.sent(side):
            options = [type(option) for option in segment.options if isinstance(option, MptcpOption)]
            assert len(options) == len(set(options))
            assert not {Dss, MpCapable} <= set(options)


def test_sack_blocks_fit_beside_a_data_ack():
    """Without timestamps there is room for both on an ACK."""
    scene = Scene({"timestamps": False}, {}).exchange()
    scene.boxes.append(drop(by(CLIENT, with_data), times=1))
    scene.exchange(20 * KIB, 0)
    assert scene.sent(SERVER, Sack, Dss)


def test_an_option_of_no_known_form_is_told():
    peer = Peer(opens=True).open().confirm()
    peer.initial.send(peer.initial.ack_option(), UnknownMptcp(b"\x90\x01"))
    assert [event.words for event in peer.events if "no known form" in event.words]


def test_a_wide_data_ack_of_a_narrow_mapping_is_read():
    """Each number has a width of its own."""
    peer = Peer(opens=True).open().confirm()
    peer.write(b"four")
    peer.initial.data(b"x", wide=False, wide_ack=True)
    assert peer.made.describe()["unacknowledged"] == 0
    peer.write(b"four")
    peer.initial.data(b"x", wide=True, wide_ack=False)
    assert peer.made.describe()["unacknowledged"] == 0


@pytest.mark.parametrize("wrong", ["sender_key", "receiver_key"])
def test_first_data_with_other_keys_confirms_nothing(wrong):
    """MP_CAPABLE with data, keys that are not those of the handshake: no mapping, and no way to join."""
    peer = Peer(opens=True, subflows=2).open()
    option = peer.capable(b"first", **{wrong: 12345})
    peer.initial.send(option, payload=b"first")
    assert peer.made.mode.state is not Mode.MULTIPATH
    assert peer.heard(Kind.IGNORED, "other keys")
    assert peer.join_syn().last.rst


def test_first_data_with_the_right_keys_is_taken():
    """The control, and again as a repetition."""
    peer = Peer(opens=True, subflows=2).open()
    option = peer.capable(b"first")
    peer.initial.send(option, payload=b"first")
    peer.initial.send(option, payload=b"first", at=1)
    assert peer.read() == b"first"
    assert peer.made.mode.state is Mode.MULTIPATH
    assert not peer.heard(Kind.IGNORED, "keys")
    peer.next += 5
    peer.initial.data(b" and more")
    assert peer.read() == b" and more"


def test_only_the_listener_takes_first_data_with_keys():
    """§3.1: MP_CAPABLE with data is the initiator's to send. From a listener it maps nothing."""
    peer = Peer(opens=False, subflows=2).open()
    option = MpCapable(peer.flags, peer.key, peer.endpoint_key, 5)
    peer.initial.send(option, payload=b"first")
    assert peer.made.mode.state is not Mode.MULTIPATH
    swapped = MpCapable(peer.flags, peer.endpoint_key, peer.key, 5)
    peer.initial.send(swapped, payload=b"first", at=1)
    assert peer.made.mode.state is not Mode.MULTIPATH


def test_on_a_further_subflow_first_data_with_keys_maps_nothing():
    """MP_CAPABLE belongs to the first one."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    line.send(peer.capable(b"first"), payload=b"first")
    assert peer.read() is None
    assert peer.made.is_mptcp


@pytest.mark.parametrize("checksum", [False, True])
def test_first_data_keeps_to_what_was_negotiated_of_checksums(checksum):
    """A checksum more, or less, than agreed on: the subflow does not behave as negotiated (§3.3)."""
    peer = Peer(opens=True, checksum=checksum).open()
    option = peer.capable(b"first", checksum=None if checksum else 0x1234)
    peer.initial.send(option, payload=b"first")
    assert peer.read() is None
    assert peer.initial.is_reset
