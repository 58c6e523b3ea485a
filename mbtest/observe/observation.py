"""What is to be seen of one run: every packet is taken in once, and three questions can be asked of it.

What happened (`trace`), what of that breaks a rule (`book`), and which segments a host sent or received
(`hosts`). Each host is looked at from its own side of the boxes: what it sent before any box touched it,
and what it received after all of them did. Nothing is assumed to be the same on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.flows import HostView
from mbtest.observe.rules import Rulebook
from mbtest.observe.state import Connection, Mode, Subflow
from mbtest.observe.trace import CLIENT, SERVER, Trace
from mbtest.wire import Packet, Segment, WireError, decode


class Observation:
    """What both hosts saw of one run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.book = Rulebook()
        self.trace = Trace(self.book, follows_octets=False)
        self.hosts = {CLIENT: HostView(CLIENT), SERVER: HostView(SERVER)}
        self.undecodable = 0
        self._decoded: dict[int, Packet] = {}

    def add(self, frame: int, time: int, path: str, side: str, sender: str, raw: bytes) -> None:
        """Take in a packet captured at one host's side of the boxes.

        side, sender: CLIENT or SERVER; a packet is sent where both agree and received where they differ.
        """
        # What boxes left as it was is the same object at both ends. It lives as long as the packet that was
        # made of it, so that its id stands for it alone.
        packet = self._decoded.get(id(raw))
        if packet is None:
            try:
                packet = self._decoded[id(raw)] = decode(raw)
            except WireError:
                self.undecodable += 1
                return
        packet = self.trace.whole(packet, side, sender)
        if isinstance(packet, Segment):
            self.hosts[side].add(frame, time, path, packet, side == sender)
        self.trace.take(frame, time, path, side, sender, packet)

    def finish(self) -> None:
        """No more packets come: judge what was never done."""
        self.trace.finish()

    @property
    def client(self) -> HostView:
        """The client's segments."""
        return self.hosts[CLIENT]

    @property
    def server(self) -> HostView:
        """The server's segments."""
        return self.hosts[SERVER]

    def connection(self, role: str) -> Connection | None:
        """Return the connection that the run is about as a host knows it; None where it saw none."""
        host = self.trace.hosts.get(role)
        if host is None:
            return None
        initial = (one for one in host.connections if one.subflows[0].kind == "initial")
        return next(initial, None)

    def joins(self, role: str) -> list[Subflow]:
        """Return the subflows that asked to join, as a host saw them."""
        return [subflow for subflow in self._subflows(role) if subflow.kind == "join"]

    def spoke_to_the_end(self, role: str) -> bool:
        """Whether a host had MPTCP, did not fall back, and ended its stream, if at all, with a DATA_FIN.

        RFC 8684 §3.3.3, §3.7. MP_CAPABLE may come with the first data instead of the third ACK (§3.1); a
        server that sees a DSS knows as well.
        """
        connection = self.connection(role)
        if connection is None or connection.mode is not Mode.MPTCP or connection.fallback is not None:
            return False
        if not connection.opened_here and connection.peer_key is None and not connection.seen_dss:
            return False
        ended = any(subflow.own.fin is not None for subflow in connection.subflows)
        return bool(connection.own.fin_frame) or not ended

    def settled_joins(self) -> int:
        """Return how many joins are established or reset in the client's view."""
        return sum(
            subflow.established or bool(subflow.own.rst or subflow.peer.rst) for subflow in self.joins(CLIENT)
        )

    def closed(self) -> bool:
        """Whether every flow of both hosts is closed: a RST, or a FIN each way and both acknowledged."""
        flows = [flow for role in self.hosts for flow in self._subflows(role)]
        return bool(flows) and all(_is_over(flow) for flow in flows)

    def _subflows(self, role: str) -> Iterator[Subflow]:
        host = self.trace.hosts.get(role)
        return iter(host.subflows.values()) if host is not None else iter(())


def _is_over(subflow: Subflow) -> bool:
    if subflow.own.rst or subflow.peer.rst:
        return True
    halves = (subflow.own, subflow.peer)
    return all(half.fin is not None and half.acked > half.fin for half in halves)
