"""Runs over real namespaces, and the command line with content of its own, for the tests of the harness."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mbtest import content, results
from mbtest.harness.case import Case, Variant
from mbtest.harness.fixture import RunFixture
from mbtest.harness.topologies import topology
from mbtest.middlebox import Direction
from mbtest.network.contract import Backend
from mbtest.network.topology import Family
from mbtest.results import Level, Results

content.use()

HEADING = """
from mbtest.testing import *
from middleboxes.pass_through import PassThrough
from middleboxes.drop import DropSegments
from middleboxes.strip import StripOptions

"""


@pytest.fixture
def fixture() -> Callable[..., RunFixture]:
    """Return a maker of run fixtures that carry runs out like those of a case."""

    def make(
        *,
        family: Family = "v4",
        direction: Direction = Direction.TO_SERVER,
        checksum: bool = False,
        topology_name: str = "one-path",
        stacks: tuple[str, str] = ("linux", "linux"),
        level: Level = Level.MUST,
        seed: int = 1,
        network: Backend = "namespaces",
        directory: Path | None = None,
    ) -> RunFixture:
        found = Case(
            id="test.harness", title="It holds.", topic="harness", requirements=(), level=level,
            families=(family,), directions=(direction,), checksums=(checksum,), topology="one-path",
            needs=frozenset(), waits=0.0,
        )  # fmt: skip
        variant = Variant(
            client=stacks[0],
            server=stacks[1],
            family=family,
            direction=direction,
            checksum=checksum,
            topology=topology_name,
        )
        return RunFixture(found, variant, seed, topology, (), network, directory=directory)

    return make


class Own:
    """A user's own content folder, and the command line that is given it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mine"
        self.out = folder / "out"
        (self.folder / "testcases").mkdir(parents=True)

    def cases(self, text: str, name: str = "test_mine.py") -> None:
        (self.folder / "testcases" / name).write_text(HEADING + text, encoding="utf-8")

    def box(self, name: str, text: str) -> None:
        (self.folder / "middleboxes").mkdir(exist_ok=True)
        (self.folder / "middleboxes" / name).write_text(text, encoding="utf-8")

    def mbtest(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mbtest", *words],
            cwd=self.folder.parent, env={**os.environ, **environment}, capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run cases; between kernels where no other stacks are named."""
        stacks = () if {"--client", "--server", "--network"} & set(words) else ("--client", "linux")
        return self.mbtest("run", "--content", "mine", "--out", "out", *stacks, *words, **environment)

    def results(self) -> Results:
        return results.read(self.out)

    def pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run pytest on the folder as a user would who has the plugin installed."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", *words],
            cwd=self.folder, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """A user's own content folder."""
    return Own(tmp_path)
