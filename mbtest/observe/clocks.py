"""Two captures of the same connections, one at each host: how far apart their clocks are.

A packet arrives after it was sent. What went one way says by how much the other clock is behind at least, and
what went the other way by how much at most; between the two lies the answer, as close as the round-trip time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mbtest.wire import Segment

LOOKED_AT = 4_000
"""Segments of each file that are looked at: clocks that drift are taken as they were at the start."""

Key = tuple[int, int, int, int, bytes]


class Shift(NamedTuple):
    """What has to be added to the server's times, in microseconds, to have them on the client's clock."""

    shift: int
    least: int | None
    """No less, by what the client sent; None where nothing tells."""
    most: int | None
    """No more, by what the server sent."""
    matched: int
    """How many packets were found in both files."""


class Sighting(NamedTuple):
    """A segment in one of the files. time: microseconds. sender: `client` or `server`."""

    time: int
    sender: str
    segment: Segment


def shift_of(client: Iterable[Sighting], server: Iterable[Sighting]) -> Shift:
    """Return how far apart two captures' clocks are, by the packets that came through unchanged.

    Addresses and ports may have been translated. With no packet in both files the shift is 0.
    """
    one, two = _by_key(client), _by_key(server)
    least: int | None = None
    most: int | None = None
    matched = 0
    for key, here in one.items():
        there = two.get(key)
        if here is None or there is None or here.sender != there.sender:
            continue
        matched += 1
        apart = here.time - there.time
        if here.sender == "client":
            least = apart if least is None else max(least, apart)
        else:
            most = apart if most is None else min(most, apart)
    known = [bound for bound in (least, most) if bound is not None]
    return Shift(sum(known) // len(known) if known else 0, least, most, matched)


def _by_key(sightings: Iterable[Sighting]) -> dict[Key, Sighting | None]:
    """Return sightings by what no translation of addresses changes; None for what was seen twice."""
    found: dict[Key, Sighting | None] = {}
    for sighting in sightings:
        segment = sighting.segment
        key = (
            int(segment.seq), int(segment.ack), segment.flags, segment.payload_length,
            bytes(segment.option_block),
        )  # fmt: skip
        found[key] = None if key in found else sighting
    return found
