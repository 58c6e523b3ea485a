"""The matrix of a report: every case with what became of it.

With one pair of stacks, each address family has a column. With several, each pair has one, so that pairs
that came to different ends with the same case stand side by side.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from mbtest.results import Fallback, Run, Verdict


@dataclasses.dataclass(frozen=True)
class VerdictWords:
    """How a verdict is shown: never by colour alone."""

    symbol: str
    word: str
    meaning: str


VERDICTS = {
    Verdict.PASS: VerdictWords("✓", "pass", "all that the case asks for holds"),
    Verdict.NON_STRICT: VerdictWords("≈", "non-strict", "a SHOULD is not followed; no MUST is broken"),
    Verdict.FAIL: VerdictWords(
        "✗", "fail", "a MUST is broken, or data was corrupted or lost without an error"
    ),
    Verdict.INFORMATIONAL: VerdictWords("i", "informational", "the RFC leaves it open: what the stack chose"),
    Verdict.UNSUPPORTED: VerdictWords("–", "unsupported", "the stack said that it cannot"),
    Verdict.INCONCLUSIVE: VerdictWords(
        "?", "inconclusive", "the interference never happened, or a control failed too"
    ),
    Verdict.HARNESS_ERROR: VerdictWords("!", "harness error", "mbtest's own fault"),
}
NEEDS_A_LOOK = (Verdict.FAIL, Verdict.HARNESS_ERROR, Verdict.NON_STRICT, Verdict.INCONCLUSIVE)
FALLBACKS = {
    Fallback.IN_HANDSHAKE: "in the handshake",
    Fallback.WITHOUT_SIGNAL: "without a signal",
    Fallback.INFINITE_MAPPING: "by infinite mapping",
}
FAMILIES = {"v4": "IPv4", "v6": "IPv6", "mixed": "mixed"}
DIRECTIONS = {"to_server": "to server", "to_client": "to client"}
ARROWS = {"to_server": "→", "to_client": "←"}

_CALLED = re.compile(r"\b([A-Z]\w*)\(")


@dataclasses.dataclass(frozen=True)
class Mark:
    """One run in a cell or a list."""

    index: int
    id: str
    label: str
    words: str


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of a cell that came to the same."""

    verdict: Verdict
    outcome: str
    marks: dict[str, list[Mark]]
    """By family."""

    @property
    def number(self) -> int:
        """How many runs there are."""
        return sum(map(len, self.marks.values()))


@dataclasses.dataclass(frozen=True)
class Column:
    """A stack pair, or one family of the only pair."""

    pair: str
    family: str | None
    tally: dict[Verdict, int]

    @property
    def label(self) -> str:
        """The column in words."""
        return self.pair if self.family is None else f"{self.pair}, {FAMILIES[self.family]}"

    def has(self, run: Run) -> bool:
        """Whether a run belongs there."""
        return pair_of(run) == self.pair and self.family in (None, run.family)


@dataclasses.dataclass(frozen=True)
class CaseRow:
    """A case in the matrix."""

    case: str
    title: str
    level: str
    boxes: list[str]
    """The names of those on its paths."""
    differs: bool
    """Whether stack pairs came to different ends."""
    cells: list[list[Group]]
    """What became of it, column by column."""


def pair_of(run: Run) -> str:
    """Return the stacks of client and server in words."""
    return f"{run.client} → {run.server}"


def outcome_words(run: Run) -> str:
    """Return a run's outcome in words, with the manner of a fallback."""
    words = bare_outcome(run)
    return f"{words} {FALLBACKS[run.fallback]}" if run.fallback is not None else words


def columns_of(runs: Sequence[Run]) -> list[Column]:
    """Return the columns of the matrix, pairs in the order in which they first ran."""
    pairs = list(dict.fromkeys(map(pair_of, runs)))
    families = {run.family for run in runs}
    kinds: list[tuple[str, str | None]] = [(pair, None) for pair in pairs]
    if len(pairs) == 1:
        kinds = [(pairs[0], family) for family in FAMILIES if family in families]
    columns = [Column(pair, family, {}) for pair, family in kinds]
    return [dataclasses.replace(column, tally=tally_of(filter(column.has, runs))) for column in columns]


def tally_of(runs: Iterable[Run]) -> dict[Verdict, int]:
    """Return how many runs have each verdict, zeros left out."""
    counts = Counter(run.verdict for run in runs)
    return {verdict: counts[verdict] for verdict in Verdict if counts[verdict]}


def topics_of(runs: Sequence[Run], columns: Sequence[Column]) -> dict[str, list[CaseRow]]:
    """Return the rows of the matrix by topic, in the order of their names."""
    cases: dict[tuple[str, str], list[tuple[int, Run]]] = {}
    for index, run in enumerate(runs):
        cases.setdefault((run.topic, run.case), []).append((index, run))
    differing = differing_cases(runs)
    topics: dict[str, list[CaseRow]] = {}
    for (topic, case), entries in sorted(cases.items(), key=lambda item: natural(item[0])):
        cells = [_groups([entry for entry in entries if column.has(entry[1])]) for column in columns]
        first = entries[0][1]
        boxes = dict.fromkeys(name for _, run in entries for name in box_names(run))
        row = CaseRow(case, first.title, first.level, list(boxes), case in differing, cells)
        topics.setdefault(topic, []).append(row)
    return topics


def differing_cases(runs: Iterable[Run]) -> set[str]:
    """Return the cases of which a variant came to different ends with different stack pairs."""
    ends: dict[tuple[str, str, str, bool], set[tuple[Verdict, str]]] = {}
    for run in runs:
        variant = run.case, run.family, run.direction, run.checksum
        ends.setdefault(variant, set()).add((run.verdict, bare_outcome(run)))
    return {case for (case, *_), found in ends.items() if len(found) > 1}


def natural(names: Iterable[str]) -> list[list[tuple[int, str]]]:
    """Return a sort key that has `case.9` before `case.10`."""
    return [
        [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]
        for name in names
    ]


def _groups(entries: Sequence[tuple[int, Run]]) -> list[Group]:
    """Return the runs of a cell by what they came to, what needs a look first."""
    groups: dict[tuple[Verdict, str], Group] = {}
    for index, run in sorted(entries, key=lambda entry: variant_of(entry[1])):
        words = bare_outcome(run) if run.outcome is not None else VERDICTS[run.verdict].word
        group = groups.setdefault((run.verdict, words), Group(run.verdict, words, {}))
        group.marks.setdefault(run.family, []).append(mark_of(index, run))
    order = [*NEEDS_A_LOOK, *Verdict]
    return sorted(groups.values(), key=lambda group: order.index(group.verdict))


def variant_of(run: Run) -> tuple[int, int, bool, str]:
    """Return the place of a run among those of its case."""
    return list(FAMILIES).index(run.family), list(DIRECTIONS).index(run.direction), run.checksum, run.id


def box_names(run: Run) -> list[str]:
    """Return the names of a run's boxes, those in other boxes included, each once."""
    found = (name for use in run.boxes for name in (use.box.partition("(")[0], *_CALLED.findall(use.box)))
    return [name for name in dict.fromkeys(found) if name != "Aim"]


def bare_outcome(run: Run) -> str:
    """Return a run's outcome in words."""
    return run.outcome.replace("_", " ") if run.outcome is not None else "no outcome"


def mark_of(index: int, run: Run) -> Mark:
    """Return what stands for a run, which is at this place among all."""
    label = ARROWS[run.direction] + ("c" if run.checksum else "")
    checksum = "checksum on" if run.checksum else "checksum off"
    where = f"{pair_of(run)}, {FAMILIES[run.family]}, {DIRECTIONS[run.direction]}, {checksum}"
    return Mark(
        index, run.id, label, f"{VERDICTS[run.verdict].word}, {outcome_words(run)}: {run.case}, {where}"
    )
