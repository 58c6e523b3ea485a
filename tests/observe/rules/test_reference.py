"""No rule fires on the reference endpoint without boxes, and each departure profile is caught by name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from mbtest.endpoint import PROFILES
from mbtest.harness import session
from mbtest.harness.found import Found
from mbtest.harness.topologies import topologies
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import Aim, Direction
from mbtest.network.capture import Capture
from mbtest.network.topology import ROLES, Role, Topology
from mbtest.observe.rules import Breach, Rulebook
from mbtest.observe.trace import Trace
from tests.properties.strategies import RewritePayload, examples

EXAMPLES = int(os.environ.get("MBTEST_EXAMPLES", "300"))


def judged(capture: Capture) -> list[Breach]:
    book = Rulebook()
    trace = Trace(book)
    for frame in capture:
        sender = "client" if frame.to_server else "server"
        trace.add(frame.number, frame.time_us, frame.path, frame.side, sender, frame.raw)
    trace.finish()
    return book.breaches


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize="MBTEST_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(examples())
def test_no_rule_fires_without_boxes(found: Found) -> None:
    carried = session.carry_out(msgspec.structs.replace(found, boxes=()).plan())
    assert judged(carried.capture) == []


BREAKS = {
    "no-data-acks-on-acks": "dss.first-data-ack",
    "no-data-acks": "dss.first-data-ack",
    "narrow-data-acks": "dss.wide-data-ack",
    "sparse-mappings": "dss.mapping-on-each",
    "no-mp-fail": "fallback.fail-answered",
    "late-mp-fail": "fallback.fail-answered",
    "no-infinite-mapping": "fallback.signalled",
    "infinite-checksum": "fallback.infinite-checksum",
    "wrong-checksum-once": "dss.checksum-right",
    "first-checksum-wrong": "dss.checksum-right",
    "no-echoed-keys": "capable.third-ack",
    "wrong-echoed-key": "capable.echoed-key",
    "wrong-join-hmac": "join.hmac-of-ack",
    "no-add-addr-echo": "add-addr.echoed",
    "wrong-add-addr-hmac": "add-addr.hmac",
    "version-0": "capable.syn-form",
    "flag-b": "capable.flag-b",
    "no-algorithm": "capable.algorithm",
    "checksum-flag-lost": "capable.checksum-confirmed",
}
ALLOWED = {"strict", "wide-numbers", "narrow-numbers", "long-mappings", "version-2"}
"""What RFC 8684 leaves open."""
BY_THE_SERVER = {"wrong-add-addr-hmac"}


def runs(role: Role) -> Iterator[Found]:
    """Runs in which each profile gets a chance: joins, announcements, and payload that is changed."""
    way, back = Direction.TO_SERVER, Direction.TO_CLIENT
    if role == "server":
        way, back = back, way
    workload = Workload(client_sends=64 * KIB, server_sends=64 * KIB)
    signal = {side: {"path_manager": "signal"} for side in ROLES}
    changed = RewritePayload(20_000, xor=b"\xff")
    for checksum in (False, True):
        yield Found(topology=slow("dual-homed-client"), workload=workload, checksum=checksum, subflows=1)
        yield Found(topology=slow("dual-homed-both"), workload=workload, checksum=checksum, subflows=1,
                    endpoint=signal)  # fmt: skip
    for direction in (way, back):
        box = dataclasses.replace(changed, aim=Aim(direction=direction))
        yield Found(topology=slow("one-path"), workload=workload, checksum=True, boxes=(box,))


def slow(name: str) -> Topology:
    """A topology on whose paths a run takes a while."""
    topology = next(topology for topology in topologies() if topology.name == name)
    paths = tuple(msgspec.structs.replace(path, rate_bps=1_000_000) for path in topology.paths)
    return msgspec.structs.replace(topology, paths=paths)


def fired(profile: str, role: Role) -> set[str]:
    """The rules that a host with this profile breaks, in any of the runs."""
    found = set()
    for run in runs(role):
        plan = run.plan()
        stack = "reference" if profile == "strict" else f"reference+{profile}"
        variant = msgspec.structs.replace(plan.variant, **{role: stack})
        carried = session.carry_out(msgspec.structs.replace(plan, variant=variant))
        found |= {breach.rule for breach in judged(carried.capture) if breach.who == role}
    return found


@pytest.mark.parametrize("name", BREAKS)
def test_a_departure_profile_is_caught(name: str) -> None:
    role: Role = "server" if name in BY_THE_SERVER else "client"
    assert BREAKS[name] in fired(name, role)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_what_the_rfc_leaves_open_is_not_caught(name: str) -> None:
    assert fired(name, "client") == set()


def test_no_profile_is_forgotten() -> None:
    assert set(PROFILES) == {*BREAKS, *ALLOWED}
