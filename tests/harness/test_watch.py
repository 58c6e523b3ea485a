"""Runs whose process does not come back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mbtest import results
from mbtest.harness.fixture import KernelFault
from mbtest.harness.watch import run_of
from mbtest.results import Evidence, Finding, Verdict

CASES = '''
from mbtest.middlebox import Middlebox


class Gone(Middlebox):
    """Has the kernel hold the process, or end it, at the first packet."""

    def process(self, segment, direction):
        {deed}


@case("mine.gone", families=("v4",))
def test_gone(run):
    """Its process does not come back."""
    run(Gone(), client_sends=1)


@case("mine.others", families=("v4", "v6"), directions=BOTH_WAYS)
def test_others(run):
    """These do."""
    run(client_sends=1).expect(Outcome.MULTIPATH)
'''
# See tests/stacks/test_guard.py. That of a process which was killed while the kernel held it ends as well.
HOLD = """import ctypes, signal
        libc = ctypes.CDLL(None)
        if libc.vfork() == 0:
            libc.prctl(1, signal.SIGKILL)
            libc.pause()"""
END = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
ID = "mine.gone/linux-linux/v4/to_server/no-checksum"


@pytest.mark.parametrize(
    ("deed", "says"),
    [
        (HOLD, "the kernel did not come back from a call"),
        (END, "the process of this run ended before it, and the kernel reports no fault in it"),
    ],
    ids=["held", "ended"],
)
def test_a_run_that_does_not_come_back_is_told_and_the_others_go_on(own: Any, deed: str, says: str) -> None:
    own.cases(CASES.format(deed=deed))
    finished = own.pytest(
        "-n", "2", "--maxschedchunk", "1", "--mbtest-out", str(own.out), "--mbtest-patience", "8",
        "--mbtest-pair", "linux:linux", "--mbtest-content", str(own.folder),
    )  # fmt: skip
    assert finished.returncode == 1, finished.stdout + finished.stderr
    runs = {run.id: run for run in results.read(own.out).runs}
    gone = runs.pop(ID)
    # Neither is the doing of a stack: the kernel holds it outside of all sockets, and reports no fault.
    assert gone.verdict is Verdict.HARNESS_ERROR
    assert says in gone.reason
    assert (gone.case, gone.topic, gone.client, gone.outcome) == ("mine.gone", "mine", "linux", None)
    assert gone.repeat.startswith("mbtest run mine.gone --client linux")
    assert len(runs) == 2
    assert {run.id: run.reason for run in runs.values() if run.verdict is not Verdict.PASS} == {}


def test_a_kernel_that_breaks_fails_the_run(fixture: Any) -> None:
    finding = Finding(
        expected="the kernel comes back from every call of an application",
        actual="the kernel did not come back from a call: it waits in __lock_sock < mptcp_getsockopt",
        met=False,
        evidence=(Evidence(0, "Oops: divide error: 0000 [#1] SMP NOPTI"),),
    )
    entry = fixture().result(KernelFault(finding))
    assert (entry.verdict, entry.reason) == (Verdict.FAIL, finding.actual)
    assert entry.findings == (finding,)
    assert entry.artifacts == {}


def test_a_run_that_is_stuck_leaves_its_capture_before_its_sockets_are_asked(
    fixture: Any, tmp_path: Path
) -> None:
    from mbtest.testing import Aim, Kind  # noqa: PLC0415
    from middleboxes.drop import DropSegments  # noqa: PLC0415 - content is importable once it is in use

    (tmp_path / "captures").mkdir()
    run = fixture(directory=tmp_path)
    trial = run(DropSegments(aim=Aim(kinds=Kind.DATA)), client_sends=100, patience=0.2)
    assert trial.session.stuck
    (kept,) = (tmp_path / "captures").iterdir()
    assert kept.stat().st_size > 0
    entry = run.result(None)
    assert entry.artifacts["capture"] == str(kept.relative_to(tmp_path))
    assert os.path.getsize(kept) > 0


def test_a_run_is_named_in_the_name_of_its_test() -> None:
    assert run_of(f"testcases/test_mine.py::test_gone[{ID}]") == ID
    assert run_of("testcases/test_mine.py::test_gone") == ""
