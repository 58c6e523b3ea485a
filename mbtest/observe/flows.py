"""The segments that each host sent and received, by flow and by option: what a case asks for by name.

What they mean for the connection is the trace's business.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from mbtest.wire import (
    ACK,
    SYN,
    MpJoin,
    MptcpOption,
    Segment,
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
        self._carriers: dict[type[MptcpOption], _Carriers] = {}

    def add(self, seen: Seen, flags: int) -> None:
        """Take in the next segment. flags: its control bits."""
        self.segments.append(seen)
        if flags & SYN and (self.syn is None or self.syn.segment.seq != seen.segment.seq):
            self.syn = seen

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
    def is_join(self) -> bool:
        """Whether the SYN asked to join a connection."""
        syn = self.opening.syn
        return syn is not None and syn.segment.option(MpJoin) is not None

    @property
    def opening(self) -> HalfView:
        """The direction of the SYN."""
        return self.sent if self.opened_here else self.received

    @property
    def answering(self) -> HalfView:
        """The direction of the SYN/ACK."""
        return self.received if self.opened_here else self.sent


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

    def sent(self, form: type[Option], since: Stage = Stage.SYN) -> list[tuple[Seen, Option]]:
        """Return what this host sent with an option of this form, in the order of frames."""
        return _in_order([flow.sent for flow in self.flows.values()], form, since)

    def received(self, form: type[Option], since: Stage = Stage.SYN) -> list[tuple[Seen, Option]]:
        """Return what reached this host with an option of this form, in the order of frames."""
        return _in_order([flow.received for flow in self.flows.values()], form, since)
