"""What a page carries of each run: its entry, and its packets where they tell what no other run's do."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from mbtest.network.collector import at_rest
from mbtest.network.processes import spread
from mbtest.results import Run
from reports.ladder import IN_BRIEF, IN_FULL, Ladder, ladder_of
from reports.matrix import NEEDS_A_LOOK, outcome_words, variant_of


def carried(runs: Sequence[Run], directory: Path) -> list[str]:
    """Return the runs of each case with their ladders, in order, as base64 of zlib of JSON.

    directory: where the captures are. Cases stand in the order of their first runs; runs of one have much
    in common, and together are half the size.
    """
    cases: dict[str, list[tuple[Run, Run]]] = {}
    for run, told in zip(runs, tellers(runs), strict=True):
        cases.setdefault(run.case, []).append((run, told))

    def pack(pairs: Sequence[tuple[Run, Run]]) -> str:
        bodies = [_body(run, directory, told) for run, told in pairs]
        return base64.b64encode(zlib.compress(msgspec.json.encode(bodies), 6)).decode()

    # What a ladder is made of holds no cycle: the collector would look at it for nothing.
    with at_rest():
        return spread(pack, list(cases.values()))


def tellers(runs: Sequence[Run]) -> list[Run]:
    """Return for each run the one whose packets are told in its place: most often another.

    All that needs a look tell their own. Of the others the first of each case that came to this end does.
    """
    first: dict[tuple[str, str, str], Run] = {}
    for run in sorted(runs, key=variant_of):
        if "capture" in run.artifacts:
            first.setdefault(_end(run), run)
    return [run if run.verdict in NEEDS_A_LOOK else first.get(_end(run), run) for run in runs]


def _end(run: Run) -> tuple[str, str, str]:
    return run.case, run.verdict, outcome_words(run)


def _body(run: Run, directory: Path, teller: Run) -> dict[str, Any]:
    """Return what a script reads of a run."""
    told_by = ""
    link, ladder = "", Ladder(problem="No capture of this run was kept.")
    if name := run.artifacts.get("capture"):
        here, capture = directory.resolve(), (directory / name).resolve()
        if not capture.is_relative_to(here):
            ladder = Ladder(problem="The capture of this run is not in the run directory.")
        else:
            if capture.is_file():
                link = "../" + quote(capture.relative_to(here).as_posix())
            if teller is run:
                evidence = {item.frame for finding in run.findings for item in finding.evidence}
                extent = IN_FULL if run.verdict in NEEDS_A_LOOK else IN_BRIEF
                ladder = ladder_of(capture, evidence, extent)
            else:
                ladder, told_by = Ladder(), teller.id
    # Which counters a kernel has is told once, not with each run.
    stacks = {host: msgspec.structs.replace(state, knows=()) for host, state in run.stacks.items()}
    run = msgspec.structs.replace(run, stacks=stacks)
    return {
        "run": run, "outcome": outcome_words(run), "capture": link, "ladder": ladder, "told_by": told_by,
    }  # fmt: skip
