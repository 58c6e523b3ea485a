"""`report/index.html`: the matrix of verdicts and, for each run, what the packets were.

One file that opens from disk without a network. The matrix and the verdicts are plain HTML; what a run
holds is compressed JSON that a script unfolds when the run is opened. All that comes from packets,
stacks or file names is escaped by jinja2 here and set as text, never as markup, by the scripts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2
import msgspec
from markupsafe import Markup

from mbtest import results
from mbtest.results import Fallback, Results, Run, Verdict
from reports.ladder import MOST_KEPT, Ladder, ladder_of

HERE = Path(__file__).parent


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
FEWER_KEPT = 200
"""Rows carried for a run that nobody needs to look at."""
FALLBACKS = {
    Fallback.IN_HANDSHAKE: "in the handshake",
    Fallback.WITHOUT_SIGNAL: "without a signal",
    Fallback.INFINITE_MAPPING: "by infinite mapping",
}
FAMILIES = {"v4": "IPv4", "v6": "IPv6", "mixed": "mixed"}
DIRECTIONS = {"to_server": "to server", "to_client": "to client"}
ARROWS = {"to_server": "→", "to_client": "←"}


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
    marks: list[Mark]


@dataclasses.dataclass(frozen=True)
class Cell:
    """What became of a case with one stack pair and family."""

    pair: str
    family: str
    groups: list[Group]


@dataclasses.dataclass(frozen=True)
class CaseRow:
    """A case in the matrix."""

    case: str
    title: str
    level: str
    cells: list[Cell]


@dataclasses.dataclass(frozen=True)
class Concern:
    """Something that needs a look: runs of a case with the same verdict and outcome."""

    verdict: Verdict
    outcome: str
    case: str
    title: str
    pair: str
    reason: str
    marks: dict[str, list[Mark]]
    """By family."""


def render(directory: Path) -> Path:
    """Write `report/index.html` into a run directory, and return its path.

    Raises UsageError where `result.json` is missing or not of this version.
    """
    found = results.read(directory)
    target = directory / "report" / "index.html"
    target.parent.mkdir(exist_ok=True)
    draft = target.with_name(".index.html.new")
    draft.write_text(page(found, directory), encoding="utf-8")
    draft.replace(target)
    return target


def page(found: Results, directory: Path) -> str:
    """Return the report of what was found. directory: where the captures are."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = found.runs
    columns = _columns(runs)
    style = _static("report.css")
    scripts = [_static("run.js"), _static("matrix.js")]
    return environment.get_template("index.html").render(
        provenance=found.provenance,
        runs=runs,
        cases=len({run.case for run in runs}),
        pairs=list(columns),
        columns=columns,
        tally=found.tally(),
        verdicts=VERDICTS,
        families=FAMILIES,
        filters=_filters(runs),
        concerns=_concerns(runs),
        topics=_topics(runs, columns),
        index=_embed([_index_entry(run) for run in runs]),
        words=_embed(
            {
                "verdicts": {verdict.value: dataclasses.asdict(words) for verdict, words in VERDICTS.items()},
                "families": FAMILIES,
                "directions": DIRECTIONS,
                "arrows": ARROWS,
            }
        ),
        packed=[_pack(run, directory) for run in runs],
        style=style,
        scripts=scripts,
        policy=_policy(style, scripts),
        duration=duration,
    )


def duration(seconds: float) -> str:
    """Return a time in words, to three digits."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def outcome_words(run: Run) -> str:
    """Return a run's outcome in words, with the manner of a fallback."""
    words = _outcome(run)
    return f"{words} {FALLBACKS[run.fallback]}" if run.fallback is not None else words


def _pair(run: Run) -> str:
    return f"{run.client} → {run.server}"


# -- the matrix -----------------------------------------------------------------------------------------


def _columns(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the families of each stack pair, in the order in which pairs first ran."""
    columns: dict[str, set[str]] = {}
    for run in runs:
        columns.setdefault(_pair(run), set()).add(run.family)
    return {pair: [family for family in FAMILIES if family in found] for pair, found in columns.items()}


def _topics(runs: Sequence[Run], columns: dict[str, list[str]]) -> dict[str, list[CaseRow]]:
    """Return the rows of the matrix by topic, in the order of their names."""
    cases: dict[tuple[str, str], dict[tuple[str, str], list[tuple[int, Run]]]] = {}
    for index, run in enumerate(runs):
        cells = cases.setdefault((run.topic, run.case), {})
        cells.setdefault((_pair(run), run.family), []).append((index, run))
    topics: dict[str, list[CaseRow]] = {}
    for (topic, case), cells in sorted(cases.items(), key=lambda item: _natural(item[0])):
        first = next(iter(cells.values()))[0][1]
        row = [
            Cell(pair, family, _groups(cells.get((pair, family), [])))
            for pair, families in columns.items()
            for family in families
        ]
        topics.setdefault(topic, []).append(CaseRow(case, first.title, first.level, row))
    return topics


def _natural(names: Iterable[str]) -> list[list[tuple[int, str]]]:
    """Return a sort key that has `case.9` before `case.10`."""
    return [
        [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]
        for name in names
    ]


def _groups(entries: Sequence[tuple[int, Run]]) -> list[Group]:
    """Return the runs of a cell by what they came to, what needs a look first."""
    groups: dict[tuple[Verdict, str], list[Mark]] = {}
    for index, run in sorted(entries, key=lambda entry: _variant(entry[1])):
        words = _outcome(run) if run.outcome is not None else VERDICTS[run.verdict].word
        groups.setdefault((run.verdict, words), []).append(_mark(index, run))
    order = [*NEEDS_A_LOOK, *Verdict]
    return [
        Group(verdict, outcome, marks)
        for (verdict, outcome), marks in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
    ]


def _variant(run: Run) -> tuple[int, int, bool, str]:
    """Return the place of a run among those of its case."""
    return list(FAMILIES).index(run.family), list(DIRECTIONS).index(run.direction), run.checksum, run.id


def _outcome(run: Run) -> str:
    return run.outcome.replace("_", " ") if run.outcome is not None else "no outcome"


def _mark(index: int, run: Run) -> Mark:
    label = ARROWS[run.direction] + ("c" if run.checksum else "")
    checksum = "checksum on" if run.checksum else "checksum off"
    where = f"{_pair(run)}, {FAMILIES[run.family]}, {DIRECTIONS[run.direction]}, {checksum}"
    return Mark(
        index, run.id, label, f"{VERDICTS[run.verdict].word}, {outcome_words(run)}: {run.case}, {where}"
    )


def _concerns(runs: Sequence[Run]) -> list[Concern]:
    """Return what needs a look, the gravest first: variants of a case with one outcome are one entry.

    Its reason is the first variant's; those of the others differ in numbers and in who sends.
    """
    found: dict[tuple[Verdict, str, str, str], Concern] = {}
    for index, run in sorted(enumerate(runs), key=lambda entry: _variant(entry[1])):
        if run.verdict not in NEEDS_A_LOOK:
            continue
        key = run.verdict, run.case, _pair(run), outcome_words(run)
        if key not in found:
            found[key] = Concern(
                run.verdict, outcome_words(run), run.case, run.title, _pair(run), run.reason, {}
            )
        found[key].marks.setdefault(run.family, []).append(_mark(index, run))
    return sorted(
        found.values(), key=lambda concern: (NEEDS_A_LOOK.index(concern.verdict), _natural([concern.case]))
    )


def _filters(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Return the choices of each filter, value to words; one choice is none."""
    filters: dict[str, dict[str, str]] = {
        "outcome": {_value(run): _outcome(run) for run in runs},
        "topic": {run.topic: run.topic for run in sorted(runs, key=lambda run: run.topic)},
        "pair": {_pair(run): _pair(run) for run in runs},
        "family": {run.family: FAMILIES[run.family] for run in runs},
        "direction": {run.direction: DIRECTIONS[run.direction] for run in runs},
        "checksum": {("on" if run.checksum else "off"): ("on" if run.checksum else "off") for run in runs},
    }
    return {name: choices for name, choices in filters.items() if len(choices) > 1}


def _value(run: Run) -> str:
    return run.outcome.value if run.outcome is not None else "none"


# -- what the scripts read ------------------------------------------------------------------------------


def _index_entry(run: Run) -> dict[str, str]:
    """Return what the filters look at."""
    boxes = " ".join(use.box for use in run.boxes)
    return {
        "id": run.id,
        "case": run.case,
        "verdict": run.verdict.value,
        "outcome": _value(run),
        "words": outcome_words(run),
        "topic": run.topic,
        "pair": _pair(run),
        "family": run.family,
        "direction": run.direction,
        "checksum": "on" if run.checksum else "off",
        "text": " ".join((run.id, run.case, run.title, run.reason, boxes, *run.requirements)).lower(),
    }


def _pack(run: Run, directory: Path) -> str:
    """Return a run with its ladder as base64 of zlib of JSON."""
    evidence = {item.frame for finding in run.findings for item in finding.evidence}
    link, ladder = "", Ladder(problem="No capture of this run was kept.")
    if name := run.artifacts.get("capture"):
        here, capture = directory.resolve(), (directory / name).resolve()
        if capture.is_relative_to(here):
            kept = MOST_KEPT if run.verdict in NEEDS_A_LOOK else FEWER_KEPT
            ladder = ladder_of(capture, evidence, kept)
            if capture.is_file():
                link = "../" + quote(capture.relative_to(here).as_posix())
        else:
            ladder = Ladder(problem="The capture of this run is not in the run directory.")
    body = {"run": run, "outcome": outcome_words(run), "capture": link, "ladder": ladder}
    return base64.b64encode(zlib.compress(msgspec.json.encode(body), 9)).decode()


def _embed(value: object) -> Markup:
    """Return JSON that no string in it can end the script element of."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _static(name: str) -> Markup:
    return Markup((HERE / "static" / name).read_text(encoding="utf-8"))


def _policy(style: str, scripts: Sequence[str]) -> str:
    """Return a content security policy that lets nothing run or load but what is in the page itself."""

    def sources(texts: Iterable[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return f"default-src 'none'; style-src {sources([style])}; script-src {sources(scripts)}"
