"""Wireshark's analysis of MPTCP, an independent witness, agrees with the trace on the same packets.

Each run is looked at from one host's side of the boxes, as tshark has no notion of two.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from mbtest import content
from mbtest.harness import session
from mbtest.harness.found import Found
from mbtest.harness.topologies import topology
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import Aim, Direction, Middlebox
from mbtest.network.capture import Capture
from mbtest.network.contract import Backend
from mbtest.observe.host import HostTrace
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.observe.state import Connection
from mbtest.observe.trace import Trace
from tests.observe.conversation import ADDRESSES, Talk

content.use()

from middleboxes.coalesce import CoalesceSegments  # noqa: E402
from middleboxes.rewrite_payload import RewritePayload  # noqa: E402

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed: apt-get install tshark"
)

FIELDS = (
    "frame.number", "tcp.srcport", "tcp.len", "tcp.options.mptcp.subtype", "tcp.options.mptcp.recvtok",
    "mptcp.expected_token", "mptcp.expected_idsn", "mptcp.dss.infinite_mapping", "mptcp.dss.missing_mapping",
)  # fmt: skip
DSS = 2
TO_SERVER = Aim(direction=Direction.TO_SERVER)
REQUESTS = Workload(shape="rounds", rounds=10, client_sends=10 * KIB, server_sends=10 * KIB)
BULK = Workload(client_sends=64 * KIB, server_sends=64 * KIB)


class Run(NamedTuple):
    """A run, and the side from which it is looked at."""

    stacks: tuple[str, str]
    workload: Workload = BULK
    box: Middlebox | None = None
    topology: str = "one-path"
    checksum: bool = False
    side: str = "client"
    mtu: int = 1_500
    """What the reference endpoint at the server takes."""

    def captured(self) -> Capture:
        """What crossed that side, as if nothing else had been captured."""
        network: Backend = "namespaces" if "linux" in self.stacks else "simulated"
        plan = Found(
            topology=topology(self.topology), boxes=() if self.box is None else (self.box,),
            workload=self.workload, checksum=self.checksum, subflows=int(self.topology != "one-path"),
            endpoint={"server": {"mtu": self.mtu}},
        ).plan()  # fmt: skip
        client, server = self.stacks
        variant = msgspec.structs.replace(plan.variant, client=client, server=server)
        limits = {"limit": 10.0, "patience": 3.0, "grace": 1.0} if network == "namespaces" else {}
        whole = session.carry_out(
            msgspec.structs.replace(plan, variant=variant, network=network, **limits)
        ).capture
        points = sorted({frame.point for frame in whole if frame.side == self.side})
        one = Capture(points)
        for frame in whole:
            if frame.side == self.side:
                one.record(frame.time_us, points.index(frame.point), frame.outbound, frame.raw)
        return one


class Judge:
    """Keeps the frames with infinite mappings, and those whose data has no mapping at all so far."""

    def __init__(self) -> None:
        self.infinite: set[int] = set()
        self.unmapped: set[int] = set()
        self.with_dss: set[int] = set()

    def sent(self, host: HostTrace, moment: Moment) -> None:
        mapping, mapped = moment.mapping, moment.own.mapped
        if mapping is not None and mapping.infinite:
            self.infinite.add(moment.frame)
        if not moment.size or moment.dss is None or (mapping is not None and mapping.infinite):
            return
        self.with_dss.add(moment.frame)
        last = moment.start + moment.size - 1
        own = mapping is not None and mapping.start <= last and moment.start < mapping.end
        if not own and not mapped.covers(moment.start, moment.start + 1) and mapped.at(last) is None:
            self.unmapped.add(moment.frame)

    def checked(self, host: HostTrace, moment: Moment, mapping: Mapping) -> None:
        """Checksums are not asked for."""


def traced(capture: Capture) -> tuple[Judge, Connection]:
    """What the trace makes of it, and the connection as the client knows it."""
    judge = Judge()
    trace = Trace(judge)
    for frame in capture:
        sender = "client" if frame.to_server else "server"
        trace.add(frame.number, frame.time_us, frame.path, None, sender, frame.raw)
    return judge, trace.hosts["client"].connections[0]


def dissected(capture: Capture, file: Path) -> dict[int, dict[str, list[str]]]:
    """What tshark makes of it, by frame."""
    capture.write(file)
    command = ["tshark", "-r", str(file), "-T", "json", "-n", "-o", "mptcp.analyze_mappings:TRUE"]
    for name in FIELDS:
        command += ["-e", name]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    packets: list[dict[str, Any]] = [packet["_source"]["layers"] for packet in json.loads(output)]
    return {int(packet["frame.number"][0]): packet for packet in packets}


def numbers(packets: dict[int, dict[str, list[str]]], name: str) -> set[int]:
    """All values of a field."""
    return {int(text, 0) for packet in packets.values() for text in packet.get(name, ())}


def frames(
    packets: dict[int, dict[str, list[str]]], name: str, also: Callable[[dict[str, list[str]]], bool]
) -> set[int]:
    """The frames that tshark marks so."""
    return {number for number, packet in packets.items() if name in packet and also(packet)}


def has_data(packet: dict[str, list[str]]) -> bool:
    return int(packet["tcp.len"][0]) > 0


def changes(at: int) -> RewritePayload:
    return RewritePayload(at=at, aim=TO_SERVER)


def merges() -> CoalesceSegments:
    """The mapping of what comes first in a merged segment is lost."""
    return dataclasses.replace(CoalesceSegments(options="last", largest=1_500), aim=TO_SERVER)


RUNS = {
    "two subflows": Run(("reference", "reference"), topology="dual-homed-client"),
    "short numbers": Run(("reference+narrow-numbers", "reference")),
    "checksums": Run(("reference", "reference"), checksum=True, side="server"),
    "a fallback": Run(("reference", "reference"), REQUESTS, changes(5 * KIB), checksum=True),
    "merged": Run(("reference", "reference"), box=merges(), side="server", mtu=576),
    "two subflows of the kernel": Run(("linux", "linux"), topology="dual-homed-client"),
    "a fallback of the kernel": Run(("linux", "linux"), REQUESTS, changes(5 * KIB), checksum=True),
    "the kernel and the reference endpoint": Run(("reference", "linux"), topology="dual-homed-client"),
}


@pytest.mark.parametrize("name", RUNS)
def test_tshark_agrees(name: str, tmp_path: Path) -> None:
    agreed(RUNS[name].captured(), tmp_path)


def agreed(capture: Capture, folder: Path) -> Judge:
    """Compare, and return what the trace found."""
    judge, connection = traced(capture)
    packets = dissected(capture, folder / "one.pcapng")
    assert connection.token is not None
    assert connection.peer_token is not None
    tokens = {connection.token, connection.peer_token}
    assert numbers(packets, "mptcp.expected_token") == tokens
    assert numbers(packets, "tcp.options.mptcp.recvtok") <= tokens
    assert numbers(packets, "mptcp.expected_idsn") == {connection.own.base, connection.peer.base}
    assert frames(packets, "mptcp.dss.infinite_mapping", lambda _: True) == judge.infinite
    unmapped = frames(packets, "mptcp.dss.missing_mapping", has_data) & judge.with_dss
    assert unmapped == judge.unmapped
    return judge


def test_tshark_agrees_on_an_infinite_mapping_and_on_data_without_one(tmp_path: Path) -> None:
    assert agreed(RUNS["a fallback"].captured(), tmp_path).infinite
    talk = Talk(one_point=True).established().exchange()
    talk.send("client", talk.dss("client", mapped=False), payload=bytes(10))
    capture = Capture(("p/client",))
    for _, time, _, _, _, raw in talk.frames:
        is_outbound = raw[12:16] == ip_address(ADDRESSES["server"][0]).packed
        capture.record(time, 0, is_outbound, raw)
    assert agreed(capture, tmp_path).unmapped == {len(talk.frames)}
