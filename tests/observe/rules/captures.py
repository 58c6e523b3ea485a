"""One capture for each rule that breaks it, with the rules that it must and must not be caught by.

python -m tests.observe.rules.captures DIR writes them, for other tools to be held against: one pcapng a rule,
and `expected.json`, which has the rules that each breaks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from mbtest.network.capture import Capture
from tests.observe.conversation import Talk
from tests.observe.rules import (
    test_acks,
    test_addresses,
    test_capable,
    test_closing,
    test_dss,
    test_fallback,
    test_join,
    test_tcp,
)

MODULES = (
    test_acks, test_addresses, test_capable, test_closing, test_dss, test_fallback, test_join, test_tcp,
)  # fmt: skip

Departure = tuple[Callable[[], Talk], frozenset[str]]


def departures() -> dict[str, Departure]:
    """Return what makes the conversation that breaks each rule, and all rules that it breaks."""
    found: dict[str, Departure] = {}
    for module in MODULES:
        for name, make in module.BROKEN.items():
            found[name] = make, frozenset({name})
    for name, (make, others) in test_acks.SEVERAL.items():
        found[name] = make, frozenset({name, *others})
    for name, make in test_capable.WITH_ANOTHER.items():
        found[name] = make, frozenset({name, test_capable.OPENERS[name]})
    found["close.data-fin-acked"] = (
        lambda: test_closing.fin_unacked(4),
        frozenset({"close.data-fin-acked", "dss.data-acked"}),
    )
    return found


def write(talk: Talk, file: Path) -> Path:
    """Write a conversation as it was captured at both hosts, and return the file."""
    paths = sorted({path or "p" for _, _, path, _, _, _ in talk.frames})
    points = [f"{path}/{side}" for path in paths for side in ("client", "server")]
    capture = Capture(points)
    for _, time, path, side, sender, raw in talk.frames:
        capture.record(time, points.index(f"{path or 'p'}/{side}"), side != sender, raw)
    capture.write(file)
    return file


def main() -> None:
    """Write all captures below the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (make, rules) in sorted(departures().items()):
        file = write(make(), folder / f"{name}.pcapng")
        expected[file.name] = sorted(rules)
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(expected)} captures in {folder}\n")


if __name__ == "__main__":
    main()
