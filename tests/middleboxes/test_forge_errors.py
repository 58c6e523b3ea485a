from __future__ import annotations

from typing import Any, get_args

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Complaint, quoted
from mbtest.wire import Packet, Segment
from middleboxes.forge_errors import ForgeErrors
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment


def errors(line: Line) -> list[Packet]:
    return [packet for packet, way in line.out if way is TO_CLIENT and not isinstance(packet, Segment)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("complaint", get_args(Complaint))
def test_the_sender_is_told_of_its_segment_which_passes(version: int, complaint: Any) -> None:
    line = Line(ForgeErrors(complaint))
    one = segment(7, b"data", version=version)
    assert line.put(one)[0] is one
    if version == 6 and complaint == "source-quench":
        assert errors(line) == []
        return
    (error,) = errors(line)
    quote = quoted(error)
    assert error.destination == one.source
    assert one.raw[: one.transport + 8] in error.raw
    assert quote is None or (quote.source, quote.destination, quote.seq) == (*one.flow, 7)


def test_the_quoted_number_can_be_wrong_and_the_segment_dropped() -> None:
    line = Line(ForgeErrors(shift=-1000, drop=True))
    one = segment(7, b"data")
    assert line.put(one) == []
    quote = quoted(errors(line)[0])
    assert quote is not None
    assert quote.seq == (7 - 1000) & 0xFFFFFFFF


def test_the_mtu_is_named() -> None:
    line = Line(ForgeErrors("too-big", mtu=1300))
    line.put(segment(7, b"data"))
    (error,) = errors(line)
    assert error.raw[error.transport + 4 : error.transport + 8] == (1300).to_bytes(4, "big")


def test_what_the_aim_leaves_out_is_in_order() -> None:
    line = Line(ForgeErrors(aim=Aim(direction=TO_CLIENT)))
    assert line.put(segment(7, b"data"), TO_SERVER)
    assert errors(line) == []


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^ForgeErrors: complaint='host-unreachable', mtu=1300: only"):
        ForgeErrors(mtu=1300)
    told: dict[str, Any] = {"complaint": "no-route"}
    with pytest.raises(UsageError, match=r"^ForgeErrors: complaint='no-route' should be one of"):
        ForgeErrors(**told)
