"""The documentation's page of states, drawn from the tables.

`python -m mbtest.endpoint.diagram > docs/states.md` writes it.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping

from mbtest.endpoint.states import MACHINES

TITLES = {
    "subflow": "A subflow (RFC 9293 §3.3.2)",
    "join": "A subflow's authentication (RFC 8684 §3.2)",
    "mode": "How far a connection is Multipath TCP (RFC 8684 §3.1, §3.7)",
    "closing": "How a connection ends (RFC 8684 §3.3.3, §3.5, appendix D)",
}
_HEADING = """# States of the reference endpoint

Drawn by `python -m mbtest.endpoint.diagram` from the tables in `mbtest/endpoint/states.py`, which are
all that moves a state. A test holds this page against them.
"""

Tables = Mapping[enum.StrEnum, Mapping[enum.StrEnum, enum.StrEnum]]


def page() -> str:
    """Return the page, in Markdown with Mermaid diagrams."""
    parts = [_HEADING]
    for name, (first, table) in MACHINES.items():
        parts.append(f"## {TITLES[name]}\n\n{diagram(first, table)}")
    return "\n".join(parts)


def diagram(first: enum.StrEnum, table: Tables) -> str:
    """Return one machine as a Mermaid state diagram. first: its first state."""
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{state}" as {state.name}' for state in table if state.name != str(state)]
    lines.append(f"    [*] --> {first.name}")
    for state, events in table.items():
        together: dict[enum.StrEnum, list[str]] = {}
        for event, after in events.items():
            together.setdefault(after, []).append(str(event))
        lines += [
            f"    {state.name} --> {after.name}: {' / '.join(words)}" for after, words in together.items()
        ]
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    sys.stdout.write(page())
