from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, RST, SYN, Dss, Segment
from middleboxes.close_window import CloseWindow
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment


def answer(acked: int, flags: int = ACK, ports: tuple[int, int] = (40000, 80)) -> Segment:
    return segment(
        7, ack=101 + acked, flags=flags, window=500, options=[Dss(3)], direction=TO_CLIENT, ports=ports
    )


def opened(**told: Any) -> Line:
    line = Line(CloseWindow(**told))
    line.put(segment(100, flags=SYN))
    line.put(answer(0, SYN | ACK), TO_CLIENT)
    line.put(segment(101, bytes(50), ack=8, window=500))
    return line


def windows(line: Line, *acked: int) -> list[int]:
    return [line.put(answer(one), TO_CLIENT)[0].window for one in acked]


def test_it_is_closed_from_some_data_on_and_for_some_time() -> None:
    line = opened(after=20, duration=1000)
    assert windows(line, 0, 19, 20, 21) == [500, 500, 0, 0]
    line.wait(999)
    assert windows(line, 5, 50) == [0, 0]
    line.wait(1)
    assert windows(line, 50, 50) == [500, 500]
    line.wait(10_000)
    assert windows(line, 50) == [500]


def test_nothing_but_the_window_is_changed() -> None:
    line = opened(after=20)
    assert line.put(answer(30), TO_CLIENT) == [answer(30).replace(window=0)]
    assert line.put(answer(30), TO_CLIENT)[0].checksum_is_right()
    for one in (answer(30, RST | ACK), answer(0, SYN | ACK)):
        assert line.put(one, TO_CLIENT) == [one]


def test_each_flow_and_direction_is_stopped_on_its_own() -> None:
    line = opened(after=20, duration=1000)
    windows(line, 20)
    line.wait(1000)
    other = (40001, 80)
    line.put(segment(100, flags=SYN, ports=other))
    line.put(segment(101, bytes(50), ports=other))
    assert line.put(answer(50, ports=other), TO_CLIENT)[0].window == 0
    assert line.put(segment(151, ack=8, window=500))[0].window == 500


def test_what_the_aim_leaves_out_passes() -> None:
    line = opened(aim=Aim(direction=TO_SERVER))
    assert windows(line, 50) == [500]


@pytest.mark.parametrize("told", [{"after": -1}, {"duration": 0}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^CloseWindow: \w+=-?\d is out of range; give at least"):
        CloseWindow(**told)
