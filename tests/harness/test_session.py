"""Runs carried out: until all is said, or stuck, or out of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mbtest.errors import UsageError
from mbtest.harness.fixture import RunFixture
from mbtest.harness.session import STORM
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import Aim, BoxError, Direction, Kind, Middlebox
from mbtest.results import Outcome
from mbtest.wire import MpFail, Segment
from middleboxes.drop import DropSegments
from middleboxes.pass_through import PassThrough
from middleboxes.strip import StripOptions

Make = Callable[..., RunFixture]


class Storm(Middlebox):
    """Sends many packets without data in place of one with data."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return [segment.replace(payload=b"", options=())] * (STORM // 4)


class Laggard(Middlebox):
    """Keeps the whole run waiting, as a machine does that has other things to do."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            pass
        return [segment]


def test_a_session_tells_all_of_a_run(fixture: Make) -> None:
    make = fixture(topology_name="dual-homed-client")
    session = make(StripOptions(), client_sends=10 * KIB).session
    assert session.stuck == ""
    assert [(use.path, use.box, use.deeds > 0) for use in session.boxes] == [
        ("c1-s1", "StripOptions()", True),
        ("c2-s1", "StripOptions()", False),
    ]
    assert session.stream(Direction.TO_SERVER).received == 10 * KIB
    assert session.stream(Direction.TO_CLIENT).intended == 0
    assert session.stacks["client"].name == "linux"
    assert session.stacks["client"].still_mptcp is False
    assert session.observation.closed()
    assert 0 < session.elapsed < 5_000_000
    assert len(session.capture) == sum(
        len(half.segments)
        for host in session.observation.hosts.values()
        for flow in host.flows.values()
        for half in (flow.sent, flow.received)
    )


def simulated(fixture: Make, **chosen: object) -> RunFixture:
    return fixture(network="simulated", stacks=("reference", "reference"), **chosen)


def test_a_run_is_carried_out_in_virtual_time(fixture: Make) -> None:
    began = time.monotonic()
    box = DropSegments(aim=Aim(kinds=Kind.DATA))
    trial = simulated(fixture)(box, client_sends=KIB, patience=60, limit=1_000)
    assert trial.session.stuck.startswith("neither application got anywhere for 60 s")
    assert trial.session.elapsed > 60_000_000
    assert time.monotonic() - began < 20


def test_a_simulated_run_is_the_same_again(fixture: Make, tmp_path: Path) -> None:
    captures = []
    for seed in (1, 1, 2):
        run = simulated(fixture, topology_name="dual-homed-both", checksum=True, seed=seed)
        session = run(StripOptions(MpFail), client_sends=64 * KIB, server_sends=KIB).session
        assert session.stuck == ""
        session.capture.write(tmp_path / "run.pcapng")
        captures.append((tmp_path / "run.pcapng").read_bytes())
    assert captures[0] == captures[1] != captures[2]


def test_a_run_outside_of_the_main_thread_is_carried_out(fixture: Make) -> None:
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(simulated(fixture), client_sends=KIB).result()
    assert trial.outcome is Outcome.MULTIPATH


def test_a_box_that_cannot_say_what_it_delivers_is_named(fixture: Make) -> None:
    class Mute(PassThrough):
        def delivers(self, stream: bytes, direction: Direction) -> bytes:
            raise KeyError("nothing")

    with pytest.raises(
        BoxError, match=r"Mute raised in delivers\(\): KeyError: 'nothing' \(test_session\.py:"
    ):
        simulated(fixture)(Mute(), client_sends=1)


@pytest.mark.parametrize("stacks", [("linux", "reference"), ("reference", "linux"), ("reference",) * 2])
def test_hosts_need_no_namespace_where_their_stack_is_attached(
    fixture: Make, stacks: tuple[str, str]
) -> None:
    session = fixture(stacks=stacks, topology_name="dual-homed-client")(client_sends=64 * KIB).session
    assert session.stuck == ""
    assert [session.stacks[role].name for role in ("client", "server")] == list(stacks)
    assert session.stream(Direction.TO_SERVER).received == 64 * KIB


def test_boxes_are_copies_on_each_path(fixture: Make) -> None:
    box = StripOptions(aim=Aim(path="c2-s1"))
    session = fixture(topology_name="dual-homed-client")(box, client_sends=KIB).session
    assert [use.path for use in session.boxes] == ["c2-s1"]


def test_a_mixed_run_is_joined_over_ipv6(fixture: Make) -> None:
    session = fixture(topology_name="dual-homed-client", family="mixed")(client_sends=64 * KIB).session
    views = session.observation.client.flows.values()
    versions = [flow.opening.segments[0].segment.source.version for flow in views if flow.is_join]
    assert 6 in versions
    initial = session.observation.client.initial
    assert initial is not None
    assert initial.opening.segments[0].segment.source.version == 4


@pytest.mark.parametrize("aim", [Aim(path="c9-s9"), Aim(path=1)])
def test_an_aim_at_a_path_that_is_not_there_is_refused(fixture: Make, aim: Aim) -> None:
    with pytest.raises(UsageError, match=r"topology one-path has no such path; it has c1-s1 \(0 to 0\)"):
        fixture()(PassThrough(aim=aim))


@pytest.mark.parametrize("network", ["namespaces", "simulated"])
def test_both_hosts_open_the_connection(fixture: Make, network: str) -> None:
    make = simulated(fixture) if network == "simulated" else fixture()
    workload = Workload(client_sends=4 * KIB, server_sends=KIB, opened_by="both")
    session = make(workload=workload).session
    for role in ("client", "server"):
        first, *_ = session.observation.hosts[role].flows.values()
        assert first.sent.segments[0].segment.syn
        assert first.received.segments[0].segment.syn
        assert not first.received.segments[0].segment.has_ack
    assert session.stuck == ""


@pytest.mark.parametrize("network", ["namespaces", "simulated"])
def test_a_rehearsal_is_not_part_of_the_run(fixture: Make, network: str) -> None:
    make = simulated(fixture) if network == "simulated" else fixture()
    session = make(workload=Workload(client_sends=4 * KIB, rehearsals=2)).session
    (flow,) = session.observation.hosts["client"].flows.values()
    first = flow.sent.segments[0]
    assert first.segment.syn
    assert first.frame > 2 * 6
    assert session.stream(Direction.TO_SERVER).received == 4 * KIB
    if network == "namespaces":
        assert session.stacks["client"].counters["MPTcpExtMPCapableSYNTX"] == 1


def test_a_run_without_progress_says_where_it_was_stuck(fixture: Make) -> None:
    trial = fixture()(DropSegments(aim=Aim(kinds=Kind.DATA)), client_sends=KIB, patience=0.3)
    assert trial.session.stuck == (
        "neither application got anywhere for 0.3 s: the client wrote 1024 of 1024 octets, "
        "waits for the end of its peer's stream; the server read 0 of 1024, "
        "waits for the end of its peer's stream"
    )


def test_time_in_which_the_run_had_no_processor_is_no_time_without_progress(fixture: Make) -> None:
    session = fixture()(Laggard(aim=Aim(until_nth=4)), client_sends=KIB, patience=0.3).session
    assert session.stuck == ""
    assert session.stream(Direction.TO_SERVER).received == KIB


def test_a_run_without_a_connection_says_so(fixture: Make) -> None:
    trial = fixture()(DropSegments(), client_sends=KIB, patience=0.3)
    assert trial.session.stuck.endswith("the server has no connection")
    assert trial.outcome is Outcome.STALLED


def test_a_run_that_goes_on_for_too_long_is_ended(fixture: Make) -> None:
    # An exchange that makes progress all the time, and has far more to say than there is time for.
    workload = Workload(shape="rounds", rounds=100_000, client_sends=100_000, server_sends=100_000)
    trial = fixture()(workload=workload, limit=0.3)
    assert trial.session.stuck.startswith("not at its end after 0.3 s: the client wrote ")
    assert trial.outcome is Outcome.STALLED


def test_a_storm_of_packets_ends_a_run(fixture: Make) -> None:
    trial = fixture()(Storm(aim=Aim(kinds=Kind.DATA)), client_sends=16 * KIB)
    assert trial.session.stuck.startswith(f"{STORM} packets were seen at either end without any progress")
