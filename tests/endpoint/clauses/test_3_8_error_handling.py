"""RFC 8684 §3.8, and what §3 says of options and TCP's checks: errors that have to change nothing."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import (
    ACK,
    SYN,
    Dss,
    MaximumSegmentSize,
    MpExperimental,
    MpJoinAck,
    MpPrio,
    RemoveAddr,
    UnknownMptcp,
)
from mbtest.wire.keys import token
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, MASK_64


def ready(**settings) -> Peer:
    return Peer(opens=True, subflows=2, **settings).open().confirm()


def test_an_unknown_token_is_answered_like_an_unknown_port():
    """RST."""
    peer = ready()
    assert peer.join_syn(token=token(peer.endpoint_key) + 1 & 0xFFFF_FFFF).last.rst


def test_a_failed_hmac_is_answered_with_a_reset():
    """RST, in the third step."""
    peer = ready()
    line = peer.join_syn()
    line.send(MpJoinAck(b"\1" * 20))
    assert line.last.rst


def test_a_syn_ack_without_mp_join_is_answered_with_a_reset():
    """RST."""
    peer = Peer(opens=False, subflows=2, join_from=(A2,)).open().confirm()
    peer.pull()
    line = peer.pick_up()
    line.send(MaximumSegmentSize(1460), flags=SYN | ACK)
    assert line.last.rst


@pytest.mark.parametrize("distance", [1 << 24, 1 << 40, -(1 << 40), 1 << 63])
def test_a_dsn_out_of_the_window_is_dropped_without_a_data_ack(distance):
    """The octets are acknowledged on the subflow, and neither delivered nor Data ACKed."""
    peer = ready()
    start = peer.next
    peer.initial.data(b"elsewhere", offset=start + distance)
    assert peer.read() is None
    option = peer.initial.last.option(Dss)
    assert option.data_ack == (peer.idsn + start) & MASK_64
    assert peer.made.is_mptcp
    peer.initial.data(b"here", offset=start)
    assert peer.read() == b"here"


def test_an_unknown_address_id_in_remove_addr_is_silently_ignored():
    """Nothing is sent, nothing changes."""
    peer = ready()
    assert peer.initial.send(peer.initial.ack_option(), RemoveAddr(b"\x2a")) == []
    assert len(peer.made.subflows) == 1


@pytest.mark.parametrize(
    "option",
    [
        UnknownMptcp(b""),
        UnknownMptcp(b"\x20"),
        UnknownMptcp(b"\x20\x05\x00"),
        UnknownMptcp(b"\x90\x01"),
        UnknownMptcp(b"\x61\x00\x00"),
        MpExperimental(b"private"),
    ],
)
def test_options_in_no_known_form_change_nothing(option):
    """Wrong lengths, unassigned subtypes and private experiments pass without harm."""
    peer = ready()
    line = peer.initial
    line.send(line.ack_option(), option)
    line.data(b"goes on")
    assert peer.read() == b"goes on"
    assert peer.made.is_mptcp
    assert not line.is_reset


def test_tcps_checks_come_before_any_signal():
    """§3: a segment whose numbers are out of the window signals nothing."""
    peer = ready()
    line = peer.join()
    for changes in ({"at": line.next + (1 << 30)}, {"ack": line.expected + 70_000}):
        line.send(line.ack_option(), MpPrio(1), **changes)
    assert not peer.made.subflows[1].backup


def test_a_data_ack_on_a_refused_segment_frees_nothing():
    """The same for DSS."""
    peer = ready()
    peer.write(b"waits")
    line = peer.initial
    line.send(line.ack_option(), at=line.next + (1 << 30))
    assert peer.made.describe()["unacknowledged"] == 5


def test_garbage_is_an_event_and_nothing_else():
    """Octets that are no packet, and packets with a wrong checksum."""
    peer = ready()
    peer.endpoint.receive(b"\x45garbage", peer.now)
    peer.endpoint.receive(peer.initial.got[0].replace(checksum=1).raw, peer.now)
    peer.initial.data(b"fine")
    assert peer.read() == b"fine"
    assert peer.heard(Kind.MALFORMED)
