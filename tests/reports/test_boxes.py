from __future__ import annotations

import msgspec
import pytest

from mbtest.results import BoxInfo, BoxUse, Verdict
from reports.boxes import groups_of, unused

INFOS = tuple(
    BoxInfo(name=name, group=group, summary=f"{name} does.")
    for group, names in {"segments": ("Split", "Merge"), "options": ("Strip", "Flip")}.items()
    for name in names
)


@pytest.fixture
def three(found, run):
    def behind(*boxes):
        return tuple(BoxUse("c1-s1", box, 1) for box in boxes)

    runs = [
        run(0, boxes=behind("Strip(forms=MpJoin)", "Mine(at=3)")),
        run(0, id="other", client="reference", verdict=Verdict.FAIL, boxes=behind("Strip()")),
        run(1, boxes=behind("Reroute(after=(Merge(),))", "Strip()", "Strip()")),
    ]
    return msgspec.structs.replace(found(runs), boxes=INFOS)


def test_boxes_stand_by_group_and_their_runs_by_pair(three):
    pairs = ["linux → linux", "reference → linux"]
    groups = groups_of(three, pairs)
    assert {group: [row.name for row in rows] for group, rows in groups.items()} == {
        "segments": ["Merge"],
        "options": ["Strip"],
        "": ["Mine", "Reroute"],
    }
    (strip,) = groups["options"]
    assert (strip.summary, strip.cases) == ("Strip does.", 2)
    assert strip.tallies == {pairs[0]: {Verdict.PASS: 2}, pairs[1]: {Verdict.FAIL: 1}}
    assert groups[""][0].summary == ""


def test_boxes_that_no_run_used(three):
    assert [box.name for box in unused(three)] == ["Split", "Flip"]


def test_results_from_before_boxes_were_described(found, run):
    groups = groups_of(found([run(0)]), ["linux → linux"])
    assert [row.name for row in groups[""]] == ["StripOptions"]
