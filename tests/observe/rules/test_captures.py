"""What `mbtest check` finds in captures with known breaches: all of them, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mbtest.checking import read_one
from mbtest.observe.rules import RULES
from tests.observe.rules.captures import departures, write

ROOT = Path(__file__).resolve().parents[3]
DEPARTURES = departures()


def test_there_is_one_for_each_rule() -> None:
    assert set(DEPARTURES) == set(RULES)


@pytest.mark.parametrize("name", sorted(DEPARTURES))
def test_a_capture_is_caught_by_exactly_its_rules(name: str, tmp_path: Path) -> None:
    make, rules = DEPARTURES[name]
    checked = read_one(write(make(), tmp_path / "breach.pcapng"))
    assert {breach.rule for breach in checked.book.breaches} == rules
    assert not checked.readers[0].broken


def test_they_are_written_for_other_tools(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.observe.rules.captures", str(tmp_path / "captures")]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = json.loads((tmp_path / "captures" / "expected.json").read_text(encoding="utf-8"))
    assert said.startswith(f"{len(expected)} captures in ")
    assert {path.name for path in (tmp_path / "captures").glob("*.pcapng")} == set(expected)
    assert {rule for rules in expected.values() for rule in rules} == set(RULES)
