"""How long a run waits for its network: building a topology of two hosts, and taking it down."""

from __future__ import annotations

import statistics
import time

from benchmarks.record import record
from mbtest import content
from mbtest.network import privileges
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import Family, load_topology

ROUNDS = 40
MEASURED: tuple[tuple[str, Family], ...] = (
    ("one-path", "v4"),
    ("one-path", "v6"),
    ("dual-homed-client", "mixed"),
    ("dual-homed-both", "mixed"),
)


def main() -> None:
    """Measure each topology in turns, so that whatever else the machine does meets all of them."""
    privileges.enter()
    times: dict[tuple[str, Family], list[float]] = {which: [] for which in MEASURED}
    cpu = time.process_time()
    for _ in range(ROUNDS):
        for name, family in MEASURED:
            topology = load_topology(content.shipped() / "topologies" / f"{name}.toml")
            started = time.perf_counter()
            with NamespaceNetwork(topology, family, {}, 1):
                pass
            times[name, family].append((time.perf_counter() - started) * 1000)
    cpu = (time.process_time() - cpu) * 1000 / (ROUNDS * len(MEASURED))
    for (name, family), taken in times.items():
        record(f"build and take down {name}, {family}: median", round(statistics.median(taken), 1), "ms")
        deciles = statistics.quantiles(taken, n=10)
        record(f"build and take down {name}, {family}: 9 in 10 within", round(deciles[-1], 1), "ms")
    record("build and take down: processor time of the process", round(cpu, 1), "ms")


if __name__ == "__main__":
    main()
