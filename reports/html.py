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
import zlib
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import jinja2
import msgspec
from markupsafe import Markup

from mbtest import results
from mbtest.network.collector import at_rest
from mbtest.results import Results, Run
from reports.coverage import coverage_of
from reports.ladder import MOST_KEPT, Ladder, ladder_of
from reports.matrix import (
    ARROWS,
    DIRECTIONS,
    FAMILIES,
    NEEDS_A_LOOK,
    VERDICTS,
    bare_outcome,
    columns_of,
    concerns_of,
    differing_cases,
    outcome_words,
    pair_of,
    topics_of,
)

HERE = Path(__file__).parent
FEWER_KEPT = 200
"""Rows carried for a run that nobody needs to look at."""


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
    columns = columns_of(runs)
    differing = differing_cases(runs)
    style = _static("report.css")
    scripts = [_static("run.js"), _static("matrix.js")]
    return environment.get_template("index.html").render(
        provenance=found.provenance,
        runs=runs,
        cases=len({run.case for run in runs}),
        pairs=list(dict.fromkeys(column.pair for column in columns)),
        columns=columns,
        differing=differing,
        tally=found.tally(),
        verdicts=VERDICTS,
        families=FAMILIES,
        labels={"pair": "stack pair"},
        simulated=all(run.network == "simulated" for run in runs) and bool(runs),
        filters=_filters(runs, differing),
        concerns=concerns_of(runs),
        topics=topics_of(runs, columns),
        coverage=coverage_of(found),
        index=_embed([_index_entry(run, differing) for run in runs]),
        words=_embed(
            {
                "verdicts": {verdict.value: dataclasses.asdict(words) for verdict, words in VERDICTS.items()},
                "families": FAMILIES,
                "directions": DIRECTIONS,
                "arrows": ARROWS,
            }
        ),
        packed=_packed(runs, directory),
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


def _filters(runs: Sequence[Run], differing: Container[str]) -> dict[str, dict[str, str]]:
    """Return the choices of each filter, value to words; one choice is none."""
    filters: dict[str, dict[str, str]] = {
        "outcome": {_value(run): bare_outcome(run) for run in runs},
        "topic": {run.topic: run.topic for run in sorted(runs, key=lambda run: run.topic)},
        "pair": {pair_of(run): pair_of(run) for run in runs},
        "agreement": {_agreement(run, differing): f"pairs {_agreement(run, differing)}" for run in runs},
        "family": {run.family: FAMILIES[run.family] for run in runs},
        "direction": {run.direction: DIRECTIONS[run.direction] for run in runs},
        "checksum": {("on" if run.checksum else "off"): ("on" if run.checksum else "off") for run in runs},
    }
    return {name: choices for name, choices in filters.items() if len(choices) > 1}


def _agreement(run: Run, differing: Container[str]) -> str:
    return "differ" if run.case in differing else "agree"


def _value(run: Run) -> str:
    return run.outcome.value if run.outcome is not None else "none"


# -- what the scripts read ------------------------------------------------------------------------------


def _index_entry(run: Run, differing: Container[str]) -> dict[str, str]:
    """Return what the filters look at."""
    boxes = " ".join(use.box for use in run.boxes)
    return {
        "id": run.id,
        "case": run.case,
        "verdict": run.verdict.value,
        "outcome": _value(run),
        "words": outcome_words(run),
        "topic": run.topic,
        "pair": pair_of(run),
        "agreement": _agreement(run, differing),
        "family": run.family,
        "direction": run.direction,
        "checksum": "on" if run.checksum else "off",
        "text": " ".join((run.id, run.case, run.title, run.reason, boxes, *run.requirements)).lower(),
    }


def _packed(runs: Sequence[Run], directory: Path) -> list[str]:
    """Return each run as the page carries it."""
    # What a ladder is made of holds no cycle: the collector would look at it for nothing.
    with at_rest():
        return [_pack(run, directory) for run in runs]


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
    return base64.b64encode(zlib.compress(msgspec.json.encode(body), 6)).decode()


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
