"""The simulated network: virtual time, no privileges, and every stack attached to the fabric.

The same seed gives the same packets at the same microseconds: a run takes as long as its computing does.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from mbtest.middlebox import Chain
from mbtest.network.capture import Capture
from mbtest.network.fabric import Fabric, Transmit, capture_points
from mbtest.network.inbox import Inbox
from mbtest.network.topology import ROLES, Family, Role, Topology
from mbtest.network.virtual import VirtualLoop

HOP_US = 20
"""How long a packet takes from the end of its path to the stack.

About what a pair of virtual interfaces and a kernel need. It must not be nothing: then a question would be
answered in the instant in which it was asked, time would stand still while packets went to and fro, and no
timer of a stack would mean anything beside them.
"""


class SimulatedNetwork:
    """A topology made of nothing but its paths, from entering the context to leaving it."""

    loop: VirtualLoop
    capture: Capture | None

    def __init__(
        self,
        topology: Topology,
        family: Family,
        chains: Mapping[str, Chain],
        seed: int,
        capture: bool = True,
    ) -> None:
        """Describe the network. Raises TopologyError when it lacks addresses of the family.

        chains: the boxes of each path, by its name; a path without any needs none. seed: of boxes, of
        what links do and of stacks. capture: whether packets are kept.
        """
        topology.require_family(family)
        self.topology = topology
        self.family = family
        self.seed = seed
        self._chains = chains
        self._captures = capture

    def __enter__(self) -> Self:
        """Build the network."""
        self.loop = VirtualLoop()
        self.capture = Capture(capture_points(self.topology)) if self._captures else None
        self._inboxes = {role: Inbox(role, self.loop, HOP_US) for role in ROLES}
        transmit = {
            interface.name: self._inboxes[role].put
            for role in ROLES
            for interface in self.topology.interfaces(role)
        }
        self.fabric = Fabric(self.topology, self._chains, self.loop, self.seed, transmit, self.capture)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the network is memory alone."""

    def losses(self) -> list[str]:
        """Return nothing: there is no queue of ours that could be full."""
        return []

    def attach(self, role: Role, receive: Transmit) -> Mapping[str, Transmit]:
        """Put a stack on all interfaces of a host, and return by interface what sends an IP packet."""
        self._inboxes[role].attach(receive)
        return {
            interface.name: self.fabric.ingress(interface.name)
            for interface in self.topology.interfaces(role)
        }
