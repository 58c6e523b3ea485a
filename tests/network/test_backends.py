from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from mbtest.network.backends import make_network
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.simulated import SimulatedNetwork
from mbtest.network.topology import Topology


def test_the_kind_that_was_asked_for(topology: Callable[[str], Topology]) -> None:
    one_path = topology("one-path")
    with make_network("namespaces", one_path, "v4", {}, 1, ["client"]) as network:
        assert isinstance(network, NamespaceNetwork)
        assert set(network.hosts) == {"server"}
    with make_network("simulated", one_path, "v4", {}, 1) as network:
        assert isinstance(network, SimulatedNetwork)


def test_a_simulation_needs_nothing_of_the_kernel() -> None:
    script = (
        "import sys\n"
        "from mbtest import content\n"
        "from mbtest.network.backends import make_network\n"
        "from mbtest.network.topology import load_topology\n"
        "topology = load_topology(content.shipped() / 'topologies' / 'one-path.toml')\n"
        "with make_network('simulated', topology, 'v4', {}, 1) as network:\n"
        "    network.loop.run(lambda: False, 1000)\n"
        "print(sorted({'pyroute2', 'netns', 'socket', 'select', 'scapy'} & set(sys.modules)))\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"
