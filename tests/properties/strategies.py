"""What the properties vary: networks, workloads, endpoints, boxes on the way. Simple things come first."""

from __future__ import annotations

import copy
import dataclasses
from ipaddress import ip_interface
from typing import Any

from hypothesis import strategies as st

from mbtest import content
from mbtest.harness.found import Found
from mbtest.harness.workload import KIB, Workload
from mbtest.middlebox import MILLISECOND, Aim, Direction, Kind, Middlebox, Subflow
from mbtest.network.topology import FAMILIES, Interface, NetworkPath, Topology
from mbtest.wire import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpJoin,
    MptcpOption,
    Sack,
    SackPermitted,
    Timestamps,
    WindowScale,
)

content.use()

from middleboxes.clamp_mss import ClampMss  # noqa: E402
from middleboxes.coalesce import CoalesceSegments  # noqa: E402
from middleboxes.drop import DropSegments  # noqa: E402
from middleboxes.nat import TranslateAddresses  # noqa: E402
from middleboxes.rewrite_payload import RewritePayload  # noqa: E402
from middleboxes.sequence import RewriteSequence  # noqa: E402
from middleboxes.split import SplitSegments  # noqa: E402
from middleboxes.strip import StripOptions  # noqa: E402

LARGEST = 200 * KIB
SIZES = st.one_of(
    st.sampled_from([0, 1, 1_400, 10_000]), st.integers(0, 20_000), st.integers(20_000, LARGEST)
)
CHANCES = st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.05])


# -- Networks ------------------------------------------------------------------------------------


@st.composite
def paths(draw: st.DrawFn, name: str, client: str, server: str) -> NetworkPath:
    """A path that works, however badly."""
    rate = draw(st.sampled_from([None, None, 100_000_000, 10_000_000, 1_000_000, 300_000]))
    reorder = draw(CHANCES)
    return NetworkPath(
        name=name,
        client=client,
        server=server,
        delay_us=draw(st.sampled_from([0, 100, 5_000, 20_000, 100_000, 300_000])),
        rate_bps=rate,
        queue_bytes=draw(st.sampled_from([None, 20_000, 64_000, 200_000])) if rate else None,
        loss=draw(CHANCES),
        reorder=reorder,
        reorder_by_us=draw(st.sampled_from([500, 5_000, 30_000])) if reorder else 0,
        duplicate=draw(CHANCES),
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """One to three interfaces on each side, each with a path, the first ones with one to each other."""
    clients = [f"c{number}" for number in range(1, draw(st.integers(1, 3)) + 1)]
    servers = [f"s{number}" for number in range(1, draw(st.integers(1, 3)) + 1)]
    pairs = [(client, server) for client in clients for server in servers]
    # A path to the first of the other side for each, as joins and announcements use those.
    needed = {(client, server) for client, server in pairs if client == "c1" or server == "s1"}
    wanted = [pair for pair in pairs if pair in needed or draw(st.booleans())]
    return Topology(
        name="found",
        description="Found by a search",
        client=tuple(interface(name, 18, 0xC0) for name in clients),
        server=tuple(interface(name, 19, 0x50) for name in servers),
        paths=tuple(draw(paths(f"{client}-{server}", client, server)) for client, server in wanted),
    )


def interface(name: str, network: int, host: int) -> Interface:
    number = int(name[1:])
    return Interface(
        name,
        ip_interface(f"198.{network}.{number}.2/24"),
        ip_interface(f"2001:db8:{host + number:x}::2/64"),
    )


# -- Applications and endpoints -------------------------------------------------------------------


@st.composite
def workloads(draw: st.DrawFn, *, rounds: bool) -> Workload:
    """rounds: whether one side may wait for all octets that the other sends, none less and none more."""
    shape = draw(st.sampled_from(["together", "half_close", *(["rounds"] if rounds else [])]))
    client, server = draw(SIZES), draw(SIZES)
    number = draw(st.integers(1, 5)) if shape == "rounds" else 1
    return Workload(
        client_sends=max(client, number) if shape == "rounds" else client,
        server_sends=max(server, number) if shape == "rounds" else server,
        shape=shape,
        rounds=number,
        ends_early=draw(st.booleans()),
        wait_for_joins=draw(st.booleans()),
    )


SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "checksum": st.booleans(),
    "scheduler": st.sampled_from(["lowest-rtt", "round-robin", "redundant"]),
    "path_manager": st.sampled_from(["default", "full-mesh", "signal", "by-hand"]),
    "congestion": st.sampled_from(["coupled", "newreno"]),
    "sack": st.booleans(),
    "timestamps": st.booleans(),
    "window_scaling": st.booleans(),
    "deny_join": st.booleans(),
    "mtu": st.sampled_from([1_500, 9_000, 1_280, 576]),
    "send_buffer": st.sampled_from([4_194_304, 64 * KIB, 8 * KIB, 2_304]),
    "receive_buffer": st.sampled_from([4_194_304, 64 * KIB, 8 * KIB, 2_304]),
    "delayed_ack": st.sampled_from([40_000, 0, 200_000]),
}


def settings() -> st.SearchStrategy[dict[str, Any]]:
    """What one endpoint has otherwise than by default."""
    return st.fixed_dictionaries({}, optional=SETTINGS)


# -- Boxes ---------------------------------------------------------------------------------------

DIRECTIONS = st.sampled_from([None, Direction.TO_SERVER, Direction.TO_CLIENT])
PATHS = st.sampled_from([None, None, 0, 1])
KINDS = st.sampled_from(
    [None, Kind.SYN, Kind.SYN_ACK, Kind.THIRD_ACK, Kind.FIRST_DATA, Kind.LATER_DATA, Kind.DATA,
     Kind.PURE_ACK, Kind.FIN, Kind.RST, Kind.SYN | Kind.SYN_ACK]
)  # fmt: skip


@st.composite
def aims(draw: st.DrawFn) -> Aim | None:
    """Some segments, or all."""
    if draw(st.booleans()):
        return None
    direction, path = draw(DIRECTIONS), draw(PATHS)
    subflow = draw(st.sampled_from([None, None, Subflow.INITIAL, Subflow.JOINED]))
    more: dict[str, Any] = draw(
        st.one_of(
            st.just({}),
            st.builds(lambda kinds: {"kinds": kinds}, KINDS),
            st.builds(lambda first, number: {"from_nth": first, "until_nth": first + number},
                      st.integers(1, 30), st.integers(1, 8)),
            st.builds(lambda first, number: {"from_byte": first, "until_byte": first + number},
                      st.integers(0, 20_000), st.integers(1, 5_000)),
            st.builds(lambda first, length: {"from_time": first * MILLISECOND,
                                             "until_time": (first + length) * MILLISECOND},
                      st.integers(0, 2_000), st.integers(1, 3_000)),
            st.just({"retransmissions": True}),
        )
    )  # fmt: skip
    aim = Aim(direction=direction, path=path, subflow=subflow, **more)
    return None if aim == Aim() else aim


def whole_flows() -> st.SearchStrategy[Aim | None]:
    """Aims of which one can say what regular TCP would deliver: see `Middlebox.delivers`."""
    return st.builds(
        lambda direction, path: (
            Aim(direction=direction, path=path) if direction or path is not None else None
        ),
        DIRECTIONS,
        PATHS,
    )


FORMS = [MpCapable, MpJoin, Dss, AddAddr, MpFail, MptcpOption, Sack, SackPermitted, Timestamps, WindowScale]


@st.composite
def strips(draw: st.DrawFn) -> StripOptions:
    return StripOptions(
        forms=tuple(draw(st.lists(st.sampled_from(FORMS), max_size=2, unique=True))),
        manner=draw(st.sampled_from(["delete", "nop", "end-of-list"])),
        aim=draw(aims()),
    )


@st.composite
def splits(draw: st.DrawFn) -> SplitSegments:
    return SplitSegments(
        size=draw(st.sampled_from([None, 1_000, 500, 100])),
        pieces=draw(st.integers(2, 5)),
        options=draw(st.sampled_from(["all", "first", "last", "none"])),
        lost=draw(st.sampled_from(["every", "mptcp"])),
        aim=draw(aims()),
    )


@st.composite
def coalescers(draw: st.DrawFn) -> CoalesceSegments:
    return CoalesceSegments(
        options=draw(st.sampled_from(["first", "last", "both"])),
        only_equal=draw(st.booleans()),
        delay=draw(st.sampled_from([100, 5_000, 100_000])),
        largest=draw(st.sampled_from([1_500, 9_000, 65_535])),
        flush_on_push=draw(st.booleans()),
        aim=draw(aims()),
    )


@st.composite
def sequences(draw: st.DrawFn) -> RewriteSequence:
    return RewriteSequence(
        offset=draw(st.one_of(st.none(), st.integers(-(2**32) + 1, 2**32 - 1))),
        directions=draw(st.sampled_from(["both", "to_server", "to_client"])),
        sack=draw(st.sampled_from(["followed", "left behind"])),
        aim=draw(whole_flows()),
    )


@st.composite
def rewriters(draw: st.DrawFn, *, resizes: bool) -> RewritePayload:
    """resizes: whether the stream may become longer or shorter."""
    at = draw(st.one_of(st.integers(0, 2_000), st.integers(0, 60_000)))
    every = draw(st.sampled_from([None, None, 5_000]))
    if resizes and draw(st.booleans()):
        put = draw(st.sampled_from([b"", b"x", b"inserted", bytes(300)]))
        cut = draw(st.integers(0 if put else 1, 40))
        return RewritePayload(at, put=put, cut=cut, every=every, aim=draw(whole_flows()))
    return RewritePayload(
        at, xor=draw(st.sampled_from([b"\xff", b"\x01\x80"])), every=every, aim=draw(aims())
    )


def aimed_drops() -> st.SearchStrategy[DropSegments]:
    return st.builds(DropSegments, aim=aims().filter(lambda aim: aim is not None))


@st.composite
def translators(draw: st.DrawFn) -> TranslateAddresses:
    behaviours = st.sampled_from(["endpoint-independent", "address-dependent", "address-and-port-dependent"])
    first = draw(st.sampled_from([1_024, 60_000]))
    return TranslateAddresses(
        mapping=draw(behaviours),
        filtering=draw(behaviours),
        ports=draw(st.sampled_from(["preserve", "sequential", "random"])),
        first_port=first,
        last_port=draw(st.sampled_from([65_535, first + 1])),
        aim=draw(whole_flows()),
    )


def clamps() -> st.SearchStrategy[ClampMss]:
    return st.builds(ClampMss, st.sampled_from([1_400, 1_200, 536, 88]), aim=aims())


def boxes(*, resizes: bool) -> st.SearchStrategy[Middlebox]:
    rewriting = rewriters(resizes=resizes)
    kinds = [clamps(), splits(), sequences(), coalescers(), translators(), strips(), aimed_drops(), rewriting]
    # What goes to the heart of the protocol comes more often.
    return st.one_of(*kinds, rewriting, strips(), splits())


def placed(box: Middlebox, paths: int) -> Middlebox:
    """Return a box that stands on every path where its aim names one that is not there."""
    if box.aim is None or not isinstance(box.aim.path, int) or box.aim.path < paths:
        return box
    moved = copy.copy(box)
    moved.aim = dataclasses.replace(box.aim, path=None)
    return moved


# -- All together ----------------------------------------------------------------------------------


@st.composite
def examples(draw: st.DrawFn) -> Found:
    """A run: everything that the properties vary."""
    topology = draw(topologies())
    # A server that waits for a whole request waits for ever where a box makes it shorter.
    resizes = draw(st.booleans())
    client, server = draw(settings()), draw(settings())
    row = [draw(boxes(resizes=resizes)) for _ in range(draw(st.integers(0, 3)))]
    chosen = {role: given for role, given in (("client", client), ("server", server)) if given}
    return Found(
        topology=topology,
        boxes=tuple(placed(box, len(topology.paths)) for box in row),
        workload=draw(workloads(rounds=not resizes)),
        family=draw(st.sampled_from(FAMILIES)),
        checksum=draw(st.booleans()),
        subflows=draw(st.integers(0, 4)),
        backup=draw(st.booleans()),
        endpoint=chosen,  # type: ignore[arg-type]
        seed=draw(st.integers(0, 10_000)),
    )
