"""RFC 8684 §3.4.2: REMOVE_ADDR, and the keep-alive that comes before anything is closed."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import MpJoinSyn, RemoveAddr
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import A2, B1, B2, CLIENT, KIB, MASK_32, PORT, SECOND, SERVER, Scene, drop, through


def ready(**settings) -> tuple[Peer, object]:
    """Return a peer with a second subflow from its address with the ID 7, and that subflow's line."""
    peer = Peer(opens=True, subflows=4, **settings).open().confirm()
    line = peer.join()
    line.acknowledge()
    return peer, line


def remove(peer: Peer, *identifiers: int) -> None:
    peer.initial.send(peer.initial.ack_option(), RemoveAddr(bytes(identifiers)))


def test_a_keep_alive_is_sent_first():
    """The path is asked for a sign of life: an ACK with an old sequence number, that has to be answered."""
    peer, line = ready()
    before = len(line.got)
    remove(peer, 7)
    (probe,) = line.got[before:]
    assert not probe.rst
    assert (int(probe.seq) - line.irs & MASK_32) == line.expected - 1
    assert len(peer.made.subflows) == 2


def test_a_path_that_answers_stays():
    """The host that sent REMOVE_ADDR has to close a living subflow itself."""
    peer, line = ready()
    remove(peer, 7)
    line.acknowledge()
    peer.wait(60 * SECOND)
    assert not line.is_reset
    assert len(peer.made.subflows) == 2
    line.data(b"still in use")
    assert peer.read() == b"still in use"


def test_a_path_that_is_dead_is_reset():
    """Without an answer the subflow ends with a RST, as a courtesy to boxes, and the connection goes on."""
    peer, line = ready()
    remove(peer, 7)
    peer.wait(10 * SECOND)
    assert line.last.rst
    assert len(peer.made.subflows) == 1
    peer.initial.data(b"goes on")
    assert peer.read() == b"goes on"


def test_data_of_a_removed_path_goes_another_way():
    """What the dead path had under way is sent again."""
    scene = Scene({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2}).joined()
    scene.exchange(20 * KIB, 0)
    scene.boxes.append(drop(through(A2)))
    already = len(scene.server.got)
    scene.client.write(bytes(50 * KIB))
    scene.run(20_000)
    scene.client.connection.remove(A2, scene.now)
    scene.run(20 * SECOND, until=lambda: len(scene.server.got) == already + 50 * KIB)
    scene.run(10 * SECOND)
    assert len(scene.server.subflows) == 1


@pytest.mark.parametrize("identifier", [1, 99, 255])
def test_an_unknown_id_is_silently_ignored(identifier):
    """Nothing is sent for it, nothing closed."""
    peer, line = ready()
    remove(peer, identifier)
    peer.wait(10 * SECOND)
    assert not line.is_reset
    assert not peer.initial.is_reset
    assert len(peer.made.subflows) == 2


def test_a_list_of_ids_concerns_each_of_them():
    """REMOVE_ADDR may name several; unknown ones among them do not matter."""
    peer, line = ready()
    other = peer.join(B2, B1, address_id=8, port=41_000)
    other.acknowledge()
    remove(peer, 99, 7, 8)
    peer.wait(10 * SECOND)
    assert line.last.rst
    assert other.last.rst
    assert len(peer.made.subflows) == 1


def test_the_removal_goes_by_id_and_not_by_address():
    """Behind a NAT the ID is all that both know: the subflow that joined with it is meant."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    (syn,) = scene.sent(CLIENT, MpJoinSyn)
    scene.boxes.append(drop(through(A2)))
    scene.client.connection.remove(A2, scene.now)
    scene.run(SECOND)
    (option,) = scene.options(CLIENT, RemoveAddr)
    assert option.address_ids == bytes((syn.option(MpJoinSyn).address_id,))
    scene.run(10 * SECOND)
    assert len(scene.server.subflows) == 1


def test_who_withdraws_an_address_resets_its_subflows():
    """The sender sends RSTs too, if it can, and announces the removal on another subflow."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.client.connection.remove(A2, scene.now)
    scene.run(SECOND)
    (segment,) = scene.sent(CLIENT, RemoveAddr)
    assert segment.source != A2
    assert [each for each in scene.sent(CLIENT, address=A2) if each.rst]
    assert len(scene.client.subflows) == len(scene.server.subflows) == 1
    scene.exchange(20 * KIB, 20 * KIB)


def test_a_removed_address_is_not_used_for_new_subflows():
    """Though its path may be alive, nothing is opened to it any more."""
    peer = Peer(opens=False, subflows=4, accept_signals=4).open().confirm()
    peer.initial.send(peer.add_addr(5, B2))
    peer.strays.clear()
    assert 5 in peer.made.addresses.peer
    remove(peer, 5)
    assert 5 not in peer.made.addresses.peer


def test_tcps_checks_come_before_the_option():
    """A REMOVE_ADDR on a segment that TCP refuses removes nothing."""
    peer, line = ready()
    option = RemoveAddr(bytes((7,)))
    peer.initial.send(option, at=peer.initial.next + (1 << 30))
    peer.initial.send(option, ack=peer.initial.expected + 5000)
    peer.wait(20 * SECOND)
    assert not line.is_reset
    assert len(peer.made.subflows) == 2


def test_a_join_that_is_under_way_to_a_removed_address_is_given_up():
    """Nothing can be alive there yet."""
    peer = Peer(opens=False, subflows=4, accept_signals=4).open().confirm()
    peer.initial.send(peer.add_addr(5, B2))
    assert len(peer.made.subflows) == 2
    remove(peer, 5)
    assert len(peer.made.subflows) == 1


def test_an_announcement_that_waits_for_its_echo_ends_with_the_removal():
    """A withdrawn address is not announced again."""
    peer = Peer(opens=True, subflows=4, signal=(B2,)).open().confirm()
    peer.pull()
    peer.made.remove(B2, peer.now)
    peer.wait(20 * SECOND)
    assert len(peer.initial.options(type(peer.add_addr(1, B2)))) == 1
    assert peer.initial.options(RemoveAddr)


def test_the_only_path_stays_if_it_is_alive():
    """REMOVE_ADDR for the very address that it came from: the path has just shown that it lives."""
    peer = Peer(opens=True, subflows=4).open().confirm()
    remove(peer, 0)
    peer.initial.acknowledge()
    peer.wait(20 * SECOND)
    assert not peer.initial.is_reset
    peer.initial.data(b"alive")
    assert peer.read() == b"alive"


def test_a_living_subflow_is_closed_by_fins():
    """A host that means to close a path that works ends it with a FIN; the connection is untouched."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.client.subflows[1].finish(scene.now)
    scene.run(5 * SECOND)
    assert [segment for segment in scene.sent(CLIENT, address=A2) if segment.fin]
    assert [segment for segment in scene.sent(SERVER, address=A2) if segment.fin]
    assert not [segment for side in (CLIENT, SERVER) for segment in scene.sent(side) if segment.rst]
    scene.exchange(20 * KIB, 20 * KIB)
    assert scene.client.heard(Kind.SUBFLOW_CLOSED, "good order")


def test_an_address_can_be_joined_again_after_it_was_removed():
    """Removed is not banned: its owner may open a new subflow from it."""
    scene = Scene({"join_from": (A2,), "subflows": 2}, {"subflows": 2}).joined()
    scene.client.connection.remove(A2, scene.now)
    scene.run(SECOND)
    assert scene.client.connection.join(A2, B1, PORT, scene.now) is not None
    scene.run(5 * SECOND, until=lambda: len(scene.server.connection.usable()) == 2)


@pytest.mark.parametrize("where", ["sequence number", "acknowledgement", "no acknowledgement"])
def test_a_segment_that_is_not_acceptable_is_no_sign_of_life(where):
    """Whoever is not on the path could send it: the withdrawn path is reset all the same."""
    peer, line = ready()
    remove(peer, 7)
    for _ in range(5):
        if where == "sequence number":
            line.send(at=line.next + 10_000_000)
        elif where == "acknowledgement":
            line.send(ack=line.expected + 1_000_000)
        else:
            line.send(flags=0)
    peer.wait(10 * SECOND)
    assert line.is_reset
    assert len(peer.made.subflows) == 1
