"""Two endpoints in trouble: paths that lose, delay, cut, strip, change and die, by the dice of a seed.

Whatever happens, what an application reads is a beginning of what its peer wrote, an end is the end, nobody
who sends waits forever, and the wire shows no mapping that changes and no option after a fallback.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Closing
from mbtest.wire import Dss, MpCapable, MptcpOption, Segment
from tests.endpoint.scene import (
    A1,
    A2,
    A3,
    B2,
    CLIENT,
    MASK_32,
    SECOND,
    SERVER,
    Box,
    Host,
    Scene,
    Side,
    octets,
)

LONG = 10_000 * SECOND
SIZES = (0, 1, 3000, 60_000)
BUFFERS = (4000, 20_000, 65_536, 1 << 22)
SCHEDULERS = ("lowest-rtt", "round-robin", "redundant")


def scene_of(chance: Random, seed: int) -> Scene:
    """Return a scene with settings and delays by chance."""
    client: dict[str, Any] = {
        "subflows": 4,
        "join_from": (A2, A3)[: chance.choice((0, 0, 1, 2))],
        "scheduler": chance.choice(SCHEDULERS),
        "checksum": chance.random() < 0.6,
        "sack": chance.random() < 0.8,
        "timestamps": chance.random() < 0.7,
        "window_scaling": chance.random() < 0.8,
        "receive_buffer": chance.choice(BUFFERS),
    }
    server: dict[str, Any] = {
        "subflows": 4,
        "scheduler": chance.choice(SCHEDULERS),
        "receive_buffer": chance.choice(BUFFERS),
        "mtu": chance.choice((1500, 600, 9000)),
    }
    if chance.random() < 0.3:
        server["signal"] = (B2,)
        client["accept_signals"] = 2
    scene = Scene(client, server, seed=seed)
    scene.delays = {address: chance.randrange(1000, 60_000) for address in (A1, A2, A3)}
    return scene


def unruly(scene: Scene, chance: Random, until: int) -> Box:
    """Return a path that loses, doubles, reorders and cuts, with options on either piece, for a while."""
    loss, double = chance.choice((0, 0.01, 0.05, 0.1)), chance.choice((0, 0, 0.05))
    late, cut = chance.choice((0, 0, 0.1)), chance.choice((0, 0, 0.3))
    held: list[list[Segment]] = []

    def box(segment: Segment, side: Side) -> list[Segment] | None:
        if scene.now > until:
            return [segment]
        if chance.random() < loss:
            return None
        out = [segment]
        if segment.payload_length > 20 and chance.random() < cut:
            at = chance.randrange(1, segment.payload_length)
            first = segment.replace(payload=segment.payload[:at])
            second = segment.replace(payload=segment.payload[at:], seq=int(segment.seq) + at & MASK_32)
            out = [first, second.without_options(Dss, MpCapable) if chance.random() < 0.5 else second]
        if chance.random() < double:
            out = out + out
        if chance.random() < late:
            held.append(out)
            return None
        return out + held.pop(0) if held and chance.random() < 0.7 else out

    return box


def hostile(scene: Scene, chance: Random) -> tuple[Box, str]:
    """Return a box that takes options away, changes data or ends a path, and what it does."""
    kind = chance.choice(("strip", "strip data", "strip acks", "no data acks", "change", "death"))
    begin = chance.choice((1, 1, 30_000, 200_000))
    sender = chance.choice((CLIENT, SERVER, None))
    address = chance.choice((A1, A1, A2, None))
    changed: dict[tuple[object, int], bool] = {}

    def box(segment: Segment, side: Side) -> Segment | None:
        if scene.now < begin or segment.syn or (sender is not None and side is not sender):
            return segment
        if address is not None and address not in (segment.source, segment.destination):
            return segment
        has_data = segment.payload_length > 0
        if kind == "death":
            return None
        if kind == "strip" or (kind == "strip data" and has_data) or (kind == "strip acks" and not has_data):
            return segment.without_options(MptcpOption)
        if kind == "no data acks":
            return segment.replace(options=[_without_data_ack(option) for option in segment.options])
        if kind == "change" and has_data:
            key = (segment.flow, int(segment.seq))
            if changed.setdefault(key, chance.random() < 0.2):
                return segment.replace(payload=bytes((segment.payload[0] ^ 0x40,)) + segment.payload[1:])
        return segment

    return box, kind


def _without_data_ack(option: Any) -> Any:
    if not isinstance(option, Dss):
        return option
    return Dss(
        None, option.dsn, option.subflow_sequence, option.length, option.checksum, option.data_fin,
        False, option.dsn_64,
    )  # fmt: skip


def talk(scene: Scene, up: int, down: int) -> None:
    scene.client.made = scene.client.endpoint.connect(scene.server.endpoint.addresses[0], 80, 0)
    scene.client.write(octets(up))
    scene.server.write(octets(down))
    scene.client.finish()
    scene.server.finish()


def check_wire(scene: Scene, side: Side, host: Host) -> None:
    """No mapping of a side changes, and after a fallback that is complete it sends no option."""
    known: dict[tuple[object, int], tuple[object, ...]] = {}
    regular = [event.time for event in host.heard(Kind.STATE, "-> REGULAR")]
    for entry in scene.log:
        if entry.side is not side:
            continue
        option = entry.segment.option(Dss)
        if option is not None and option.length and entry.segment.payload_length:
            said = (option.dsn, option.length, option.checksum)
            assert known.setdefault((entry.segment.flow, option.subflow_sequence), said) == said
        if regular and entry.time > regular[0]:
            late = entry.segment.option(MptcpOption)
            assert late is None or (isinstance(late, Dss) and late.infinite)


@pytest.mark.parametrize("seed", range(40))
def test_a_path_that_calms_down_delivers_everything(seed):
    """Loss, doubles, reordering and cuts for 20 s: both streams arrive whole and end well."""
    chance = Random(seed)
    scene = scene_of(chance, seed)
    scene.boxes.append(unruly(scene, chance, 20 * SECOND))
    up, down = chance.choice(SIZES), chance.choice(SIZES)
    talk(scene, up, down)
    scene.run(400 * SECOND, until=lambda: scene.client.ended and scene.server.ended)
    assert bytes(scene.server.got) == octets(up)
    assert bytes(scene.client.got) == octets(down)
    scene.run(300 * SECOND)
    for side, host in ((CLIENT, scene.client), (SERVER, scene.server)):
        assert host.connection.error is None
        assert host.endpoint.connections == []
        check_wire(scene, side, host)


# Those from 100 on have found something once.
@pytest.mark.parametrize("seed", [*range(60), 102, 145, 315, 417, 624, 796, 975, 1001])
def test_a_hostile_path_corrupts_nothing(seed):
    """Whatever a box takes away: a beginning of the stream, all of it where it ends, or an error."""
    chance = Random(f"hostile {seed}")
    scene = scene_of(chance, seed)
    box, kind = hostile(scene, chance)
    loss = chance.choice((0, 0, 0.02, 0.1))
    dice = Random(seed)
    scene.boxes += [box, lambda segment, side: None if dice.random() < loss else segment]
    up, down = chance.choice(SIZES), chance.choice(SIZES)
    talk(scene, up, down)
    scene.run(LONG)
    for side, host, whole in ((CLIENT, scene.client, octets(down)), (SERVER, scene.server, octets(up))):
        got = bytes(host.got)
        if kind != "change":
            assert whole.startswith(got)
        elif scene.client.connection.checksum:
            # After a fallback changed octets are read as they come, each in its place.
            assert len(got) <= len(whole)
            assert sum(a != b for a, b in zip(got, whole, strict=False)) <= len(whole) // 400 + 2
        if host.ended:
            assert len(got) == len(whole)
        if host.made is None:
            continue
        check_wire(scene, side, host)
        # Whoever has sent all, and has it acknowledged, may wait for its peer, as in regular TCP.
        if host.connection.closing.state is not Closing.M_FIN_WAIT_2:
            assert host.ended or host.connection.error is not None
            assert host.endpoint.connections == []
