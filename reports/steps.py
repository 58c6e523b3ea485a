"""What happened, packet by packet: how each came through the boxes, and what is to be noticed about it.

Every packet of a capture passes here, and only few are shown: a step holds no more than it takes to choose.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence

from mbtest.wire import FIN, RST, SYN, Dss, MptcpOption, Segment
from reports.packets import Frame, Numbers, Passage

HELD = 20_000
"""Microseconds beyond the path's usual delay from which a packet that comes out counts as held."""


Saying = Hashable


@dataclasses.dataclass(eq=False, slots=True)
class Step:
    """One row of the ladder.

    fate: `through`, `changed`, `split`, `withheld`, `dropped`, `lost` (no box says why), `held` (comes
    out later, in a step of its own), `sent` (begins at the boxes), `skipped` (frames not looked at).
    """

    fate: str
    first: Frame
    entry: Frame | None
    exits: list[Frame]
    deeds: list[str]
    """What boxes did, in words."""
    remarks: list[str]
    """What is to be noticed about the packet itself: `retransmission`, `reinjection`."""
    origins: tuple[int, ...] = ()
    skipped: int = 0

    @property
    def frames(self) -> list[Frame]:
        """All sights of it, the first first."""
        return ([self.entry] if self.entry is not None else []) + self.exits

    @property
    def sayings(self) -> list[Saying]:
        """What it is beyond data or a pure ACK: SYN, FIN, RST, no TCP, an option that says more."""
        segment = self.first.segment
        if segment is None:
            return ["no TCP"]
        flags = segment.flags & (SYN | FIN | RST)
        sayings: list[Saying] = [(segment.seq, flags)] if flags else []
        for option in segment.options:
            if isinstance(option, Dss):
                if option.data_fin or option.infinite:
                    # Every segment of one mapping carries the same.
                    sayings.append((option.dsn, option.length, option.data_fin))
            elif isinstance(option, MptcpOption):
                sayings.append(option)
        return sayings


def steps_of(passages: Sequence[Passage], numbers: Numbers) -> list[Step]:
    """Return the steps of a run in the order of their frames."""
    delays, repetitions = _usual_delays(passages), _Repetitions(numbers)
    steps = [step for passage in passages for step in _steps(passage, delays, repetitions)]
    steps.sort(key=lambda step: step.first.number)
    _follow_held(steps, numbers)
    return steps


def _usual_delays(passages: Sequence[Passage]) -> dict[tuple[str, str], int]:
    """Return the shortest time through each path, each way, in microseconds."""
    delays: dict[tuple[str, str], int] = {}
    for passage in passages:
        if passage.entry is not None and passage.exits:
            key = passage.entry.path, passage.entry.direction
            delay = passage.exits[0].time - passage.entry.time
            delays[key] = min(delay, delays.get(key, delay))
    return delays


def _steps(
    passage: Passage, delays: dict[tuple[str, str], int], repetitions: _Repetitions
) -> tuple[Step, ...]:
    """Return the step of a passage, or two where what entered was held for a while."""
    entry, exits = passage.entry, passage.exits
    deeds: list[str] = []
    for frame in passage.frames:
        if frame.words:
            deeds += [words for words in frame.words if words not in deeds]
    if entry is None:
        return (Step("sent", exits[0], None, exits, deeds, []),)
    remarks = repetitions.remarks(entry)
    if not exits:
        return (Step(_fate_of_none(deeds), entry, entry, [], deeds, remarks),)
    waited = exits[0].time - entry.time - delays[entry.path, entry.direction]
    if waited > HELD:
        out = [words for words in deeds if words not in entry.words]
        return (
            Step("held", entry, entry, [], list(entry.words), remarks),
            Step(
                "sent", exits[0], None, exits, out or [f"held for {waited // 1000} ms"], [], (entry.number,)
            ),
        )
    if len(exits) > 1:
        return (Step("split", entry, entry, exits, deeds, remarks),)
    same = entry.packet is not None and (exits[0].packet is entry.packet or exits[0].packet == entry.packet)
    return (Step("through" if same else "changed", entry, entry, exits, deeds, remarks),)


def _fate_of_none(deeds: Sequence[str]) -> str:
    """Return what happened to a packet of which nothing came out."""
    words = " ".join(deeds)
    if "drop" in words or "lost" in words:
        return "dropped"
    if "held" in words or "kept" in words:
        return "held"
    return "withheld" if deeds else "lost"


def _follow_held(steps: Sequence[Step], numbers: Numbers) -> None:
    """Say of segments that boxes held where their data went on, merged with other segments."""
    waiting: list[tuple[Step, Frame, int, int]] = []
    for step in steps:
        for out in step.exits if waiting else ():
            if (segment := out.segment) is None:
                continue
            start, end = _range(out, segment, numbers)
            for held in waiting[:]:
                same = (held[1].subflow, held[1].direction) == (out.subflow, out.direction)
                if same and start <= held[2] and held[3] <= end and out.number > held[1].number:
                    held[0].deeds.append(f"goes on in frame {out.number}")
                    waiting.remove(held)
        if step.fate == "held" and (segment := step.first.segment) is not None and segment.payload_length:
            waiting.append((step, step.first, *_range(step.first, segment, numbers)))


def _range(frame: Frame, segment: Segment, numbers: Numbers) -> tuple[int, int]:
    """Return where the data of a segment begins and ends, relative."""
    seq = numbers.seq(frame, segment)
    return seq, seq + segment.payload_length


class Spans:
    """A set of numbers, kept as spans that do not touch."""

    def __init__(self) -> None:
        """Begin with the empty set."""
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> bool:
        """Add the numbers from `start` to before `end`; return whether all of them were there."""
        # The spans from `low` to before `high` touch the new one.
        low, high = bisect_left(self._ends, start), bisect_right(self._starts, end)
        known = low < high and self._starts[low] <= start and end <= self._ends[low]
        if not known:
            if low < high:
                start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
            self._starts[low:high], self._ends[low:high] = [start], [end]
        return known


class _Repetitions:
    """Notices what was sent before. Must be shown every segment once, in the order of sending."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._ends: dict[tuple[int, str], int] = {}
        self._data: dict[tuple[int, str], Spans] = {}

    def remarks(self, frame: Frame) -> list[str]:
        """Return what is to be said of a segment: that all of it, or all of its data, was sent before."""
        segment = frame.segment
        if segment is None or not segment.sequence_length:
            return []
        flow = frame.subflow, frame.direction
        seq = self._numbers.seq(frame, segment)
        end, sent = seq + segment.sequence_length, self._ends.get(flow, 0)
        self._ends[flow] = max(end, sent)
        found = ["retransmission"] if end <= sent else []
        option = segment.option(Dss) if segment.payload_length else None
        if option is None or option.dsn is None or option.infinite:
            return found
        # A mapping may span several segments; the segment's own data is somewhere within it.
        dsn = self._numbers.data(frame, frame.direction, option.dsn, option.dsn_64)
        if dsn is not None:
            start = dsn + seq - option.subflow_sequence
            spans = self._data.setdefault((self._numbers.connection(frame), frame.direction), Spans())
            known = spans.add(start, start + segment.payload_length)
            if known and not found:
                found.append("reinjection")
        return found
