from __future__ import annotations

from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox import Bindings, port_of
from mbtest.middlebox.bindings import endpoint

ADDRESS = ip_address("198.51.100.1")
ENDS = [endpoint(ip_address(f"192.0.2.{host}"), port) for host in (1, 2) for port in (4000, 4001)]
REMOTES = [endpoint(ip_address(f"203.0.113.{host}"), port) for host in (1, 2) for port in (80, 443)]


def bindings(**changes: Any) -> Bindings:
    told: dict[str, Any] = {
        "mapping": "endpoint-independent",
        "filtering": "endpoint-independent",
        "ports": "preserve",
        "first_port": 1024,
        "last_port": 65535,
        "random": Random(1),
    }
    return Bindings(**told | changes)


def outside(table: Bindings, inside: bytes, remote: bytes) -> bytes:
    found = table.outward(inside, remote, ADDRESS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("mapping", "ends"),
    [("endpoint-independent", 1), ("address-dependent", 2), ("address-and-port-dependent", 4)],
)
def test_a_mapping_serves_the_remote_ends_that_its_behaviour_says(mapping: str, ends: int) -> None:
    table = bindings(mapping=mapping)
    found = [outside(table, ENDS[0], remote) for remote in REMOTES]
    assert len(set(found)) == ends
    assert [outside(table, ENDS[0], remote) for remote in REMOTES] == found
    assert [table.bound(ENDS[0], remote) for remote in REMOTES] == found
    assert all(table.inward(one) == ENDS[0] for one in found)


@pytest.mark.parametrize(
    ("filtering", "admitted"),
    [
        ("endpoint-independent", [True, True, True, True]),
        ("address-dependent", [True, True, False, False]),
        ("address-and-port-dependent", [True, False, False, False]),
    ],
)
def test_the_filter_admits_the_remote_ends_that_its_behaviour_says(
    filtering: str, admitted: list[bool]
) -> None:
    table = bindings(filtering=filtering)
    end = outside(table, ENDS[0], REMOTES[0])
    assert [table.admits(end, remote) for remote in REMOTES] == admitted


def test_what_was_never_bound_is_unknown() -> None:
    table = bindings()
    assert table.inward(ENDS[0]) is None
    assert table.bound(ENDS[0], REMOTES[0]) is None
    assert not table.admits(ENDS[0], REMOTES[0])


@given(
    st.sampled_from(("preserve", "sequential", "random")),
    st.lists(st.tuples(st.sampled_from(ENDS), st.sampled_from(REMOTES))),
    st.integers(0, 2**32),
)
def test_no_two_bindings_share_a_port_and_all_are_in_range(
    ports: str, uses: list[tuple[bytes, bytes]], seed: int
) -> None:
    table = bindings(
        ports=ports,
        mapping="address-and-port-dependent",
        first_port=3990,
        last_port=4010,
        random=Random(seed),
    )
    found = {use: outside(table, *use) for use in uses}
    assert len(set(found.values())) == len(found)
    for (inside, _), end in found.items():
        assert end[:-2] == ADDRESS.packed
        assert 3990 <= port_of(end) <= 4010
        assert table.inward(end) == inside


def test_a_port_is_preserved_while_it_is_free() -> None:
    table = bindings()
    assert port_of(outside(table, ENDS[0], REMOTES[0])) == 4000
    assert port_of(outside(table, ENDS[1], REMOTES[0])) == 4001
    assert port_of(outside(table, ENDS[2], REMOTES[0])) == 4002


def test_sequential_ports_follow_each_other_and_begin_again() -> None:
    table = bindings(ports="sequential", first_port=2000, last_port=2002)
    assert [port_of(outside(table, end, REMOTES[0])) for end in ENDS[:3]] == [2000, 2001, 2002]


def test_random_ports_are_those_of_the_seed() -> None:
    def ports(seed: int) -> list[int]:
        table = bindings(ports="random", random=Random(seed))
        return [port_of(outside(table, end, REMOTES[0])) for end in ENDS]

    assert ports(1) == ports(1) != ports(2)


def test_a_port_below_the_range_is_not_preserved() -> None:
    assert port_of(outside(bindings(), endpoint(ADDRESS, 80), REMOTES[0])) == 1024


def test_without_a_free_port_there_is_no_binding() -> None:
    table = bindings(first_port=5000, last_port=5001)
    assert [table.outward(end, REMOTES[0], ADDRESS) is None for end in ENDS] == [False, False, True, True]


def test_a_binding_that_was_not_used_for_long_is_forgotten() -> None:
    table = bindings()
    old, new = (outside(table, end, REMOTES[0]) for end in ENDS[:2])
    table.use(old, 10)
    table.use(new, 20)
    table.forget(unused_since=10)
    assert table.inward(old) == ENDS[0]
    table.forget(unused_since=11)
    assert (table.inward(old), table.bound(ENDS[0], REMOTES[0])) == (None, None)
    assert not table.admits(old, REMOTES[0])
    assert table.inward(new) == ENDS[1]
    assert table.admits(new, REMOTES[0])


def test_all_bindings_can_be_forgotten_and_sequential_ports_go_on() -> None:
    table = bindings(ports="sequential", first_port=2000)
    ends = [outside(table, end, REMOTES[0]) for end in ENDS[:2]]
    table.forget()
    assert [table.inward(end) for end in ends] == [None, None]
    assert port_of(outside(table, ENDS[0], REMOTES[0])) == 2002
