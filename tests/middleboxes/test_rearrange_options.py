from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox.options import bare, octets
from mbtest.wire import (
    SYN,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpFail,
    MpPrio,
    MptcpOption,
    NoOperation,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    WindowScale,
)
from middleboxes.rearrange_options import RearrangeOptions
from tests.middlebox.bench import Line, segment

MANNERS = ("duplicate", "first", "last", "reverse", "pad", "shorten", "lengthen")
SYN_OPTIONS = (MaximumSegmentSize(1460), SackPermitted(), MpCapable(), Timestamps(1, 0), WindowScale(7))
OPTION = st.sampled_from(
    (NoOperation(), SackPermitted(), Timestamps(1, 2), WindowScale(3), Dss(5), MpFail(3), MpPrio(1))
)
OPTIONS = st.lists(OPTION, max_size=8).filter(lambda some: octets(some) <= 40)


def rearranged(one: Segment, *told: Any, **also: Any) -> Segment:
    (out,) = Line(RearrangeOptions(*told, **also)).put(one)
    return out


def after(manner: str, **also: Any) -> list[TcpOption]:
    out = rearranged(segment(flags=SYN, options=SYN_OPTIONS), manner, **also)
    return [option for option in out.options if option != NoOperation()]


def test_options_are_put_in_another_order() -> None:
    mss, sack, capable, stamps, scale = SYN_OPTIONS
    assert after("first") == [capable, mss, sack, stamps, scale]
    assert after("last") == [mss, sack, stamps, scale, capable]
    assert after("reverse") == [scale, stamps, capable, sack, mss]
    assert after("first", forms=(Timestamps, WindowScale)) == [stamps, scale, mss, sack, capable]


def test_options_stand_twice() -> None:
    mss, sack, capable, stamps, scale = SYN_OPTIONS
    assert after("duplicate") == [mss, sack, capable, capable, stamps, scale]


def test_options_get_another_length_and_say_so() -> None:
    assert after("shorten")[2] == UnknownMptcp(b"\x01")
    assert after("shorten", octets=38)[2] == UnknownMptcp(b"")
    assert after("lengthen", octets=2)[2] == UnknownMptcp(b"\x01\x01\0\0")


def test_padding_is_put_before_options() -> None:
    out = rearranged(segment(options=[Timestamps(1, 2), MpPrio(1)]), "pad", octets=3)
    assert out.options[:5] == (Timestamps(1, 2), *[NoOperation()] * 3, MpPrio(1))


@given(OPTIONS, st.sampled_from(MANNERS), st.integers(1, 38), st.integers(0, 1460))
def test_nothing_but_options_is_touched_and_no_packet_grows_too_large(
    options: list[TcpOption], manner: Any, number: int, size: int
) -> None:
    one = segment(payload=bytes(size), options=options)
    out = rearranged(one, manner, octets=number)
    assert out.checksum_is_right()
    assert out.with_options(()) == one.with_options(())
    assert len(out) <= max(1500, len(one))


@given(OPTIONS, st.sampled_from(MANNERS))
def test_options_that_are_not_named_all_stay(options: list[TcpOption], manner: Any) -> None:
    def others(one: Segment) -> list[TcpOption]:
        kept = [option for option in bare(one.options) if not isinstance(option, MptcpOption)]
        return sorted(kept, key=str) if manner == "reverse" else kept

    one = segment(options=options)
    assert others(rearranged(one, manner)) == others(one)


@given(OPTIONS, st.sampled_from(("first", "last", "reverse")))
def test_another_order_loses_nothing(options: list[TcpOption], manner: Any) -> None:
    one = segment(options=options)
    assert sorted(bare(rearranged(one, manner).options), key=str) == sorted(bare(one.options), key=str)


@pytest.mark.parametrize("manner", MANNERS)
def test_a_segment_without_a_named_option_is_the_very_one(manner: Any) -> None:
    one = segment(options=[NoOperation(), NoOperation(), Timestamps(1, 2)])
    assert rearranged(one, manner) is one


def test_a_segment_without_room_is_the_very_one() -> None:
    one = segment(options=[Timestamps(1, 2), Dss(5, 6, 7, 8, 9)])
    assert rearranged(one, "duplicate") is one
    assert rearranged(one, "lengthen", octets=30) is one


@pytest.mark.parametrize(
    "told", [{"manner": "shuffle"}, {"manner": "pad", "octets": 0}, {"manner": "pad", "octets": 39}]
)
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^RearrangeOptions: "):
        RearrangeOptions(**told)
