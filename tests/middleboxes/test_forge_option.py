from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import ACK, RST, MpFastclose, MpPrio, RemoveAddr
from middleboxes.forge_option import ForgeOption
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments


def hit(line: Line, ports: tuple[int, int] = (40000, 80)) -> None:
    """Have data pass both ways; afterwards the client is at 104, the server at 506."""
    line.put(segment(500, b"answer", ack=100, direction=TO_CLIENT, ports=ports), TO_CLIENT)
    line.put(segment(100, b"data", ack=506, ports=ports))
    line.wait(0)


@pytest.mark.parametrize(("control", "flags"), [("ack", ACK), ("rst", RST | ACK)])
@pytest.mark.parametrize("option", [MpPrio(1), RemoveAddr(b"\1\2"), MpFastclose(7)])
def test_it_says_so_in_the_senders_name(control: Any, flags: int, option: Any) -> None:
    line = Line(ForgeOption(option, control, aim=Aim(direction=TO_SERVER)))
    hit(line)
    forged = segments(line.out, TO_SERVER)[-1]
    assert (forged.seq, forged.ack, forged.flags, forged.payload) == (104, 506, flags, b"")
    assert forged.option(type(option)) == option
    assert forged.checksum_is_right()
    assert len(segments(line.out, TO_CLIENT)) == 1


def test_segments_pass_as_they_are_and_each_flow_is_told_once() -> None:
    line = Line(ForgeOption(aim=Aim(direction=TO_CLIENT)))
    for ports in ((40000, 80), (40001, 80), (40000, 80)):
        hit(line, ports)
    assert [one.option(MpPrio) is not None for one in segments(line.out, TO_CLIENT)].count(True) == 2
    later = segment(104, b"more")
    assert line.put(later)[0] is later


def test_the_number_can_be_wrong() -> None:
    line = Line(ForgeOption(shift=1000, aim=Aim(direction=TO_SERVER)))
    hit(line)
    assert segments(line.out, TO_SERVER)[-1].seq == 1104


def test_what_the_aim_leaves_out_passes_and_counts() -> None:
    line = Line(ForgeOption(aim=Aim(from_byte=4)))
    line.put(segment(100, b"data", ack=1))
    line.wait(0)
    line.put(segment(104, b"more", ack=1))
    line.wait(0)
    assert [(one.option(MpPrio) is not None, one.seq) for one in segments(line.out)] == [
        (False, 100),
        (False, 104),
        (True, 108),
    ]


def test_impossible_parameters_are_refused() -> None:
    told: dict[str, Any] = {"option": "MP_PRIO"}
    with pytest.raises(UsageError, match=r"^ForgeOption: option='MP_PRIO' should be MptcpOption"):
        ForgeOption(**told)
