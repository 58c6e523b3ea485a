from __future__ import annotations

from typing import Annotated

import pytest

from mbtest.middlebox import Aim, Direction, Middlebox, Parameter
from mbtest.wire import MpCapable, Packet, Segment, TcpOption
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment


class Counting(Middlebox):
    """Counts, and marks the window with its count."""

    step: Annotated[int, Parameter("how far it counts each time", low=1)] = 1
    forms: type[TcpOption] | tuple[type[TcpOption], ...] = ()

    def start(self) -> None:
        self.count = 0

    def process(self, segment: Segment, direction: Direction) -> list[Segment]:
        self.count += self.step
        return [segment.replace(window=self.count)]


def windows(line: Line, count: int) -> list[int]:
    return [line.put(segment(window=0))[0].window for _ in range(count)]


def test_parameters_are_given_by_position_or_name_and_the_aim_by_name() -> None:
    assert Counting(3).step == Counting(step=3).step == 3
    assert Counting(aim=Aim(nth=1)).aim == Aim(nth=1)


def test_a_box_describes_what_is_not_default() -> None:
    assert Counting().describe() == "Counting()"
    assert Counting(3, MpCapable).describe() == "Counting(step=3, forms=MpCapable)"
    assert Counting(aim=Aim(nth=1)).describe() == "Counting(aim=Aim(nth=1))"


def test_each_run_begins_with_fresh_state() -> None:
    box = Counting(2)
    assert windows(Line(box), 2) == [2, 4]
    assert windows(Line(box), 2) == [2, 4]


def test_one_box_stands_twice_without_sharing_state() -> None:
    box = Counting()
    line = Line(box, box)
    windows(line, 3)
    assert [standing.count for standing in line.chain.boxes if isinstance(standing, Counting)] == [3, 3]


def test_a_box_without_process_cannot_handle_segments() -> None:
    with pytest.raises(NotImplementedError, match="Empty"):
        type("Empty", (Middlebox,), {})().process(segment(), TO_SERVER)


def test_a_box_delivers_streams_as_they_are_unless_it_says_otherwise() -> None:
    assert Counting().delivers(b"stream", TO_SERVER) == b"stream"


def test_other_packets_pass_and_no_address_is_answered_for() -> None:
    udp = Packet(bytes.fromhex("4500001c0000000040110000c0000201c0000202") + bytes(8))
    line = Line(Counting())
    line.put(udp, TO_CLIENT)
    assert line.out == [(udp, TO_CLIENT)]
    assert line.chain.addresses == set()


class Telling(Middlebox):
    """Tells where it stands."""

    def process(self, segment: Segment, direction: Direction) -> list[Segment]:
        assert self.path == "path"
        self.told = (self.now, self.path_index, self.random.random())
        return [segment]


def test_a_box_knows_the_time_its_path_and_its_own_chance() -> None:
    def told(seed: int) -> list[tuple[int, int, float]]:
        line = Line(Telling(), Telling(), seed=seed, index=3)
        line.wait(70)
        line.put(segment())
        return [box.told for box in line.chain.boxes if isinstance(box, Telling)]

    first, second = told(seed=1)
    assert first[:2] == second[:2] == (70, 3)
    assert first[2] != second[2]
    assert told(seed=1) == [first, second]
    assert told(seed=2) != [first, second]
