"""How often runs come to which verdict and outcome, repeated while all processors are kept busy.

python -m benchmarks.stability 'payload.*' --times 200 --keep DIR

`--keep` leaves a run directory for each end that runs came to, with the first run that came to it: what
`mbtest show RUN --dir DIR/fail-stalled` and `mbtest check` read.
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import shlex
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import msgspec

from mbtest import content, results
from mbtest.harness.case import Case, Choice, Variant, cases_of, variants
from mbtest.harness.fixture import RunFixture
from mbtest.harness.pairs import pairs_of
from mbtest.harness.provenance import provenance
from mbtest.harness.topologies import topology
from mbtest.network import privileges
from mbtest.network.collector import collect_seldom
from mbtest.results import Results, Run

FRESH = 200
"""Runs after which a worker is replaced."""
SEED = 1


class Place(NamedTuple):
    """Where a run stands: its case's module and function, and its number among the runs of that."""

    module: str
    function: str
    number: int
    id: str


class End(NamedTuple):
    """What a run came to."""

    verdict: str
    outcome: str


LOST = End("given up", "none")
"""That of a run that did not come back, or took its worker with it: the kernel may have it."""
Ends = Mapping[str, Counter[End]]
"""How often which end was come to, by the run's id."""


def runs(globs: list[str]) -> Iterator[Place]:
    """Give each run of the cases that are named; a glob with a slash names runs."""
    for module in content.modules("testcases"):
        for name, function in vars(module).items():
            if getattr(function, "__module__", "") != module.__name__:
                continue
            for number, (case, variant) in enumerate(_variants(function)):
                run = f"{case.id}/{variant.suffix}"
                if any(fnmatch.fnmatchcase(run if "/" in glob else case.id, glob) for glob in globs):
                    yield Place(module.__name__, name, number, run)


def _variants(function: object) -> list[tuple[Case, Variant]]:
    choice = Choice(pairs=pairs_of("namespaces", None, None))
    return [(case, variant) for case in cases_of(function) for variant in variants(case, choice)]


def once(place: Place, directory: Path | None) -> Run:
    """Carry a run out, and return its entry. directory: where its capture is written."""
    function = getattr(content.load(place.module), place.function)
    case, variant = _variants(function)[place.number]
    fixture = RunFixture(case, variant, SEED, topology, (), "namespaces", (), directory)
    failure: BaseException | None = None
    try:
        function(fixture)
    except Exception as error:  # noqa: BLE001 - what a case raises becomes its verdict
        failure = error
    return fixture.result(failure)


def end_of(run: Run) -> End:
    """Return what a run came to."""
    return End(run.verdict.value, run.outcome.value if run.outcome else "none")


def busy() -> None:
    """Keep a processor busy, until ended, or nobody is left to end it."""
    asker = os.getppid()
    while os.getppid() == asker:
        sum(range(10_000))


def work(connection: Connection, directory: Path | None) -> None:
    """Carry out the runs that are asked for, one after the other, until none is, or nobody is left to ask."""
    asker = os.getppid()
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            while not connection.poll(1):
                if os.getppid() != asker:
                    return
            place = connection.recv()
            if place is None:
                return
            connection.send(once(place, directory))


class Worker:
    """A process that carries out runs, one at a time."""

    def __init__(self, directory: Path | None) -> None:
        """Start it. directory: its own; controls are shared by the runs of a worker, and no others."""
        self.connection, other = multiprocessing.Pipe()
        self.directory = directory
        if directory is not None:
            (directory / "captures").mkdir(parents=True)
        self._process = multiprocessing.Process(target=work, args=(other, directory), daemon=True)
        self._process.start()
        other.close()
        self.place = Place("", "", 0, "")
        self.since = time.monotonic()
        self.count = 0

    def begin(self, place: Place) -> None:
        """Have a run carried out."""
        self.place, self.since = place, time.monotonic()
        self.count += 1
        self.connection.send(place)

    def end(self, *, at_once: bool = False) -> None:
        """Let the process end. Nobody waits for it: one that the kernel holds never ends."""
        if at_once:
            self._process.kill()
        else:
            self.connection.send(None)
        self.connection.close()


class Kept:
    """A run directory for each end that runs came to, with the first run that came to it."""

    def __init__(self, directory: Path, jobs: int) -> None:
        """Prepare the directory."""
        self._directory = directory
        self._runs: dict[End, dict[str, Run]] = {}
        self._started = time.monotonic()
        self._provenance = provenance(
            started=time.time(),
            seconds=0.0,
            command=shlex.join(["python", "-m", "benchmarks.stability", *sys.argv[1:]]),
            seed=SEED,
            jobs=jobs,
            interrupted=False,
        )

    def take(self, run: Run, found_in: Path) -> None:
        """Keep a run, if it is the first that came to its end. found_in: the directory of its artifacts."""
        end = end_of(run)
        runs = self._runs.setdefault(end, {})
        if run.id in runs:
            return
        runs[run.id] = run
        directory = self._directory / "-".join(end)
        for name in run.artifacts.values():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (found_in / name).rename(directory / name)
        seconds = round(time.monotonic() - self._started, 3)
        told = msgspec.structs.replace(self._provenance, seconds=seconds)
        entries = tuple(sorted(runs.values(), key=lambda one: (one.topic, one.id)))
        # What is known is there to be read while the others run.
        directory.mkdir(parents=True, exist_ok=True)
        results.write(Results(provenance=told, runs=entries), directory)


class Stability:
    """Repeats runs, counts their ends, and keeps a run of each."""

    def __init__(
        self,
        places: Sequence[Place],
        jobs: int,
        patience: float,
        keep: Path | None,
        at_most: float = float("inf"),
    ) -> None:
        """Prepare.

        patience: seconds after which a run is given up. keep: where runs are kept. at_most: seconds after
        which no further run is begun.
        """
        self._left = deque(places)
        self._until = time.monotonic() + at_most
        self._jobs, self._patience, self._keep = min(jobs, len(places)), patience, keep
        self._kept = Kept(keep, jobs) if keep is not None else None
        self._workers: list[Worker] = []
        self._started = 0
        self.found: dict[str, Counter[End]] = {}

    def go(self) -> None:
        """Carry all runs out."""
        for _ in range(self._jobs):
            self._start()
        while self._workers:
            # Those that ended without a word are ready, too.
            ready = wait([worker.connection for worker in self._workers], timeout=1)
            for worker in list(self._workers):
                if worker.connection in ready:
                    self._take(worker)
                elif time.monotonic() - worker.since > self._patience:
                    self._give_up(worker)

    def stop(self) -> None:
        """Give up what is under way, uncounted."""
        while self._workers:
            self._workers.pop().end(at_once=True)

    def _start(self) -> None:
        """Start a worker, while there is something for it to do."""
        if self._left:
            self._started += 1
            directory = None if self._keep is None else self._keep / "workers" / str(self._started)
            worker = Worker(directory)
            self._workers.append(worker)
            worker.begin(self._left.popleft())

    def _take(self, worker: Worker) -> None:
        """Take in what a worker has to say, and give it its next run."""
        try:
            run: Run = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._give_up(worker)
            return
        self.found.setdefault(run.id, Counter())[end_of(run)] += 1
        if time.monotonic() > self._until:
            self._left.clear()
        if self._kept is not None and worker.directory is not None:
            self._kept.take(run, worker.directory)
        if self._left and worker.count < FRESH:
            worker.begin(self._left.popleft())
            return
        worker.end()
        self._workers.remove(worker)
        self._start()

    def _give_up(self, worker: Worker) -> None:
        """Count the run of a worker as one that does not come back, and start another in its stead."""
        self.found.setdefault(worker.place.id, Counter())[LOST] += 1
        worker.end(at_once=True)
        self._workers.remove(worker)
        self._start()


def table(found: Ends) -> list[str]:
    """Return, as lines of Markdown, how often which of several ends was come to."""
    lines = ["| run | verdict | outcome | times |", "|---|---|---|---:|"]
    for name, ends in sorted(found.items()):
        if len(ends) > 1:
            lines += [
                f"| `{name}` | {end.verdict} | {end.outcome} | {count} |" for end, count in ends.most_common()
            ]
    return lines if len(lines) > 2 else []


def main() -> int:
    """Print the runs that came to more than one end; return 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="+", help="globs of case ids; of run ids, where there is a slash")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=6 * (os.cpu_count() or 1))
    parser.add_argument("--keep", type=Path, help="a directory that is not there yet")
    parser.add_argument("--at-most", type=float, default=float("inf"), help="seconds; then no run is begun")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds; then a run is given up")
    told = parser.parse_args()
    if told.keep is not None and told.keep.exists():
        parser.error(f"--keep {told.keep}: it is there; name one that is not")
    content.use()
    privileges.enter()
    collect_seldom()
    places = list(runs(told.cases))
    # Neighbours in time differ: what one run does to another would show in all of them otherwise.
    stability = Stability([*places * told.times], told.jobs, told.patience, told.keep, told.at_most)
    load = [multiprocessing.Process(target=busy, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in load:
        process.start()
    try:
        stability.go()
    except KeyboardInterrupt:
        stability.stop()
    finally:
        for process in load:
            process.terminate()
    lines = table(stability.found)
    several = sum(len(ends) > 1 for ends in stability.found.values())
    lost = [name for name, ends in sorted(stability.found.items()) if LOST in ends]
    times = sorted({ends.total() for ends in stability.found.values()}) or [0]
    often = f"{times[0]} to {times[-1]}" if times[1:] else f"{times[0]}"
    lines.append(f"{len(stability.found)} runs, {often} times each; {several} came to several ends")
    if lost:
        lines.append(f"given up, see dmesg: {', '.join(lost)}")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if several or lost else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # The interpreter would wait for the processes that were given up, some of which never end.
    os._exit(status)
