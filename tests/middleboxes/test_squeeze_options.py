from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox.options import bare, octets
from mbtest.wire import (
    SYN,
    AddAddr,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpFail,
    MpPrio,
    MptcpOption,
    NoOperation,
    Sack,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownOption,
    WindowScale,
)  # fmt: skip
from middleboxes.squeeze_options import SqueezeOptions
from tests.middlebox.bench import Line, segment

STAMPS = Timestamps(1, 2)
OPTION = st.sampled_from(
    (NoOperation(), SackPermitted(), STAMPS, Dss(5), Dss(1, 2, 3, 4), MpFail(3), MpPrio(1))
)
OPTIONS = st.lists(OPTION, max_size=8).filter(lambda some: octets(some) <= 40)
FILLERS = st.sampled_from(("option", "nops", "sack"))


def squeezed(one: Segment, **told: Any) -> Segment:
    (out,) = Line(SqueezeOptions(**told)).put(one)
    return out


def test_mptcp_no_longer_fits_beside_a_probe() -> None:
    options = [MaximumSegmentSize(1460), SackPermitted(), Timestamps(1, 0), MpCapable()]
    out = squeezed(segment(flags=SYN, options=options))
    assert out.options[0] == UnknownOption(76, bytes(22))
    assert list(bare(out.options))[1:] == options[:-1]


def test_what_fits_stays() -> None:
    out = squeezed(segment(options=[STAMPS, Dss(5), MpFail(3), MpPrio(1)]), octets=12)
    assert bare(out.options)[1:] == (STAMPS, Dss(5), MpPrio(1))


def test_an_announcement_is_what_no_longer_fits() -> None:
    announced = AddAddr(1, segment().source, None, bytes(8))
    out = squeezed(segment(options=[STAMPS, announced]), octets=16, kind=253)
    assert out.option(AddAddr) is None
    assert out.option(Timestamps) == STAMPS


@given(OPTIONS, FILLERS, st.integers(2, 40), st.integers(0, 1460))
def test_nothing_but_mptcp_is_left_out(options: list[TcpOption], filler: Any, size: int, data: int) -> None:
    one = segment(payload=bytes(data), options=options, ack=700)
    out = squeezed(one, filler=filler, octets=size)
    assert out.checksum_is_right()
    assert out.with_options(()) == one.with_options(())
    assert len(out) <= max(1500, len(one))
    added = {UnknownOption, Sack}
    others = [option for option in bare(out.options) if type(option) not in added]
    assert [option for option in others if not isinstance(option, MptcpOption)] == [
        option for option in bare(options) if not isinstance(option, MptcpOption)
    ]
    assert {option for option in others if isinstance(option, MptcpOption)} <= set(options)


def test_blocks_lie_before_what_is_acknowledged() -> None:
    out = squeezed(segment(ack=700, options=[STAMPS, Dss(5)]), filler="sack")
    (sack, stamps) = bare(out.options)
    assert stamps == STAMPS
    assert isinstance(sack, Sack)
    assert sack.blocks == ((699, 700), (698, 699), (697, 698))


def test_padding_stands_in_front() -> None:
    out = squeezed(segment(options=[STAMPS, Dss(5)]), filler="nops")
    assert out.options == (*[NoOperation()] * 30, STAMPS)


@pytest.mark.parametrize(
    "one", [segment(flags=SYN, options=[MpCapable()]), segment(flags=0, options=[Dss(5)])]
)
def test_a_segment_that_acknowledges_nothing_gets_no_blocks(one: Segment) -> None:
    assert squeezed(one, filler="sack") is one


def test_a_full_segment_is_the_very_one() -> None:
    one = segment(payload=bytes(1460 - 12), options=[NoOperation(), NoOperation(), STAMPS])
    assert squeezed(one, filler="sack") is one
    full = segment(options=[Sack(((1, 2), (3, 4), (5, 6))), STAMPS, WindowScale(3)])
    assert squeezed(full) is full


@pytest.mark.parametrize(
    "told", [{"octets": 1}, {"octets": 41}, {"kind": 1}, {"kind": 256}, {"filler": "data"}, {"largest": 67}]
)
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^SqueezeOptions: "):
        SqueezeOptions(**told)
