"""Controls: runs with something left out, carried out once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mbtest.harness.controls import excuses, pass_through, regular_tcp
from mbtest.harness.fixture import RunFixture
from mbtest.harness.workload import KIB
from mbtest.middlebox import Aim, Kind
from mbtest.results import Control, Outcome, Verdict
from middleboxes.drop import DropSegments
from middleboxes.strip import StripOptions

Make = Callable[..., RunFixture]
SIMULATED = {"network": "simulated", "stacks": ("reference", "reference")}
WORLDS = pytest.mark.parametrize("world", [{}, SIMULATED])


@WORLDS
def test_without_the_boxes_all_is_mptcp(fixture: Make, tmp_path: Path, world: dict[str, str]) -> None:
    plan = fixture(**world)(StripOptions(), sends=8 * KIB).session.plan
    control = pass_through(plan, tmp_path)
    assert control is not None
    assert (control.kind, control.outcome) == ("pass-through", Outcome.MULTIPATH)


@WORLDS
def test_regular_tcp_goes_through_the_same_boxes(fixture: Make, world: dict[str, str]) -> None:
    box = DropSegments(aim=Aim(kinds=Kind.DATA))
    plan = fixture(**world)(box, sends=8 * KIB, patience=1.0, limit=3.0).session.plan
    control = regular_tcp(plan, "test.case", None)
    assert control is not None
    assert (control.kind, control.outcome) == ("regular TCP", Outcome.STALLED)
    assert excuses(plan, Outcome.STALLED, control)
    assert not excuses(plan, Outcome.CORRUPTED, control)


def test_a_control_is_carried_out_once(fixture: Make, tmp_path: Path) -> None:
    plan = fixture(**SIMULATED)(StripOptions(), sends=8 * KIB).session.plan
    pass_through(plan, tmp_path)
    (file,) = (tmp_path / "controls").iterdir()
    said = Control(kind="pass-through", outcome=Outcome.RESET, reason="as the file has it")
    file.write_bytes(msgspec.json.encode(said))
    assert pass_through(plan, tmp_path) == said
    other = msgspec.structs.replace(plan, subflows=3)
    assert pass_through(other, tmp_path) != said


def test_one_path_of_tcp_says_nothing_of_several(fixture: Make) -> None:
    plan = fixture(**SIMULATED)(sends=8 * KIB).session.plan
    control = Control(kind="regular TCP", outcome=Outcome.STALLED, reason="")
    assert not excuses(msgspec.structs.replace(plan, subflows=1), Outcome.STALLED, control)


def test_a_failure_that_regular_tcp_shares_is_inconclusive(fixture: Make) -> None:
    run = fixture(**SIMULATED)
    session = run(DropSegments(aim=Aim(kinds=Kind.DATA)), sends=8 * KIB, patience=1.0, limit=3.0)
    session.expect(Outcome.MULTIPATH)
    entry = run.result(None)
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert [control.outcome for control in entry.controls] == [Outcome.MULTIPATH, Outcome.STALLED]
    assert "regular TCP through the same boxes" in entry.reason


def test_a_failure_without_boxes_is_held_against_regular_tcp(fixture: Make) -> None:
    run = fixture(**SIMULATED)
    session = run(sends=8 * KIB)
    session.expect(Outcome.RESET)
    entry = run.result(None)
    assert entry.verdict is Verdict.FAIL
    assert [(one.kind, one.outcome) for one in entry.controls] == [("regular TCP", Outcome.FELL_BACK)]


def test_a_failure_of_mptcp_alone_is_the_stacks(fixture: Make) -> None:
    run = fixture(**SIMULATED)
    session = run(StripOptions(), sends=8 * KIB)
    session.expect(Outcome.MULTIPATH)
    entry = run.result(None)
    assert entry.verdict is Verdict.FAIL
    assert [control.outcome for control in entry.controls] == [Outcome.MULTIPATH, Outcome.FELL_BACK]
