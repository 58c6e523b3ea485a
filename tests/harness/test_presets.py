"""Chains of boxes by name: those that ship, and what a mistake in a user's own file ends in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mbtest import content
from mbtest.errors import UsageError
from mbtest.harness.presets import load, preset, presets
from mbtest.middlebox import SECOND, Direction, Kind, Subflow
from mbtest.wire import ACK, SYN, MpCapable, MpJoin
from middleboxes.strip import StripOptions
from tests.middlebox.bench import Line, segment, segments

content.use()


def written(folder: Path, boxes: str, head: str = 'description = "A chain"') -> Path:
    file = folder / "mine.toml"
    file.write_text(f"{head}\n{boxes}\n", encoding="utf-8")
    return file


def test_those_that_ship_can_be_made() -> None:
    found = {one.name: one for one in presets()}
    assert len(found) >= 8
    assert all(one.boxes and one.description and one.source for one in found.values())
    assert [box.name for box in preset("home-router")] == ["TranslateAddresses", "ClampMss"]


@pytest.mark.parametrize("way", list(Direction))
def test_data_on_a_satellite_link_is_acknowledged_where_it_enters(way: Direction) -> None:
    line = Line(*preset("satellite-link"))
    line.put(segment(0, flags=SYN, direction=way), way)
    line.wait(SECOND)
    line.put(segment(99, flags=SYN | ACK, ack=1, direction=way.reverse, window=8192), way.reverse)
    line.wait(SECOND)
    line.put(segment(1, b"data", ack=100, direction=way), way)
    last = line.out[-1]
    assert last[1] is way.reverse, "the data is still on its way"
    assert [int(one.ack) for one in segments([last])] == [5]


def test_parameters_and_aims_are_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[[boxes]]\nbox = "StripOptions"\nforms = ["MpCapable", "MpJoin"]\nmanner = "nop"\n'
        'aim = { direction = "to_server", kinds = ["SYN", "SYN_ACK"], subflow = "joined", port = 80 }',
    )
    (box,) = load(file).boxes
    assert isinstance(box, StripOptions)
    assert (box.forms, box.manner) == ((MpCapable, MpJoin), "nop")
    assert box.aim is not None
    assert (box.aim.direction, box.aim.kinds) == (Direction.TO_SERVER, Kind.SYN | Kind.SYN_ACK)
    assert (box.aim.subflow, box.aim.port) == (Subflow.JOINED, 80)


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        ('[[boxes]]\nbox = "StripOption"', "box 1: no box 'StripOption'; did you mean 'StripOptions'?"),
        ("[[boxes]]\nsize = 3", "box 1: no box None"),
        ('[[boxes]]\nbox = "ClampMss"\nsizes = 3', "ClampMss has no parameter 'sizes'; did you mean 'size'?"),
        (
            '[[boxes]]\nbox = "ClampMss"\nsize = 3',
            "box 1: ClampMss: size=3 is out of range; give 88 to 65535",
        ),
        ('[[boxes]]\nbox = "ClampMss"\naim = { kind = "SYN" }', "aim has no condition 'kind'; did you mean"),
        (
            '[[boxes]]\nbox = "ClampMss"\naim = { kinds = ["SIN"] }',
            "aim: kinds=['SIN'] is none of its values",
        ),
        ('[[boxes]]\nbox = "ClampMss"\naim = 3', "aim: a table of conditions"),
        ('[[boxes]]\nbox = "RewriteSequence"\n[[boxes]]\nbox = "Nat"', "box 2: no box 'Nat'"),
        ("", "no [[boxes]]"),
        ("boxes = 3", "a description, and a [[boxes]] table"),
        ("[[boxes]", "not TOML"),
        ('colour = "red"\n[[boxes]]\nbox = "ClampMss"', "unknown field `colour`"),
    ],
)
def test_a_mistake_ends_in_a_line_that_names_the_place(tmp_path: Path, boxes: str, told: str) -> None:
    file = written(tmp_path, boxes)
    with pytest.raises(UsageError, match=re.escape(told)) as caught:
        load(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


def test_an_unknown_name_ends_in_a_line() -> None:
    with pytest.raises(UsageError, match="no preset 'home-routers'; did you mean 'home-router'"):
        preset("home-routers")
