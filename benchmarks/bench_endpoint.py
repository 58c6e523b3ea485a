"""The reference endpoint: the case matrix and bulk transfers in virtual time, and with the kernel."""

from __future__ import annotations

import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from benchmarks.record import record
from mbtest import content
from mbtest.harness.case import Choice, Variant, cases_of, variants
from mbtest.harness.fixture import RunFixture
from mbtest.harness.plan import Plan
from mbtest.harness.session import carry_out
from mbtest.harness.topologies import topology
from mbtest.harness.workload import MIB, Workload
from mbtest.middlebox import Direction
from mbtest.network import privileges
from mbtest.network.contract import Backend

REFERENCE = "reference"
BULK = 10 * MIB
TOP = 5
Case = Callable[[RunFixture], None]


def matrix(folder: Path) -> Iterator[tuple[Case, RunFixture]]:
    """Give every run of every case: reference with reference, in virtual time."""
    for module in content.modules("testcases"):
        for function in vars(module).values():
            if getattr(function, "__module__", "") != module.__name__:
                continue
            for case in cases_of(function):
                for variant in variants(case, Choice(pairs=((REFERENCE, REFERENCE),))):
                    yield function, RunFixture(case, variant, 1, topology, (), "simulated", (), folder)


def run_matrix(folder: Path, every: int = 1) -> list[tuple[float, str, int]]:
    """Carry all runs out, judged, captures written; return (CPU seconds, id, frames) of each."""
    found = []
    for function, fixture in islice(matrix(folder), 0, None, every):
        started = time.process_time()
        failure: Exception | None = None
        try:
            function(fixture)
        except Exception as error:  # noqa: BLE001 - as the harness has it: a case's exception is its verdict
            failure = error
        fixture.result(failure)
        session = fixture.session
        frames = 0 if session is None else len(session.capture)
        found.append((time.process_time() - started, fixture.id, frames))
    return found


def bulk(client: str, server: str, direction: Direction, network: Backend) -> tuple[float, float]:
    """Transfer 10 MiB; return the processor and the wall seconds that it took."""
    sends = {"client_sends" if direction is Direction.TO_SERVER else "server_sends": BULK}
    plan = Plan(
        variant=Variant(
            client=client,
            server=server,
            family="v4",
            direction=direction,
            checksum=False,
            topology="one-path",
        ),
        topology=topology("one-path"),
        boxes=(),
        workload=Workload(**sends),  # type: ignore[arg-type]
        seed=1,
        subflows=0,
        patience=20.0,
        limit=60.0,
        sysctls={},
        backup=False,
        network=network,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    session = carry_out(plan)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    stream = session.stream(direction)
    if stream.received != BULK or stream.first_difference is not None:
        raise RuntimeError(f"{client} to {server}: {msgspec.structs.asdict(stream)}")
    return cpu, wall


def print_costs(what: str, work: Callable[[], object]) -> None:
    """Print the functions that take the most time themselves, each with its share."""
    profile = cProfile.Profile()
    profile.enable()
    work()
    profile.disable()
    print(f"  where the time of {what} goes:")
    table = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in table.values())
    largest = sorted(table.items(), key=lambda item: -item[1][2])[:TOP]
    for (file, _, name), entry in largest:
        print(f"  {entry[2] / total:6.1%}  {Path(file).stem}.{name}")


def main() -> None:
    """Measure."""
    content.use()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "captures").mkdir()
        runs = run_matrix(Path(folder))
        print_costs("every eighth run of the matrix", lambda: run_matrix(Path(folder), every=8))
    seconds = sum(cpu for cpu, _, _ in runs)
    record(
        "simulated case matrix, judged, captures written", round(len(runs) / seconds, 1), "runs/s and core"
    )
    record(
        "simulated case matrix: median run",
        round(statistics.median(cpu for cpu, _, _ in runs) * 1000, 1),
        "ms",
    )
    record(
        "simulated case matrix: frames captured",
        round(sum(n for _, _, n in runs) / seconds),
        "frames/s and core",
    )
    for cpu, name, frames in sorted(runs, reverse=True)[:TOP]:
        print(f"  {cpu * 1000:6.0f} ms, {frames} frames  {name}")
    cpu, _ = bulk(REFERENCE, REFERENCE, Direction.TO_SERVER, "simulated")
    record("10 MiB reference to reference, virtual time", round(10 / cpu, 2), "MiB/CPU second")
    print_costs("that", lambda: bulk(REFERENCE, REFERENCE, Direction.TO_SERVER, "simulated"))
    privileges.enter()
    for client, server in ((REFERENCE, "linux"), ("linux", REFERENCE)):
        _, wall = bulk(client, server, Direction.TO_SERVER, "namespaces")
        record(f"10 MiB {client} to {server}", round(BULK * 8 / wall / 1e6), "Mbit/s")


if __name__ == "__main__":
    main()
