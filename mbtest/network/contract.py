"""What stacks and the harness ask of a network, real or simulated."""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from mbtest.middlebox import Clock
from mbtest.network.capture import Capture
from mbtest.network.fabric import Transmit
from mbtest.network.timers import TimerHandle
from mbtest.network.topology import Family, Role, Topology

Backend = Literal["namespaces", "simulated"]
BACKENDS: tuple[Backend, ...] = ("namespaces", "simulated")


class RunLoop(Clock, Protocol):
    """The clock of a run, and what makes its time pass."""

    def call_at(self, when: int, callback: Callable[[], None]) -> TimerHandle:
        """Call `callback` once the clock shows `when` (microseconds), at once where that is past."""

    def run(self, until: Callable[[], bool], deadline_us: int) -> bool:
        """Run until `until()` holds, and return True; return False when `deadline_us` comes first.

        deadline_us: microseconds of this loop. `until` is asked before the first round of callbacks and
        after each.
        """

    def at_round_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each round of callbacks and timers, the one that was given last first.

        So what a stack hands over then still leaves with what the network, which is older, sends then.
        """


class Network(Protocol):
    """A topology at work: hosts' interfaces, paths with boxes, and a clock."""

    topology: Topology
    family: Family
    seed: int
    """Of boxes, of what links do, and of stacks that need chance."""

    @property
    def loop(self) -> RunLoop:
        """The loop of the run."""

    @property
    def capture(self) -> Capture | None:
        """What crossed each end of each path; None where nothing is kept."""

    def losses(self) -> list[str]:
        """Return in words every loss of packets that neither a box nor a stated link caused."""

    def attach(self, role: Role, receive: Transmit) -> Mapping[str, Transmit]:
        """Put a stack that is no kernel on all interfaces of a host that was made for one.

        receive: takes each IP packet that arrives there, never while another is on its way through boxes.
        Returns, by interface, what sends an IP packet: to be called in a timer or at a round's end, it
        takes the packet into the boxes at once. Raises LocalProtocolError for a host that was not made for
        an attached stack.
        """
