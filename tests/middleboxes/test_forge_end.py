from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, FIN, RST
from middleboxes.forge_end import ForgeEnd
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments


def hit(line: Line, ports: tuple[int, int] = (40000, 80)) -> None:
    """Have data pass both ways; afterwards the client is at 104, the server at 506."""
    line.put(segment(500, b"answer", ack=100, direction=TO_CLIENT, ports=ports), TO_CLIENT)
    line.put(segment(100, b"data", ack=506, ports=ports))
    line.wait(0)


@pytest.mark.parametrize(("control", "flags"), [("rst", RST | ACK), ("fin", FIN | ACK)])
@pytest.mark.parametrize(("to", "count"), [("both", (1, 1)), ("client", (0, 1)), ("server", (1, 0))])
def test_it_speaks_in_the_others_name_with_the_right_numbers(
    control: Any, flags: int, to: Any, count: tuple[int, int]
) -> None:
    line = Line(ForgeEnd(control, to, aim=Aim(direction=TO_SERVER)))
    hit(line)
    forged = {
        way: [one for one in segments(line.out, way) if not one.payload] for way in (TO_SERVER, TO_CLIENT)
    }
    assert (len(forged[TO_SERVER]), len(forged[TO_CLIENT])) == count
    numbers = {TO_SERVER: (104, 506), TO_CLIENT: (506, 100)}
    for way, found in forged.items():
        assert all((one.seq, one.ack) == numbers[way] and one.flags == flags for one in found)


def test_the_segment_that_is_hit_goes_first_and_all_passes_afterwards() -> None:
    line = Line(ForgeEnd(to="server", aim=Aim(direction=TO_SERVER)))
    hit(line)
    assert [one.payload for one in segments(line.out, TO_SERVER)] == [b"data", b""]
    later = segment(104, b"more")
    assert line.put(later)[0] is later


def test_a_flow_can_be_cut_off_behind_it() -> None:
    line = Line(ForgeEnd(later="drop"))
    hit(line)
    line.out.clear()
    assert line.put(segment(104, b"more")) == []
    assert line.put(segment(506, direction=TO_CLIENT), TO_CLIENT) == []
    other = segment(100, b"data", ports=(40001, 80))
    assert line.put(other)[0] is other


def test_it_can_take_its_time_and_knows_what_came_meanwhile() -> None:
    line = Line(ForgeEnd(to="server", delay=500, aim=Aim(direction=TO_SERVER)))
    hit(line)
    line.put(segment(104, b"more", ack=506))
    line.wait(499)
    assert not segments(line.out, TO_SERVER)[-1].rst
    line.wait(1)
    assert segments(line.out, TO_SERVER)[-1].seq == 108


def test_each_flow_is_ended_once() -> None:
    line = Line(ForgeEnd(to="server"))
    for _ in range(2):
        for ports in ((40000, 80), (40001, 80)):
            hit(line, ports)
    assert [one.rst for one in segments(line.out, TO_SERVER)].count(True) == 2


def test_the_number_can_be_wrong() -> None:
    line = Line(ForgeEnd(to="server", shift=-1000, aim=Aim(direction=TO_SERVER)))
    hit(line)
    assert segments(line.out, TO_SERVER)[-1].seq == (104 - 1000) & 0xFFFFFFFF


def test_what_the_aim_leaves_out_passes_and_counts() -> None:
    line = Line(ForgeEnd(to="server", aim=Aim(from_byte=4)))
    one = segment(100, b"data", ack=1)
    assert line.put(one)[0] is one
    line.wait(0)
    line.put(segment(104, b"more", ack=1))
    line.wait(0)
    assert [(one.rst, one.seq) for one in segments(line.out)] == [(False, 100), (False, 104), (True, 108)]


def test_impossible_parameters_are_refused() -> None:
    told: dict[str, Any] = {"control": "syn"}
    with pytest.raises(UsageError, match=r"^ForgeEnd: control='syn' should be 'rst' or 'fin'"):
        ForgeEnd(**told)
    with pytest.raises(UsageError, match=r"^ForgeEnd: shift=4294967296 is out of range"):
        ForgeEnd(shift=2**32)
