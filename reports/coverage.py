"""What of the RFCs the runs of a report tested: by section and level, and by which cases and rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mbtest.results import Level, Requirement, Results, Run, Verdict
from reports.matrix import NEEDS_A_LOOK

SAYS_NOTHING = (Verdict.UNSUPPORTED, Verdict.INCONCLUSIVE, Verdict.HARNESS_ERROR)
"""Verdicts of runs that tested nothing."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A case or a rule that tests a requirement."""

    name: str
    verdict: Verdict | None = None
    """Of its gravest run; None for a rule, and for a case that was not run."""
    run: str = ""
    """The id of that run."""
    index: int = -1
    """Its place among all runs."""
    counts: bool = True
    """Whether it tested anything in these runs."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A requirement, and what tests it."""

    requirement: Requirement
    tests: list[Check]

    @property
    def tested(self) -> bool:
        """Whether these runs tested it."""
        return any(test.counts for test in self.tests)


@dataclasses.dataclass(frozen=True)
class Share:
    """How many requirements these runs tested, of how many that can be."""

    tested: int
    testable: int


@dataclasses.dataclass(frozen=True)
class Section:
    """The requirements of a section of an RFC, or of all."""

    name: str
    heading: str
    rows: list[Row]

    @property
    def levels(self) -> dict[Level, Share]:
        """The shares by level."""
        return {level: _share(row for row in self.rows if row.requirement.level is level) for level in Level}

    @property
    def share(self) -> Share:
        """The share of all levels."""
        return _share(self.rows)

    @property
    def untestable(self) -> int:
        """How many nobody outside of a host can test."""
        return sum(bool(row.requirement.untestable) for row in self.rows)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What the runs tested."""

    sections: list[Section]
    total: Section
    known: Share
    """As it would be had all cases been run."""


def coverage_of(results: Results) -> Coverage | None:
    """Return what these runs tested; None for results that do not say what there is to test."""
    if not results.requirements:
        return None
    gravest = _gravest(results.runs)
    asserted = _asserted(results.runs)
    rows = [
        Row(entry, _tests(entry, asserted.get(entry.id, ()), gravest, bool(results.runs)))
        for entry in results.requirements
    ]
    sections: dict[str, Section] = {}
    for row in rows:
        entry = row.requirement
        sections.setdefault(entry.section, Section(entry.section, entry.heading, [])).rows.append(row)
    total = Section("all", "", rows)
    return Coverage(
        list(sections.values()),
        total,
        Share(sum(bool(row.tests) for row in rows if not row.requirement.untestable), total.share.testable),
    )


def _share(rows: Iterable[Row]) -> Share:
    testable = [row for row in rows if not row.requirement.untestable]
    return Share(sum(row.tested for row in testable), len(testable))


def _gravest(runs: Sequence[Run]) -> dict[str, tuple[int, Run]]:
    """Return the run of each case that a reader should open first: one that tested something, the gravest."""
    order = [*(verdict for verdict in NEEDS_A_LOOK if verdict not in SAYS_NOTHING), Verdict.PASS]
    order += [Verdict.INFORMATIONAL, *SAYS_NOTHING]
    found: dict[str, tuple[int, Run]] = {}
    for index, run in enumerate(runs):
        known = found.get(run.case)
        if known is None or order.index(run.verdict) < order.index(known[1].verdict):
            found[run.case] = index, run
    return found


def _asserted(runs: Iterable[Run]) -> dict[str, dict[str, None]]:
    """Return the cases by the requirements that they were found to test while they ran."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name in (*run.requirements, *(finding.requirement for finding in run.findings)):
            found.setdefault(name, {})[run.case] = None
    return found


def _tests(
    entry: Requirement, asserted: Iterable[str], gravest: dict[str, tuple[int, Run]], ran: bool
) -> list[Check]:
    tests = [Check(rule, counts=ran) for rule in entry.rules]
    for case in dict.fromkeys((*entry.cases, *asserted)):
        if case not in gravest:
            tests.append(Check(case, counts=False))
        else:
            index, run = gravest[case]
            tests.append(Check(case, run.verdict, run.id, index, run.verdict not in SAYS_NOTHING))
    return tests
