"""The page of states is that of the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbtest.endpoint.diagram import diagram, page
from mbtest.endpoint.states import MACHINES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "states.md"


def test_the_documentation_shows_the_tables() -> None:
    hint = "run: python -m mbtest.endpoint.diagram > docs/states.md"
    assert PAGE.read_text(encoding="utf-8") == page(), hint


@pytest.mark.parametrize("name", MACHINES)
def test_every_transition_is_drawn(name: str) -> None:
    first, table = MACHINES[name]
    drawn = diagram(first, table)
    for state, events in table.items():
        for event, after in events.items():
            line = next(line for line in drawn.splitlines() if f"{state.name} --> {after.name}:" in line)
            assert str(event) in line


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_can_be_reached(name: str) -> None:
    first, table = MACHINES[name]
    reached = {first}
    while new := {after for state in reached for after in table[state].values()} - reached:
        reached |= new
    assert reached == set(table)
