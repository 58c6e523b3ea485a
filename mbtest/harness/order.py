"""In which order runs are started, so that some wait for timers of a kernel while others compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from mbtest.harness.case import Case

Item = TypeVar("Item")


def in_turn(items: Sequence[tuple[Item, Case | None]]) -> list[Item]:
    """Return items in the order in which to start them; those without a case come late.

    Runs that wait are spread over the whole of the others, the longest first. Were they all started before
    the others, processors would have nothing to do at first, and afterwards every process would want one at
    the same time, which disturbs the timers of all.
    """
    placed: dict[str, list[Item]] = {"first": [], "last": []}
    waiting: list[tuple[float, Item]] = []
    computing: list[Item] = []
    others: list[Item] = []
    for item, case in items:
        if case is None:
            others.append(item)
        elif case.place:
            placed[case.place].append(item)
        elif case.waits:
            waiting.append((case.waits, item))
        else:
            computing.append(item)
    waiting.sort(key=lambda pair: -pair[0])
    turns = [(at / len(waiting), item) for at, (_, item) in enumerate(waiting)]
    turns += [((at + 1) / len(computing), item) for at, item in enumerate(computing)]
    turns.sort(key=lambda turn: turn[0])
    return [*placed["first"], *(item for _, item in turns), *others, *placed["last"]]
