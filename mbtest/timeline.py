"""What happened in a run, event by event: what hosts did and found out, and what boxes did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mbtest.interference import MOVED, Act
from mbtest.network.capture import CapturedFrame
from mbtest.observe.courses import Course, Courses, Mark
from mbtest.observe.host import HostTrace
from mbtest.observe.notes import Note
from mbtest.observe.state import Connection, Mode, Subflow
from mbtest.observe.trace import CLIENT, OTHER, SERVER, Trace
from mbtest.wire.ip import ICMP, ICMPV6, IPV4_FIXED

_KEYS = re.compile(r" (peer's )?key [0-9a-f]{16}")
_LEAST, _LITTLE, _SOME, _MUCH, _MOST = range(1, 6)
_JOINING = ("asks to join", "proves itself", "joined:", "join is established")
_CLOSING = ("DATA_FIN", "FIN")
_WEIGHTS = {
    "ADD_ADDR": _LITTLE,
    "REMOVE_ADDR": _LITTLE,
    "MP_PRIO": _SOME,
    "asks for": _MUCH,
    "accepts": _MUCH,
}
"""Of what a note begins with; others say the most of all."""
_ADDRESSES = ("source ", "destination ")


_VERBS = {
    "MP_CAPABLE was": "finds that ", "MP_": "sends ", "RST": "sends ", "infinite": "sends an ",
    "ADD_ADDR": "sends ", "REMOVE_ADDR": "sends ", "data without": "sends ", "the checksum": "finds that ",
    "regular TCP:": "goes on as ",
}  # fmt: skip
"""What a note of a thing is to be read after."""


class Event(NamedTuple):
    """One line of a story."""

    time: int
    """Microseconds, on the clock of the capture."""
    frame: int
    who: str
    """`client`, `server`, `box` or `link`."""
    words: str
    weight: int
    """What has more is left out later."""


def beginning(trace: Trace) -> int:
    """Return when a run began: with the first SYN that a host sent, on the capture's clock, microseconds."""
    opened = [host.connections[0].opened_at for host in trace.hosts.values() if host.connections]
    return min(opened, default=trace.began or 0)


def events(
    trace: Trace, courses: Courses, acts: Sequence[Act], frames: Sequence[CapturedFrame]
) -> list[Event]:
    """Return what happened, in the order of time. frames: all of the capture, the first has number 1."""
    deeds = [(_of_act(act, courses), 1 if not act.first.outbound else -1) for act in acts]
    found = list(_of_others(frames))
    numbers = _Numbers(trace)
    for host in trace.hosts.values():
        found += _of_notes(host, numbers)
        for connection in host.connections:
            found += _joins(host, connection, numbers)
            found += _unmapped(trace, host, connection, frames, numbers)
    for course in courses.of.values():
        found += _of_course(trace.hosts[course.who], course, numbers, beginning(trace))
    # A box acts after a packet was sent, and before it arrives.
    ranked = [*deeds, *((event, 0) for event in found)]
    ranked.sort(key=lambda pair: (pair[0].time, pair[0].frame, pair[1], -pair[0].weight))
    return _joined([event for event, _ in ranked])


class _Numbers:
    """Which subflow is which: as the client counts them, whatever the server does."""

    def __init__(self, trace: Trace) -> None:
        self._of: dict[tuple[str, tuple[bytes, bytes]], int] = {}
        self.several = False
        client, server = trace.hosts.get(CLIENT), trace.hosts.get(SERVER)
        nonces: dict[int, int] = {}
        for connection in client.connections if client else ():
            for number, subflow in enumerate(connection.subflows, 1):
                self._of[CLIENT, subflow.key] = number
                nonces |= dict.fromkeys(_nonces(subflow), number)
                self.several = self.several or number > 1
        for connection in server.connections if server else ():
            for number, subflow in enumerate(connection.subflows, 1):
                known = [nonces[nonce] for nonce in _nonces(subflow) if nonce in nonces]
                ends = self._of.get((CLIENT, subflow.key[::-1]), number)
                self._of[SERVER, subflow.key] = known[0] if known else ends
                self.several = self.several or number > 1

    def number(self, who: str, subflow: Subflow) -> int:
        return self._of[who, subflow.key]

    def on(self, who: str, subflow: Subflow | None) -> str:
        """Say on which subflow, where there are several."""
        return f" on subflow {self.number(who, subflow)}" if self.several and subflow is not None else ""


def _nonces(subflow: Subflow) -> list[int]:
    return [half.nonce for half in (subflow.own, subflow.peer) if half.nonce is not None]


def _of_act(act: Act, courses: Courses) -> Event:
    weight = _LITTLE if act.kind == MOVED or act.words.startswith(_ADDRESSES) else _MOST
    link = act.words.partition(" (")[0].endswith("by the link")
    who = "link" if link else "box"
    return Event(act.first.time_us, act.first.number, who, act.told(courses.places), weight)


def _of_others(frames: Sequence[CapturedFrame]) -> Iterator[Event]:
    """Give the packets that are no TCP segments, as they leave a host and as they reach one."""
    for frame in frames:
        if len(frame.raw) > IPV4_FIXED and frame.raw[9 if frame.raw[0] >> 4 == 4 else 6] in (ICMP, ICMPV6):
            verb = "receives" if frame.outbound else "sends"
            yield Event(frame.time_us, frame.number, frame.side, f"{verb} an ICMP message", _SOME)


# -- What notes say ------------------------------------------------------------------------------------------


def _of_notes(host: HostTrace, numbers: _Numbers) -> Iterator[Event]:
    """Give one event for what a host noted of one packet, and one for the ends of all that it sends."""
    ends: dict[int, list[Note]] = {}
    at: dict[int, list[Note]] = {}
    for note in host.notes:
        if note.words.startswith(_CLOSING):
            ends.setdefault(note.connection, []).append(note)
        elif not note.words.startswith(_JOINING):
            at.setdefault(note.frame, []).append(note)
    for frame, notes in at.items():
        words = [_KEYS.sub("", note.words) for note in notes]
        if "RST" in words and len(words) > 1:
            words.remove("RST")
            words[0] = words[0] if " on a RST" in words[0] else f"RST, {words[0]}"
        subflow = host.connections[notes[0].connection - 1].subflows[notes[0].subflow - 1]
        begins = words[0].startswith(("asks for", "accepts"))
        verb = next((verb for start, verb in _VERBS.items() if words[0].startswith(start)), "")
        words[0] = verb + words[0]
        text = ", ".join(words) + ("" if begins else numbers.on(host.role, subflow))
        if words[0].startswith("asks for"):
            # Where both hosts open the connection, the peer's SYN gave it its name.
            name = subflow.name if subflow.opened_here else " > ".join(subflow.name.split(" > ")[::-1])
            text = f"SYN {name}, {text.removeprefix('asks for ')}"
        weight = next((weight for start, weight in _WEIGHTS.items() if start in text), _MOST)
        yield Event(notes[0].time, frame, host.role, text, weight)
    for notes in ends.values():
        told = [f"{note.words} in frame {note.frame}" for note in notes if note.words != "FIN"]
        fins = [str(note.frame) for note in notes if note.words == "FIN"]
        if fins:
            told.append(f"FIN in frame{'s' if len(fins) > 1 else ''} {', '.join(fins[:4])}")
        text = f"ends its stream: {', '.join(told)}"
        yield Event(notes[0].time, notes[0].frame, host.role, text, _SOME)


def _joins(host: HostTrace, connection: Connection, numbers: _Numbers) -> Iterator[Event]:
    """Give one event for each join that a host opened."""
    for number, subflow in enumerate(connection.subflows, 1):
        notes = [
            note for note in host.notes if (note.connection, note.subflow) == (connection.number, number)
        ]
        steps = {
            start: note for note in reversed(notes) for start in _JOINING if note.words.startswith(start)
        }
        asks = steps.get("asks to join")
        if asks is None:
            continue
        told = [f"subflow {numbers.number(host.role, subflow)} joins: {subflow.name}"]
        done = steps.get("join is established")
        told.append(f"established in frame {done.frame}" if done else "never established")
        yield Event(asks.time, asks.frame, host.role, ", ".join(told), _MUCH)


# -- What packets say ----------------------------------------------------------------------------------------


def _unmapped(
    trace: Trace,
    host: HostTrace,
    connection: Connection,
    frames: Sequence[CapturedFrame],
    numbers: _Numbers,
) -> Iterator[Event]:
    """Give the data without a mapping that reached a host, and that its peer sent with one."""
    if connection.mode is not Mode.MPTCP:
        return
    other = trace.counterpart(host, connection)
    sent = {} if other is None else {numbers.number(OTHER[host.role], one): one for one in other.subflows}
    for subflow in connection.subflows:
        frame = subflow.peer.plain
        peer = sent.get(numbers.number(host.role, subflow))
        infinite = subflow.peer.mapped.infinite
        if frame is None or (infinite is not None and infinite.frame <= frame):
            continue
        if peer is not None and peer.own.plain is not None and peer.own.plain <= frame:
            continue
        where = numbers.on(host.role, subflow)
        yield Event(
            frames[frame - 1].time_us, frame, host.role, f"receives data without a mapping{where}", _MOST
        )


def _of_course(host: HostTrace, course: Course, numbers: _Numbers, began: int) -> Iterator[Event]:
    """Give what a host sent on a subflow, how often again, and what no longer."""
    subflow = host.subflows.get(course.key)
    where = numbers.on(host.role, subflow)
    if course.third is not None and subflow is not None and subflow.kind == "initial":
        words = f"third ACK, {f'with {course.third_words}' if course.third_words else 'without MPTCP'}"
        weight = _LITTLE if course.third_words else _SOME
        yield Event(course.third.time, course.third.frame, host.role, words, weight)
    if course.start is not None and course.finish is not None:
        words = f"sends {course.octets} octets{where} in {_segments(course.data)}"
        if course.data > 1:
            words += _until(course.finish, began)
        yield Event(course.start.time, course.start.frame, host.role, words, _SOME)
    for repeats, what, of_what, weight in (
        (course.again, "retransmits", "of the subflow", _SOME),
        (course.remapped, "sends", "of its stream again, under new SSNs", _MOST),
    ):
        if not repeats.number:
            continue
        words = f"{what}{where} octets {repeats.low} to {repeats.high - 1} {of_what}"
        if repeats.number > 1:
            words += f", in {_segments(repeats.number)}{_until(repeats.last, began)}"
        yield Event(repeats.first.time, repeats.first.frame, host.role, words, weight)
    if course.bare_since is None or subflow is None or subflow.own.rst or subflow.peer.rst:
        return
    if subflow.connection.mode is not Mode.MPTCP or subflow.own.plain == course.bare_since.frame:
        return
    fin = subflow.own.fin_frame
    if not fin or course.bare_since.frame < fin:
        words = f"sends no option of MPTCP{where} from here on, {_segments(course.bare)}"
        yield Event(course.bare_since.time, course.bare_since.frame, host.role, words, _MUCH)


def _segments(number: int) -> str:
    return "1 segment" if number == 1 else f"{number} segments"


def _until(mark: Mark, began: int) -> str:
    return f" until {(mark.time - began) / 1e6:.6f} s, frame {mark.frame}"


def _joined(found: list[Event]) -> list[Event]:
    """Return events with those of the same words, one after the other, made one."""
    events: list[Event] = []
    counts: list[int] = []
    for event in found:
        if events and (events[-1].who, events[-1].words) == (event.who, event.words):
            counts[-1] += 1
        else:
            events.append(event)
            counts.append(1)
    return [
        event._replace(words=f"{event.words}, {count} times") if count > 1 else event
        for event, count in zip(events, counts, strict=True)
    ]
