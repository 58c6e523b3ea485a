"""The fabric's side of the hosts' interfaces: a namespace for their far ends, and a socket that reads them.

To open and to close such a socket, the kernel waits for all processors, 30 ms or more together: longer than
all else takes that a network is made of. So a switch is used again by the next network of the process. Its
ports are numbered anew for each, and what still arrives at earlier ones is taken by nobody.
"""

import atexit
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import count

from mbtest.network.namespace import Namespace, has_ipv6, set_sysctl
from mbtest.network.netlink import RouteSocket
from mbtest.network.packet_socket import PacketSocket
from mbtest.network.steering import Steering

_FIRST_PORT = 2


class Switch:
    """Ports and what passes them. Use `borrow` and `give_back`."""

    def __init__(self) -> None:
        """Open a switch without ports. Raises OSError without the privileges."""
        self.steered = False
        """Whether packets of the latest ports come in the order in which they were sent; see `steering`."""
        with ExitStack() as unless_whole:
            self.namespace = Namespace()
            unless_whole.callback(self.namespace.close)
            with self.namespace.entered():
                if has_ipv6():
                    set_sysctl("net.ipv6.conf.all.disable_ipv6", 1)
                self.route = RouteSocket()
                unless_whole.callback(self.route.close)
                self.packets = PacketSocket()
                unless_whole.callback(self.packets.close)
                self.steering = Steering()
            unless_whole.pop_all()
        self._ports = count(_FIRST_PORT)

    def new_port(self) -> int:
        """Return the number for an interface that is to be made in the namespace: one never used before."""
        return next(self._ports)

    def set_up(self, ports: Iterable[int]) -> None:
        """Set interfaces up."""
        numbers = list(ports)
        self.steered = self.steering.to_one_processor(f"port{port}" for port in numbers)
        for port in numbers:
            self.route.set_up(port)
        self.route.flush()

    def close(self) -> None:
        """Close the switch."""
        self.steering.close()
        self.packets.close()
        self.route.close()
        self.namespace.close()


_idle: list[Switch] = []


def borrow() -> Switch:
    """Return a switch that nobody else uses, as if it were new. Raises OSError without the privileges."""
    if not _idle:
        return Switch()
    switch = _idle.pop()
    # Hosts that are gone may have sent last words since it was given back.
    switch.packets.reset()
    return switch


def give_back(switch: Switch) -> None:
    """Keep a switch for whoever borrows next. Its ports go with the hosts at their other ends."""
    switch.packets.reset()
    _idle.append(switch)


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop().close()
