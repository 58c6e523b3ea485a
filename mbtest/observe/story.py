"""What happened on each connection, in words: how it began, joined, fell back, stalled and ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mbtest.observe.host import HostTrace
from mbtest.observe.rules.duties import overdue
from mbtest.observe.state import Connection, Duty
from mbtest.observe.trace import CLIENT, SERVER, Trace

STALL = 1_000_000
"""Microseconds without any acknowledgement after which data counts as stalled."""


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


def stories(trace: Trace) -> list[Story]:
    """Return what happened on each connection, in the order in which they began."""
    told: list[Story] = []
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
            told.append(_story(trace, host, connection, other, len(told) + 1))
    return told


def _story(
    trace: Trace, host: HostTrace, connection: Connection, other: Connection | None, number: int
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
    }
    for who, one in pairs:
        lines += [
            Line(note.frame, note.time - began, who.role, note.words)
            for note in who.notes
            if note.connection == one.number
        ]
        facts[who.role] = _facts(one)
        lines += _stalls(who, one, trace.now, began)
    _key_facts(facts, connection)
    lines.sort(key=lambda line: (line.time, line.frame))
    first = connection.subflows[0]
    return Story(number, f"{first.name}" + (f" on {first.path}" if first.path else ""), facts, lines)


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


def _stalls(host: HostTrace, connection: Connection, now: int, began: int) -> Iterator[Line]:
    """Give what is owed at the end, by whom, and since when."""
    for duty in Duty:
        for number, frame, time, words in overdue(host, now, duty):
            if number == connection.number:
                yield Line(frame, time - began, host.role, words)
    for subflow in connection.subflows:
        own = subflow.own
        if subflow.closed or own.top <= own.acked or now - own.waiting < STALL:
            continue
        waited = (now - own.waiting) / 1e6
        words = (
            f"octets {own.acked} to {own.top - 1} of {subflow.name} are not acknowledged for {waited:.1f} s"
        )
        yield Line(0, own.waiting - began, host.role, words)
