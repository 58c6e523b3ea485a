"""A box that translates addresses and ports."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from mbtest.errors import UsageError
from mbtest.middlebox import Behaviour, Bindings, Direction, Middlebox, Parameter, Ports, port_of, quoted
from mbtest.wire import Address, Packet, Segment


class TranslateAddresses(Middlebox):
    """Gives the flows of its inside, the client's, addresses and ports of its own, as a home router does.

    Behaviours are those of RFC 4787, which RFC 5382 asks of TCP too. What comes in without a mapping, or
    past the filter, is dropped. Sequence numbers, options (an address in ADD_ADDR included), data and
    protocols other than TCP stay as they are; ICMP errors about a translated segment follow it.
    """

    mapping: Annotated[Behaviour, Parameter("for which remote ends a mapping is used again")] = (
        "endpoint-independent"
    )
    filtering: Annotated[Behaviour, Parameter("which remote ends may send in through a mapping")] = (
        "address-and-port-dependent"
    )
    ports: Annotated[Ports, Parameter("how the port of a new mapping is chosen")] = "preserve"
    first_port: Annotated[int, Parameter("lowest port outside", low=1, high=65535)] = 1024
    last_port: Annotated[int, Parameter("highest port outside", low=1, high=65535)] = 65535
    external_v4: Annotated[IPv4Address | None, Parameter("outside; none: 198.51.100.1 and up")] = None
    external_v6: Annotated[IPv6Address | None, Parameter("outside; none: 2001:db8:ffff::1 and up")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_port > self.last_port:
            ports = f"first_port={self.first_port} is above last_port={self.last_port}"
            raise UsageError(f"TranslateAddresses: {ports}")

    def start(self) -> None:
        self._external: dict[int, Address] = {
            4: self.external_v4 or IPv4Address("198.51.100.1") + self.path_index,
            6: self.external_v6 or IPv6Address("2001:db8:ffff::1") + self.path_index,
        }
        self._bindings = Bindings(
            self.mapping, self.filtering, self.ports, self.first_port, self.last_port, self.random
        )

    @property
    def addresses(self) -> frozenset[Address]:
        return frozenset(self._external.values())

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        source, destination = segment.flow
        if direction is Direction.TO_SERVER:
            address = self._external[segment.version]
            outside = self._bindings.outward(source, destination, address)
            if outside is None:
                self.note(segment, "dropped it: no port is free")
                return ()
            return (segment.replace(source=address, source_port=port_of(outside)),)
        inside = self._bindings.inward(destination)
        if inside is None or not self._bindings.admits(destination, source):
            self.note(segment, "dropped it: no mapping" if inside is None else "dropped it: filtered")
            return ()
        return (segment.replace(destination=ip_address(inside[:-2]), destination_port=port_of(inside)),)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Translate back what is sent to a mapping, whatever the aim."""
        is_back = direction is Direction.TO_CLIENT and segment.destination in self.addresses
        return self.process(segment, direction) if is_back else (segment,)

    def process_other(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Translate ICMP errors about segments of a mapping; drop what else is sent to the outside."""
        quote = quoted(packet)
        if quote is not None and direction is Direction.TO_SERVER:
            if outside := self._bindings.bound(quote.destination, quote.source):
                return (quote.rewritten(destination=outside, reporter=ip_address(outside[:-2])),)
        elif quote is not None and (inside := self._bindings.inward(quote.source)):
            return (quote.rewritten(source=inside, recipient=ip_address(inside[:-2])),)
        return () if packet.destination in self.addresses else (packet,)
