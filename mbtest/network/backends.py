"""The kinds of network by name; what a kind needs is imported when one is made."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

from mbtest.middlebox import Chain
from mbtest.network.contract import Backend, Network
from mbtest.network.topology import Family, Role, Topology


def make_network(
    backend: Backend,
    topology: Topology,
    family: Family,
    chains: Mapping[str, Chain],
    seed: int,
    attached: Iterable[Role] = (),
) -> AbstractContextManager[Network]:
    """Return a network that is built when its context is entered. Raises TopologyError.

    attached: the hosts whose stack is no kernel; in a simulated network no host has one.
    """
    if backend == "simulated":
        from mbtest.network.simulated import SimulatedNetwork  # noqa: PLC0415 - the other is not needed

        return SimulatedNetwork(topology, family, chains, seed)
    # Netlink and namespaces are of no use, and may not be there, where the network is simulated.
    from mbtest.network.namespaces import NamespaceNetwork  # noqa: PLC0415

    return NamespaceNetwork(topology, family, chains, seed, attached=frozenset(attached))
