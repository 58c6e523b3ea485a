"""RFC 8684 §3.4.1: ADD_ADDR, its HMAC, its echo, and what is done with addresses."""

from __future__ import annotations

import hashlib
import hmac
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from mbtest.endpoint import Kind
from mbtest.wire import ACK, RST, AddAddr, MpJoinSyn, MpPrio, RemoveAddr
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import A1, B2, B3, CLIENT, PORT, SECOND, SERVER, Scene, change, drop, has

OTHER = ip_address("192.0.2.77")


def ready(**settings) -> Peer:
    """Return a peer that the endpoint opened a connection to; it may join announced addresses."""
    return Peer(opens=False, **({"subflows": 4, "accept_signals": 4} | settings)).open().confirm()


def announce(peer: Peer, option: AddAddr) -> list:
    """Send an ADD_ADDR and return the SYNs that the endpoint sends to it."""
    peer.initial.send(peer.initial.ack_option(), option)
    syns, peer.strays = [segment for segment in peer.strays if segment.syn], []
    return syns


# -- Sending -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("port", "size"), [(None, 16), (8080, 18)])
def test_an_address_is_announced_with_id_and_hmac(port, size):
    """The HMAC is the rightmost 64 bits over ID, address and port, 0 where there is none."""
    peer = Peer(opens=True, subflows=2, signal=(B2,), signal_port=port).open().confirm()
    peer.pull()
    option = peer.initial.options(AddAddr)[0]
    assert len(option.encode()) == size
    assert (option.address, option.port, option.flags) == (B2, port, 0)
    assert option.address_id != 0
    secret = peer.endpoint_key.to_bytes(8, "big") + KEY.to_bytes(8, "big")
    message = bytes((option.address_id,)) + B2.packed + (port or 0).to_bytes(2, "big")
    assert option.hmac == hmac.new(secret, message, hashlib.sha256).digest()[-8:]


def test_an_ipv6_address_can_be_announced():
    """Addresses of the other family are 16 octets long, and only known by announcements."""
    address = ip_address("2001:db8::7")
    peer = Peer(opens=True, subflows=2, signal=(address,)).open().confirm()
    peer.pull()
    option = peer.initial.options(AddAddr)[0]
    assert len(option.encode()) == 28
    assert option.address == address


def test_ids_identify_addresses():
    """Different addresses have different IDs; the same one keeps its own, on MP_JOIN too."""
    scene = Scene({"subflows": 4, "accept_signals": 4}, {"subflows": 4, "signal": (B2, B3)}).joined()
    ids = {option.address: option.address_id for option in scene.options(SERVER, AddAddr)}
    assert set(ids) == {B2, B3}
    assert len({0, *ids.values()}) == 3
    scene.server.connection.announce(B2, scene.now, 99)
    scene.run()
    assert {option.address_id for option in scene.options(SERVER, AddAddr) if option.address == B2} == {
        ids[B2]
    }


def test_an_announcement_is_repeated_until_it_is_echoed():
    """Without an echo it is sent again, a few times."""
    peer = Peer(opens=True, subflows=2, signal=(B2,)).open().confirm()
    peer.wait(30 * SECOND)
    sent = peer.initial.options(AddAddr)
    assert len(sent) == 3
    assert len(set(sent)) == 1


def test_an_echo_ends_the_repetition():
    """The echo says that it was received."""
    peer = Peer(opens=True, subflows=2, signal=(B2,)).open().confirm()
    peer.pull()
    (option,) = peer.initial.options(AddAddr)
    peer.initial.send(replace(option, hmac=None, flags=1))
    peer.wait(30 * SECOND)
    assert len(peer.initial.options(AddAddr)) == 1
    assert peer.heard(Kind.ADDRESS, "echoed")


def test_an_echo_of_something_else_does_not():
    """It has to be of the same ID, address and port."""
    peer = Peer(opens=True, subflows=2, signal=(B2,)).open().confirm()
    peer.pull()
    (option,) = peer.initial.options(AddAddr)
    for wrong in ({"address_id": 99}, {"address": OTHER}, {"port": 1}):
        peer.initial.send(replace(option, hmac=None, flags=1, **wrong))
    peer.wait(30 * SECOND)
    assert len(peer.initial.options(AddAddr)) == 3


def test_a_lost_announcement_or_echo_is_made_up_for():
    """With losses the address still gets there, and the subflow is opened once."""
    scene = Scene({"subflows": 4, "accept_signals": 4}, {"subflows": 4, "signal": (B2,)})
    scene.boxes.append(drop(has(AddAddr), times=2))
    scene.exchange().run(5 * SECOND)
    assert len({segment.flow for segment in scene.sent(CLIENT, MpJoinSyn)}) == 1
    assert len(scene.client.connection.usable()) == 2


# -- Receiving -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [None, 8080])
def test_an_announcement_is_echoed_without_its_hmac(port):
    """The echo is the option again, with E set and no HMAC."""
    peer = ready()
    announce(peer, peer.add_addr(5, OTHER, port))
    echoes = [option for option in peer.initial.options(AddAddr) if option.echo]
    assert echoes == [AddAddr(5, OTHER, port, None, 1)]


def test_every_copy_is_echoed_and_joined_once():
    """Our echo may have been lost; a second subflow to the same address and port would be one too many."""
    peer = ready()
    option = peer.add_addr(5, OTHER)
    syns = [syn for _ in range(3) for syn in announce(peer, option)]
    assert len(syns) == 1
    assert len([each for each in peer.initial.options(AddAddr) if each.echo]) == 3


def test_a_wrong_hmac_is_silently_ignored():
    """No echo, no subflow, no reset."""
    peer = ready()
    option = peer.add_addr(5, OTHER)
    wrong = (
        replace(option, hmac=bytes(8)),
        replace(option, hmac=None),
        replace(option, address_id=6),
        replace(option, address=A1),
        replace(option, port=81),
    )
    for each in wrong:
        assert announce(peer, each) == []
    assert peer.initial.options(AddAddr) == []
    assert not peer.initial.is_reset
    assert peer.made.addresses.peer == {}
    assert peer.heard(Kind.IGNORED, "HMAC")


def test_unassigned_flags_are_ignored_and_sent_as_0():
    """Only E has a meaning."""
    peer = ready()
    assert len(announce(peer, replace(peer.add_addr(5, OTHER), flags=0x0E))) == 1
    assert [option.flags for option in peer.initial.options(AddAddr)] == [1]


@pytest.mark.parametrize("port", [None, 8080])
def test_the_address_is_joined_on_its_port_or_on_the_one_in_use(port):
    """Without a port it is that of the subflow on which the announcement came."""
    peer = ready()
    (syn,) = announce(peer, peer.add_addr(5, OTHER, port))
    assert (syn.destination, syn.destination_port) == (OTHER, port or PORT)
    assert syn.option(MpJoinSyn) is not None


def test_tcps_checks_come_before_the_option():
    """A segment out of the window, or for octets never sent, announces nothing."""
    peer = ready()
    option = peer.add_addr(5, OTHER)
    line = peer.initial
    line.send(option, at=line.next + (1 << 30))
    line.send(option, ack=line.expected + 5000)
    line.send(option, at=line.next - 100_000)
    assert peer.strays == []
    assert peer.made.addresses.peer == {}
    assert not [each for each in line.options(AddAddr) if each.echo]


def test_an_id_keeps_its_address():
    """The same ID with another address is refused; after REMOVE_ADDR the ID is free."""
    peer = ready()
    assert len(announce(peer, peer.add_addr(5, OTHER))) == 1
    other = ip_address("192.0.2.78")
    assert announce(peer, peer.add_addr(5, other)) == []
    assert peer.made.addresses.peer[5][0] == OTHER
    peer.initial.send(RemoveAddr(bytes((5,))))
    assert [syn.destination for syn in announce(peer, peer.add_addr(5, other))] == [other]


def test_the_same_id_with_another_port_is_one_more_way():
    """A new port for a known address is joined too."""
    peer = ready()
    announce(peer, peer.add_addr(5, OTHER))
    (syn,) = announce(peer, peer.add_addr(5, OTHER, 8080))
    assert (syn.destination, syn.destination_port) == (OTHER, 8080)


def test_a_join_that_failed_is_not_tried_again_by_itself():
    """An address and port that could not be connected to is left alone until it is announced again."""
    peer = ready()
    option = peer.add_addr(5, OTHER)
    (syn,) = announce(peer, option)
    peer.strays = [syn]
    line = peer.pick_up()
    line.send(flags=RST | ACK)
    assert peer.made.join(A1, OTHER, PORT, peer.now) is None
    assert not [segment for segment in peer.wait(30 * SECOND) if segment.syn]
    (again,) = announce(peer, option)
    # From another port: the peer may remember the former flow.
    assert again.source_port != syn.source_port
    assert again.option(MpJoinSyn).nonce != syn.option(MpJoinSyn).nonce


def test_what_is_announced_in_mp_join_needs_no_second_subflow():
    """ID and address of a join that came first match the announcement: nothing is opened."""
    peer = Peer(opens=False, subflows=4, accept_signals=4).open().confirm()
    peer.join(B2, A1, address_id=5)
    assert announce(peer, peer.add_addr(5, B2)) == []


def test_private_addresses_may_be_announced():
    """Nobody forbids them: a join to the wrong host fails by its token or HMAC."""
    peer = ready()
    (syn,) = announce(peer, peer.add_addr(5, ip_address("192.168.1.1")))
    peer.strays = [syn]
    line = peer.pick_up()
    peer.answer_join(line, hmac=1)
    assert line.last.rst
    assert len(peer.made.subflows) == 1


def test_announcements_are_soft_state():
    """A host may pass over addresses that it has no use for: with a full list, or of another family."""
    peer = ready(address_limit=3)
    for number in range(1, 8):
        announce(peer, peer.add_addr(number, ip_address(f"192.0.2.{number}")))
    assert len(peer.made.addresses.peer) == 3
    assert announce(peer, peer.add_addr(40, ip_address("2001:db8::1"))) == []
    assert not peer.initial.is_reset


def test_signals_do_not_count_as_duplicate_acks():
    """Any number of equal ACKs with MPTCP options other than DSS is no sign of loss."""
    peer = ready(sack=False)
    peer.write(bytes(5000))
    before = len(peer.initial.got)
    for option in (
        AddAddr(9, OTHER, None, bytes(8)),
        MpPrio(1),
        MpPrio(0),
        AddAddr(9, OTHER, 1, bytes(8)),
    ) * 2:
        peer.initial.send(option, ack=1)
    again = [segment for segment in peer.initial.got[before:] if segment.payload_length]
    assert not [segment for segment in again if (int(segment.seq) - peer.initial.irs) == 1]


def test_at_most_two_duplicate_acks_in_a_row_for_signals():
    """Options alone are not sent on more than two equal ACKs at once."""
    addresses = tuple(ip_address(f"192.0.2.{number}") for number in range(1, 7))
    scene = Scene({}, {"signal": addresses, "subflows": 2}).exchange()
    scene.run(10 * SECOND)
    burst, longest, last = 0, 0, None
    for entry in scene.log:
        if entry.side is not SERVER:
            continue
        segment = entry.segment
        said = (int(segment.seq), int(segment.ack), segment.window, entry.time)
        bare = not segment.payload_length and not segment.fin
        burst = burst + 1 if bare and said == last else 0
        longest, last = max(longest, burst), said
    assert longest <= 2
    assert {option.address for option in scene.options(SERVER, AddAddr)} == set(addresses)


def test_a_changed_address_is_not_believed():
    """A box on the way that rewrites the address breaks the HMAC."""
    scene = Scene({"subflows": 4, "accept_signals": 4}, {"subflows": 4, "signal": (B2,)})
    scene.boxes.append(change(AddAddr, lambda option: replace(option, address=B3)))
    scene.exchange().run(5 * SECOND)
    assert scene.sent(CLIENT, MpJoinSyn) == []
    assert scene.client.connection.is_mptcp
