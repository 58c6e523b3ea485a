"""A run's capture, put in order: what entered the boxes, what came of it, and whose packets they are.

A capture sees a packet twice, before and after the boxes of its path. Here the two sights are brought
together into a `Passage`, and the numbers in the headers are made relative.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from mbtest.network.capture import CapturedFrame
from mbtest.wire import Address, Dss, MpCapable, MpJoinSyn, Packet, Segment, Seq32, Seq64, WireError, decode
from mbtest.wire.keys import initial_data_sequence_number, token

TO_SERVER, TO_CLIENT = "to_server", "to_client"
LONGEST_RELATIVE = 1 << 40
"""A distance from the first number of a flow that no run covers: such a number is shown as it stands."""

_FAILED = re.compile(r" ?(expectation failed|RFC \d+ §[\d.]+ [\w.-]+|witness): ")
"""How a comment begins that says what an expectation, a rule, or a stack's own word found in a frame."""
_Flow = tuple[bytes, bytes]
_Point = str


@dataclasses.dataclass(eq=False, slots=True)
class Frame:
    """One packet at one capture point. time: microseconds since the first frame of the capture."""

    number: int
    time: int
    point: _Point
    path: str
    side: str
    direction: str
    outbound: bool
    """Whether it was seen behind the boxes."""
    packet: Packet | None
    """None where the octets are no IP packet."""
    origin: int | None = None
    problem: str = ""
    words: tuple[str, ...] = ()
    """What boxes and links did, as the capture's comments have it."""
    failures: tuple[str, ...] = ()
    """Expectations that failed on it, and rules that it breaks."""
    subflow: int = 0
    """The number of its subflow, from 1; 0 for what is no TCP segment."""
    segment: Segment | None = dataclasses.field(init=False)
    """The packet, where it is a TCP segment."""
    flow: _Flow = dataclasses.field(init=False)
    """The ends of the segment, which are asked for again and again."""

    def __post_init__(self) -> None:
        """Find out what the packet is."""
        packet = self.packet
        self.segment = packet if isinstance(packet, Segment) else None
        self.flow = packet.flow if isinstance(packet, Segment) else (b"", b"")


@dataclasses.dataclass(eq=False, slots=True)
class Passage:
    """What entered the boxes and what came of it. Nothing entered: a box sent it. Nothing came: withheld."""

    entry: Frame | None
    exits: list[Frame] = dataclasses.field(default_factory=list)

    @property
    def frames(self) -> list[Frame]:
        """All sights of it, the first first."""
        return ([self.entry] if self.entry is not None else []) + self.exits


@dataclasses.dataclass
class Subflow:
    """A TCP connection as its client's side sees it, and the MPTCP connection that it belongs to."""

    number: int
    path: str
    client: str
    server: str
    connection: int
    opening: str
    """How it asked to be opened: `MP_CAPABLE`, `MP_JOIN id 2`, or `TCP`."""
    outside: str = ""
    """The ends as the server's side sees them, where boxes changed them."""


def frames_of(captured: Sequence[CapturedFrame]) -> list[Frame]:
    """Return the frames of a capture, decoded."""
    frames: list[Frame] = []
    entered: dict[int, Frame] = {}
    places: dict[str, tuple[str, str]] = {}
    for found in captured:
        if found.point not in places:
            places[found.point] = found.path, found.side
        # Most packets leave the boxes as they entered them; then the packet is the same object.
        came_from = entered.get(found.origin) if found.origin is not None else None
        frame = _frame(found, captured[0].time_us, places[found.point], came_from)
        frames.append(frame)
        if not found.outbound:
            entered[found.number] = frame
    return frames


def _frame(found: CapturedFrame, start: int, place: tuple[str, str], came_from: Frame | None) -> Frame:
    packet, problem = None, ""
    if came_from is not None and came_from.packet is not None and came_from.packet.raw == found.raw:
        packet = came_from.packet
    else:
        try:
            packet = decode(found.raw)
        except WireError as error:
            problem = str(error)
    words: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    if found.comments:
        words = tuple(comment for comment in found.comments if not _FAILED.match(comment))
        failures = tuple(
            comment.removeprefix("expectation failed: ")
            for comment in found.comments
            if _FAILED.match(comment)
        )
    path, side = place
    direction = TO_SERVER if found.outbound == (side == "server") else TO_CLIENT
    return Frame(
        found.number, found.time_us - start, found.point, path, side, direction, found.outbound,
        packet, found.origin, problem, words, failures,
    )  # fmt: skip


def passages_of(frames: Iterable[Frame]) -> list[Passage]:
    """Return what became of each packet, in the order of first sight."""
    passages: list[Passage] = []
    entered: dict[int, Passage] = {}
    for frame in frames:
        if not frame.outbound:
            passages.append(Passage(frame))
            entered[frame.number] = passages[-1]
        elif frame.origin is not None:
            # What came out of a frame that is not here is not here either.
            if frame.origin in entered:
                entered[frame.origin].exits.append(frame)
        else:
            passages.append(Passage(None, [frame]))
    return passages


class Numbers:
    """Relative numbers: a subflow's from its initial sequence numbers, data from the IDSN.

    Where a handshake was not captured, the first number seen stands for the one that would follow it.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        """Read subflows, initial sequence numbers and keys from a run's passages."""
        self.subflows: list[Subflow] = []
        self._initial: dict[tuple[_Point, _Flow], Seq32] = {}
        self._data: dict[tuple[int, str], Seq64] = {}
        self._of_flow: dict[tuple[_Point, _Flow], int] = {}
        self._tokens: dict[int, int] = {}
        for passage in passages:
            if passage.entry is not None:
                self._enter(passage.entry)
            for out in passage.exits:
                self._leave(out, passage.entry)

    def connection(self, frame: Frame) -> int:
        """Return the number of the MPTCP connection that a frame belongs to."""
        return self.subflows[frame.subflow - 1].connection if frame.subflow else 0

    def seq(self, frame: Frame, segment: Segment) -> int:
        """Return a segment's sequence number, relative."""
        seq = segment.seq
        return seq - self._base(frame.point, frame.flow, seq)

    def ack(self, frame: Frame, segment: Segment) -> int:
        """Return a segment's acknowledgement number, relative."""
        ack = segment.ack
        return ack - self._base(frame.point, frame.flow[::-1], ack)

    def edge(self, frame: Frame, segment: Segment, number: int) -> int:
        """Return an edge of a SACK block, relative."""
        return Seq32(number) - self._base(frame.point, frame.flow[::-1], segment.ack)

    def data(self, frame: Frame, direction: str, number: int, wide: bool) -> int | None:
        """Return a data sequence number of this direction, relative; None where it is far off.

        wide: whether all 64 bits of it are there.
        """
        key = self.connection(frame), direction
        base = self._data.get(key)
        if base is None:
            base = self._data[key] = Seq64(number) - 1
        distance = Seq64(number) - base if wide else Seq32(number) - Seq32(base)
        return distance if abs(distance) < LONGEST_RELATIVE else None

    def _base(self, point: _Point, flow: _Flow, number: Seq32) -> Seq32:
        base = self._initial.get((point, flow))
        if base is None:
            base = self._initial[point, flow] = number - 1
        return base

    def _enter(self, frame: Frame) -> None:
        segment = frame.segment
        if segment is None:
            return
        frame.subflow = self._of_flow.get((frame.point, frame.flow), 0)
        if not frame.subflow or (segment.syn and not segment.has_ack and self._is_new(frame, segment)):
            frame.subflow = self._open(frame, segment)
        self._learn(frame, segment)
        self._note_initial(frame, segment)

    def _leave(self, frame: Frame, entry: Frame | None) -> None:
        segment = frame.segment
        if segment is None:
            return
        known = self._of_flow.get((frame.point, frame.flow), 0)
        if entry is not None and entry.subflow:
            frame.subflow = entry.subflow
            if known != entry.subflow:
                self._join_flow(frame)
                self._note_outside(frame, segment, entry)
        else:
            frame.subflow = known or self._open(frame, segment)
        self._note_initial(frame, segment)

    def _is_new(self, frame: Frame, segment: Segment) -> bool:
        """Whether a SYN with the ports of an earlier one opens another connection."""
        return self._initial.get((frame.point, frame.flow)) != segment.seq

    def _note_initial(self, frame: Frame, segment: Segment) -> None:
        if segment.syn:
            self._initial[frame.point, frame.flow] = segment.seq

    def _join_flow(self, frame: Frame) -> None:
        self._of_flow[frame.point, frame.flow] = frame.subflow
        self._of_flow[frame.point, frame.flow[::-1]] = frame.subflow

    def _note_outside(self, frame: Frame, segment: Segment, entry: Frame) -> None:
        subflow = self.subflows[entry.subflow - 1]
        ends = _ends(segment, frame.direction)
        if frame.side == "server" and ends != (subflow.client, subflow.server):
            subflow.outside = " → ".join(ends)

    def _open(self, frame: Frame, segment: Segment) -> int:
        """Number the subflow that begins here."""
        connection, opening = 0, "TCP" if segment.syn else "in its course"
        if segment.syn and (join := segment.option(MpJoinSyn)) is not None:
            opening = f"MP_JOIN id {join.address_id}"
            connection = self._tokens.get(join.token) or max(
                (known.connection for known in self.subflows), default=0
            )
        elif segment.syn and segment.option(MpCapable) is not None:
            opening = "MP_CAPABLE"
        connection = connection or max((known.connection for known in self.subflows), default=0) + 1
        client, server = _ends(segment, frame.direction)
        frame.subflow = len(self.subflows) + 1
        self.subflows.append(Subflow(frame.subflow, frame.path, client, server, connection, opening))
        self._join_flow(frame)
        return frame.subflow

    def _learn(self, frame: Frame, segment: Segment) -> None:
        """Take keys, or else the first data sequence numbers, from a sender's own segment."""
        connection = self.connection(frame)
        direction = connection, frame.direction
        for option in segment.options:
            if isinstance(option, Dss):
                if option.dsn is not None and direction not in self._data:
                    self._data[direction] = Seq64(option.dsn) - 1
            elif isinstance(option, MpCapable) and option.sender_key is not None:
                self._tokens.setdefault(token(option.sender_key), connection)
                self._data.setdefault(direction, initial_data_sequence_number(option.sender_key))


def _ends(segment: Segment, direction: str) -> tuple[str, str]:
    """Return the client's end and the server's."""
    ends = end(segment.source, segment.source_port), end(segment.destination, segment.destination_port)
    return ends if direction == TO_SERVER else ends[::-1]


def end(address: Address, port: int | None) -> str:
    """Return an address, and its port where there is one, in words."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
