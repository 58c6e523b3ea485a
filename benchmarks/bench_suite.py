"""The suite as a user runs it: wall time and memory of all cases, Linux with Linux, and simulated."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import record
from mbtest import results

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
    record(f"{what} wall time", round(seconds, 1), "s")
    record(f"{what} runs", len(found.runs), "runs")
    record(f"{what} rate", round(len(found.runs) / seconds, 1), "runs/s")
    # Linux counts ru_maxrss in KiB.
    peak = int(finished.stdout) / 1024
    record(f"largest process of the {what}", round(peak, 1), "MiB")
    slowest = sorted(found.runs, key=lambda run: -run.seconds)[:10]
    for run in slowest:
        print(f"  {run.seconds:6.2f} s  {run.id}")


if __name__ == "__main__":
    main()
