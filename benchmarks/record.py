"""Collects what benchmarks measure: printed as it comes, kept in results/bench.json."""

from __future__ import annotations

import json
from pathlib import Path

FILE = Path("results/bench.json")


def record(
    name: str, value: float, unit: str, numerator: float | None = None, denominator: float | None = None
) -> None:
    """Print a measurement and add it to the file.

    numerator, denominator: the two sides of a ratio, in the same unit as each other.
    """
    sides = None if numerator is None or denominator is None else [numerator, denominator]
    print(f"  {name}: {value:g} {unit}" + (f" ({sides[0]:g} / {sides[1]:g})" if sides else ""), flush=True)
    entries = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
    entries.append({"name": name, "value": value, "unit": unit, "ratio_of": sides})
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
