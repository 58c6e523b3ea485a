"""The suite as a user runs it: wall time of all cases, Linux with Linux, and the memory of a worker."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import record
from mbtest import results


def main() -> None:
    """Run all cases once."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "mbtest", "run", "--out", str(out)],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        seconds = time.monotonic() - started
        found = results.read(out)
    record("suite wall time", round(seconds, 1), "s")
    record("suite runs", len(found.runs), "runs")
    record("suite rate", round(len(found.runs) / seconds, 1), "runs/s")
    # Linux counts ru_maxrss in KiB; of children it is the largest one's.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    record("largest process of the suite", round(peak, 1), "MiB")
    slowest = sorted(found.runs, key=lambda run: -run.seconds)[:10]
    for run in slowest:
        print(f"  {run.seconds:6.2f} s  {run.id}")


if __name__ == "__main__":
    main()
