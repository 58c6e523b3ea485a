"""Flows and MPTCP subflows as each host saw them, rebuilt packet by packet.

Each host is looked at from its own side of the boxes: what it sent before any box touched it, and what
it received after all of them did. Nothing is assumed to be the same on both sides.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MpCapable,
    MpFail,
    MpJoin,
    MpJoinAck,
    MptcpOption,
    Packet,
    Segment,
    Seq32,
    WireError,
    decode,
)

CLIENT: Final = "client"
SERVER: Final = "server"

Option = TypeVar("Option", bound=MptcpOption)
End = bytes
"""Address and port, as `Segment.flow` gives them."""


class Stage(enum.IntEnum):
    """How far a flow has come when a segment is sent."""

    SYN = 0
    SYN_ACK = 1
    HANDSHAKE_ACK = 2
    """The opener's segments up to and including the third ACK."""
    AFTER = 3
    """Everything later."""


_AFTER = Stage.AFTER
"""Looked up for every segment, and an enumeration takes its time."""


class Seen(NamedTuple):
    """A segment at one host's side of the boxes."""

    frame: int
    """Its number in the capture, from 1."""
    time: int
    """Run clock, microseconds."""
    segment: Segment
    stage: Stage


class HalfView:
    """What one host sent, or what it received, on one flow.

    Most of a run is never asked about: what takes a look at every segment is found when it is asked for,
    and goes on from there when it is asked for again.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.segments: list[Seen] = []
        self.syn: Seen | None = None
        self.fin: Seen | None = None
        self.rst: Seen | None = None
        self._acked: Seq32 | None = None
        self._acked_until = 0
        self._carriers: dict[type[MptcpOption], _Carriers] = {}

    def add(self, seen: Seen, flags: int) -> None:
        """Take in the next segment. flags: its control bits."""
        self.segments.append(seen)
        if flags & SYN and (self.syn is None or self.syn.segment.seq != seen.segment.seq):
            self.syn = seen
        if flags & FIN:
            self.fin = self.fin or seen
        if flags & RST:
            self.rst = self.rst or seen

    @property
    def acked(self) -> Seq32 | None:
        """The highest acknowledgement number that was sent, by segments other than RST."""
        for seen in self.segments[self._acked_until :]:
            segment = seen.segment
            if segment.has_ack and not segment.rst and (self._acked is None or segment.ack > self._acked):
                self._acked = segment.ack
        self._acked_until = len(self.segments)
        return self._acked

    def with_option(
        self, form: type[MptcpOption], since: Stage = Stage.SYN
    ) -> Iterator[tuple[Seen, MptcpOption]]:
        """Give the segments, from a stage on, that carry an option of this form, with the option."""
        carriers = self._carriers.get(form)
        if carriers is None:
            carriers = self._carriers[form] = _Carriers(self.segments, form)
        at = 0
        while at < len(carriers.found) or carriers.look():
            seen, option = carriers.found[at]
            at += 1
            if seen.stage >= since:
                yield seen, option

    def first(self, form: type[Option], since: Stage = Stage.SYN) -> tuple[Seen, Option] | None:
        """Return the first segment with an option of this form, and the option."""
        return next(self.with_option(form, since), None)  # type: ignore[return-value]


class _Carriers:
    """The segments of a half that carry an option of one form, as far as they were looked for."""

    def __init__(self, segments: Sequence[Seen], form: type[MptcpOption]) -> None:
        self._segments = segments
        self._form = form
        self._looked_at = 0
        self.found: list[tuple[Seen, MptcpOption]] = []

    def look(self) -> bool:
        """Look for the next one, and return whether there is one."""
        for at in range(self._looked_at, len(self._segments)):
            option = self._segments[at].segment.option(self._form)
            if option is not None:
                self.found.append((self._segments[at], option))
                self._looked_at = at + 1
                return True
        self._looked_at = len(self._segments)
        return False


class FlowView:
    """One TCP connection as one host saw it."""

    def __init__(self, local: End, remote: End, path: str, opened_here: bool) -> None:
        """Begin a flow. opened_here: whether this host sent its SYN."""
        self.local = local
        self.remote = remote
        self.path = path
        self.opened_here = opened_here
        self.sent = HalfView()
        self.received = HalfView()
        self._stage = Stage.SYN

    def add(self, seen_frame: int, time: int, segment: Segment, is_sent: bool) -> None:
        """Take in the next segment."""
        flags = segment.flags
        stage = _AFTER
        if flags & SYN:
            stage = Stage.SYN_ACK if flags & ACK else Stage.SYN
            self._stage = max(self._stage, stage)
        elif self._stage is not _AFTER:
            by_opener = is_sent is self.opened_here
            if self._stage is Stage.SYN_ACK and by_opener and not segment.payload_length:
                stage = Stage.HANDSHAKE_ACK
            self._stage = _AFTER
        (self.sent if is_sent else self.received).add(Seen(seen_frame, time, segment, stage), flags)

    @property
    def opening(self) -> HalfView:
        """The direction of the SYN."""
        return self.sent if self.opened_here else self.received

    @property
    def answering(self) -> HalfView:
        """The direction of the SYN/ACK."""
        return self.received if self.opened_here else self.sent

    @property
    def offered(self) -> MptcpOption | None:
        """MP_CAPABLE or MP_JOIN of the SYN as this host saw it."""
        return _handshake_option(self.opening.syn)

    @property
    def accepted(self) -> MptcpOption | None:
        """MP_CAPABLE or MP_JOIN of the SYN/ACK as this host saw it."""
        return _handshake_option(self.answering.syn)

    @property
    def is_join(self) -> bool:
        """Whether the SYN asked to join a connection."""
        return isinstance(self.offered, MpJoin)

    @property
    def confirmed(self) -> bool:
        """Whether this host saw all of a three-way handshake of MPTCP.

        MP_CAPABLE may come with the first data instead of the third ACK (RFC 8684 §3.1); a host that
        sees DSS from the opener knows as well. For MP_JOIN the third ACK must have it (§3.2).
        """
        if self.offered is None or self.accepted is None:
            return False
        if self.is_join:
            return self.opening.first(MpJoinAck) is not None
        return any(self.opening.first(form, Stage.HANDSHAKE_ACK) for form in (MpCapable, Dss))

    @property
    def established(self) -> bool:
        """Whether a join is of use to this host: confirmed, and for its opener acknowledged (§3.2)."""
        if not self.confirmed:
            return False
        if not self.opened_here:
            return True
        return any(seen.stage is Stage.AFTER and not seen.segment.rst for seen in self.received.segments)

    @property
    def reset(self) -> Seen | None:
        """The first RST in either direction."""
        resets = [half.rst for half in (self.sent, self.received) if half.rst is not None]
        return min(resets, default=None, key=lambda seen: seen.frame)

    @property
    def closed(self) -> bool:
        """Whether nothing more is to come: reset, or a FIN each way and both acknowledged."""
        if self.reset is not None:
            return True
        for half, other in ((self.sent, self.received), (self.received, self.sent)):
            if half.fin is None or other.acked is None or other.acked < half.fin.segment.next_seq:
                return False
        return True


def _handshake_option(seen: Seen | None) -> MptcpOption | None:
    if seen is None:
        return None
    return seen.segment.option(MpCapable) or seen.segment.option(MpJoin)


def _in_order(halves: Sequence[HalfView], form: type[Option], since: Stage) -> list[tuple[Seen, Option]]:
    found = [pair for half in halves for pair in half.with_option(form, since)]
    if len(halves) > 1:
        found.sort(key=lambda pair: pair[0].frame)
    return found  # type: ignore[return-value]


class HostView:
    """All that one host saw."""

    def __init__(self, role: str) -> None:
        """Begin with no flow."""
        self.role = role
        self.flows: dict[tuple[End, End], FlowView] = {}

    def add(self, frame: int, time: int, path: str, segment: Segment, is_sent: bool) -> None:
        """Take in a segment that this host sent or received."""
        source, destination = segment.flow
        key = (source, destination) if is_sent else (destination, source)
        flow = self.flows.get(key)
        if flow is None:
            opened_here = is_sent is not (segment.syn and segment.has_ack)
            flow = self.flows[key] = FlowView(*key, path, opened_here)
        flow.add(frame, time, segment, is_sent)

    @property
    def initial(self) -> FlowView | None:
        """The flow that asked for the connection: the first that is no join."""
        return next((flow for flow in self.flows.values() if not flow.is_join), None)

    @property
    def joins(self) -> list[FlowView]:
        """The flows that asked to join."""
        return [flow for flow in self.flows.values() if flow.is_join]

    def sent(self, form: type[Option], since: Stage = Stage.SYN) -> list[tuple[Seen, Option]]:
        """Return what this host sent with an option of this form, in the order of frames."""
        return _in_order([flow.sent for flow in self.flows.values()], form, since)

    def received(self, form: type[Option], since: Stage = Stage.SYN) -> list[tuple[Seen, Option]]:
        """Return what reached this host with an option of this form, in the order of frames."""
        return _in_order([flow.received for flow in self.flows.values()], form, since)

    @property
    def negotiated(self) -> bool:
        """Whether this host has reason to believe that its peer speaks MPTCP on the initial flow."""
        flow = self.initial
        if flow is None:
            return False
        return flow.offered is not None and flow.accepted is not None if flow.opened_here else flow.confirmed

    @property
    def data_fin(self) -> Seen | None:
        """The first segment with which this host ended its direction of the connection (§3.3.3)."""
        return next((seen for seen, dss in self.sent(Dss) if dss.data_fin), None)

    @property
    def infinite_mapping(self) -> Seen | None:
        """The first infinite mapping that this host sent (§3.7)."""
        return next((seen for seen, dss in self.sent(Dss) if dss.infinite), None)

    @property
    def mp_fail(self) -> Seen | None:
        """The first MP_FAIL that this host sent (§3.7)."""
        return next((seen for seen, _ in self.sent(MpFail)), None)

    @property
    def last_unmapped_data(self) -> Seen | None:
        """The last data that this host sent on the initial flow without any MPTCP option, or None."""
        flow = self.initial
        if flow is None:
            return None
        for seen in reversed(flow.sent.segments):
            if seen.segment.payload_length and seen.segment.option(MptcpOption) is None:
                return seen
        return None


class Observation:
    """What both hosts saw of one run."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.hosts = {CLIENT: HostView(CLIENT), SERVER: HostView(SERVER)}
        self.undecodable = 0
        self.others: list[tuple[int, int, bytes]] = []
        """(frame, time, bytes) of packets that are no TCP segments."""
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
        if isinstance(packet, Segment):
            self.hosts[side].add(frame, time, path, packet, side == sender)
        else:
            self.others.append((frame, time, raw))

    @property
    def client(self) -> HostView:
        """The client's view."""
        return self.hosts[CLIENT]

    @property
    def server(self) -> HostView:
        """The server's view."""
        return self.hosts[SERVER]

    def settled_joins(self) -> int:
        """Return how many joins are established or reset in the client's view."""
        return sum(flow.established or flow.reset is not None for flow in self.client.joins)

    def closed(self) -> bool:
        """Whether every flow of both hosts is closed."""
        flows = [flow for host in self.hosts.values() for flow in host.flows.values()]
        return bool(flows) and all(flow.closed for flow in flows)
