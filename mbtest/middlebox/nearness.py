"""How near packets came to what an aim waits for: worked out when it is asked for, from kept packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mbtest.middlebox.aim import Aim
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import FlowTable, Kind, Sighting, Subflow
from mbtest.wire import Segment

_KINDS = {
    Kind.SYN: "SYN",
    Kind.SYN_ACK: "SYN/ACK",
    Kind.THIRD_ACK: "third ACK",
    Kind.FIRST_DATA: "first data",
    Kind.LATER_DATA: "later data",
    Kind.PURE_ACK: "pure ACK",
    Kind.FIN: "FIN",
    Kind.RST: "RST",
}
_UNCOUNTED = ("data", "first data", "later data")
_SUBFLOWS = {Subflow.INITIAL: "on the initial subflow", Subflow.JOINED: "on a joined subflow"}
_WAYS = {Direction.TO_SERVER: "to the server", Direction.TO_CLIENT: "to the client"}
_SECOND = 1_000_000


class _Place(NamedTuple):
    """A segment where it entered a path."""

    segment: Segment
    path: str
    number: int
    direction: Direction
    time: int
    seen: Sighting


class Nearness:
    """Counts, condition by condition of an aim, the segments that met it and all those before."""

    def __init__(self, aim: Aim) -> None:
        """Begin with nothing counted."""
        self._aim = aim
        self._flows: dict[str, FlowTable] = {}
        self._conditions = _conditions(aim)
        self.total = 0
        self.counts = [0] * len(self._conditions)

    def add(self, segment: Segment, path: str, number: int, direction: Direction, time: int) -> None:
        """Count a segment where it entered a path, in the order in which they did."""
        seen = self._flows.setdefault(path, FlowTable()).sight(segment, direction)
        place = _Place(segment, path, number, direction, time, seen)
        self.total += 1
        for at, (_, meets) in enumerate(self._conditions):
            if not meets(place):
                return
            self.counts[at] += 1

    def words(self, matches: int) -> str:
        """Return what was waited for, and how many came how near.

        matches: how many met all but the counting conditions, where the box stands: a function that is a
        condition may go by what it saw before, and is not asked again.
        """
        told = [
            f"{count or 'none'} {'was' if count < 2 else 'were'} {words}"
            for (words, _), count in zip(self._conditions, self.counts, strict=True)
        ]
        if self._aim.where is not None:
            told.append(f"{matches or 'none'} met {_name(self._aim)}")
        packets = f"of {self.total} packets" if self.total != 1 else "of one packet"
        return f"it waited for {waited_for(self._aim)}; {packets} {', '.join(told) or 'all counted'}"


def waited_for(aim: Aim) -> str:
    """Return in words the segments that an aim is at."""
    noun = _noun(aim.kinds)
    words = _one(noun) if aim.nth is None else f"the {_ordinal(aim.nth)} {noun}"
    bounds = [f"from the {_ordinal(aim.from_nth)} on"] if aim.from_nth is not None else []
    bounds += [f"before the {_ordinal(aim.until_nth)}"] if aim.until_nth is not None else []
    words += f" ({' and '.join(bounds)})" if bounds else ""
    words += " sent again" if aim.retransmissions else ""
    words += f" {_WAYS[aim.direction]}" if aim.direction is not None else ""
    words += f" {_SUBFLOWS[aim.subflow]}" if aim.subflow is not None else ""
    words += f" {_octets(aim)}" if _octets(aim) else ""
    words += f" of port {aim.port}" if aim.port is not None else ""
    words += f" on path {aim.path}" if aim.path is not None else ""
    words += f" {_times(aim)}" if _times(aim) else ""
    return words + (f" that meets {_name(aim)}" if aim.where is not None else "")


def _conditions(aim: Aim) -> list[tuple[str, Callable[[_Place], bool]]]:
    """Return the conditions of an aim that a segment can be held against, each in words."""
    found: list[tuple[str, Callable[[_Place], bool]]] = []
    if aim.path is not None or aim.direction is not None:
        words = ["on that path"] * (aim.path is not None) + ["that way"] * (aim.direction is not None)
        found.append(
            (
                " and ".join(words),
                lambda one: (
                    aim.includes_path(one.path, one.number) and aim.direction in (None, one.direction)
                ),
            )
        )
    if aim.port is not None:
        found.append((f"of port {aim.port}", lambda one: _port(one) == aim.port))
    if _times(aim):
        found.append(
            (
                "at that time",
                lambda one: (
                    (aim.from_time is None or one.time >= aim.from_time)
                    and (aim.until_time is None or one.time < aim.until_time)
                ),
            )
        )
    if aim.subflow is not None:
        found.append((_SUBFLOWS[aim.subflow], lambda one: one.seen.subflow is aim.subflow))
    if aim.kinds is not None:
        kinds, noun = aim.kinds, _noun(aim.kinds)
        found.append((_one(noun), lambda one: bool(one.seen.kinds & kinds)))
    if _octets(aim):
        found.append((_octets(aim), lambda one: _is_within(aim, one.seen)))
    if aim.retransmissions:
        found.append(("sent again", lambda one: one.seen.again))
    return found


def _port(one: _Place) -> int:
    segment = one.segment
    return segment.destination_port if one.direction is Direction.TO_SERVER else segment.source_port


def _is_within(aim: Aim, seen: Sighting) -> bool:
    """Whether a segment has data of the stretch that an aim is at."""
    low = seen.start if aim.from_byte is None else max(seen.start, aim.from_byte)
    high = seen.end if aim.until_byte is None else min(seen.end, aim.until_byte)
    return low < high


def _noun(kinds: Kind | None) -> str:
    if kinds is None:
        return "packet"
    names = [_KINDS[kind] for kind in kinds]
    if Kind.DATA in kinds:
        names = ["data", *(name for name in names if name not in _UNCOUNTED)]
    return " or ".join(names)


def _one(noun: str) -> str:
    """Return one of something, with its article; letters are spelt: an RST."""
    if noun.partition(" or ")[0] in _UNCOUNTED:
        return noun
    return f"{'an' if noun.startswith('RST') else 'a'} {noun}"


def _octets(aim: Aim) -> str:
    if aim.from_byte is None and aim.until_byte is None:
        return ""
    if aim.until_byte is None:
        return f"with octets from {aim.from_byte} on"
    return f"with octets {'' if aim.from_byte is None else f'from {aim.from_byte} '}before {aim.until_byte}"


def _times(aim: Aim) -> str:
    words = [f"from {aim.from_time / _SECOND:g} s on"] if aim.from_time is not None else []
    words += [f"before {aim.until_time / _SECOND:g} s"] if aim.until_time is not None else []
    return " and ".join(words)


def _name(aim: Aim) -> str:
    name = getattr(aim.where, "__name__", type(aim.where).__name__)
    return "a condition of the case" if name == "<lambda>" else f"the condition {name}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
