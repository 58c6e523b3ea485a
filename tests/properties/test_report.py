"""What breaks a law leaves a case behind."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mbtest.network.topology import NetworkPath, Topology
from tests.properties.drive import Broken, Witness
from tests.properties.report import held
from tests.properties.strategies import Found, SplitSegments, Workload, interface

FOUND = Found(
    topology=Topology(
        "found",
        "",
        (interface("c1", 18, 0xC0),),
        (interface("s1", 19, 0x50),),
        (NetworkPath("p", "c1", "s1"),),
    ),
    boxes=(SplitSegments(100),),
    workload=Workload(client_sends=1_000),
    seed=5,
)


def test_the_failure_names_the_command_that_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MBTEST_FOUND", str(tmp_path))

    def nothing_splits(run: Witness) -> None:
        raise Broken(f"{sum(box.deeds for box in run.session.boxes)} were split")

    with pytest.raises(Broken, match="1 were split") as caught:
        held(FOUND, [nothing_splits])

    (note,) = caught.value.__notes__
    words = shlex.split(note.removeprefix("repeat: "))
    assert words[:5] == ["mbtest", "run", "found.1", "--network", "simulated"]
    content = Path(words[words.index("--content") + 1])
    case = (content / "testcases" / "test_found_1.py").read_text(encoding="utf-8")
    assert "SplitSegments(size=100)," in case
    assert "Found: Broken: 1 were split." in case
    assert (content / "topologies" / "found-1.toml").exists()


def test_what_holds_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MBTEST_FOUND", str(tmp_path))
    held(FOUND, [lambda run: None])
    assert list(tmp_path.iterdir()) == []
