from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.middlebox.options import bare, octets
from mbtest.wire import (
    ACK,
    SYN,
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpFail,
    MpPrio,
    MptcpOption,
    NoOperation,
    TcpOption,
    Timestamps,
)
from middleboxes.mirror_options import MirrorOptions
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment

OPTION = st.sampled_from((NoOperation(), Timestamps(1, 2), Dss(5), Dss(7, 8, 9, 10), MpPrio(1), MpFail(3)))
OPTIONS = st.lists(OPTION, max_size=6).filter(lambda some: octets(some) <= 40)


def answer(
    box: MirrorOptions, told: list[TcpOption], own: list[TcpOption], **more: Any
) -> tuple[TcpOption, ...]:
    """Return the options of an answer, padding aside, behind a box that saw `told` go the other way."""
    line = Line(box)
    (out,) = line.put(segment(options=told))
    assert list(out.options) == list(segment(options=told).options)
    (out,) = line.put(segment(options=own, direction=TO_CLIENT, **more), TO_CLIENT)
    assert out.checksum_is_right()
    return bare(out.options)


AIM = Aim(direction=TO_CLIENT)


def test_a_server_without_mptcp_seems_to_know_it() -> None:
    box = MirrorOptions(aim=Aim(kinds=Kind.SYN_ACK))
    line = Line(box)
    line.put(segment(flags=SYN, options=[MaximumSegmentSize(1460), MpCapable()]))
    syn_ack = segment(flags=SYN | ACK, options=[MaximumSegmentSize(1400)], direction=TO_CLIENT)
    (out,) = line.put(syn_ack, TO_CLIENT)
    assert out.options == (MaximumSegmentSize(1400), MpCapable())
    later = segment(1, b"data", direction=TO_CLIENT)
    assert line.put(later, TO_CLIENT)[0] is later


@given(OPTIONS, OPTIONS)
def test_the_last_options_of_the_other_direction_come_back(
    told: list[TcpOption], own: list[TcpOption]
) -> None:
    came = answer(MirrorOptions(aim=AIM), told, own)
    signals = [option for option in told if isinstance(option, MptcpOption)]
    others = [option for option in bare(own) if not isinstance(option, MptcpOption)]
    if signals and octets([*others, *signals]) <= 40:
        assert list(came) == [*others, *signals]
    else:
        assert came == bare(own)


def test_own_options_are_kept_beside_them_if_that_is_wanted() -> None:
    assert answer(MirrorOptions(own="kept", aim=AIM), [Dss(5)], [Dss(6)]) == (Dss(6), Dss(5))
    assert answer(MirrorOptions(Dss, aim=AIM), [Dss(5), MpPrio(1)], [Dss(6), MpFail(2)]) == (
        MpFail(2),
        Dss(5),
    )


def test_no_packet_grows_above_the_largest() -> None:
    came = answer(MirrorOptions(aim=AIM), [Dss(5)], [], payload=bytes(1460))
    assert came == ()


def test_flows_are_kept_apart() -> None:
    line = Line(MirrorOptions(aim=AIM))
    line.put(segment(options=[Dss(5)]))
    other = segment(ports=(40001, 80), direction=TO_CLIENT)
    assert line.put(other, TO_CLIENT)[0] is other


def test_both_directions_are_mirrored_without_an_aim() -> None:
    line = Line(MirrorOptions())
    line.put(segment(options=[Dss(5)], direction=TO_CLIENT), TO_CLIENT)
    (out,) = line.put(segment(), TO_SERVER)
    assert out.options == (Dss(5),)


@pytest.mark.parametrize("told", [{"forms": 30}, {"own": "lost"}, {"largest": 60}])
def test_what_cannot_be_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^MirrorOptions: "):
        MirrorOptions(**told)
