"""Which subflow carries what is next."""

from __future__ import annotations

import pytest

from mbtest.endpoint.schedulers import SCHEDULERS, Backup, LowestRtt, Redundant, RoundRobin, usable
from mbtest.errors import LocalProtocolError
from tests.endpoint.scene import A1, A2, A3, CLIENT, KIB, MILLISECOND, SERVER, Scene, octets


def three(scheduler: str, **settings) -> Scene:
    scene = Scene({"join_from": (A2, A3), "subflows": 4, "scheduler": scheduler, **settings}, {"subflows": 4})
    scene.delays = {A1: 20 * MILLISECOND, A2: 5 * MILLISECOND, A3: 40 * MILLISECOND}
    scene.exchange(10, 10)
    scene.run(5_000_000, until=lambda: len(scene.client.connection.usable()) == 3)
    scene.run()
    return scene


def carried(scene: Scene, since: int) -> dict[object, int]:
    shares = dict.fromkeys((A1, A2, A3), 0)
    for segment in scene.sent(CLIENT, since=since):
        shares[segment.source] += segment.payload_length
    return shares


def test_lowest_rtt_takes_the_fastest_path_that_has_room():
    scene = three("lowest-rtt")
    since = scene.now
    scene.exchange(8 * KIB, 0)
    assert carried(scene, since) == {A1: 0, A2: 8 * KIB, A3: 0}
    scene.exchange(400 * KIB, 0)
    shares = carried(scene, since)
    assert max(shares, key=shares.get) == A2
    assert shares[A1] > 0


def test_lowest_rtt_takes_what_was_not_measured_last():
    scene = three("lowest-rtt")
    first, second, third = scene.client.subflows
    (chosen,) = LowestRtt().pick([third, first])
    assert chosen is first
    third.rtt.srtt = None
    assert LowestRtt().pick([third, first, second]) == (second,)
    assert list(LowestRtt().pick([third])) == [third]


def test_round_robin_takes_each_in_turn():
    scene = three("round-robin")
    subflows = scene.client.subflows
    scheduler = RoundRobin()
    assert [scheduler.pick(subflows)[0].number for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert scheduler.pick([subflows[0], subflows[2]])[0].number == 2
    since = scene.now
    scene.exchange(60 * KIB, 0)
    assert min(carried(scene, since).values()) > 10 * KIB


def test_redundant_takes_all():
    scene = three("redundant")
    assert Redundant().pick(scene.client.subflows) == scene.client.subflows
    since = scene.now
    scene.exchange(8 * KIB, 0)
    scene.run()
    assert min(carried(scene, since).values()) == 8 * KIB


def test_backups_are_taken_only_where_there_is_nothing_else():
    scene = three("round-robin")
    first, second, third = scene.client.subflows
    third.backup = True
    assert usable([first, second, third]) == [first, second]
    second.backup = True
    first.abort(scene.now)
    assert usable([first, second, third]) == [second, third]
    assert usable([]) == []


def test_subflows_in_the_making_are_not_usable():
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange()
    subflow = scene.client.connection.join(A2, scene.client.subflows[0].remote, 80, scene.now)
    assert subflow not in usable(scene.client.subflows)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_every_scheduler_delivers(name, side):
    scene = Scene(
        {"join_from": (A2,), "subflows": 2, "scheduler": name}, {"subflows": 2, "scheduler": name}
    ).joined()
    scene.exchange(100 * KIB, 100 * KIB)
    scene.host(side).write(octets(10))
    scene.close()


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(LocalProtocolError, match=r"no scheduler 'best'; there are lowest-rtt, "):
        SCHEDULERS["best"]


def test_backup_uses_one_subflow_and_another_only_in_its_place():
    scene = three("backup")
    since = scene.now
    scene.exchange(60 * KIB, 0)
    scene.run()
    first = scene.client.subflows[0]
    assert carried(scene, since).get(first.local) == 60 * KIB
    assert sum(carried(scene, since).values()) == 60 * KIB
    assert Backup().eligible(scene.client.subflows) == [first]
    assert Backup().eligible(scene.client.subflows[1:]) == [scene.client.subflows[1]]
    assert Backup().eligible([]) == []
