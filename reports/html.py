"""`report/index.html`: the matrix of verdicts and, for each run, what the packets were.

One file that opens from disk without a network. The matrix and the verdicts are plain HTML; what a run
holds is compressed JSON that a script unfolds when the run is opened. All that comes from packets,
stacks or file names is escaped by jinja2 here and set as text, never as markup, by the scripts.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
import msgspec
from markupsafe import Markup

from mbtest import results
from mbtest.results import Results
from reports.boxes import groups_of, unused
from reports.carried import carried
from reports.concerns import broken_rules, endings_of
from reports.counters import counters_of
from reports.coverage import coverage_of
from reports.index import filters_of, index_of
from reports.matrix import ARROWS, DIRECTIONS, FAMILIES, VERDICTS, columns_of, differing_cases, topics_of

HERE = Path(__file__).parent


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
    pairs = list(dict.fromkeys(column.pair for column in columns))
    differing = differing_cases(runs)
    style = _static("report.css")
    scripts = [_static("run.js"), _static("box.js"), _static("matrix.js")]
    return environment.get_template("index.html").render(
        provenance=found.provenance,
        runs=runs,
        alarms=found.alarms,
        cases=len({run.case for run in runs}),
        pairs=pairs,
        columns=columns,
        differing=differing,
        tally=found.tally(),
        verdicts=VERDICTS,
        families=FAMILIES,
        labels={"pair": "stack pair", "rule": "rule broken"},
        simulated=all(run.network == "simulated" for run in runs) and bool(runs),
        filters=filters_of(runs, differing),
        broken=broken_rules(runs),
        endings=endings_of(runs),
        topics=topics_of(runs, columns),
        coverage=coverage_of(found),
        counters=counters_of(found),
        boxes=groups_of(found, pairs),
        unused=unused(found),
        index=_embed(index_of(runs, found.boxes, differing)),
        words=_embed(
            {
                "verdicts": {verdict.value: dataclasses.asdict(words) for verdict, words in VERDICTS.items()},
                "families": FAMILIES,
                "directions": DIRECTIONS,
                "arrows": ARROWS,
            }
        ),
        packed=carried(runs, directory),
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


def _embed(value: object) -> Markup:
    """Return JSON that no string in it can end the script element of."""
    text = msgspec.json.encode(value).decode()
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
