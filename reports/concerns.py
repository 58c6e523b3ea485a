"""What needs a look: the rules that hosts broke, and the ends that cases came to and did not expect.

A rule that is broken in a hundred runs is one matter, and so is a case that ends alike in all its variants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from mbtest.results import Finding, Level, Outcome, Run, Verdict
from reports.matrix import NEEDS_A_LOOK, Mark, mark_of, natural, outcome_words, pair_of, variant_of

WITNESS = "witness"
"""The rule of findings on which a stack and its packets contradict each other."""
BROKEN = "; broken: "
"""What stands in a reason between what was expected and the rules that were broken."""
GRAVITY = {
    Level.MUST: Verdict.FAIL,
    Level.SHOULD: Verdict.NON_STRICT,
    Level.MAY: Verdict.INFORMATIONAL,
}
"""What a rule that is broken comes to, by its level."""

_outcomes = [None, *Outcome]
"""The later, the graver."""

Marks = dict[str, dict[str, list[Mark]]]
"""Runs by stack pair and family."""


@dataclasses.dataclass
class BrokenRule:
    """A rule that hosts broke, in all runs together."""

    rule: str
    clause: str
    level: Level
    claim: str
    words: str
    """What was seen the first time."""
    run: Run
    """The run in which that was."""
    index: int
    frame: int
    blame: dict[str, int] = dataclasses.field(default_factory=dict)
    """In how many runs each stack broke it: `linux as client`."""
    times: int = 0
    cases: dict[str, Marks] = dataclasses.field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """What it comes to."""
        return GRAVITY[self.level]

    @property
    def runs(self) -> int:
        """In how many runs it was broken."""
        return sum(
            len(marks) for found in self.cases.values() for by in found.values() for marks in by.values()
        )


@dataclasses.dataclass(frozen=True)
class Concern:
    """Runs of a case that came to the same end, which is not what it expects."""

    case: str
    title: str
    reason: str
    marks: Marks


@dataclasses.dataclass(frozen=True)
class Ending:
    """An end that cases came to and did not expect."""

    verdict: Verdict
    outcome: str
    concerns: list[Concern]
    """Case by case."""

    @property
    def runs(self) -> int:
        """How many runs came to it."""
        return sum(_number(concern.marks) for concern in self.concerns)


def broken_rules(runs: Sequence[Run]) -> list[BrokenRule]:
    """Return the rules that were broken, those of the highest level first, then those broken most often."""
    found: dict[str, BrokenRule] = {}
    for index, run in _in_order(runs):
        seen: set[str] = set()
        for finding in run.findings:
            if finding.met or finding.rule in ("", WITNESS):
                continue
            broken = found.setdefault(finding.rule, _first(index, run, finding))
            broken.times += finding.count
            if who := blamed(run, finding.who):
                broken.blame[who] = broken.blame.get(who, 0) + 1
            if finding.rule not in seen:
                _put(broken.cases.setdefault(run.case, {}), index, run)
            seen.add(finding.rule)
    levels = list(Level)
    return sorted(found.values(), key=lambda broken: (levels.index(broken.level), -broken.runs, broken.rule))


def _first(index: int, run: Run, finding: Finding) -> BrokenRule:
    frame = finding.evidence[0].frame if finding.evidence else 0
    return BrokenRule(
        finding.rule, finding.clause, finding.level, finding.expected, finding.actual, run, index, frame
    )


def blamed(run: Run, role: str) -> str:
    """Return a host of a run as one to blame: `linux as client`; empty for none."""
    stacks: Mapping[str, str] = {"client": run.client, "server": run.server}
    return f"{stacks[role]} as {role}" if role in stacks else ""


def endings_of(runs: Sequence[Run]) -> list[Ending]:
    """Return the ends that need a look, the gravest first, with the cases that came to them.

    Runs that only broke rules are told with the rules; those whose interference never happened stand here
    as well, by themselves, so that nobody takes the case's claim for what failed. A case's reason is its
    first variant's, without the rules; those of the others differ in numbers and in who sends.
    """
    found: dict[tuple[int, int, str], Ending] = {}
    cases: dict[tuple[str, str, str, bool], Concern] = {}
    for index, run in _in_order(runs):
        if run.verdict not in NEEDS_A_LOOK or (_only_broke_rules(run) and not run.interference):
            continue
        outcome = outcome_words(run)
        gravity = NEEDS_A_LOOK.index(run.verdict), -_outcomes.index(run.outcome), outcome
        ending = found.setdefault(gravity, Ending(run.verdict, outcome, []))
        key = run.verdict, outcome, run.case, bool(run.interference)
        if key not in cases:
            cases[key] = Concern(run.case, run.title, run.reason.partition(BROKEN)[0], {})
            ending.concerns.append(cases[key])
        _put(cases[key].marks, index, run)
    for ending in found.values():
        ending.concerns.sort(key=lambda concern: natural([concern.case]))
    return [found[gravity] for gravity in sorted(found)]


def _only_broke_rules(run: Run) -> bool:
    """Whether the verdict of a run depends on nothing but rules that hosts broke."""
    if run.verdict not in (Verdict.FAIL, Verdict.NON_STRICT):
        return False
    missed = [one for one in run.findings if not (one.met or one.rule == WITNESS or one.by_chance)]
    decisive = [found for found in missed if GRAVITY[found.level] is run.verdict]
    return bool(decisive) and all(finding.rule for finding in decisive)


def _in_order(runs: Sequence[Run]) -> Iterable[tuple[int, Run]]:
    return sorted(enumerate(runs), key=lambda entry: variant_of(entry[1]))


def _number(marks: Marks) -> int:
    return sum(len(found) for by_family in marks.values() for found in by_family.values())


def _put(marks: Marks, index: int, run: Run) -> None:
    marks.setdefault(pair_of(run), {}).setdefault(run.family, []).append(mark_of(index, run))
