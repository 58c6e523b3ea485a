"""What there is to put on a path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mbtest import content
from mbtest.harness.boxes import OTHERS, boxes

BLEACH = '''
from mbtest.middlebox import Middlebox


class BleachWindow(Middlebox):
    """Halves every window that it sees,
    as a proxy short of memory does.

    All else passes.
    """

    def process(self, segment, direction):
        return [segment]
'''


def test_every_box_that_ships_has_a_group_and_says_what_it_does() -> None:
    content.use()
    found = boxes()
    assert [box.name for box in found if box.group == OTHERS] == []
    assert [box.name for box in found if not box.summary.endswith((".", ")"))] == []
    groups = [box.group for box in found]
    assert groups == sorted(groups, key=groups.index), "a group is in one piece"


def test_a_box_says_what_it_can_be_told() -> None:
    content.use()
    (split,) = (box for box in boxes() if box.name == "SplitSegments")
    told = {parameter.name: parameter for parameter in split.parameters}
    assert told["options"].choices == ("all", "first", "last", "none")
    assert (told["size"].limits, told["size"].unit) == ("1 to 65535 octets", "octets")
    assert "aim" not in told


def test_a_box_of_ones_own_needs_no_group(own: Any) -> None:
    own.box("bleach.py", BLEACH)
    listed = json.loads(own.mbtest("list", "boxes", "--content", "mine", "--json").stdout)
    (found,) = (box for box in listed if box["name"] == "BleachWindow")
    assert found["topic"] == OTHERS
    assert found["summary"] == "Halves every window that it sees, as a proxy short of memory does."
    own.box("groups.toml", 'windows = ["BleachWindow"]')
    listed = json.loads(own.mbtest("list", "boxes", "--content", "mine", "--json").stdout)
    assert next(box["topic"] for box in listed if box["name"] == "BleachWindow") == "windows"
    assert {box["topic"] for box in listed} > {"options", "segments"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('windows = ["BleachWindows"]', "windows: no box 'BleachWindows'"),
        ("windows = [", "groups.toml: Invalid value"),
        ("windows = 1", "groups.toml: Expected `array`, got `int`"),
    ],
)
def test_a_mistake_in_the_groups_is_told_in_a_line(own: Any, text: str, complaint: str) -> None:
    own.box("groups.toml", text)
    finished = own.mbtest("list", "boxes", "--content", "mine")
    assert finished.returncode == 4
    assert complaint in finished.stderr
    assert len(finished.stderr.splitlines()) == 1
