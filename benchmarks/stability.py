"""How often runs come to which verdict and outcome, repeated while all processors are kept busy.

python -m benchmarks.stability 'payload.*' --times 200
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator

from mbtest import content
from mbtest.harness.case import Case, Choice, Variant, cases_of, variants
from mbtest.harness.fixture import RunFixture
from mbtest.harness.pairs import pairs_of
from mbtest.harness.topologies import topology
from mbtest.network import privileges
from mbtest.network.collector import collect_seldom

Told = tuple[str, str, str]
"""A run's id, verdict and outcome."""


def runs(globs: list[str]) -> Iterator[tuple[str, str, int]]:
    """Give module, function and number of each run of the cases that are named."""
    for module in content.modules("testcases"):
        for name, function in vars(module).items():
            if getattr(function, "__module__", "") != module.__name__:
                continue
            for number, (case, _) in enumerate(_variants(function)):
                if any(fnmatch.fnmatchcase(case.id, glob) for glob in globs):
                    yield module.__name__, name, number


def _variants(function: object) -> list[tuple[Case, Variant]]:
    choice = Choice(pairs=pairs_of("namespaces", None, None))
    return [(case, variant) for case in cases_of(function) for variant in variants(case, choice)]


def once(place: tuple[str, str, int]) -> Told:
    """Carry a run out, and return what came of it."""
    module, name, number = place
    function = getattr(content.load(module), name)
    case, variant = _variants(function)[number]
    fixture = RunFixture(case, variant, 1, topology, ())
    failure: BaseException | None = None
    try:
        function(fixture)
    except Exception as error:  # noqa: BLE001 - what a case raises becomes its verdict
        failure = error
    entry = fixture.result(failure)
    return entry.id, entry.verdict.value, entry.outcome.value if entry.outcome else "none"


def busy() -> None:
    """Keep a processor busy, until ended."""
    while True:
        sum(range(10_000))


def main() -> int:
    """Print the runs that came to more than one end; return 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1))
    told = parser.parse_args()
    content.use()
    privileges.enter()
    collect_seldom()
    places = [place for place in runs(told.cases) for _ in range(told.times)]
    found: dict[str, Counter[tuple[str, str]]] = {}
    load = [multiprocessing.Process(target=busy, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in load:
        process.start()
    with multiprocessing.Pool(told.jobs, maxtasksperchild=200) as pool:
        for name, verdict, outcome in pool.imap_unordered(once, places):
            found.setdefault(name, Counter())[verdict, outcome] += 1
    for process in load:
        process.terminate()
    several = {name: ends for name, ends in sorted(found.items()) if len(ends) > 1}
    for name, ends in several.items():
        words = ", ".join(f"{verdict} {outcome} {count}" for (verdict, outcome), count in ends.most_common())
        sys.stdout.write(f"{name}: {words}\n")
    sys.stdout.write(f"{len(found)} runs, {told.times} times each; {len(several)} came to several ends\n")
    return 1 if several else 0


if __name__ == "__main__":
    sys.exit(main())
