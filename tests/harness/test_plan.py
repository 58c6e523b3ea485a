"""What runs are made of, and what stacks are asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mbtest.harness.fixture import RunFixture
from mbtest.harness.plan import boxes_of, intended_subflows, run_seed, settings
from mbtest.harness.topologies import topology
from middleboxes.pass_through import PassThrough

Make = Callable[..., RunFixture]


def test_seeds_differ_between_runs_and_are_the_same_for_one() -> None:
    assert run_seed(1, "a") == run_seed(1, "a")
    assert len({run_seed(seed, name) for seed in (1, 2) for name in ("a", "b")}) == 4


def test_one_box_or_several() -> None:
    box = PassThrough()
    assert boxes_of(box) == boxes_of([box]) == (box,)
    assert boxes_of(()) == ()


def test_clients_join_and_servers_announce(fixture: Make) -> None:
    plan = fixture(topology_name="dual-homed-both", checksum=True)(sysctls={"net.ipv4.tcp_sack": "1"})
    client, server = (settings(plan.session.plan, role) for role in ("client", "server"))
    assert [str(address) for address in client.join_from] == ["198.18.2.2"]
    assert [str(address) for address in server.signal] == ["198.19.2.2"]
    assert client.signal == server.join_from == ()
    assert client.checksum
    assert client.subflows == server.subflows == 2
    assert (client.accept_signals, server.accept_signals) == (2, 0)
    assert client.sysctls == {"net.ipv4.tcp_sack": "1"}


def test_a_sysctl_may_be_one_hosts_alone(fixture: Make) -> None:
    said = {"net.ipv4.tcp_sack": "1", "server:net.ipv4.tcp_sack": "0", "client:net.ipv4.tcp_ecn": "0"}
    session = fixture()(sysctls=said).session
    client, server = (settings(session.plan, role).sysctls for role in ("client", "server"))
    assert client == {"net.ipv4.tcp_sack": "1", "net.ipv4.tcp_ecn": "0"}
    assert server == {"net.ipv4.tcp_sack": "0"}


@pytest.mark.parametrize(
    ("name", "family", "number"),
    [
        ("one-path", "v4", 0),
        ("dual-homed-client", "v4", 1),
        ("dual-homed-client", "mixed", 1),
        ("dual-homed-both", "v6", 2),
        ("dual-homed-both", "mixed", 2),
    ],
)
def test_a_topology_has_subflows_to_give(fixture: Make, name: str, family: str, number: int) -> None:
    variant = fixture(family=family, topology_name=name).variant
    assert intended_subflows(topology(name), variant) == number
