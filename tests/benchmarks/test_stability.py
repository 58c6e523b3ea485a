"""Runs repeated until it shows to which ends they come: real runs, and workers that the kernel keeps."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.stability import End, runs, table
from mbtest import content, results

content.use()
NAME = "payload.unnoticed/linux-linux/v4/to_server/no-checksum"
ROOT = Path(__file__).parents[2]


def test_a_glob_names_cases_and_with_a_slash_runs():
    assert {place.id.partition("/")[0] for place in runs(["payload.unn*"])} == {"payload.unnoticed"}
    assert [place.id for place in runs([NAME])] == [NAME]


def run_of_its_own(script: str, *arguments: str) -> str:
    """Run a script in a process that has carried out no run before, as workers are forked off it."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stderr == ""
    return done.stdout


def test_runs_are_counted_and_the_first_of_each_end_is_kept(tmp_path):
    script = "from benchmarks.stability import main; print(main())"
    said = run_of_its_own(script, NAME, "--times", "3", "--jobs", "2", "--keep", str(tmp_path / "kept"))
    assert said.splitlines() == ["1 runs, 3 times each; 0 came to several ends", "0"]
    directory = tmp_path / "kept" / "informational-multipath"
    [run] = results.read(directory).runs
    assert run.id == NAME
    assert (directory / run.artifacts["capture"]).exists()


WITH_A_BAD_ONE = """
import os, signal, sys
from benchmarks import stability
from mbtest import content
from mbtest.network import privileges

def hang_or_die(place, directory, carry_out=stability.once):
    if place.function == "hangs":
        signal.pause()
    if place.function == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return carry_out(place, directory)

content.use()
privileges.enter()
stability.once = hang_or_die
[place] = stability.runs([sys.argv[1]])
bad = place._replace(function=sys.argv[2], id="bad")
found = stability.Stability([bad, place, place], 1, 10.0, None)
found.go()
for name, ends in found.found.items():
    for end, count in ends.items():
        print(name, *end, count)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("manner", ["hangs", "dies"])
def test_a_run_that_does_not_come_back_is_given_up_and_the_others_go_on(manner):
    said = run_of_its_own(WITH_A_BAD_ONE, NAME, manner)
    assert said.splitlines() == ["bad given up none 1", f"{NAME} informational multipath 2"]


def test_the_table_has_the_runs_that_came_to_several_ends():
    one, other = End("fail", "stalled"), End("fail", "reset")
    assert table({"a": Counter({one: 5})}) == []
    assert table({"a": Counter({one: 5}), "b": Counter({one: 1, other: 4})}) == [
        "| run | verdict | outcome | times |",
        "|---|---|---|---:|",
        "| `b` | fail | reset | 4 |",
        "| `b` | fail | stalled | 1 |",
    ]
