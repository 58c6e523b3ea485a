"""A box that ends connections and opens its own."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.proxy import Proxy
from mbtest.wire import Segment


class TerminateConnections(Middlebox):
    """Ends each TCP connection and opens its own to the other host, as an operator's transparent proxy does.

    Either host sees the address and the port of the other, and a regular TCP that knows no MPTCP; data and
    the ends of both streams are carried over, resets as well. What belongs to no flow whose SYN the aim
    hit passes, and so do other protocols.
    """

    def start(self) -> None:
        self._proxy = Proxy(self)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return self._take(segment, direction, opens=True)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Take it where it belongs to a flow that ends here."""
        return self._take(segment, direction, opens=False)

    def _take(self, segment: Segment, direction: Direction, opens: bool) -> Sequence[Segment]:
        if not self._proxy.take(segment, direction, opens):
            return (segment,)
        self.note(segment, "took it in")
        return ()
