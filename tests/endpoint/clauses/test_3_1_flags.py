"""RFC 8684 §3.1: the flags of MP_CAPABLE, and handshakes in which it is missing."""

from __future__ import annotations

import pytest

from mbtest.endpoint.states import Mode
from mbtest.wire import ACK, SYN, Dss, MaximumSegmentSize, MpCapable, MpJoin, MptcpOption, UnknownMptcp
from tests.endpoint.clauses.test_3_1_connection_initiation import assert_regular, offered
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import A2, B1, B2, CLIENT, PORT, SECOND, SERVER, Scene, by, drop, strip

A, B, C, H = 0x80, 0x40, 0x20, 0x01
MSS = MaximumSegmentSize(1460)


# -- A: checksums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("client", [False, True])
def test_checksums_are_used_if_either_side_asks(client, server):
    """Only if both SYNs have A=0 there are none; the third ACK confirms it, and it holds both ways."""
    scene = Scene({"checksum": client}, {"checksum": server}).exchange(3000, 3000)
    wanted = client or server
    syn, *others = scene.sent(CLIENT, MpCapable)
    (syn_ack,) = scene.sent(SERVER, MpCapable)
    assert syn.option(MpCapable).checksum_required is client
    assert syn_ack.option(MpCapable).checksum_required is wanted
    assert {segment.option(MpCapable).checksum_required for segment in others} == {wanted}
    for side in (CLIENT, SERVER):
        mappings = [option for option in scene.options(side, Dss) if option.has_mapping]
        assert mappings
        assert {option.checksum is not None for option in mappings} == {wanted}


def test_a_listener_that_wants_no_checksums_ignores_such_a_mp_capable():
    """A=1 at a host that refuses checksums makes the option invalid: regular TCP."""
    peer = Peer(opens=True, refuse_checksum=True)
    peer.initial.send(MSS, MpCapable(A | H), flags=SYN)
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


def test_an_initiator_that_wants_no_checksums_ignores_such_a_mp_capable():
    """The same for a SYN/ACK with A=1."""
    peer = Peer(opens=False, refuse_checksum=True)
    peer.initial.send(MSS, MpCapable(A | H, KEY), flags=SYN | ACK)
    assert peer.initial.last.option(MptcpOption) is None
    assert_regular(peer)


# -- B: extensibility ----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"checksum": True}, {"deny_join": True}])
def test_b_and_d_to_g_are_never_set(settings):
    """B is 0 in this specification; of D to H, H alone is set, on every MP_CAPABLE."""
    scene = Scene(settings, settings).exchange(3000, 3000)
    for side in (CLIENT, SERVER):
        flags = {option.flags for option in scene.options(side, MpCapable)}
        assert {flag & 0x5F for flag in flags} == {H}


@pytest.mark.parametrize("flags", [B | H, B | A | H, 0xFF])
def test_a_syn_with_b_is_as_one_without_mp_capable(flags):
    """A MP_CAPABLE with an unknown extension is silently ignored, which gives regular TCP."""
    peer = offered(flags=flags)
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


def test_a_syn_ack_with_b_is_as_one_without_mp_capable():
    """The same at the initiator."""
    peer = Peer(opens=False)
    peer.initial.send(MSS, MpCapable(B | H, KEY), flags=SYN | ACK)
    assert peer.initial.last.option(MptcpOption) is None
    assert_regular(peer)


# -- C: no joins to this address -----------------------------------------------------------------------


@pytest.mark.parametrize("denies", [False, True])
def test_c_says_whether_joins_to_this_address_are_taken(denies):
    """A host that takes no subflows to its address and port sets C."""
    peer = Peer(opens=False, deny_join=denies)
    assert bool(peer.initial.options(MpCapable)[0].flags & C) is denies


def test_nobody_joins_to_an_address_whose_owner_set_c():
    """After C=1 no subflow is opened to that address and port."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"deny_join": True, "subflows": 2})
    scene.exchange().run()
    assert scene.client.connection.is_mptcp
    assert scene.sent(CLIENT, MpJoin) == []
    assert scene.client.connection.join(A2, B1, PORT, scene.now) is None


def test_c_says_nothing_of_other_addresses():
    """An announced address of the same host may be joined to: C is about one address and port."""
    scene = Scene(
        {"subflows": 2, "accept_signals": 2}, {"deny_join": True, "subflows": 2, "signal": (B2,)}
    ).joined()
    (syn, *_) = scene.sent(CLIENT, MpJoin)
    assert (syn.source, syn.destination) == (scene.client.connection.initial.local, B2)


def test_a_listener_does_not_join_to_an_initiator_that_set_c():
    """C on the initiator's SYN binds the listener in the same way."""
    scene = Scene({"deny_join": True, "subflows": 2}, {"subflows": 2}).exchange()
    initial = scene.server.connection.initial
    assert scene.server.connection.join(B2, initial.remote, initial.remote_port, scene.now) is None


def test_who_set_c_takes_no_joins_there():
    """A peer that joins to that address and port all the same is refused; to another address it may."""
    peer = Peer(opens=True, deny_join=True, subflows=4).open().confirm()
    assert peer.join_syn(A2, B1).last.rst
    assert peer.join_syn(A2, B2).last.syn
    peer.initial.data(b"unharmed")
    assert peer.read() == b"unharmed"


# -- D to H: algorithms --------------------------------------------------------------------------------


def test_mp_capable_without_an_algorithm_is_invalid():
    """With D to H all 0 the SYN is one of regular TCP."""
    peer = offered(flags=0)
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


@pytest.mark.parametrize("flags", [0x02, 0x10, 0x1E])
def test_a_listener_that_has_none_of_the_algorithms_answers_without(flags):
    """None of the proposals is supported: the answer has no MP_CAPABLE."""
    peer = offered(flags=flags)
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


@pytest.mark.parametrize("flags", [H, 0x03, 0x1F])
def test_the_listener_chooses_one_algorithm(flags):
    """Of all that is proposed the answer sets one bit, H."""
    (option,) = offered(flags=flags).initial.options(MpCapable)
    assert option.flags & 0x1F == H


@pytest.mark.parametrize("flags", [0, 0x02])
def test_an_answer_without_the_proposed_algorithm_is_invalid(flags):
    """The initiator proposed H alone, so that an answer without H agrees to nothing."""
    peer = Peer(opens=False)
    peer.initial.send(MSS, MpCapable(flags, KEY), flags=SYN | ACK)
    assert peer.initial.last.option(MptcpOption) is None
    assert_regular(peer)


@pytest.mark.parametrize("flags", [0, 0x02, B | H])
def test_a_third_ack_that_contradicts_the_syns_was_tampered_with(flags):
    """An algorithm that nobody chose, or B: the negotiation is compromised, and MPTCP stops."""
    peer = offered()
    peer.initial.send(peer.capable(flags=flags))
    assert peer.made.mode.state is Mode.REGULAR
    assert_regular(peer)


def test_a_third_ack_whose_mp_capable_cannot_be_read_was_tampered_with():
    """It is no signal that overtook the third ACK."""
    peer = offered()
    peer.initial.send(UnknownMptcp(b"\x01\x01" + bytes(9)))
    assert peer.made.mode.state is Mode.REGULAR
    assert_regular(peer)


# -- Where it belongs, and where it is missing ---------------------------------------------------------


def test_mp_capable_is_for_the_first_subflow_only():
    """Further subflows use MP_JOIN."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    assert scene.sent(CLIENT, MpJoin, address=A2)
    for side in (CLIENT, SERVER):
        assert scene.sent(side, MpCapable, address=A2) == []


def test_without_mp_capable_on_the_syn_ack_it_is_regular_tcp():
    """Whoever answers without the option is not multipath capable."""
    peer = Peer(opens=False)
    peer.initial.send(MSS, flags=SYN | ACK)
    assert peer.initial.last.option(MptcpOption) is None
    assert_regular(peer)


def test_a_syn_without_mp_capable_is_not_answered_with_one():
    """The option is never in an answer to a SYN without it."""
    peer = Peer(opens=True)
    peer.initial.send(MSS, flags=SYN)
    assert peer.initial.last.syn
    assert peer.initial.options(MptcpOption) == []
    assert_regular(peer)


def test_without_mp_capable_on_the_third_ack_it_is_regular_tcp():
    """The third packet decides: without the option the session falls back."""
    peer = offered()
    peer.initial.send()
    assert peer.made.mode.state is Mode.REGULAR
    assert_regular(peer)


def test_syns_with_the_option_that_vanish_give_way_to_one_without():
    """Boxes may drop SYNs with options they do not know: in the end regular TCP is tried."""
    scene = Scene()
    scene.boxes.append(
        drop(by(CLIENT, lambda segment, side: segment.syn and segment.option(MpCapable) is not None))
    )
    scene.connect()
    scene.exchange()
    assert len(scene.sent(CLIENT, MpCapable)) >= 1
    assert not scene.client.connection.is_mptcp
    assert not scene.server.connection.is_mptcp
    assert scene.now < 60 * SECOND


def test_the_third_ack_decides_when_syns_of_both_kinds_were_reordered():
    """SYNs with and without the option may both arrive: the final state is the third ACK's."""
    peer = offered()
    peer.initial.send(MSS, flags=SYN, at=0)
    peer.initial.send()
    assert peer.made.mode.state is Mode.REGULAR
    other = Peer(opens=True)
    other.initial.send(MSS, flags=SYN)
    other.initial.send(MSS, MpCapable(), flags=SYN, at=0)
    other.initial.send()
    assert_regular(other)


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_stripped_syns_give_regular_tcp_on_both_sides(side):
    """Whichever SYN loses the option, data flows without any MPTCP option afterwards."""
    scene = Scene()
    scene.boxes.append(strip(when=by(side, lambda segment, _: segment.syn)))
    scene.exchange(20_000, 20_000).close()
    handshake_over = min(entry.time for entry in scene.log if entry.segment.payload_length)
    for each in (CLIENT, SERVER):
        assert scene.sent(each, MptcpOption, since=handshake_over) == []
