"""Runs repeated until it shows to which ends they come: real runs, and workers that the kernel keeps."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import stability
from benchmarks.stability import LOST, End, Place, Stability, runs, table
from mbtest import content, results
from mbtest.results import Run

content.use()
NAME = "payload.unnoticed/linux-linux/v4/to_server/no-checksum"
END = End("informational", "multipath")


def test_a_glob_names_cases_and_with_a_slash_runs():
    assert {place.id.partition("/")[0] for place in runs(["payload.unn*"])} == {"payload.unnoticed"}
    assert [place.id for place in runs([NAME])] == [NAME]


def test_runs_are_counted_and_the_first_of_each_end_is_kept(tmp_path):
    found = Stability([*runs([NAME])] * 3, 2, 60.0, tmp_path / "kept")
    found.go()
    assert found.found == {NAME: Counter({END: 3})}
    directory = tmp_path / "kept" / "-".join(END)
    [run] = results.read(directory).runs
    assert run.id == NAME
    assert (directory / run.artifacts["capture"]).exists()


def hang_or_die(place: Place, directory: Path | None) -> Run:
    """Do what a run does that the kernel keeps, or that takes its process with it; or carry it out."""
    if place.function == "hangs":
        signal.pause()
    if place.function == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return CARRY_OUT(place, directory)


CARRY_OUT = stability.once


@pytest.mark.parametrize("manner", ["hangs", "dies"])
def test_a_run_that_does_not_come_back_is_given_up_and_the_others_go_on(manner, monkeypatch):
    monkeypatch.setattr(stability, "once", hang_or_die)
    [place] = runs([NAME])
    bad = place._replace(function=manner, id=f"it {manner}")
    found = Stability([bad, place, place], 1, 10.0, None)
    found.go()
    assert found.found == {f"it {manner}": Counter({LOST: 1}), NAME: Counter({END: 2})}


def test_the_table_has_the_runs_that_came_to_several_ends():
    one, other = End("fail", "stalled"), End("fail", "reset")
    assert table({"a": Counter({one: 5})}) == []
    assert table({"a": Counter({one: 5}), "b": Counter({one: 1, other: 4})}) == [
        "| run | verdict | outcome | times |",
        "|---|---|---|---:|",
        "| `b` | fail | reset | 4 |",
        "| `b` | fail | stalled | 1 |",
    ]
