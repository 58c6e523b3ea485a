from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Direction, Kind, Middlebox
from mbtest.wire import (
    ACK,
    SYN,
    AddAddr,
    Dss,
    EndOfOptionList,
    MaximumSegmentSize,
    MpCapable,
    MpExperimental,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    NoOperation,
    RemoveAddr,
    Sack,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    UnknownOption,
    WindowScale,
)  # fmt: skip
from middleboxes.strip import StripOptions
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

SYN_OPTIONS = (MaximumSegmentSize(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7), MpCapable())
OPTION = st.sampled_from(
    (
        NoOperation(), MaximumSegmentSize(1000), SackPermitted(), Timestamps(1, 2), WindowScale(3), Dss(5),
        Dss(7, 8, 9, 10), MpCapable(), MpPrio(1), MpFail(3), RemoveAddr(b"\1\2"), UnknownOption(77, b"abc"),
        UnknownMptcp(b"\xf0"), Sack(((1, 2),)),
    )
)  # fmt: skip
OPTIONS = st.lists(OPTION, max_size=8).filter(lambda some: sum(len(one.encode()) for one in some) <= 40)
MANNERS_ALL = ("delete", "nop", "end-of-list")
MANNERS = st.sampled_from(MANNERS_ALL)


def strip(box: Middlebox, one: Segment) -> Segment:
    (out,) = Line(box).put(one)
    return out


def real(options: tuple[TcpOption, ...]) -> list[TcpOption]:
    return [option for option in options if not isinstance(option, (NoOperation, EndOfOptionList))]


@pytest.mark.parametrize(
    ("told", "gone"),
    [
        ({}, {MpCapable}),
        ({"forms": MpCapable}, {MpCapable}),
        ({"forms": (MpCapable, Timestamps)}, {MpCapable, Timestamps}),
        ({"forms": MptcpOption}, {MpCapable}),
        ({"forms": Dss}, set()),
        ({"kinds": (30,)}, {MpCapable}),
        ({"kinds": (8, 3)}, {Timestamps, WindowScale}),
        ({"subtypes": (0,)}, {MpCapable}),
        ({"subtypes": (1, 2, 3)}, set()),
        (
            {"forms": SackPermitted, "kinds": (2,), "subtypes": (0,)},
            {SackPermitted, MaximumSegmentSize, MpCapable},
        ),
    ],
)
@pytest.mark.parametrize("manner", ["delete", "nop"])
def test_the_named_options_go_and_the_others_stay(told: dict[str, Any], gone: set[type], manner: Any) -> None:
    out = strip(StripOptions(**told, manner=manner), segment(flags=SYN, options=SYN_OPTIONS))
    assert real(out.options) == [option for option in SYN_OPTIONS if type(option) not in gone]


@given(OPTIONS, MANNERS, st.binary(max_size=30))
def test_nothing_but_options_is_touched(options: list[TcpOption], manner: Any, payload: bytes) -> None:
    one = segment(2**32 - 1, payload, options=options, ack=9, window=8)
    out = strip(StripOptions(manner=manner), one)
    assert out.checksum_is_right()
    assert not any(isinstance(option, MptcpOption) for option in out.options)
    assert out.with_options(()) == one.with_options(())


@given(OPTIONS, MANNERS)
def test_a_segment_without_the_named_options_is_the_very_one(options: list[TcpOption], manner: Any) -> None:
    one = segment(options=[option for option in options if not isinstance(option, MptcpOption)])
    assert strip(StripOptions(manner=manner), one) is one


@given(OPTIONS)
def test_overwriting_leaves_the_others_where_they_were(options: list[TcpOption]) -> None:
    before = segment(options=options)
    block = strip(StripOptions(manner="nop"), before).option_block
    at = 0
    for option in before.options:
        octets = option.encode()
        overwritten = isinstance(option, MptcpOption)
        assert block[at : at + len(octets)] == (b"\1" * len(octets) if overwritten else octets)
        at += len(octets)
    assert len(block) == len(before.option_block)


@given(OPTIONS)
def test_end_of_option_list_hides_all_from_the_first_named_option_on(options: list[TcpOption]) -> None:
    before = segment(options=options)
    out = strip(StripOptions(manner="end-of-list"), before)
    named = [isinstance(option, MptcpOption) for option in before.options]
    at = named.index(True) if True in named else len(named)
    kept = b"".join(option.encode() for option in before.options[:at])
    assert out.option_block == kept + bytes(len(before.option_block) - len(kept))


@given(OPTIONS)
def test_deleting_leaves_a_header_of_whole_words_and_the_others_in_order(options: list[TcpOption]) -> None:
    before = segment(options=options)
    out = strip(StripOptions(), before)
    assert real(out.options) == [one for one in real(before.options) if not isinstance(one, MptcpOption)]
    assert len(out.option_block) <= len(before.option_block)


def test_options_of_a_form_that_is_unknown_go_by_kind_and_subtype() -> None:
    odd = segment(options=[UnknownMptcp(b"\x2f"), UnknownOption(77)])
    assert strip(StripOptions(subtypes=(2,)), odd).options[0] == UnknownOption(77)
    assert strip(StripOptions(kinds=(77,)), odd).option(UnknownOption) is None


ADDRESS = IPv4Address("192.0.2.1")
SIGNALS = (
    MpCapable(1), MpJoinSyn(1, 2, 3), MpJoinSynAck(1, 2, 3), MpJoinAck(bytes(20)), Dss(1),
    AddAddr(1, ADDRESS), RemoveAddr(b"\1"), MpPrio(1), MpFail(3), MpFastclose(4), MpTcprst(5),
    MpExperimental(b"1"),
)  # fmt: skip


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("manner", MANNERS_ALL)
def test_each_signal_of_mptcp_can_go_alone(signal: MptcpOption, manner: Any) -> None:
    box = StripOptions(type(signal), manner=manner)
    assert strip(box, segment(options=[signal])).option(type(signal)) is None
    for other in SIGNALS:
        one = segment(options=[other])
        assert type(other) is type(signal) or strip(box, one) is one


def losing(aim: Aim) -> Callable[..., bool]:
    """Return a function that sends a segment with a DSS to a box so aimed, and says if that is lost."""
    line = Line(StripOptions(aim=aim))
    line.put(segment(2**32 - 1, flags=SYN))
    line.put(segment(2**32 - 1, flags=SYN | ACK, direction=TO_CLIENT), TO_CLIENT)

    def loses(at: int = 0, size: int = 0, direction: Direction = TO_SERVER) -> bool:
        one = segment(at, bytes(size), options=[Dss(5)], direction=direction)
        (out,) = line.put(one, direction)
        return out.option(Dss) is None

    return loses


def test_only_what_is_sent_again_loses_its_options() -> None:
    loses = losing(Aim(retransmissions=True, kinds=Kind.DATA))
    assert [loses(0, 100), loses(0, 100), loses(50, 100), loses(20, 130), loses(150, 1)] == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_options_are_lost_from_an_octet_on_however_often_it_is_sent() -> None:
    loses = losing(Aim(from_byte=100))
    assert [loses(0, 100), loses(100, 1), loses(0, 100), loses(50, 51), loses()] == [
        False, True, False, True, False,
    ]  # fmt: skip


def test_options_are_lost_on_one_direction() -> None:
    loses = losing(Aim(direction=TO_CLIENT))
    assert [loses(), loses(direction=TO_CLIENT)] == [False, True]


def test_options_are_lost_while_a_condition_holds() -> None:
    rerouted = False
    loses = losing(Aim(where=lambda _: rerouted))
    assert not loses()
    rerouted = True
    assert loses()
    rerouted = False
    assert not loses()


@pytest.mark.parametrize("form", [Timestamps, SackPermitted, WindowScale, MaximumSegmentSize])
def test_options_of_regular_tcp_can_go(form: type[TcpOption]) -> None:
    out = strip(StripOptions(form), segment(flags=SYN, options=SYN_OPTIONS))
    assert real(out.options) == [option for option in SYN_OPTIONS if not isinstance(option, form)]


@pytest.mark.parametrize(
    "told",
    [{"kinds": (1,)}, {"kinds": (256,)}, {"subtypes": (16,)}, {"manner": "erase"}, {"forms": "Capable"}],
)
def test_what_is_no_option_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^StripOptions: "):
        StripOptions(**told)
