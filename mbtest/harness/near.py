"""Why a box did not interfere: what it waited for, and what passed it instead, as the capture shows it."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.harness.session import Session
from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.chain import Standing
from mbtest.middlebox.nearness import Nearness
from mbtest.wire import Segment, WireError, decode

_SIDES = {"client": Direction.TO_SERVER, "server": Direction.TO_CLIENT}


def how_near(session: Session, kind: type[Middlebox]) -> str:
    """Return what the boxes of a class waited for and what passed: alike ones on several paths together."""
    standing: dict[str, list[Standing]] = {}
    for chain in session.chains.values():
        for one in chain.standing():
            if isinstance(one.box, kind):
                standing.setdefault(one.box.describe(), []).append(one)
    if not standing:
        return "it stands on no path"
    return "; ".join(_of(session, alike) for alike in standing.values())


def _of(session: Session, alike: list[Standing]) -> str:
    aim = alike[0].box.aim
    if aim is None:
        number = sum(1 for _ in _entering(session))
        return f"it acts on whatever it finds, in {number} packets"
    nearness = Nearness(aim)
    for segment, path, direction, time in _entering(session):
        nearness.add(segment, path, list(session.chains).index(path), direction, time)
    words = nearness.words(sum(one.matches for one in alike))
    hits, deeds = sum(one.hits for one in alike), sum(one.deeds for one in alike)
    return f"{words}; of the {hits} that it acted on it changed {deeds or 'none'}" if hits else words


def _entering(session: Session) -> Iterator[tuple[Segment, str, Direction, int]]:
    """Give the segments that entered the paths, as hosts sent them."""
    for _, time, point, outbound, raw in session.capture.since(0):
        path, _, side = point.rpartition("/")
        if outbound:
            continue
        try:
            packet = decode(raw)
        except WireError:
            continue
        if isinstance(packet, Segment):
            yield packet, path, _SIDES[side], time
