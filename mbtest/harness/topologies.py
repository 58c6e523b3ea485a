"""Topologies by name, from the content folders."""

from __future__ import annotations

import difflib

from mbtest import content
from mbtest.errors import UsageError
from mbtest.network.topology import Topology, load_topology


def topology(name: str) -> Topology:
    """Return a topology by its file's name without `.toml`. Raises UsageError."""
    files = {path.stem: path for path in content.files("topologies", "*.toml")}
    if name not in files:
        close = difflib.get_close_matches(name, files, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(files))}"
        raise UsageError(f"no topology {name!r}{hint}")
    return load_topology(files[name])


def topologies() -> list[Topology]:
    """Return all topologies. Raises UsageError for a mistake in a file."""
    return [load_topology(path) for path in content.files("topologies", "*.toml")]
