"""RFC 8684 §3.3.8: backups and MP_PRIO."""

from __future__ import annotations

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import MpJoinSyn, MpPrio
from tests.endpoint.crafted import Peer
from tests.endpoint.scene import (
    A1,
    A2,
    CLIENT,
    KIB,
    MILLISECOND,
    SECOND,
    SERVER,
    Scene,
    drop,
    octets,
    through,
)

TWO = ({"join_from": (A2,), "subflows": 2, "scheduler": "round-robin"}, {"subflows": 2})


def carried(scene: Scene, side, address, since=0) -> int:
    return sum(segment.payload_length for segment in scene.sent(side, since=since, address=address))


def scene_with_backup(**settings) -> Scene:
    return Scene({**TWO[0], "backup": True, **settings}, {"subflows": 2, "scheduler": "round-robin"}).joined()


def test_all_subflows_are_used_without_a_wish():
    """Without B every path carries data."""
    scene = Scene(TWO[0], {"subflows": 2, "scheduler": "round-robin"}).joined()
    since = scene.now
    scene.exchange(100 * KIB, 100 * KIB)
    for side in (CLIENT, SERVER):
        assert carried(scene, side, A1, since) > 20 * KIB
        assert carried(scene, side, A2, since) > 20 * KIB


def test_a_backup_carries_nothing_while_another_works():
    """Whoever is asked by B=1 sends no data there as long as a subflow with B=0 is usable."""
    scene = scene_with_backup()
    assert scene.options(CLIENT, MpJoinSyn)[0].backup
    since = scene.now
    scene.exchange(0, 200 * KIB)
    assert carried(scene, SERVER, A2, since) == 0
    assert carried(scene, SERVER, A1, since) >= 200 * KIB


def test_the_wish_is_about_one_direction():
    """The sender of B=1 may itself go on to use the subflow, as B is a receiver's wish."""
    scene = scene_with_backup()
    scene.exchange(200 * KIB, 0)
    assert not scene.server.heard(Kind.IGNORED)
    assert scene.server.subflows[1].backup
    assert not scene.client.subflows[1].backup


@pytest.mark.parametrize("reset", [False, True])
def test_a_backup_is_used_once_no_other_works(reset):
    """When the regular path dies the backup carries the data."""
    scene = scene_with_backup()
    scene.boxes.append(drop(through(A1)))
    if reset:
        scene.server.subflows[0].abort(scene.now)
    scene.exchange(20 * KIB, 100 * KIB, 120 * SECOND)
    assert carried(scene, SERVER, A2) >= 60 * KIB


def test_mp_prio_changes_the_flag_of_its_subflow():
    """MP_PRIO with B=1 makes the subflow that it is sent on a backup; with B=0 it is one no more."""
    peer = Peer(opens=True, subflows=2, scheduler="round-robin").open().confirm()
    line = peer.join()
    line.acknowledge()
    subflow = peer.made.subflows[1]
    line.send(line.ack_option(), MpPrio(1))
    assert subflow.backup
    assert not peer.made.subflows[0].backup
    assert peer.heard(Kind.PRIORITY)
    before = len(line.got)
    peer.write(octets(8000))
    assert not [segment for segment in line.got[before:] if segment.payload_length]
    line.send(line.ack_option(), MpPrio(0))
    peer.initial.acknowledge()
    peer.write(octets(8000))
    assert [segment for segment in line.got[before:] if segment.payload_length]


def test_a_host_sends_mp_prio_on_the_subflow_it_is_about():
    """There is no address ID in it: the subflow tells."""
    scene = Scene(*TWO).joined()
    scene.client.connection.set_backup(scene.client.subflows[1], True, scene.now)
    scene.run()
    (segment,) = scene.sent(CLIENT, MpPrio)
    assert segment.source == A2
    assert segment.option(MpPrio) == MpPrio(1)
    assert [subflow.backup for subflow in scene.server.subflows] == [False, True]


def test_mp_prio_can_retire_the_first_subflow_before_it_is_removed():
    """Make before break: the old path becomes a backup, and what follows goes by the new one."""
    scene = Scene(TWO[0], {"subflows": 2, "scheduler": "round-robin"}).joined()
    scene.client.connection.set_backup(scene.client.subflows[0], True, scene.now)
    scene.run()
    since = scene.now
    scene.exchange(0, 100 * KIB)
    assert carried(scene, SERVER, A1, since) == 0


def test_where_all_are_backups_one_is_used():
    """B=1 everywhere leaves no choice."""
    scene = scene_with_backup()
    scene.client.connection.set_backup(scene.client.subflows[0], True, scene.now)
    scene.run(SECOND)
    scene.exchange(20 * KIB, 100 * KIB)


@pytest.mark.parametrize("scheduler", ["lowest-rtt", "round-robin", "redundant", "backup"])
@pytest.mark.parametrize("side", [CLIENT, SERVER])
@pytest.mark.parametrize("backup", [False, True])
def test_the_other_path_is_taken_soon_after_the_regular_one_went_silent(side, backup, scheduler):
    """A path that acknowledges nothing is not available: the backup is not left idle until it is given up."""
    settings = {"subflows": 2, "scheduler": scheduler, "backup": backup}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined().run()
    scene.boxes.append(drop(through(A1)))
    sender, receiver = scene.host(side), scene.host(SERVER if side is CLIENT else CLIENT)
    expected = len(receiver.got) + 20 * KIB
    sender.write(octets(20 * KIB, len(receiver.got)))
    scene.run(1500 * MILLISECOND, until=lambda: len(receiver.got) == expected)
    assert bytes(receiver.got) == octets(expected)


@pytest.mark.parametrize("scheduler", ["lowest-rtt", "backup"])
def test_in_the_middle_of_a_transfer_the_other_path_is_taken_soon(scheduler):
    """The same with a window in flight; what follows does not go to the silent path any more."""
    settings = {"subflows": 2, "scheduler": scheduler, "backup": True}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined().run()
    scene.client.write(octets(400 * KIB, KIB))
    scene.run(50 * MILLISECOND)
    scene.boxes.append(drop(through(A1)))
    scene.run(2 * SECOND, until=lambda: len(scene.server.got) == 401 * KIB)
    assert bytes(scene.server.got) == octets(401 * KIB)


@pytest.mark.parametrize("scheduler", ["lowest-rtt", "backup"])
def test_the_regular_path_is_taken_again_once_it_answers(scheduler):
    """A backup is used only as long as nothing else is available."""
    settings = {"subflows": 2, "scheduler": scheduler, "backup": True}
    scene = Scene({**settings, "join_from": (A2,)}, settings).joined().run()
    down = [True]
    scene.boxes.append(drop(through(A1, lambda segment, side: down[0])))
    scene.exchange(20 * KIB, 0)
    assert carried(scene, CLIENT, A2) >= 20 * KIB
    down[0] = False
    scene.run(30 * SECOND)
    since = scene.now
    scene.exchange(20 * KIB, 0)
    assert carried(scene, CLIENT, A1, since) == 20 * KIB
    assert carried(scene, CLIENT, A2, since) == 0
