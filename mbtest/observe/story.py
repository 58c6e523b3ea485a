"""What happened on each connection, in words: how it began, joined, fell back, stalled and ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from mbtest.observe.host import HostTrace
from mbtest.observe.notes import Note
from mbtest.observe.owed import Owing, owed
from mbtest.observe.state import Connection
from mbtest.observe.trace import CLIENT, SERVER, Trace

STALL = 1_000_000
"""Microseconds from which on it is told how long something is owed."""


class Line(NamedTuple):
    """One thing that happened."""

    frame: int
    time: int
    """Microseconds since the first packet of the capture."""
    who: str
    words: str


class Story(NamedTuple):
    """A connection."""

    number: int
    title: str
    facts: dict[str, object]
    lines: list[Line]


class _Kept(NamedTuple):
    """What there is to tell, by host and connection: a capture can have thousands of them."""

    notes: Mapping[tuple[str, int], list[Note]]
    stalled: Mapping[tuple[str, int], list[Owing]]

    @classmethod
    def of(cls, trace: Trace) -> _Kept:
        notes: defaultdict[tuple[str, int], list[Note]] = defaultdict(list)
        stalled: defaultdict[tuple[str, int], list[Owing]] = defaultdict(list)
        for role, host in trace.hosts.items():
            for note in host.notes:
                notes[role, note.connection].append(note)
        for item in owed(trace):
            stalled[item.who, item.connection].append(item)
        return cls(notes, stalled)


def stories(trace: Trace) -> list[Story]:
    """Return what happened on each connection, in the order in which they began."""
    told: list[Story] = []
    kept = _Kept.of(trace)
    seen: set[int] = set()
    client, server = trace.hosts.get(CLIENT), trace.hosts.get(SERVER)
    for host in (client, server):
        for connection in host.connections if host is not None else ():
            if host is None or id(connection) in seen:
                continue
            other = trace.counterpart(host, connection)
            seen.add(id(connection))
            if other is not None:
                seen.add(id(other))
            told.append(_story(trace, host, connection, other, len(told) + 1, kept))
    return told


def _story(
    trace: Trace,
    host: HostTrace,
    connection: Connection,
    other: Connection | None,
    number: int,
    kept: _Kept,
) -> Story:
    began = trace.began or 0
    lines = []
    pairs = [(host, connection)]
    peer = trace.hosts.get(SERVER if host.role == CLIENT else CLIENT)
    if peer is not None and other is not None:
        pairs.append((peer, other))
    facts: dict[str, object] = {
        "mode": connection.mode.value,
        "version": connection.version,
        "checksums": connection.checksum,
        "subflows": [subflow.name for subflow in connection.subflows],
        "from_its_start": connection.subflows[0].opened_here is not None,
    }
    for who, one in pairs:
        lines += [
            Line(note.frame, note.time - began, who.role, note.words + _where(note, one))
            for note in kept.notes[who.role, one.number]
        ]
        facts[who.role] = _facts(one)
        lines += [_stall(item, began) for item in kept.stalled[who.role, one.number]]
    _key_facts(facts, connection)
    lines.sort(key=lambda line: (line.time, line.frame))
    first = connection.subflows[0]
    return Story(number, f"{first.name}" + (f" on {first.path}" if first.path else ""), facts, lines)


def _where(note: Note, connection: Connection) -> str:
    """Say on which subflow something was, where there are several and it is not the first."""
    return f", subflow {note.subflow}" if len(connection.subflows) > 1 and note.subflow > 1 else ""


def _key_facts(facts: dict[str, object], connection: Connection) -> None:
    for name, key, known in (
        ("own", connection.key, connection.token),
        ("peer", connection.peer_key, connection.peer_token),
    ):
        if key is not None and known is not None:
            facts[f"{name}_key"], facts[f"{name}_token"] = f"{key:016x}", f"{known:08x}"
    for name, stream in (("own", connection.own), ("peer", connection.peer)):
        if stream.known:
            facts[f"{name}_idsn"] = None if stream.base is None else int(stream.base)


def _facts(connection: Connection) -> dict[str, object]:
    own = connection.own
    facts: dict[str, object] = {
        "octets_sent": max(0, own.arrived.end - 1 - (own.fin is not None and own.arrived.end > own.fin)),
        "data_acked": None if own.acked is None else max(0, own.acked - 1),
        "data_fin": own.fin_frame or None,
        "reinjections": connection.reinjections,
        "checksums_checked": connection.checksums_checked,
    }
    if connection.fallback is not None:
        facts["fell_back"] = {
            "frame": connection.fallback.frame,
            "manner": connection.fallback.manner.value,
            "offset": connection.fallback.offset,
        }
    return facts


def _stall(one: Owing, began: int) -> Line:
    long = f"for {one.waited / 1e6:.1f} s" if one.waited >= STALL else "when the capture ends"
    return Line(one.frame, one.since - began, one.who, f"owes {one.words} {long}; {one.timer} would move it")
