from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mbtest.middlebox import Chain
from mbtest.network.capture import read_capture
from mbtest.network.simulated import HOP_US, SimulatedNetwork
from mbtest.network.topology import Topology, TopologyError
from middleboxes.drop import DropSegments
from middleboxes.split import SplitSegments
from tests.network.traffic import Chatter

Load = Callable[[str], Topology]
SECOND = 1_000_000


def stated(topology: Topology, **values: object) -> Topology:
    paths = tuple(msgspec.structs.replace(path, **values) for path in topology.paths)
    return msgspec.structs.replace(topology, paths=paths)


def talk(network: SimulatedNetwork, questions: int = 20) -> tuple[Chatter, Chatter]:
    server, client = Chatter(network, "server"), Chatter(network, "client", questions)
    network.loop.run(lambda: len(client.received) == questions, 10 * SECOND)
    return client, server


@pytest.mark.parametrize("name", ["one-path", "dual-homed-client", "dual-homed-both"])
@pytest.mark.parametrize("family", ["v4", "v6", "mixed"])
def test_packets_cross_every_topology_in_every_family(topology: Load, name: str, family: str) -> None:
    with SimulatedNetwork(topology(name), family, {}, 1) as network:  # type: ignore[arg-type]
        client, server = talk(network)
        assert len(client.received) == len(server.received) == 20
        assert network.losses() == []
        assert not network.fabric.unroutable


def test_a_hop_takes_its_time_and_nothing_else_does(topology: Load) -> None:
    with SimulatedNetwork(topology("one-path"), "v4", {}, 1) as network:
        client, server = talk(network, 1)
        assert server.received[0][0] == HOP_US
        assert client.received[0][0] == 2 * HOP_US
        assert network.capture is not None
        assert [frame.time_us for frame in network.capture] == [0, 0, HOP_US, HOP_US]


def test_a_delay_adds_to_it(topology: Load) -> None:
    with SimulatedNetwork(stated(topology("one-path"), delay_us=5_000), "v4", {}, 1) as network:
        _, server = talk(network, 1)
        assert server.received[0][0] == 5_000 + HOP_US


def test_boxes_stand_on_the_path(topology: Load) -> None:
    one_path = topology("one-path")
    chains = {"c1-s1": Chain([SplitSegments(100)], "c1-s1", 0)}
    with SimulatedNetwork(one_path, "v4", chains, 1) as network:
        _, server = talk(network)
        assert len(server.received) > 20
        assert max(segment.payload_length for _, segment in server.received) == 100
    with SimulatedNetwork(one_path, "v4", {"c1-s1": Chain([DropSegments()], "c1-s1", 0)}, 1) as network:
        _, server = talk(network)
        assert server.received == []
        assert network.loop.now == 10 * SECOND


BAD = {"delay_us": 2_000, "loss": 0.1, "reorder": 0.2, "reorder_by_us": 900, "duplicate": 0.1}


def recorded(topology: Topology, seed: int, file: Path) -> bytes:
    chains = {path.name: Chain([SplitSegments(300)], path.name, at) for at, path in enumerate(topology.paths)}
    with SimulatedNetwork(topology, "v4", chains, seed) as network:
        talk(network, 40)
        assert network.capture is not None
        network.capture.write(file)
    return file.read_bytes()


def test_the_same_seed_gives_the_same_capture_byte_for_byte(topology: Load, tmp_path: Path) -> None:
    bad = stated(topology("dual-homed-client"), **BAD)
    one, same, other = (recorded(bad, seed, tmp_path / "run.pcapng") for seed in (5, 5, 6))
    assert one == same != other


def test_what_links_do_is_in_the_capture(topology: Load, tmp_path: Path) -> None:
    recorded(stated(topology("dual-homed-client"), **BAD), 5, tmp_path / "run.pcapng")
    told = " ".join(words for frame in read_capture(tmp_path / "run.pcapng") for words in frame.comments)
    for words in ("lost by the link", "held back by the link for 900 us", "doubled by the link"):
        assert words in told


def test_without_capture_nothing_is_kept(topology: Load) -> None:
    with SimulatedNetwork(topology("one-path"), "v4", {}, 1, capture=False) as network:
        client, _ = talk(network)
        assert len(client.received) == 20
        assert network.capture is None


def test_a_family_that_the_topology_lacks_is_refused(topology: Load) -> None:
    one_path = topology("one-path")
    half = msgspec.structs.replace(one_path, client=(msgspec.structs.replace(one_path.client[0], v6=None),))
    with pytest.raises(TopologyError, match="has no v6 address"):
        SimulatedNetwork(half, "v6", {}, 1)


def test_hundreds_of_networks_are_built_in_a_second(topology: Load) -> None:
    both = topology("dual-homed-both")
    began = time.process_time()
    for seed in range(300):
        with SimulatedNetwork(both, "mixed", {}, seed) as network:
            talk(network, 1)
    assert time.process_time() - began < 1
