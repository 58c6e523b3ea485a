from __future__ import annotations

import pytest

from mbtest.errors import UsageError
from mbtest.wire import ACK, SYN, MaximumSegmentSize, MpCapable, NoOperation, SackPermitted, Segment
from middleboxes.clamp_mss import ClampMss
from tests.middlebox.bench import TO_CLIENT, Line, segment

OPTIONS = [NoOperation(), MaximumSegmentSize(1460), SackPermitted(), MpCapable()]


def test_the_mss_of_both_syns_is_lowered_and_nothing_else() -> None:
    line = Line(ClampMss(1200))
    syn = segment(5, flags=SYN, options=OPTIONS)
    answer = segment(9, flags=SYN | ACK, options=OPTIONS, direction=TO_CLIENT)
    clamped = [NoOperation(), MaximumSegmentSize(1200), SackPermitted(), MpCapable()]
    assert line.put(syn) == [syn.with_options(clamped)]
    assert line.put(answer, TO_CLIENT) == [answer.with_options(clamped)]


@pytest.mark.parametrize(
    "one",
    [
        segment(flags=SYN, options=[MaximumSegmentSize(1200)]),
        segment(flags=SYN, options=[MaximumSegmentSize(536)]),
        segment(flags=SYN, options=[MpCapable()]),
        segment(options=[MaximumSegmentSize(1460)]),
    ],
)
def test_other_segments_pass_as_they_are(one: Segment) -> None:
    assert Line(ClampMss(1200)).put(one)[0] is one


def test_a_link_leaves_less_room_behind_the_longer_header() -> None:
    line = Line(ClampMss(mtu=1492))
    for version, announced, left in ((4, 1460, 1452), (6, 1440, 1432)):
        syn = segment(flags=SYN, options=[MaximumSegmentSize(announced)], version=version)
        (out,) = line.put(syn)
        assert out.option(MaximumSegmentSize) == MaximumSegmentSize(left)


def test_a_size_that_no_host_can_work_with_is_refused() -> None:
    with pytest.raises(UsageError, match="size=10 is out of range; give 88 to 65535 octets"):
        ClampMss(10)
