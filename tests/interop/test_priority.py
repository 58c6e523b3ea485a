"""Backup subflows, and MP_PRIO from either side (RFC 8684 §3.3.8)."""

import pytest

from mbtest.wire import MpPrio
from tests.interop.kernel import BACKUP, SIGNAL, SUBFLOW, KernelEndpoint
from tests.interop.scene import mesh
from tests.interop.talker import octets

FAMILIES = pytest.mark.parametrize("family", ["v4", "v6"])


def two(ours, *, backup=False):
    """What has the client open a second subflow, from a further address."""
    common = {"limits": (1, 0), "subflows": 1}
    if ours == "client":
        return common | {"join_from": (1,), "backup": backup}
    return common | {"endpoints": [KernelEndpoint(1, SUBFLOW | (BACKUP if backup else 0))]}


def two_of_the_kernels(ours):
    """What has the client open a second subflow, to or from a further address of the kernel."""
    common = {"limits": (1, 0), "subflows": 1, "accept_signals": 1}
    further = KernelEndpoint(1, SUBFLOW if ours == "server" else SIGNAL)
    topology = mesh(2, 1, delay_us=500) if ours == "server" else mesh(1, 2, delay_us=500)
    # An endpoint for the first address as well: what its MP_PRIO is about.
    return common | {"topology": topology, "endpoints": [KernelEndpoint(0, SUBFLOW), further]}


def sent_by(scene, sender, size=200_000):
    """Carry octets one way; return how many of them the first subflow carried, and how many the second."""

    def carried():
        return [subflow.carried(sender) for subflow in scene.wire().subflows.values()]

    before = carried()
    scene.talkers[sender].say(octets(size, f"{sender}/{len(scene.talkers[sender].said)}"))
    scene.deliver()
    return tuple(after - earlier for after, earlier in zip(carried(), before, strict=True))


def await_priorities(scene, sender, number):
    scene.until(
        lambda: (
            sum(isinstance(option, MpPrio) for sent, option in scene.wire().options if sent.sender == sender)
            >= number
        ),
        f"the {sender} has sent {number} MP_PRIO",
    )


@FAMILIES
def test_no_data_on_a_subflow_that_is_joined_as_a_backup(play, ours, family):
    with play(family, mesh(2, 1, delay_us=500), **two(ours, backup=True)) as scene:
        scene.exchange()
        scene.await_joined(1)
        assert [subflow.backup.get("client") for subflow in scene.wire().subflows.values()] == [None, True]
        first, second = sent_by(scene, "server")
        assert first >= 200_000
        assert second == 0


@FAMILIES
def test_data_moves_where_the_endpoint_asks_for_it(play, ours, family):
    with play(family, mesh(2, 1, delay_us=500), **two(ours)) as scene:
        scene.exchange()
        scene.await_joined(1)
        first, second = scene.engine.subflows
        for turn, (idle, busy) in enumerate([(first, second), (second, first)]):
            scene.engine.set_backup(busy, False, scene.network.loop.now)
            scene.engine.set_backup(idle, True, scene.network.loop.now)
            scene.host.touch()
            await_priorities(scene, ours, 2 * (turn + 1))
            scene.exchange(100)
            carried = sent_by(scene, scene.kernels)
            assert carried[idle.number] == 0
            assert carried[busy.number] >= 200_000


@FAMILIES
def test_data_moves_where_the_kernel_asks_for_it(play, ours, family):
    with play(family, **two_of_the_kernels(ours)) as scene:
        scene.exchange()
        scene.await_joined(1)
        scene.exchange()
        first, second = scene.engine.subflows
        for turn, (idle, busy) in enumerate([(0, 1), (1, 0)]):
            if turn:
                scene.paths.set_backup(busy, False)
            scene.paths.set_backup(idle, True)
            asked = [idle == 0, idle == 1]
            scene.until(lambda asked=asked: [first.backup, second.backup] == asked, "the endpoint was asked")
            carried = sent_by(scene, ours)
            assert carried[idle] == 0
            assert carried[busy] >= 200_000


@FAMILIES
def test_backups_are_used_where_there_is_nothing_else(play, ours, family):
    with play(family, **two_of_the_kernels(ours)) as scene:
        scene.exchange()
        scene.await_joined(1)
        scene.exchange()
        for interface in range(2):
            scene.paths.set_backup(interface, True)
        scene.until(
            lambda: all(subflow.backup for subflow in scene.engine.subflows), "the endpoint was asked"
        )
        assert sum(sent_by(scene, ours)) >= 200_000
