"""Carries packets from an interface of one host through a path's boxes and link to one of the other's.

No I/O: packets come by `ingress` and go by the functions given for each interface. Both backends use it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from random import Random

from mbtest.middlebox import Chain, Clock, Direction
from mbtest.network.capture import Capture
from mbtest.network.link import Link, Onward
from mbtest.network.topology import NetworkPath, Topology
from mbtest.wire import Packet, WireError, decode

Transmit = Callable[[bytes], None]

# Addresses stand at fixed places, whatever options or extension headers follow.
_BELOW_VERSION_5 = b"\x50"
_V4_SOURCE, _V4_DESTINATION = slice(12, 16), slice(16, 20)
_V6_SOURCE, _V6_DESTINATION = slice(8, 24), slice(24, 40)


def capture_points(topology: Topology) -> list[str]:
    """Return the names of the capture points: both ends of each path, in the topology's order."""
    return [f"{path.name}/{side}" for path in topology.paths for side in ("client", "server")]


class Fabric:
    """The paths of a topology, with their boxes."""

    def __init__(
        self,
        topology: Topology,
        chains: Mapping[str, Chain],
        clock: Clock,
        seed: int,
        transmit: Mapping[str, Transmit],
        capture: Capture | None = None,
    ) -> None:
        """Lay the paths and start their boxes.

        chains: by the name of the path; a path without one has no boxes. seed: of boxes and of what links
        do. transmit: for each interface, what sends an IP packet to its host, and returns before the host
        answers. capture: of `capture_points`; None captures nothing, for speed.
        """
        self.unroutable: Counter[str] = Counter()
        """Packets for which there is no path, by interface and destination."""
        self.undecodable: Counter[str] = Counter()
        """Packets that boxes cannot read, and which passed them unchanged, by reason."""
        self.lost: Counter[str] = Counter()
        """Packets that a link lost or dropped as its path states, by path, direction and reason."""
        self._routes: dict[str, dict[bytes, Transmit]] = {}
        self._box_routes: list[tuple[Chain, dict[bytes, Transmit], Transmit]] = []
        for at, path in enumerate(topology.paths):
            chain = chains.get(path.name)
            way = _Way(self, path, at, chain, clock, seed, transmit, capture)
            for near, far, direction in (
                (path.client, path.server, Direction.TO_SERVER),
                (path.server, path.client, Direction.TO_CLIENT),
            ):
                carry = way.carrier(direction)
                table = self._routes.setdefault(near, {})
                for address in topology.interface(far).addresses("mixed"):
                    table[address.ip.packed] = carry
                if chain is not None:
                    self._box_routes.append((chain, table, carry))
        self._route_to_boxes()

    def ingress(self, interface: str) -> Transmit:
        """Return what takes the IP packets that a host sends from this interface."""
        table = self._routes[interface]
        carriers = list(dict.fromkeys(table.values()))
        if len(carriers) == 1:
            return carriers[0]

        def route(raw: bytes) -> None:
            carry = table.get(raw[_V4_DESTINATION if raw[:1] < _BELOW_VERSION_5 else _V6_DESTINATION])
            if carry is None:
                carry = self._find(interface, raw)
            if carry is not None:
                carry(raw)

        return route

    def _find(self, interface: str, raw: bytes) -> Transmit | None:
        """Return the way of a packet to an address that a box has come to own, or None and count it."""
        self._route_to_boxes()
        destination = raw[_V4_DESTINATION if raw[:1] < _BELOW_VERSION_5 else _V6_DESTINATION]
        carry = self._routes[interface].get(destination)
        if carry is None:
            whither = str(ip_address(destination)) if len(destination) in (4, 16) else "nowhere"
            self.unroutable[f"{interface}: no path to {whither}"] += 1
        return carry

    def _route_to_boxes(self) -> None:
        for chain, table, carry in self._box_routes:
            for address in chain.addresses:
                table.setdefault(address.packed, carry)


class _Way:
    """One path: its boxes, and a link and a far end in each direction."""

    def __init__(
        self,
        fabric: Fabric,
        path: NetworkPath,
        at: int,
        chain: Chain | None,
        clock: Clock,
        seed: int,
        transmit: Mapping[str, Transmit],
        capture: Capture | None,
    ) -> None:
        self._fabric = fabric
        self._path = path
        self._chain = chain
        self._clock = clock
        self._capture = capture
        self._transmit = {
            Direction.TO_SERVER: transmit[path.server],
            Direction.TO_CLIENT: transmit[path.client],
        }
        # The capture points where a packet enters and leaves the boxes.
        client, server = 2 * at, 2 * at + 1
        self._points = {Direction.TO_SERVER: (client, server), Direction.TO_CLIENT: (server, client)}
        self._withheld: dict[int, tuple[Packet, int]] = {}
        self._onward = {direction: self._link(direction, seed) for direction in Direction}
        if chain is not None:
            chain.attach(clock, Random(f"{seed}/{path.name}/boxes"), path.name, self._deliver)

    def carrier(self, direction: Direction) -> Transmit:
        """Return what takes a packet at the near end for this direction."""
        plain = self._capture is None and self._path.ideal
        if self._chain is None or not self._chain.boxes:
            return self._transmit[direction] if plain else self._boxless(direction)
        return self._lean(self._chain, direction) if plain else self._recorded(self._chain, direction)

    def _lean(self, chain: Chain, direction: Direction) -> Transmit:
        """Return a carrier without capture or link: the boxes and nothing else."""
        forward, transmit, undecodable = chain.forward, self._transmit[direction], self._fabric.undecodable

        def carry(raw: bytes) -> None:
            try:
                packet = decode(raw)
            except WireError as error:
                undecodable[str(error)] += 1
                transmit(raw)
                return
            for out in forward(packet, direction):
                transmit(out.raw)

        return carry

    def _boxless(self, direction: Direction) -> Transmit:
        enter, onward = self._enter(direction), self._onward[direction]

        def carry(raw: bytes) -> None:
            onward(raw, enter(raw), None)

        return carry

    def _recorded(self, chain: Chain, direction: Direction) -> Transmit:
        forward, enter, onward = chain.forward, self._enter(direction), self._onward[direction]
        undecodable = self._fabric.undecodable

        def carry(raw: bytes) -> None:
            number = enter(raw)
            try:
                packet = decode(raw)
            except WireError as error:
                undecodable[str(error)] += 1
                self._annotate(number, f"passed around the boxes: {error}")
                onward(raw, number, None)
                return
            passed = forward(packet, direction)
            for out in passed:
                onward(out.raw, number, None if out is packet else out)
            if not passed:
                self._withhold(chain, packet, number)

        return carry

    def _withhold(self, chain: Chain, packet: Packet, number: int | None) -> None:
        """Say of a packet that did not come out that it did not, and remember it, should it come later."""
        if number is not None:
            self._annotate(number, partial(chain.comment, packet))
            self._withheld[id(packet)] = packet, number

    def _deliver(self, packet: Packet, direction: Direction) -> None:
        """Take what a box sends later than in answer to a packet."""
        _, origin = self._withheld.pop(id(packet), (None, None))
        self._onward[direction](packet.raw, origin, packet)

    def _enter(self, direction: Direction) -> Callable[[bytes], int | None]:
        """Return what captures a packet before the boxes and gives it a number."""
        capture, clock = self._capture, self._clock
        if capture is None:
            return lambda _: None
        record, point = capture.record, self._points[direction][0]
        return lambda raw: record(clock.now, point, False, raw)

    def _link(self, direction: Direction, seed: int) -> Onward:
        """Return what takes a packet behind the boxes to the far end."""
        leave = self._leave(direction)
        if self._path.ideal:
            return leave
        random = Random(f"{seed}/{self._path.name}/{direction.value}")
        name = f"{self._path.name} {direction.value}"

        def lost(origin: int | None, why: str) -> None:
            self._fabric.lost[f"{name}: {why}"] += 1
            self._annotate(origin, why)

        return Link(self._path, self._clock, random, leave, lost, self._annotate).send

    def _leave(self, direction: Direction) -> Onward:
        """Return what captures a packet at the far end and sends it to the host."""
        transmit, capture, clock, chain = self._transmit[direction], self._capture, self._clock, self._chain
        if capture is None:
            return lambda raw, _origin, _packet: transmit(raw)
        record, point = capture.record, self._points[direction][1]

        def leave(raw: bytes, origin: int | None, packet: Packet | None) -> None:
            number = record(clock.now, point, True, raw, origin)
            if packet is not None and chain is not None:
                self._annotate(number, partial(chain.comment, packet))
            transmit(raw)

        return leave

    def _annotate(self, number: int | None, comment: str | Callable[[], str | None]) -> None:
        if self._capture is not None and number is not None:
            self._capture.annotate(number, comment)


__all__: Sequence[str] = ("Fabric", "Transmit", "capture_points")
