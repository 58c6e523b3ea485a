from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox.options import MAX_OPTIONS, NamedOptions, bare, changed, octets, refitted, room
from mbtest.wire import (
    Dss,
    EndOfOptionList,
    MpCapable,
    MpFail,
    MpPrio,
    NoOperation,
    SackPermitted,
    TcpOption,
    Timestamps,
    UnknownMptcp,
    UnknownOption,
    WindowScale,
)
from tests.middlebox.bench import segment

OPTION = st.sampled_from(
    (NoOperation(), SackPermitted(), Timestamps(1, 2), WindowScale(3), Dss(5), MpFail(3), MpPrio(1))
)
OPTIONS = st.lists(OPTION, max_size=8).filter(lambda some: octets(some) <= MAX_OPTIONS)


@pytest.mark.parametrize(
    ("named", "within", "without"),
    [
        (NamedOptions(), (MpCapable(), Dss(1), UnknownMptcp(b"")), (Timestamps(1, 2), NoOperation())),
        (NamedOptions(MpCapable), (MpCapable(),), (Dss(1), UnknownMptcp(b"\0"))),
        (NamedOptions((MpCapable, Timestamps)), (MpCapable(), Timestamps(1, 2)), (Dss(1),)),
        (NamedOptions(TcpOption), (MpCapable(), NoOperation(), UnknownOption(77)), ()),
        (NamedOptions(kinds=(30, 77)), (Dss(1), UnknownOption(77)), (UnknownOption(78),)),
        (NamedOptions(subtypes=(2,)), (Dss(1), UnknownMptcp(b"\x2f")), (MpCapable(), UnknownOption(2))),
    ],
)
def test_options_are_named_by_any_of_the_three(
    named: NamedOptions, within: tuple[TcpOption, ...], without: tuple[TcpOption, ...]
) -> None:
    assert named.among(within + without) == within
    assert not any(option in named for option in without)


@given(OPTIONS)
def test_a_bare_list_has_all_but_padding(options: list[TcpOption]) -> None:
    padded = [*options, EndOfOptionList(b"\0")]
    assert list(bare(padded)) == [option for option in options if option != NoOperation()]


@given(OPTIONS)
def test_octets_are_those_of_a_block_without_alignment(options: list[TcpOption]) -> None:
    assert 0 <= len(segment(options=options).option_block) - octets(options) < 4


@given(OPTIONS, OPTIONS, st.integers(0, 60), st.integers(68, 200))
def test_what_fits_is_put_in_and_no_packet_grows_above_the_largest(
    options: list[TcpOption], wanted: list[TcpOption], data: int, largest: int
) -> None:
    one = segment(payload=bytes(data), options=options)
    out = refitted(one, wanted, largest)
    assert len(out) <= max(largest, len(one))
    assert (out.payload, out.checksum_is_right()) == (one.payload, True)
    if out is one:
        assert octets(wanted) > room(one, largest)
    else:
        assert bare(out.options) == bare(wanted)


def test_there_is_room_for_forty_octets_at_most() -> None:
    assert room(segment(options=[MpFail(1)]), 1500) == 40
    assert room(segment(options=[MpFail(1)]), 20 + 20 + 12 + 9) == 20
    assert room(segment(options=[MpFail(1)], payload=bytes(100)), 68) == 12


def test_a_changed_option_is_another_one() -> None:
    dss = Dss(5, 6, 7, 8, data_fin=True)
    assert changed(dss, length=9) == Dss(5, 6, 7, 9, data_fin=True)
    assert dss.length == 8
