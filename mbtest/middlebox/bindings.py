"""The table of a translator: which end inside is which end outside, and who may send in."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from random import Random
from typing import Literal

from mbtest.wire import Address

Behaviour = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
"""On what of the remote end a translator's answer depends (RFC 4787 §4.1, §5)."""
Ports = Literal["preserve", "sequential", "random"]
Endpoint = bytes
"""An address and a port, as in `Segment.flow`."""


def endpoint(address: Address, port: int) -> Endpoint:
    """Return the end that an address and a port make."""
    return address.packed + port.to_bytes(2, "big")


def port_of(end: Endpoint) -> int:
    """Return the port of an end."""
    return end[-2] << 8 | end[-1]


class Bindings:
    """Ends inside and their ends outside. Every binding has a port of its own.

    ports: how the port of a new binding is chosen, from first_port to last_port; one that is taken gives
    way to the next that is free.
    """

    def __init__(
        self,
        mapping: Behaviour,
        filtering: Behaviour,
        ports: Ports,
        first_port: int,
        last_port: int,
        random: Random,
    ) -> None:
        """Begin with no binding."""
        self._mapping = mapping
        self._filtering = filtering
        self._ports = ports
        self._range = first_port, last_port
        self._next = first_port
        self._random = random
        self._outside: dict[tuple[Endpoint, bytes], Endpoint] = {}
        self._inside: dict[Endpoint, Endpoint] = {}
        self._admitted: set[tuple[Endpoint, bytes]] = set()
        self._used: dict[Endpoint, int] = {}
        """When each binding was last used, by its end outside."""

    def outward(self, inside: Endpoint, remote: Endpoint, address: Address) -> Endpoint | None:
        """Return the end outside for a packet to `remote`, a new one at `address` if it must be.

        None where no port is free. From here on `remote` may send in, as far as the filter asks for that.
        """
        key = inside, _scope(remote, self._mapping)
        outside = self._outside.get(key) or self._bind(key, address)
        if outside is not None:
            self._admitted.add((outside, _scope(remote, self._filtering)))
        return outside

    def bound(self, inside: Endpoint, remote: Endpoint) -> Endpoint | None:
        """Return the end outside that `remote` knows for an end inside, None where there is none."""
        return self._outside.get((inside, _scope(remote, self._mapping)))

    def inward(self, outside: Endpoint) -> Endpoint | None:
        """Return the end inside that is bound to an end outside, None where none is."""
        return self._inside.get(outside)

    def admits(self, outside: Endpoint, remote: Endpoint) -> bool:
        """Whether the filter lets `remote` send in to a binding."""
        return (outside, _scope(remote, self._filtering)) in self._admitted

    def use(self, outside: Endpoint, now: int) -> None:
        """Note that a packet passed through a binding."""
        self._used[outside] = now

    def forget(self, unused_since: int | None = None) -> int:
        """Forget the bindings that no packet used at or after a time, and return how many those were.

        All are forgotten where no time is given. Sequential ports go on where they were.
        """
        kept = {
            outside: inside
            for outside, inside in self._inside.items()
            if unused_since is not None and self._used.get(outside, unused_since) >= unused_since
        }
        gone = len(self._inside) - len(kept)
        if gone:
            self._inside = kept
            self._outside = {key: outside for key, outside in self._outside.items() if outside in kept}
            self._admitted = {pair for pair in self._admitted if pair[0] in kept}
            self._used = {outside: at for outside, at in self._used.items() if outside in kept}
        return gone

    def _bind(self, key: tuple[Endpoint, bytes], address: Address) -> Endpoint | None:
        for port in self._candidates(port_of(key[0])):
            outside = endpoint(address, port)
            if outside not in self._inside:
                self._next = port + 1
                self._outside[key], self._inside[outside] = outside, key[0]
                return outside
        return None

    def _candidates(self, own: int) -> Iterator[int]:
        """Return the ports in the order in which they are tried. own: the port inside."""
        low, high = self._range
        if self._ports == "random":
            first = self._random.randint(low, high)
        else:
            first = own if self._ports == "preserve" else self._next
        if not low <= first <= high:
            first = low
        return chain(range(first, high + 1), range(low, first))


def _scope(remote: Endpoint, behaviour: Behaviour) -> bytes:
    """Return what of a remote end a behaviour depends on."""
    if behaviour == "endpoint-independent":
        return b""
    return remote[:-2] if behaviour == "address-dependent" else remote
