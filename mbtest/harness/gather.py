"""Gathers the entries of all runs on the controller and writes what a run of the suite leaves behind."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import msgspec
import pytest

from mbtest import results
from mbtest.harness import PROPERTY
from mbtest.harness.boxes import boxes
from mbtest.harness.catalogue import coverage
from mbtest.harness.provenance import provenance
from mbtest.harness.watch import Watch
from mbtest.results import Level, Results, Run, Verdict


class Gatherer:
    """A plugin of the controller: takes the entry out of each report."""

    def __init__(self, config: pytest.Config, watch: Watch | None = None) -> None:
        """Prepare the run directory that the options name. watch: what listens to the kernel."""
        self._config, self._watch = config, watch
        self._directory = Path(config.getoption("mbtest_out"))
        (self._directory / "captures").mkdir(parents=True, exist_ok=True)
        self._started = time.time()
        self._monotonic = time.monotonic()
        self._runs: dict[str, Run] = {}
        # Before the first run: broken content is to end in a line, and not to cost the results.
        self._requirements = coverage()
        self._boxes = boxes()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a report of a phase of a test."""
        entry = entry_of(report)
        if entry is not None:
            self._runs[entry.id] = entry

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int | pytest.ExitCode) -> None:
        """Write `result.json`."""
        results.write(
            Results(
                provenance=provenance(
                    started=self._started,
                    seconds=time.monotonic() - self._monotonic,
                    command=os.environ.get("MBTEST_COMMAND") or shlex.join(sys.argv),
                    seed=self._config.getoption("mbtest_seed"),
                    jobs=_jobs(self._config),
                    interrupted=exitstatus == pytest.ExitCode.INTERRUPTED,
                    network=self._config.getoption("mbtest_network"),
                ),
                runs=tuple(sorted(self._runs.values(), key=lambda run: (run.topic, run.id))),
                requirements=self._requirements,
                boxes=self._boxes,
                alarms=self._watch.finish() if self._watch is not None else (),
            ),
            self._directory,
        )


def entry_of(report: pytest.TestReport) -> Run | None:
    """Return the entry that a report of a test brings; a harness error where the test broke without one."""
    if report.when == "call":
        for name, value in report.user_properties:
            if name == PROPERTY:
                return msgspec.json.decode(str(value), type=Run)
    if not report.failed:
        return None
    reason = str(report.longrepr).strip().splitlines() or ["the test broke"]
    return Run(
        id=report.nodeid,
        case=report.nodeid,
        topic=report.nodeid.partition("::")[0].rpartition("/")[2].removesuffix(".py").removeprefix("test_"),
        title="",
        client="",
        server="",
        family="v4",
        direction="to_server",
        checksum=False,
        seed=0,
        topology="",
        verdict=Verdict.HARNESS_ERROR,
        outcome=None,
        reason=f"{report.when}: {reason[-1]}",
        level=Level.MUST,
        seconds=round(report.duration, 3),
        repeat="",
    )


def _jobs(config: pytest.Config) -> int:
    number = getattr(config.option, "numprocesses", None)
    return number if isinstance(number, int) and number > 0 else 1
