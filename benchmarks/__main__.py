"""`make bench`: all measurements in one invocation, printed and written to results/bench.json."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

BENCHES = ("bench_wire", "bench_check", "bench_setup", "bench_forwarding", "bench_endpoint", "bench_suite")


def main() -> None:
    """Run the benchmarks that are named, all of them where none is."""
    wanted = sys.argv[1:] or BENCHES
    Path("results").mkdir(exist_ok=True)
    Path("results/bench.json").unlink(missing_ok=True)
    for name in wanted:
        print(f"\n{name}", flush=True)
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")


main()
