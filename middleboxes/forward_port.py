"""A box that forwards one port of a server to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment


class ForwardPort(Middlebox):
    """Gives what goes to one port of the server another, and back, as a router with a port forwarded does.

    Every flow to that port is forwarded; aim it at a path, not at a kind of segment. Flows to other ports,
    numbers, options and data pass as they are.
    """

    port: Annotated[int, Parameter("the port that clients see", low=1, high=65535)] = 80
    to: Annotated[int, Parameter("the port that the server sees", low=1, high=65535)] = 8080

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if direction is Direction.TO_SERVER and segment.destination_port == self.port:
            segment = segment.replace(destination_port=self.to)
        elif direction is Direction.TO_CLIENT and segment.source_port == self.to:
            segment = segment.replace(source_port=self.port)
        return (segment,)
