"""What the page's scripts read of all runs at once: for the filters, and for the pages of the boxes."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from mbtest.results import BoxInfo, Run, Verdict
from reports.concerns import WITNESS, blamed
from reports.matrix import DIRECTIONS, FAMILIES, bare_outcome, box_names, outcome_words, pair_of


def index_of(runs: Sequence[Run], boxes: Sequence[BoxInfo], differing: Container[str]) -> dict[str, Any]:
    """Return the runs in their order, and apart what many share: cases, and boxes as they were set up."""
    uses = {words: number for number, words in enumerate({use.box: 0 for run in runs for use in run.boxes})}
    places = {case: place for place, case in enumerate(dict.fromkeys(run.case for run in runs))}
    return {
        "runs": [_entry(run, uses) for run in runs],
        "cases": {run.case: _case(run, places[run.case], differing) for run in runs},
        "uses": list(uses),
        "boxes": {box.name: box for box in boxes},
    }


def filters_of(runs: Sequence[Run], differing: Container[str]) -> dict[str, dict[str, str]]:
    """Return the choices of each filter, value to words; one choice that all runs share is none."""
    rules = sorted({rule for run in runs for rule in _rules(run)})
    blame = sorted({name for run in runs for name in _blame(run)})
    filters: dict[str, dict[str, str]] = {
        "outcome": {_outcome(run): bare_outcome(run) for run in runs},
        "topic": {run.topic: run.topic for run in sorted(runs, key=lambda run: run.topic)},
        "rule": {rule: "a contradiction" if rule == WITNESS else rule for rule in rules},
        "blame": {name: name for name in blame},
        "pair": {pair_of(run): pair_of(run) for run in runs},
        "agreement": {_agreement(run, differing): f"pairs {_agreement(run, differing)}" for run in runs},
        "family": {run.family: FAMILIES[run.family] for run in runs},
        "direction": {run.direction: DIRECTIONS[run.direction] for run in runs},
        "checksum": {("on" if run.checksum else "off"): ("on" if run.checksum else "off") for run in runs},
    }
    partial = ("rule", "blame")
    return {name: choices for name, choices in filters.items() if len(choices) > (name not in partial)}


def _entry(run: Run, uses: dict[str, int]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": run.id,
        "case": run.case,
        "verdict": run.verdict.value,
        "outcome": _outcome(run),
        "words": outcome_words(run),
        "pair": pair_of(run),
        "family": run.family,
        "direction": run.direction,
        "checksum": "on" if run.checksum else "off",
    }
    optional = {
        "reason": run.reason if run.verdict is not Verdict.PASS else "",
        "rule": _rules(run),
        "blame": _blame(run),
        "box": box_names(run),
        "uses": list(dict.fromkeys(uses[use.box] for use in run.boxes)),
    }
    return entry | {name: value for name, value in optional.items() if value}


def _case(run: Run, place: int, differing: Container[str]) -> dict[str, Any]:
    return {
        "packed": place,
        "topic": run.topic,
        "title": run.title,
        "level": run.level,
        "requirements": run.requirements,
        "agreement": _agreement(run, differing),
    }


def _outcome(run: Run) -> str:
    return run.outcome.value if run.outcome is not None else "none"


def _agreement(run: Run, differing: Container[str]) -> str:
    return "differ" if run.case in differing else "agree"


def _rules(run: Run) -> list[str]:
    """Return the rules that hosts broke in a run."""
    return list(dict.fromkeys(finding.rule for finding in run.findings if finding.rule and not finding.met))


def _blame(run: Run) -> list[str]:
    """Return whom a run blames: each stack, and each in its role."""
    roles = [who for role in run.blame if (who := blamed(run, role))]
    return list(dict.fromkeys([*(who.partition(" as ")[0] for who in roles), *roles]))
