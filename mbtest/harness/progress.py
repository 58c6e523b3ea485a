"""What a run of the suite shows while it goes on, and at its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import rich.progress
from rich.console import Console
from rich.table import Table

from mbtest.harness.gather import entry_of
from mbtest.results import Results, Run, Verdict

STYLES = {
    Verdict.PASS: ("green", "✓"),
    Verdict.NON_STRICT: ("yellow", "≈"),
    Verdict.FAIL: ("bold red", "✗"),
    Verdict.INFORMATIONAL: ("cyan", "i"),
    Verdict.UNSUPPORTED: ("dim", "–"),
    Verdict.INCONCLUSIVE: ("magenta", "?"),
    Verdict.HARNESS_ERROR: ("bold red reverse", "!"),
}
_QUIET = frozenset((Verdict.PASS, Verdict.INFORMATIONAL, Verdict.UNSUPPORTED))


class Progress:
    """A plugin of the controller: a bar in a terminal, a line for each run elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        """Prepare for `total` runs."""
        self._console = console
        self._total = total
        self._done = 0
        self._counts: Counter[Verdict] = Counter()
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("runs", total=total)
        self.complaint = ""
        """What went wrong outside of any run."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.stop()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember what could not be collected."""
        if report.failed:
            self.complaint = str(report.longrepr).strip().splitlines()[-1]

    def pytest_internalerror(self, excrepr: object) -> None:
        """Remember what broke in pytest itself."""
        self.complaint = str(excrepr).strip().splitlines()[-1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Show a run that ended."""
        entry = entry_of(report)
        if entry is None:
            return
        self._done += 1
        self._counts[entry.verdict] += 1
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self._done, description=self._words())
            if entry.verdict not in _QUIET:
                self._bar.console.print(line(entry), soft_wrap=True)
        else:
            number = f"{self._done:>{len(str(self._total))}}/{self._total}"
            self._console.print(f"{number} {line(entry)}", soft_wrap=True)

    def _words(self) -> str:
        return " ".join(
            f"[{STYLES[verdict][0]}]{STYLES[verdict][1]} {count}[/]"
            for verdict, count in self._counts.items()
        )


def line(run: Run) -> str:
    """Return a run in one line of rich markup."""
    style, mark = STYLES[run.verdict]
    outcome = run.outcome.value if run.outcome else "-"
    words = f"[{style}]{mark} {run.verdict.value}[/] {_escape(run.id)} {outcome} {run.seconds:.2f} s"
    return words if run.verdict in _QUIET else f"{words}: {_escape(run.reason)}"


def summary(console: Console, found: Results, page: Path) -> None:
    """Print the matrix of topics and verdicts, what needs a look, and where the report is."""
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    table.add_column("topic")
    verdicts = list(found.tally())
    for verdict in verdicts:
        style, mark = STYLES[verdict]
        table.add_column(f"{mark} {verdict.value}", justify="right", style=style)
    for topic in sorted({run.topic for run in found.runs}):
        counts = Counter(run.verdict for run in found.runs if run.topic == topic)
        table.add_row(topic, *(str(counts[verdict] or "") for verdict in verdicts))
    table.add_row("all", *(str(found.tally()[verdict]) for verdict in verdicts), style="bold")
    console.print(table)
    loud: dict[tuple[str, Verdict, str, bool], list[Run]] = {}
    for run in found.runs:
        if run.verdict not in _QUIET:
            key = run.case, run.verdict, run.outcome or "-", bool(run.interference)
            loud.setdefault(key, []).append(run)
    for (case, verdict, outcome, _), runs in loud.items():
        style, mark = STYLES[verdict]
        count = f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
        words = f"{_escape(case)} {outcome} ({count}): {_escape(runs[0].reason)}"
        console.print(f"[{style}]{mark} {verdict.value}[/] {words}", soft_wrap=True)
    for alarm in found.alarms:
        under_way = ", ".join(alarm.runs) or "no run"
        style, mark = STYLES[Verdict.FAIL]
        words = f"{_escape(alarm.title)} at {alarm.seconds:.3f} s; under way: {_escape(under_way)}"
        console.print(f"[{style}]{mark} the kernel reported[/] {words}", soft_wrap=True)
    seconds = found.provenance.seconds
    console.print(f"{len(found.runs)} runs in {seconds:.1f} s; report: {page}", soft_wrap=True)


def _escape(words: str) -> str:
    """Return words from packets and stacks so that they cannot be taken for markup or control a terminal."""
    printable = "".join(character if character.isprintable() else "�" for character in words)
    return printable.replace("[", r"\[")
