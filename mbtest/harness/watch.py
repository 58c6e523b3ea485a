"""Runs that the kernel under test takes down with it, or keeps: told from faults of ours, and survived.

A plugin of the controller. A run whose process the kernel ended, or does not let go, fails with what the
kernel says of it; the other runs go on in other processes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from mbtest.errors import HarnessError
from mbtest.harness import PROPERTY
from mbtest.harness.fixture import KernelFault, RunFixture
from mbtest.results import Alarm, Evidence, Finding
from mbtest.stacks.guard import Guard, Held

SHOWN = 12
"""Lines of the kernel's report that a finding has; the report of the runs has all."""
INNERMOST = 4
"""Functions that a process waits in that are told."""


class Watch:
    """Gathers what the kernel reports, and gives up processes that it holds."""

    def __init__(self, fixture: Callable[[str], RunFixture | None], patience: float) -> None:
        """Begin.

        fixture: returns that of a run by its id, as its process had it; None where there is no such run.
        patience: seconds that a process may wait in the kernel without a moment on a processor.
        """
        self._fixture = fixture
        self._under_way: dict[str, None] = {}
        self._alarms: list[Alarm] = []
        self._nodes: dict[int, object] = {}
        self._held: dict[int, Held] = {}
        self._down = 0
        self._guard = Guard(self._heard, self._gave_up, patience)
        self._guard.start()

    def finish(self) -> tuple[Alarm, ...]:
        """Watch no more, and return what the kernel reported."""
        self._guard.stop()
        return tuple(self._alarms)

    # -- what pytest and xdist tell ---------------------------------------------------------------

    @pytest.hookimpl
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Remember that a run is under way."""
        self._under_way[run_of(nodeid)] = None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Remember that a run is over."""
        self._under_way.pop(run_of(nodeid), None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: object) -> None:
        """Watch over a process that has begun."""
        # execnet asks for this at the start and keeps it; nothing else tells a worker's process.
        pid = node.gateway._rinfo().pid  # type: ignore[attr-defined]
        self._nodes[pid] = node
        self._guard.watch(pid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Remember which process went down: what it was carrying out is told next."""
        self._down = next((pid for pid, one in self._nodes.items() if one is node), 0)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Give the run that a process did not come back from its entry."""
        self._under_way.pop(run_of(crashitem), None)
        found = self._fixture(run_of(crashitem))
        if found is None:
            return
        entry = found.result(self._failure(self._down))
        report.when = "call"
        report.user_properties.append((PROPERTY, msgspec.json.encode(entry).decode()))

    # -- what the guard tells, from its thread ------------------------------------------------------

    def _heard(self, alarm: Alarm) -> None:
        self._alarms.append(msgspec.structs.replace(alarm, runs=tuple(self._under_way)))

    def _gave_up(self, held: Held) -> None:
        self._held[held.pid] = held
        if not held.ended:
            # The pipe of a process that cannot end stays open, and xdist would wait for its end.
            node = self._nodes[held.pid]
            node.notify_inproc("errordown", node=node, error="held by the kernel")  # type: ignore[attr-defined]

    # -- the entry ----------------------------------------------------------------------------------

    def _failure(self, pid: int) -> Exception:
        """Return what ended, or holds, a process: the kernel under test, or we do not know what."""
        held = self._held.get(pid)
        own = [alarm for alarm in self._alarms if alarm.pid == pid]
        if held is None and not own:
            return HarnessError(
                "the process of this run ended before it, and the kernel reports no fault in it"
            )
        expected = "the kernel comes back from every call of an application"
        words = "the kernel ended the process"
        if held is not None:
            waits = " < ".join(held.where[:INNERMOST]) or "functions that we may not know"
            words = f"the kernel did not come back from a call: it waits in {waits}"
            words += "" if held.ended else ", and cannot be ended"
        alarms = own or self._alarms[-1:]
        if held is not None and not held.in_sockets and not alarms:
            return HarnessError(f"{words}; that is not the stack under test")
        if alarms:
            words += f"; it reported: {alarms[-1].title}"
        evidence = [Evidence(0, line) for alarm in alarms[-1:] for line in alarm.lines[:SHOWN]]
        return KernelFault(Finding(expected=expected, actual=words, met=False, evidence=tuple(evidence)))


def run_of(nodeid: str) -> str:
    """Return the id of the run that is a test: what pytest has between brackets."""
    return nodeid.partition("[")[2].removesuffix("]")
