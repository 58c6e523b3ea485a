"""A capture as two hosts saw it: from both sides of the boxes, or from one point.

With two capture points each host is followed at its own side: what it sent before any box touched it, what
it received after all of them. With one, both are followed there; what reached them, and when, is known only
of the host at which that point is said to be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mbtest.observe.compare import Transit
from mbtest.observe.host import HostTrace, Judge
from mbtest.observe.state import Connection
from mbtest.wire import ACK, SYN, MpJoinSyn, Packet, Segment, WireError, decode
from mbtest.wire.fragments import Defragmenter
from mbtest.wire.ip import FRAGMENT
from mbtest.wire.keys import token

CLIENT: Final = "client"
SERVER: Final = "server"
OTHER = {CLIENT: SERVER, SERVER: CLIENT}


class Trace:
    """Takes packets in the order of capture."""

    def __init__(
        self, judge: Judge | None = None, taken_at: str | None = None, *, follows_octets: bool = True
    ) -> None:
        """Begin with nothing.

        judge: asked about each segment that a host sent. taken_at: the host at which a single capture point
        is, `client` or `server`; None for a point between them. follows_octets: whether to compare what left
        a host with what arrived, which takes a while.
        """
        self.judge = judge
        self.taken_at = taken_at
        self.hosts: dict[str, HostTrace] = {}
        self.frames = 0
        self.undecodable = 0
        self.others = 0
        """Packets that are no TCP segments."""
        self.began: int | None = None
        self.now = 0
        self.two_points = False
        self.transit: Transit | None = Transit() if follows_octets else None
        self._fragments: dict[tuple[str | None, str | None], Defragmenter] = {}
        self._roles: dict[tuple[bytes, bytes], str] = {}
        """Who sends what a flow's first end sends, where there is one capture point."""

    def add(
        self, number: int, time: int, path: str, side: str | None, sender: str | None, raw: bytes
    ) -> None:
        """Take in a packet.

        number: from 1. time: microseconds. side: the host at whose side it was captured, None for one point.
        sender: the host that sent it, None where that is not known: then who opened its flow tells.
        """
        try:
            packet = decode(raw)
        except WireError:
            self._count(time)
            self.undecodable += 1
            return
        self.take(number, time, path, side, sender, self.whole(packet, side, sender))

    def whole(self, packet: Packet, side: str | None, sender: str | None) -> Packet:
        """Return the packet that a fragment completes where it was captured, all else as it is."""
        if packet.protocol != FRAGMENT:
            return packet
        fragments = self._fragments.setdefault((side, sender), Defragmenter())
        try:
            return fragments.complete(packet) or packet
        except WireError:
            self.undecodable += 1
            return packet

    def take(
        self, number: int, time: int, path: str, side: str | None, sender: str | None, segment: Packet
    ) -> None:
        """Take in a packet that was decoded; all else as in `add`."""
        self._count(time)
        if not isinstance(segment, Segment):
            self.others += 1
            return
        if sender is None:
            sender = self.sender(segment)
        if side is not None:
            self.two_points = True
            self._host(side, exact=True).add(number, time, path, segment, side == sender)
            if self.transit is not None:
                self.transit.add(number, side == sender, sender, segment)
            return
        for role in (sender, OTHER[sender]):
            self._host(role, exact=role == self.taken_at).add(number, time, path, segment, role == sender)

    def _count(self, time: int) -> None:
        self.frames += 1
        if self.began is None:
            self.began = time
        self.now = max(self.now, time)

    def _host(self, role: str, exact: bool) -> HostTrace:
        host = self.hosts.get(role)
        if host is None:
            host = self.hosts[role] = HostTrace(role, exact, self.judge)
        return host

    def sender(self, segment: Segment) -> str:
        """Return who sent a segment, by who opened its flow: the opener of a connection is the client.

        To be asked about segments in the order of capture.
        """
        source, destination = segment.flow
        opens = segment.flags & (SYN | ACK) == SYN
        known = self._roles.get((source, destination))
        if known is not None and (not opens or segment.option(MpJoinSyn) is not None):
            return known
        role = CLIENT
        join = segment.option(MpJoinSyn) if opens else None
        if join is not None and SERVER in self.hosts:
            # Whose token is it? A join can come from either host.
            client = self.hosts.get(CLIENT)
            if client is not None and join.token in client.tokens:
                role = SERVER
        elif (not opens and segment.flags & SYN) or (
            not opens and segment.source_port < segment.destination_port
        ):
            role = SERVER
        self._roles[source, destination] = role
        self._roles[destination, source] = OTHER[role]
        return role

    def finish(self) -> None:
        """No more packets come: judge what was never done."""
        finish: Callable[[HostTrace, int], None] | None = getattr(self.judge, "finish", None)
        for host in self.hosts.values():
            if finish is not None:
                finish(host, self.now)
        if self.transit is not None:
            self.transit.finish()

    def counterpart(self, host: HostTrace, connection: Connection) -> Connection | None:
        """Return a connection as the other host knows it; None where keys do not tell."""
        other = self.hosts.get(OTHER[host.role])
        if other is None:
            return None
        for key, tokens in ((connection.key, other.peer_tokens), (connection.peer_key, other.tokens)):
            if key is not None and (found := tokens.get(token(key))) is not None:
                return found
        if connection.number <= len(other.connections):
            return other.connections[connection.number - 1]
        return None
