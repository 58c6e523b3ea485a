from __future__ import annotations

import shlex
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from mbtest import content, results
from mbtest.errors import UsageError
from mbtest.harness.found import Found, toml
from mbtest.harness.judge import judge
from mbtest.harness.session import carry_out
from mbtest.harness.workload import Workload
from mbtest.middlebox import Aim, Direction, Kind, Subflow
from mbtest.network.capture import read_capture
from mbtest.network.topology import Interface, NetworkPath, Topology, load_topology
from mbtest.wire import MpCapable, MpJoin
from tests.harness.conftest import Own

content.use()

from middleboxes.nat import TranslateAddresses  # noqa: E402
from middleboxes.rewrite_payload import RewritePayload  # noqa: E402
from middleboxes.split import SplitSegments  # noqa: E402
from middleboxes.strip import StripOptions  # noqa: E402


def interface(name: str, number: int) -> Interface:
    return Interface(name, IPv4Interface(f"198.18.{number}.2/24"), IPv6Interface(f"2001:db8:{number}::2/64"))


TOPOLOGY = Topology(
    name="found-1",
    description='Two "ways"',
    client=(interface("c1", 1), interface("c2", 2)),
    server=(interface("s1", 3),),
    paths=(
        NetworkPath(
            "c1-s1", "c1", "s1", delay_us=5_500, rate_bps=3_000_000, queue_bytes=20_000, loss=0.05,
            reorder=0.05, reorder_by_us=700, duplicate=0.01,
        ),
        NetworkPath("c2-s1", "c2", "s1"),
    ),
)  # fmt: skip
BOXES = (
    SplitSegments(500, options="first", aim=Aim(direction=Direction.TO_SERVER, kinds=Kind.DATA, path=0)),
    StripOptions((MpCapable, MpJoin), manner="nop", aim=Aim(subflow=Subflow.JOINED, from_nth=40)),
    TranslateAddresses(ports="random"),
)
FOUND = Found(
    topology=TOPOLOGY,
    boxes=BOXES,
    workload=Workload(client_sends=60_000, server_sends=9_000, shape="rounds", rounds=3),
    checksum=True,
    subflows=1,
    endpoint={"client": {"scheduler": "round-robin"}, "server": {"receive_buffer": 20_000}},
    seed=77,
)


def test_a_topology_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "found-1.toml"
    file.write_text(toml(TOPOLOGY), encoding="utf-8")
    assert load_topology(file) == TOPOLOGY


def test_the_command_repeats_the_run_packet_for_packet(own: Own, tmp_path: Path) -> None:
    session = carry_out(FOUND.plan())
    session.capture.write(tmp_path / "here.pcapng")

    words = shlex.split(FOUND.write(own.folder, "nothing is wrong"))
    assert words[:2] == ["mbtest", "run"]
    ended = own.mbtest(*words[1:], "--out", "out")

    assert ended.returncode == 0, ended.stderr + ended.stdout
    (run,) = results.read(own.out).runs
    assert run.outcome is judge(session).outcome
    assert [box.box for box in run.boxes] == [box.box for box in session.boxes]
    there = read_capture(own.out / run.artifacts["capture"])
    assert there == read_capture(tmp_path / "here.pcapng")


def test_a_run_that_stalls_stalls_again(own: Own) -> None:
    # What makes a request shorter leaves a server waiting that counts its octets.
    found = Found(
        topology=TOPOLOGY,
        boxes=(RewritePayload(at=10, put=b"", cut=5),),
        workload=Workload(client_sends=100, server_sends=100, shape="rounds", rounds=1),
    )
    session = carry_out(found.plan())
    words = shlex.split(found.write(own.folder, "it stalls"))
    ended = own.mbtest(*words[1:], "--out", "out")

    (run,) = results.read(own.out).runs
    assert run.outcome is judge(session).outcome
    assert ended.returncode == 1, ended.stderr + ended.stdout


def test_the_case_says_what_was_found_and_only_what_differs() -> None:
    source = Found(topology=TOPOLOGY, number=3).source('stalled:\n "for ever".')
    assert '"""Found: stalled: \'for ever\'."""' in source
    assert "def test_found_3(run: RunFixture)" in source
    assert 'topology="found-3"' in source
    assert "endpoint" not in source
    assert "backup" not in source


def test_a_function_cannot_be_written_down(tmp_path: Path) -> None:
    box = SplitSegments(500, aim=Aim(where=lambda segment: segment.psh))
    with pytest.raises(UsageError, match="a function cannot be written down; aim by kinds"):
        Found(topology=TOPOLOGY, boxes=(box,)).write(tmp_path, "it splits")
