"""A server within a box: it answers whatever it is asked with the same octets, and ends.

Like `proxy`, which it stands on, it is not imported by `mbtest.middlebox`.
"""

from __future__ import annotations

from mbtest.middlebox.contract import Middlebox
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.proxy import StandIn
from mbtest.wire import Segment

_READ = 65_536


class PageServer:
    """A regular TCP in the place of one server, for one flow."""

    def __init__(self, box: Middlebox, syn: Segment, way: Direction, page: bytes) -> None:
        """Stand in for whom a SYN asks; the SYN is then to be given to `take`. way: of its answers."""
        self._box, self._page = box, page
        self._server = StandIn(box, syn.destination, way, self._serve)
        self._server.listen(syn.destination_port)

    def take(self, segment: Segment) -> None:
        """Take a segment of the client."""
        self._server.take(segment)
        self._serve()

    def _serve(self) -> None:
        """Answer whatever is asked, and read on to the end."""
        connection, now = self._server.connection, self._box.now
        while connection is not None and (request := connection.receive(_READ, now)) is not None:
            if request:
                connection.send(self._page, now)
                connection.shutdown(now)
            else:
                connection.close(now)
                break
        self._server.flush()
