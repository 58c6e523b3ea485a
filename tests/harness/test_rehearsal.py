"""Which boxes a case uses, found without running it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from mbtest import content
from mbtest.harness.case import cases_of
from mbtest.harness.rehearsal import boxes_used, users
from mbtest.testing import BOTH_WAYS, TO_SERVER, RunFixture, case, preset

content.use()

from middleboxes.drop import DropSegments  # noqa: E402 - once the content can be imported
from middleboxes.pass_through import PassThrough  # noqa: E402
from middleboxes.reroute import Reroute  # noqa: E402
from middleboxes.split import SplitSegments  # noqa: E402
from middleboxes.strip import StripOptions  # noqa: E402

AFTER: list[str] = []


def helped(run: RunFixture) -> Any:
    return run((PassThrough(), StripOptions()), sends=1)


@case("used.helped")
def by_helper(run: RunFixture) -> None:
    """A helper chooses."""
    helped(run)
    AFTER.append("went on")


@case("used.{}", each={"one": SplitSegments(), "other": DropSegments(), "none": ()})
def by_value(run: RunFixture) -> None:
    """The {} value is the box."""
    run(run.value)


@case("used.direction", directions=BOTH_WAYS)
def by_direction(run: RunFixture) -> None:
    """Another box each way, in what no handler stops."""
    with contextlib.suppress(Exception):
        run(DropSegments() if run.direction is TO_SERVER else SplitSegments())


@case("used.preset")
def by_preset(run: RunFixture) -> None:
    """A chain from the field."""
    run(preset("home-router"))


@case("used.inner")
def within(run: RunFixture) -> None:
    """A box in a box."""
    run(Reroute(after=(StripOptions(), PassThrough())))


@case("used.broken")
def broken(run: RunFixture) -> None:
    """It breaks before."""
    run(DropSegments(), sends=int("many"))


@case("used.never")
def never(run: RunFixture) -> None:
    """It never runs."""
    assert run.topology.paths


@case("used.more")
def wants_more(run: RunFixture, tmp_path: object) -> None:
    """It wants another fixture."""
    run(DropSegments())


@pytest.mark.parametrize(
    ("function", "used"),
    [
        (by_helper, [("PassThrough", "StripOptions")]),
        (by_value, [("SplitSegments",), ("DropSegments",), ()]),
        (by_direction, [("DropSegments", "SplitSegments")]),
        (by_preset, [("ClampMss", "TranslateAddresses")]),
        (within, [("Reroute", "StripOptions", "PassThrough")]),
        (broken, [()]),
        (never, [()]),
        (wants_more, [()]),
    ],
)
def test_what_a_case_puts_on_its_paths(function: Any, used: list[tuple[str, ...]]) -> None:
    found = [boxes_used(function, one) for one in cases_of(function)]
    assert [sorted(names) for names in found] == [sorted(names) for names in used]
    assert AFTER == [], "a rehearsal ends where the run would begin"


def test_it_is_what_runs_really_use(own: Any) -> None:
    own.run("field.*", "split.*", "nat.home-router", "--network", "simulated", "--family", "v4")
    used = users()
    runs = own.results().runs
    assert len(runs) > 10
    for run in runs:
        really = {use.box.partition("(")[0] for use in run.boxes}
        assert really == {box for box, ids in used.items() if run.case in ids}, run.case
