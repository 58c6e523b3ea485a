"""The ladder diagram of a run, as data: its packets in order, with the uneventful stretches folded away.

Everything that a reader sees is worked out here; the page only draws it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import msgspec

from mbtest.network.capture import CapturedFrame, CaptureError, read_capture
from mbtest.wire import ACK, FIN, RST, SYN, Segment, WireError, decode
from reports.packets import TO_CLIENT, TO_SERVER, Numbers, Subflow, frames_of, passages_of
from reports.rows import Row, Rows
from reports.steps import Saying, Step, steps_of

REPEATS = 3
"""Deeds of one kind that are shown before further ones count as uneventful."""
FIRST_DATA = 2
"""Data segments of each direction of each subflow that are shown in any case."""
NEIGHBOURS = 1
"""Uneventful rows shown on both sides of an eventful one."""
SHORTEST_ELISION = 4
MOST_TELLING = 40
"""Frames in the middle of a long capture that are looked at since a box says something of them; and as many
that open a subflow, or end one.
"""
FATES = {
    "changed": "changed by boxes",
    "sent": "sent by boxes",
    "held": "held by boxes",
    "lost": "did not come out",
}


class Extent(NamedTuple):
    """How much of a capture is told."""

    first: int
    last: int
    around: int
    """Frames that are looked at: the first, the last, and those on each side of evidence."""
    shown: int
    """Rows shown at first; the others can be unfolded, as far as they are kept."""
    kept: int
    """Rows carried in the page at all; beyond, the capture has them."""


IN_FULL = Extent(first=1500, last=700, around=50, shown=120, kept=250)
"""Of a run that needs a look."""
IN_BRIEF = Extent(first=160, last=60, around=6, shown=60, kept=100)
"""Of one that does not."""


class Elision(msgspec.Struct, omit_defaults=True):
    """Rows that are folded away. words: what they are; rows: they themselves, or left_out of them."""

    words: str
    rows: list[Row] = []
    left_out: int = 0


class SubflowLine(msgspec.Struct, omit_defaults=True):
    """A subflow in the ladder's legend."""

    number: int
    path: str
    ends: str
    opening: str
    outside: str = ""
    connection: int = 1


class Ladder(msgspec.Struct, omit_defaults=True):
    """The packets of a run. problem: why there are none, or not all."""

    items: list[Row | Elision] = []
    paths: list[str] = []
    ends: list[str] = []
    subflows: list[SubflowLine] = []
    frames: int = 0
    problem: str = ""


def ladder_of(capture: Path, evidence: Collection[int] = (), extent: Extent = IN_FULL) -> Ladder:
    """Return the ladder of a capture. evidence: frames that findings point to, which are always shown."""
    captured: list[CapturedFrame] = []
    problem = ""
    if not capture.exists():
        problem = "The capture of this run is not there."
    else:
        try:
            captured = read_capture(capture)
        except CaptureError as error:
            problem = f"The capture of this run cannot be read: {error.reason}."
    looked_at = _worth_a_look(captured, evidence, extent)
    frames = frames_of(looked_at)
    marked = {frame.number for frame in frames if frame.failures}.union(evidence)
    passages = passages_of(frames)
    numbers = Numbers(passages)
    steps = steps_of(passages, numbers)
    rows = Rows(numbers)
    if len(looked_at) < len(captured):
        steps = _with_gaps(steps, looked_at)
    return Ladder(
        items=_elide(steps, rows, marked, extent),
        paths=list(dict.fromkeys(frame.path for frame in looked_at)),
        ends=rows.ends,
        subflows=[_legend(subflow) for subflow in numbers.subflows],
        frames=len(captured),
        problem=problem,
    )


def _worth_a_look(
    captured: Sequence[CapturedFrame], evidence: Collection[int], extent: Extent
) -> Sequence[CapturedFrame]:
    """Return all frames; of a long capture those that tell something, and what came of them.

    A kernel and a box that answer each other without end fill a capture with the same packet.
    """
    end = len(captured) + 1
    if len(captured) <= extent.first + extent.last:
        return captured
    wanted = set(range(1, extent.first + 1)) | set(range(end - extent.last, end))
    for number in evidence:
        wanted.update(range(number - extent.around, number + extent.around + 1))
    deeds = controls = 0
    for frame in captured[extent.first : -extent.last]:
        if frame.comments and deeds < MOST_TELLING:
            deeds += 1
            wanted.add(frame.origin or frame.number)
        elif not frame.outbound and controls < MOST_TELLING and _is_control(frame):
            controls += 1
            wanted.add(frame.number)
    return [frame for frame in captured if frame.number in wanted or frame.origin in wanted]


def _is_control(frame: CapturedFrame) -> bool:
    """Whether a frame opens a subflow, ends a stream, or resets."""
    try:
        packet = decode(frame.raw)
    except WireError:
        return False
    return isinstance(packet, Segment) and bool(packet.flags & (SYN | FIN | RST))


def _with_gaps(steps: Sequence[Step], looked_at: Sequence[CapturedFrame]) -> list[Step]:
    """Return the steps with one more wherever a stretch of frames was not looked at."""
    seen = {frame.number for frame in looked_at}
    filled: list[Step] = []
    at = 1
    for step in steps:
        skipped = sum(number not in seen for number in range(at, step.first.number))
        if skipped:
            filled.append(Step("skipped", step.first, None, [], [], [], skipped=skipped))
        filled.append(step)
        at = max(at, step.first.number)
    return filled


def _legend(subflow: Subflow) -> SubflowLine:
    return SubflowLine(
        subflow.number,
        subflow.path,
        f"{subflow.client} → {subflow.server}",
        subflow.opening,
        subflow.outside,
        subflow.connection,
    )


def _elide(steps: Sequence[Step], rows: Rows, marked: Set[int], extent: Extent) -> list[Row | Elision]:
    """Return the rows of the steps, with the runs of uneventful ones folded away.

    marked: frames that findings point to, or that an expectation failed on.
    """
    shown = _shown(steps, marked, extent.shown)
    items: list[Row | Elision] = []
    kept = len(shown)
    index = 0
    while index < len(steps):
        end = index
        while end < len(steps) and end not in shown:
            end += 1
        hidden = steps[index:end]
        if len(hidden) < SHORTEST_ELISION:
            items += map(rows.row, hidden)
        else:
            affordable = hidden if kept + len(hidden) <= extent.kept else []
            kept += len(affordable)
            folded = Elision(_summary(hidden), [rows.row(step) for step in affordable])
            folded.left_out = len(hidden) - len(affordable)
            items.append(folded)
        if end < len(steps):
            step = steps[end]
            skipped = f"{step.skipped} frames"
            items.append(Elision(skipped, left_out=step.skipped) if step.skipped else rows.row(step))
        index = end + 1
    return items


def _shown(steps: Sequence[Step], marked: Set[int], most: int) -> set[int]:
    """Return which steps are shown at first, by index: the eventful ones and their neighbours."""
    eventful = _eventful(steps, marked)
    shown: set[int] = set()
    for index in eventful:
        shown.update(range(max(0, index - NEIGHBOURS), min(len(steps), index + NEIGHBOURS + 1)))
    if len(shown) <= most:
        return shown
    in_order = sorted(eventful)
    first, last = in_order[: most * 3 // 4], in_order[-most // 4 :]
    must = (index for index in in_order if steps[index].skipped or _is_marked(steps[index], marked))
    return {*first, *last, *must}


def _eventful(steps: Sequence[Step], marked: Set[int]) -> set[int]:
    """Return which steps to show for themselves, by index.

    A deed that is done again and again is news the first few times, and the last.
    """
    eventful = {0, len(steps) - 1} if steps else set()
    times: Counter[str] = Counter()
    last: dict[str, int] = {}
    data: Counter[tuple[int, str]] = Counter()
    said: set[tuple[int, str, Saying]] = set()
    for index, step in enumerate(steps):
        flow = step.first.subflow, step.first.direction
        if sayings := step.sayings:
            saying = {(*flow, words) for words in sayings}
            if not saying <= said:
                eventful.add(index)
            said |= saying
        if step.skipped or (marked and _is_marked(step, marked)):
            eventful.add(index)
        if step.fate != "through" or step.deeds or step.remarks:
            kind = f"{step.fate} {flow} {re.sub('[0-9a-f]*[0-9]+', '#', ' '.join(step.deeds + step.remarks))}"
            times[kind] += 1
            last[kind] = index
            if times[kind] <= REPEATS:
                eventful.add(index)
        elif (segment := step.first.segment) is not None and segment.payload_length:
            data[flow] += 1
            if data[flow] <= FIRST_DATA:
                eventful.add(index)
    return eventful | set(last.values())


def _is_marked(step: Step, marked: Set[int]) -> bool:
    return any(frame.number in marked for frame in step.frames)


def _summary(steps: Sequence[Step]) -> str:
    """Return in words what steps hold."""
    segments, octets, acks = Counter[str](), Counter[str](), 0
    fates: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    for step in steps:
        remarks.update(step.remarks)
        segment = step.first.segment
        if segment is not None and segment.payload_length:
            segments[step.first.direction] += 1
            octets[step.first.direction] += segment.payload_length
        elif segment is not None and segment.flags == ACK:
            acks += 1
        if step.fate != "through":
            fates[step.fate] += 1
    parts = [
        f"{_count(segments[way], 'data segment')} to the {way.removeprefix('to_')}, {_size(octets[way])}"
        for way in (TO_SERVER, TO_CLIENT)
        if segments[way]
    ]
    parts += [_count(acks, "pure ACK")] if acks else []
    others = len(steps) - sum(segments.values()) - acks
    parts += [_count(others, "other packet")] if others else []
    parts += [_count(count, remark) for remark, count in remarks.items()]
    parts += [f"{count} {FATES.get(fate, fate)}" for fate, count in fates.items()]
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _size(octets: int) -> str:
    for unit, scale in (("MB", 1_000_000), ("kB", 1_000)):
        if octets >= scale:
            return f"{octets / scale:.3g} {unit}" if octets < 100 * scale else f"{octets // scale} {unit}"
    return f"{octets} B"
