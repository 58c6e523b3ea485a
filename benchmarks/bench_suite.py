"""The suite as a user runs it: wall time and memory of all cases, Linux with Linux, and simulated."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import record
from benchmarks.waits import wait_of
from mbtest import results
from mbtest.results import Run

SLOWEST = 10
# The largest child's memory, told by a small process: what a large one starts is counted at its size.
ALONE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Run all cases once on each kind of network."""
    for what, words in (("suite", ["--client", "linux"]), ("simulated suite", ["--network", "simulated"])):
        _measure(what, words)


def _measure(what: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        command = [sys.executable, "-m", "mbtest", "run", *words, "--out", str(out)]
        started = time.monotonic()
        finished = subprocess.run([sys.executable, "-c", ALONE, *command], stdout=subprocess.PIPE, check=True)
        seconds = time.monotonic() - started
        found = results.read(out)
        cases = len({run.case for run in found.runs})
        record(f"{what} wall time", round(seconds, 1), "s")
        record(f"{what} cases", cases, "cases")
        record(f"{what} rate of cases", round(cases / seconds, 1), "cases/s")
        record(f"{what} runs", len(found.runs), "runs")
        record(f"{what} rate", round(len(found.runs) / seconds, 1), "runs/s")
        # Linux counts ru_maxrss in KiB.
        record(f"largest process of the {what}", round(int(finished.stdout) / 1024, 1), "MiB")
        print(f"  the {SLOWEST} slowest runs of the {what}, and the timer that each waited for:")
        for run in sorted(found.runs, key=lambda run: -run.seconds)[:SLOWEST]:
            print(f"  {run.seconds:6.2f} s  {run.id}: {_wait(run, out)}", flush=True)


def _wait(run: Run, directory: Path) -> str:
    """Return in words what a run waited for."""
    if run.network == "simulated":
        return "none, time is virtual"
    if "capture" not in run.artifacts:
        return f"nothing was captured: {run.reason}"
    return wait_of(run, directory / run.artifacts["capture"])


if __name__ == "__main__":
    main()
