"""TCP that ends in a box: a regular TCP in a host's place, and two of them back to back.

They are endpoints of mbtest's own, which know regular TCP alone here. `mbtest.middlebox` does not import
this module, so that boxes which are no proxies do without the endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mbtest.endpoint import Configuration, Connection, Endpoint
from mbtest.middlebox.clock import Timer
from mbtest.middlebox.contract import Middlebox
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import FlowKey, FlowTable
from mbtest.wire import Address, MptcpOption, Segment

BUFFER = 256 * 1024
"""Octets that a proxy holds of a direction, at each side of it."""
_READ = 64 * 1024


class StandIn:
    """A regular TCP in the place of one host of a flow, with that host's address and port.

    `then` is called after a timer of its own; whoever uses it calls `flush` after everything that happened.
    """

    def __init__(self, box: Middlebox, own: Address, way: Direction, then: Callable[[], None]) -> None:
        """Stand in for `own`. way: in which its segments travel."""
        self._box = box
        self._way = way
        self._then = then
        configuration = Configuration(mptcp=False, send_buffer=BUFFER, receive_buffer=BUFFER)
        self._endpoint = Endpoint(configuration, [own], Random(box.random.getrandbits(64)))
        self._port: int | None = None
        self._connection: Connection | None = None
        self._timer: Timer | None = None
        self._timer_at = 0

    def listen(self, port: int) -> None:
        """Take the connection that comes to a port."""
        self._endpoint.listen(port)
        self._port = port

    def connect(self, address: Address, port: int, own_port: int) -> None:
        """Open a connection."""
        self._connection = self._endpoint.connect(address, port, self._box.now, source_port=own_port)

    @property
    def connection(self) -> Connection | None:
        """The connection, once it is accepted, or opened from here."""
        if self._connection is None and self._port is not None:
            self._connection = self._endpoint.accept(self._port)
        return self._connection

    @property
    def is_over(self) -> bool:
        """Whether no connection is left, not even one in TIME-WAIT."""
        return not self._endpoint.connections

    def take(self, segment: Segment) -> None:
        """Take a segment that was sent to the host; it shows no MPTCP to this TCP, which knows none."""
        self._endpoint.receive(segment.without_options(MptcpOption).raw, self._box.now)

    def flush(self) -> bool:
        """Send what is to be sent, set the timer, and return whether anything was sent."""
        segments = self._endpoint.packets_to_send(self._box.now)
        for segment in segments:
            self._box.send(segment, self._way, "sent by its own TCP")
        self._set_timer()
        return bool(segments)

    def _set_timer(self) -> None:
        when = self._endpoint.next_timer()
        if when is None or (self._timer is not None and self._timer_at <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._box.call_later(max(0, when - self._box.now), self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        self._endpoint.handle_timer(self._box.now)
        self._then()


class _Pipe:
    """Octets of one direction on their way from one connection to the other, and the end behind them."""

    def __init__(self, source: Connection, target: Connection) -> None:
        self._source = source
        self._target = target
        self._held = b""
        self.ended = False

    def pump(self, now: int) -> None:
        """Carry over as much as there is and as the target has room for."""
        while not self.ended:
            if not self._held:
                data = self._source.receive(_READ, now)
                if data is None:
                    return
                if not data:
                    self.ended = True
                    self._target.shutdown(now)
                    return
                self._held = data
            taken = self._target.send(self._held, now)
            if not taken:
                return
            self._held = self._held[taken:]


class Splice:
    """One flow that ends in the box, and the flow of the box's own that goes on in its place.

    Each side sees the address and the port of the true host at the other. The flow to the far side is
    opened once the near one is established; an end is carried over when all before it was, and a reset
    at once.
    """

    def __init__(self, box: Middlebox, syn: Segment, direction: Direction) -> None:
        """Prepare for a SYN, which is then to be given to `take`."""
        self._box = box
        self._direction = direction
        self._syn = syn
        self._near = StandIn(box, syn.destination, direction.reverse, self._work)
        self._far = StandIn(box, syn.source, direction, self._work)
        self._near.listen(syn.destination_port)
        self._pipes: tuple[_Pipe, ...] = ()
        self._is_at_work = False
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether neither side has a connection left."""
        return self._near.is_over and self._far.is_over

    def take(self, segment: Segment, direction: Direction) -> None:
        """Take a segment of either host."""
        (self._near if direction is self._direction else self._far).take(segment)
        self._work()

    def _work(self) -> None:
        """Carry over what there is, and send; again while a neighbour answers within the sending."""
        if self._is_at_work:
            return
        self._is_at_work = True
        try:
            self._carry()
            while self._near.flush() | self._far.flush():
                self._carry()
        finally:
            self._is_at_work = False

    def _carry(self) -> None:
        near, now = self._near.connection, self._box.now
        if near is None or self._is_closed:
            return
        if not self._pipes:
            self._far.connect(self._syn.destination, self._syn.destination_port, self._syn.source_port)
        far = self._far.connection
        if far is None:
            return
        self._pipes = self._pipes or (_Pipe(near, far), _Pipe(far, near))
        for pipe in self._pipes:
            pipe.pump(now)
        if near.error or far.error:
            near.abort(now)
            far.abort(now)
            self._is_closed = True
        elif all(pipe.ended for pipe in self._pipes):
            near.close(now)
            far.close(now)
            self._is_closed = True


class Proxy:
    """Ends the flows whose SYNs it is shown, each in a `Splice`."""

    def __init__(self, box: Middlebox) -> None:
        """Begin with no flow. box: whose clock, timers and packets they are."""
        self._box = box
        self._flows = FlowTable()
        self._splices: dict[FlowKey, Splice] = {}

    def take(self, segment: Segment, direction: Direction, opens: bool) -> bool:
        """Take a segment, and return whether it was one of a flow that ends here.

        opens: whether a SYN is to begin such a flow.
        """
        flow = self._flows.key(segment, direction)
        splice = self._splices.get(flow)
        is_syn = segment.syn and not segment.has_ack
        if is_syn and opens and (splice is None or splice.is_over):
            splice = self._splices[flow] = Splice(self._box, segment, direction)
        if splice is None:
            return False
        splice.take(segment, direction)
        return True
