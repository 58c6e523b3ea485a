from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Direction, Kind, Middlebox, Subflow
from mbtest.middlebox.aim import Sight
from mbtest.wire import ACK, FIN, RST, SYN, MpJoinSyn, Segment
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

Move = tuple[Segment, Direction]

SYN_OUT: Move = (segment(99, flags=SYN), TO_SERVER)
SYN_BACK: Move = (segment(199, flags=SYN | ACK, ack=100, direction=TO_CLIENT), TO_CLIENT)
THIRD: Move = (segment(100, ack=200), TO_SERVER)
FIRST: Move = (segment(100, b"0123456789", ack=200), TO_SERVER)
SECOND: Move = (segment(110, b"abcdefghij", ack=200), TO_SERVER)
ANSWER: Move = (segment(200, b"ABCDE", ack=120, direction=TO_CLIENT), TO_CLIENT)
BARE: Move = (segment(120, ack=205), TO_SERVER)
END: Move = (segment(120, flags=FIN | ACK, ack=205), TO_SERVER)
ABORT: Move = (segment(205, flags=RST, direction=TO_CLIENT), TO_CLIENT)
STORY = [SYN_OUT, SYN_BACK, THIRD, FIRST, SECOND, ANSWER, BARE, FIRST, END, ABORT]
"""The eighth is the fourth again."""


def hit(aim: Aim, story: list[Move] = STORY) -> list[int]:
    """Return the numbers of the segments that the aim hits; the clock ticks once for each."""
    sight = Sight(aim)
    return [number for number, (one, way) in enumerate(story, 1) if sight.hits(one, way, now=number)]


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ({"direction": TO_SERVER}, [1, 3, 4, 5, 7, 8, 9]),
        ({"direction": TO_CLIENT}, [2, 6, 10]),
        ({"port": 80}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ({"port": 81}, []),
        ({"kinds": Kind.SYN}, [1]),
        ({"kinds": Kind.SYN_ACK}, [2]),
        ({"kinds": Kind.THIRD_ACK}, [3]),
        ({"kinds": Kind.FIRST_DATA}, [4, 6, 8]),
        ({"kinds": Kind.LATER_DATA}, [5]),
        ({"kinds": Kind.DATA}, [4, 5, 6, 8]),
        ({"kinds": Kind.PURE_ACK}, [7]),
        ({"kinds": Kind.FIN}, [9]),
        ({"kinds": Kind.RST}, [10]),
        ({"kinds": Kind.SYN | Kind.FIN}, [1, 9]),
        ({"from_byte": 0}, [4, 5, 6, 8]),
        ({"from_byte": 5}, [4, 5, 8]),
        ({"from_byte": 9}, [4, 5, 8]),
        ({"from_byte": 10}, [5]),
        ({"from_byte": 20}, []),
        ({"until_byte": 1}, [4, 6, 8]),
        ({"until_byte": 10, "direction": TO_SERVER}, [4, 8]),
        ({"until_byte": 11, "direction": TO_SERVER}, [4, 5, 8]),
        ({"from_byte": 10, "until_byte": 12}, [5]),
        ({"nth": 3}, [3]),
        ({"nth": 2, "kinds": Kind.DATA}, [5]),
        ({"nth": 11}, []),
        ({"from_nth": 9}, [9, 10]),
        ({"until_nth": 3}, [1, 2]),
        ({"from_nth": 2, "until_nth": 4, "direction": TO_SERVER}, [3, 4]),
        ({"from_time": 9}, [9, 10]),
        ({"until_time": 3}, [1, 2]),
        ({"from_time": 3, "until_time": 5}, [3, 4]),
        ({"retransmissions": True}, [8]),
        ({"retransmissions": True, "kinds": Kind.LATER_DATA}, []),
        ({"where": lambda one: one.payload_length == 5}, [6]),
        ({"subflow": Subflow.INITIAL}, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ({"subflow": Subflow.JOINED}, []),
    ],
)
def test_an_aim_hits_what_meets_every_condition(conditions: dict[str, Any], numbers: list[int]) -> None:
    assert hit(Aim(**conditions)) == numbers


def test_a_joined_subflow_is_told_by_its_syn() -> None:
    ports = (40001, 80)
    joined: list[Move] = [
        (segment(9, flags=SYN, options=[MpJoinSyn(1, 2, 3)], ports=ports), TO_SERVER),
        (segment(19, flags=SYN | ACK, ports=ports, direction=TO_CLIENT), TO_CLIENT),
        (segment(10, b"data", ports=ports), TO_SERVER),
    ]
    story = [*STORY, *joined]
    assert hit(Aim(subflow=Subflow.JOINED), story) == [11, 12, 13]
    assert hit(Aim(subflow=Subflow.INITIAL), story) == list(range(1, 11))


def test_byte_offsets_hit_the_same_octets_however_they_are_cut() -> None:
    story: list[Move] = [SYN_OUT]
    story += [
        (segment(100 + start, b"x" * size), TO_SERVER) for start, size in ((0, 4), (4, 4), (2, 4), (0, 8))
    ]
    assert hit(Aim(from_byte=5, until_byte=6), story) == [3, 4, 5]


@pytest.mark.parametrize(
    ("conditions", "word"),
    [
        ({"from_byte": 5, "until_byte": 5}, "until_byte=5"),
        ({"from_nth": 4, "until_nth": 2}, "until_nth=2"),
        ({"from_time": 4, "until_time": 4}, "until_time=4"),
        ({"nth": 0}, "nth=0"),
        ({"from_nth": 0}, "from_nth=0"),
    ],
)
def test_conditions_that_nothing_meets_are_refused(conditions: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Aim(**conditions)


class Lose(Middlebox):
    """Drops all."""

    def process(self, segment: Segment, direction: Direction) -> list[Segment]:
        return []


@pytest.mark.parametrize(
    ("path", "stands"), [(None, True), ("wifi", True), (1, True), ("mobile", False), (0, False)]
)
def test_a_box_stands_only_on_the_path_that_it_is_aimed_at(path: int | str | None, stands: bool) -> None:
    line = Line(Lose(aim=Aim(path=path)), path="wifi", index=1)
    assert line.put(segment()) == ([] if stands else [segment()])
    assert bool(line.chain.boxes) is stands


def test_what_an_aim_leaves_out_passes_untouched() -> None:
    line = Line(Lose(aim=Aim(direction=TO_SERVER, kinds=Kind.SYN)))
    for one, way in STORY:
        assert line.put(one, way) == ([] if one.syn and way is TO_SERVER else [one])


def test_an_aim_is_told_in_words() -> None:
    assert Aim().describe() == "everything"
    aim = Aim(direction=TO_SERVER, kinds=Kind.SYN | Kind.FIN, subflow=Subflow.JOINED, nth=2)
    assert aim.describe() == "direction=to_server, subflow=joined, kinds=SYN|FIN, nth=2"
    assert "where=" in Aim(where=lambda one: True).describe()
