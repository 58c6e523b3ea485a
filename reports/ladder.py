"""The ladder diagram of a run, as data: its packets in order, with the uneventful stretches folded away.

Everything that a reader sees is worked out here; the page only draws it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
from scapy.error import Scapy_Exception

from mbtest.network.capture import read_capture
from reports.packets import TO_CLIENT, TO_SERVER, Frame, Subflow, frames_of, passages_of
from reports.rows import Row, View, rows_of

REPEATS = 3
"""Deeds of one kind that are shown before further ones count as uneventful."""
FIRST_DATA = 2
"""Data segments of each direction of each subflow that are shown in any case."""
NEIGHBOURS = 1
"""Uneventful rows shown on both sides of an eventful one."""
SHORTEST_ELISION = 4
MOST_SHOWN = 160
"""Rows shown at first; the others can be unfolded."""
MOST_KEPT = 700
"""Rows carried in the page at all; beyond, the capture has them."""
FATES = {
    "changed": "changed by boxes",
    "sent": "sent by boxes",
    "held": "held by boxes",
    "lost": "did not come out",
}


class Elision(msgspec.Struct, omit_defaults=True):
    """Rows that are folded away. words: what they are; rows: they themselves, as far as they are kept."""

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
    subflows: list[SubflowLine] = []
    frames: int = 0
    problem: str = ""


def ladder_of(capture: Path, evidence: Collection[int] = ()) -> Ladder:
    """Return the ladder of a capture. evidence: frames that findings point to, which are always shown."""
    frames: list[Frame] = []
    problem = ""
    try:
        frames = frames_of(read_capture(capture))
    except FileNotFoundError:
        problem = "The capture of this run is not there."
    except (OSError, ValueError, AttributeError, Scapy_Exception) as error:
        # AttributeError: of a pcapng that is not ours, scapy gives no interface names.
        problem = f"The capture of this run cannot be read: {error}."
    rows, numbers = rows_of(passages_of(frames))
    return Ladder(
        items=_elide(rows, frozenset(evidence)),
        paths=list(dict.fromkeys(frame.path for frame in frames)),
        subflows=[_legend(subflow) for subflow in numbers.subflows],
        frames=len(frames),
        problem=problem,
    )


def _legend(subflow: Subflow) -> SubflowLine:
    return SubflowLine(
        subflow.number,
        subflow.path,
        f"{subflow.client} → {subflow.server}",
        subflow.opening,
        subflow.outside,
        subflow.connection,
    )


def _elide(rows: Sequence[Row], evidence: Collection[int]) -> list[Row | Elision]:
    """Return the rows with the runs of uneventful ones folded away."""
    eventful = _eventful(rows, evidence)
    shown: set[int] = set()
    for index in sorted(eventful):
        near = range(max(0, index - NEIGHBOURS), min(len(rows), index + NEIGHBOURS + 1))
        shown.update(near)
    if len(shown) > MOST_SHOWN:
        shown = set(sorted(eventful)[: MOST_SHOWN * 3 // 4]) | set(sorted(eventful)[-MOST_SHOWN // 4 :])
        shown |= {index for index in eventful if _is_evidence(rows[index], evidence)}
    items: list[Row | Elision] = []
    kept = len(shown)
    index = 0
    while index < len(rows):
        end = index
        while end < len(rows) and end not in shown:
            end += 1
        hidden = list(rows[index:end])
        if len(hidden) < SHORTEST_ELISION:
            items += hidden
        else:
            affordable = hidden if kept + len(hidden) <= MOST_KEPT else []
            kept += len(affordable)
            items.append(Elision(_summary(hidden), affordable, len(hidden) - len(affordable)))
        if end < len(rows):
            items.append(rows[end])
        index = end + 1
    return items


def _eventful(rows: Sequence[Row], evidence: Collection[int]) -> set[int]:
    """Return which rows to show for themselves, by index.

    A deed that is done again and again is news the first few times, and the last.
    """
    eventful = set()
    deeds: Counter[str] = Counter()
    last: dict[str, int] = {}
    data: Counter[tuple[int, str]] = Counter()
    for index, row in enumerate(rows):
        view = row.views[0]
        kind = row.subflow, row.direction
        if row.fate == "through" and not row.deeds and not row.remarks:
            data[kind] += bool(view.length)
            first_data = bool(view.length) and data[kind] <= FIRST_DATA
            if first_data or _is_control(view):
                eventful.add(index)
        else:
            words = re.sub("[0-9a-f]*[0-9]+", "#", " ".join(row.deeds + row.remarks))
            signature = f"{row.fate} {kind} {_is_control(view)} {words}"
            deeds[signature] += 1
            last[signature] = index
            if deeds[signature] <= REPEATS or _is_control(view):
                eventful.add(index)
        if row.failures or _is_evidence(row, evidence):
            eventful.add(index)
    if rows:
        eventful |= {0, len(rows) - 1}
    return eventful | set(last.values())


def _is_control(view: View) -> bool:
    """Whether a packet is more than data or a pure ACK: SYN, FIN, RST, or an option that says something."""
    if not {"SYN", "FIN", "RST"}.isdisjoint(view.flags.split()) or view.seq is None:
        return True
    return any(
        label.mptcp and (label.name != "DSS" or "DATA_FIN" in label.words or "infinite" in label.words)
        for label in view.options
    )


def _is_evidence(row: Row, evidence: Collection[int]) -> bool:
    return any(view.frame in evidence for view in row.views)


def _summary(rows: Sequence[Row]) -> str:
    """Return in words what rows hold."""
    segments, octets, acks = Counter[str](), Counter[str](), 0
    fates: Counter[str] = Counter()
    for row in rows:
        view = row.views[0]
        if view.length:
            segments[row.direction] += 1
            octets[row.direction] += view.length
        elif view.flags == "ACK":
            acks += 1
        if row.fate != "through":
            fates[row.fate] += 1
    parts = [
        f"{_count(segments[way], 'data segment')} to the {way.removeprefix('to_')}, {_size(octets[way])}"
        for way in (TO_SERVER, TO_CLIENT)
        if segments[way]
    ]
    parts += [_count(acks, "pure ACK")] if acks else []
    others = len(rows) - sum(segments.values()) - acks
    parts += [_count(others, "other packet")] if others else []
    parts += [f"{count} {FATES.get(fate, fate)}" for fate, count in fates.items()]
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _size(octets: int) -> str:
    for unit, scale in (("MB", 1_000_000), ("kB", 1_000)):
        if octets >= scale:
            return f"{octets / scale:.3g} {unit}" if octets < 100 * scale else f"{octets // scale} {unit}"
    return f"{octets} B"
