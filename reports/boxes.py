"""The boxes of a report: what each imitates, and what became of the runs behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mbtest.results import BoxInfo, Results, Run, Verdict
from reports.matrix import box_names, pair_of, tally_of


@dataclasses.dataclass(frozen=True)
class BoxRow:
    """A box that runs had on a path."""

    name: str
    summary: str
    """What it imitates; empty for a box that came from elsewhere than `middleboxes/`."""
    cases: int
    tallies: dict[str, dict[Verdict, int]]
    """Its runs by stack pair and verdict."""


def groups_of(found: Results, pairs: Sequence[str]) -> dict[str, list[BoxRow]]:
    """Return the boxes that runs used, by group, in the order in which results have them."""
    known = {box.name: box for box in found.boxes}
    used: dict[str, list[Run]] = {}
    for run in found.runs:
        for name in box_names(run):
            used.setdefault(name, []).append(run)
    groups: dict[str, list[BoxRow]] = {}
    for name in (*known, *sorted(used.keys() - known.keys())):
        if name in used:
            box = known.get(name)
            row = _row(name, box.summary if box else "", used[name], pairs)
            groups.setdefault(box.group if box else "", []).append(row)
    return groups


def _row(name: str, summary: str, runs: Sequence[Run], pairs: Sequence[str]) -> BoxRow:
    tallies = {pair: tally_of(run for run in runs if pair_of(run) == pair) for pair in pairs}
    return BoxRow(name, summary, len({run.case for run in runs}), tallies)


def unused(found: Results) -> list[BoxInfo]:
    """Return the boxes that no run used."""
    used = {name for run in found.runs for name in box_names(run)}
    return [box for box in found.boxes if box.name not in used]
