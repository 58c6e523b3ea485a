"""`mbtest list`: what there is, for people and as JSON."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.markup import escape

from mbtest.console import Screen
from mbtest.harness.boxes import boxes
from mbtest.harness.catalogue import cases, coverage, rules
from mbtest.harness.presets import presets
from mbtest.harness.rehearsal import names_of, users
from mbtest.harness.topologies import topologies
from mbtest.network.topology import NetworkPath
from mbtest.results import BoxParameter, Level
from mbtest.stacks import STACKS, stack

WIDTH = 110
"""Columns of the lines below an entry."""


def show(what: str, as_json: bool) -> None:
    """Print a list: `cases`, `boxes`, `topologies`, `stacks`, `profiles`, `presets`, `requirements`, `rules`.

    Raises UsageError for broken content.
    """
    entries = {
        "cases": _cases,
        "boxes": _boxes,
        "topologies": _topologies,
        "stacks": _stacks,
        "profiles": _profiles,
        "presets": _presets,
        "requirements": _requirements,
        "rules": _rules,
    }[what]()
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(entries), indent=1) + b"\n")
        return
    console = Screen(highlight=False)
    group = ""
    for entry in entries:
        if entry.get("topic", "") != group:
            group = entry["topic"]
            console.print(f"\n[bold]{escape(group)}[/]")
        console.print(f"[bold cyan]{escape(entry['name'])}[/]  {escape(entry['summary'])}", soft_wrap=True)
        for line in entry["details"]:
            console.print(escape(_wrapped(line)), style="dim", soft_wrap=True)
    if total := _TOTALS.get(what):
        console.print(f"\n{total(entries)}", soft_wrap=True)


def _cases() -> list[dict[str, Any]]:
    return [
        {
            "topic": case.topic,
            "name": case.id,
            "summary": case.title,
            "level": case.level,
            "requirements": case.requirements,
            "families": case.families,
            "directions": [direction.value for direction in case.directions],
            "checksums": case.checksums,
            "topology": case.topology,
            "lessons": case.lessons,
            "details": [
                *([f"{case.level}: {', '.join(case.requirements)}"] if case.requirements else ()),
                *([f"lesson: {', '.join(case.lessons)}"] if case.lessons else ()),
            ],
        }
        for case in cases().values()
    ]


def _boxes() -> list[dict[str, Any]]:
    used, chains = users(), {found.name: names_of(found.boxes) for found in presets()}
    found = []
    for box in boxes():
        by = used.get(box.name, ())
        within = [chain for chain, names in chains.items() if box.name in names]
        details = [_parameter(parameter) for parameter in box.parameters]
        details += [f"in the preset{'s' * (len(within) > 1)} {', '.join(within)}"] if within else []
        details.append(f"used by {_number(len(by), 'case')}: {_by_family(by)}" if by else "used by no case")
        found.append(
            {
                "topic": box.group,
                "name": box.name,
                "summary": box.summary,
                "parameters": box.parameters,
                "presets": within,
                "cases": by,
                "details": details,
            }
        )
    return found


def _by_family(cases: Sequence[str]) -> str:
    """Return cases in words: those that share the word before the dot together, with their number."""
    families: dict[str, list[str]] = {}
    for case in cases:
        families.setdefault(case.partition(".")[0], []).append(case)
    return ", ".join(
        found[0] if len(found) == 1 else f"{family}.* ({len(found)})" for family, found in families.items()
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _wrapped(line: str) -> str:
    """Return a line of details, as many lines as it needs, below the entry's name."""
    return textwrap.fill(
        line, WIDTH, initial_indent="    ", subsequent_indent="      ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _parameter(parameter: BoxParameter) -> str:
    """Return a parameter in a line: its default, what it means, what it can be, and in which unit."""
    words = [f"{parameter.name}={parameter.default or '(must be given)'}:", parameter.meaning]
    if parameter.choices:
        words.append(f"[{', '.join(parameter.choices)}]")
    if limits := parameter.limits or parameter.unit:
        words.append(f"({limits})")
    return " ".join(word for word in words if word)


def _topologies() -> list[dict[str, Any]]:
    return [
        {
            "name": topology.name,
            "summary": topology.description,
            "paths": [msgspec.structs.asdict(path) for path in topology.paths],
            "details": [_path(path) for path in topology.paths],
        }
        for topology in topologies()
    ]


def _path(path: NetworkPath) -> str:
    words = f"{path.name}: {path.client} to {path.server}"
    if not path.ideal:
        words += f", {path.delay_us} us, {path.rate_bps or 'any'} bit/s, loss {path.loss:g}"
    if path.reorder:
        words += f", reorder {path.reorder:g} by {path.reorder_by_us} us"
    return f"{words}, duplicate {path.duplicate:g}" if path.duplicate else words


def _stacks() -> list[dict[str, Any]]:
    found = []
    for name in STACKS:
        kind = stack(name)
        lacking = kind.lacks()
        able = sorted(capability.value for capability in kind.capabilities())
        found.append(
            {
                "name": kind.name,
                "summary": kind.summary,
                "capabilities": able,
                "networks": sorted(kind.backends),
                "lacks": lacking,
                "details": [
                    lacking
                    or f"can: {', '.join(able) or 'regular TCP'}; on {', '.join(sorted(kind.backends))}"
                ],
            }
        )
    return found


def _profiles() -> list[dict[str, Any]]:
    from mbtest.stacks.reference import profiles  # noqa: PLC0415 - the other lists do without

    return [
        {"name": f"reference+{name}", "summary": summary, "details": []}
        for name, summary in profiles().items()
    ]


def _requirements() -> list[dict[str, Any]]:
    found = []
    for entry in coverage():
        if entry.untestable:
            tests = f"cannot be tested from outside: {entry.untestable}"
        elif entry.tested:
            tests = f"tested by {', '.join((*entry.rules, *entry.cases))}"
        else:
            tests = f"NOT TESTED; could be by {' or '.join(f'a {tester}' for tester in entry.by)}"
        found.append(
            {
                "topic": f"{entry.section} {entry.heading}".rstrip(),
                "name": entry.id,
                "summary": f"{entry.level}{' (implied)' if entry.implied else ''}: {entry.text}",
                "level": entry.level,
                "implied": entry.implied,
                "text": entry.text,
                "section": entry.section,
                "by": entry.by,
                "untestable": entry.untestable,
                "tested": entry.tested,
                "cases": entry.cases,
                "rules": entry.rules,
                "details": [tests],
            }
        )
    return found


def _presets() -> list[dict[str, Any]]:
    return [
        {
            "name": found.name,
            "summary": found.description,
            "source": found.source,
            "boxes": [box.describe() for box in found.boxes],
            "details": [
                *(box.describe() for box in found.boxes),
                *([f"source: {found.source}"] if found.source else ()),
            ],
        }
        for found in presets()
    ]


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "topic": rule.id.partition(".")[0],
            "name": rule.id,
            "summary": rule.claim,
            "level": rule.level,
            "clause": rule.clause,
            "requirements": rule.requirements,
            "details": [f"{rule.level} {rule.clause}: {', '.join(rule.requirements)}"],
        }
        for rule in rules().values()
    ]


def _cases_in_all(entries: list[dict[str, Any]]) -> str:
    topics = {entry["topic"] for entry in entries}
    return f"{len(entries)} cases in {len(topics)} topics"


def _boxes_in_all(entries: list[dict[str, Any]]) -> str:
    used = sum(bool(entry["cases"]) for entry in entries)
    return (
        f"{len(entries)} boxes, {used} of them used by cases; each takes `aim=Aim(...)` besides, "
        "which limits it to some segments"
    )


def _requirements_in_all(entries: list[dict[str, Any]]) -> str:
    """Return how many requirements are tested, of those that can be, of all; in all and by level."""
    testable = [entry for entry in entries if not entry["untestable"]]
    levels = []
    for level in Level:
        of_level = [entry for entry in testable if entry["level"] is level]
        levels.append(f"{level} {sum(entry['tested'] for entry in of_level)} of {len(of_level)}")
    tested = sum(entry["tested"] for entry in testable)
    return f"{tested} tested of {len(testable)} testable of {len(entries)} in all ({', '.join(levels)})"


_TOTALS = {"cases": _cases_in_all, "boxes": _boxes_in_all, "requirements": _requirements_in_all}
"""What stands at the end of a list."""
