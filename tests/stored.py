"""Run directories as `mbtest run` leaves them, made by hand."""

from __future__ import annotations

from pathlib import Path

from mbtest import results
from mbtest.network.capture import Capture
from mbtest.results import Level, Outcome, Provenance, Results, Run, Verdict
from tests.observe.conversation import Talk

POINTS = ("c1-s1/client", "c1-s1/server")
PROVENANCE = Provenance(
    mbtest="0.1.0", revision="", kernel="Linux 6.18", machine="x86_64", python="3.11", processors=2,
    libraries={}, privileges="root", started="2025-01-01T00:00:00+00:00", seconds=1.5, command="mbtest",
    seed=1, jobs=2, sysctls={},
)  # fmt: skip


def entry(number: int = 0, **said: object) -> Run:
    """A run's entry. said: fields that differ."""
    fields: dict[str, object] = {
        "id": f"topic.claim-{number}/linux-linux/v4/to_server/no-checksum", "case": f"topic.claim-{number}",
        "topic": "topic", "title": "It holds.", "client": "linux", "server": "linux", "family": "v4",
        "direction": "to_server", "checksum": False, "seed": 1, "topology": "one-path",
        "verdict": Verdict.PASS, "outcome": Outcome.MULTIPATH, "reason": "so it is", "level": Level.MUST,
        "seconds": 0.1, "artifacts": {"capture": "run.pcapng"}, "repeat": "mbtest run topic.claim",
    }  # fmt: skip
    return Run(**fields | said)  # type: ignore[arg-type]


def directory(folder: Path, *runs: Run, capture: Capture | None = None) -> Path:
    """A run directory with these runs, all of the same capture."""
    results.write(Results(provenance=PROVENANCE, runs=runs), folder)
    if capture is not None:
        capture.write(folder / "run.pcapng")
    return folder


def captured(talk: Talk, begin: int = 1_000_000) -> Capture:
    """The capture of a conversation; what arrives has its origin in what was sent last.

    begin: microseconds that passed before it.
    """
    capture = Capture(POINTS)
    origin: int | None = None
    for number, time, _, side, sender, raw in talk.frames:
        is_sent = side == sender
        capture.record(
            begin + time, 0 if side == "client" else 1, not is_sent, raw, None if is_sent else origin
        )
        if is_sent:
            origin = number
    return capture
