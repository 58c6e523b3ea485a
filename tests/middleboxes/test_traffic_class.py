from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import ACK, AE, CWR, ECE, SYN, Dss
from mbtest.wire.packet import Segment
from middleboxes.traffic_class import BleachTrafficClass
from tests.middlebox.bench import Line, segment

CLASSES = st.integers(0, 255)
VERSIONS = st.sampled_from((4, 6))


def passed(box: BleachTrafficClass, one: Segment) -> Segment:
    (out,) = Line(box).put(one)
    assert out.checksum_is_right()
    assert out.ip_checksum_is_right()
    return out


@given(CLASSES, VERSIONS)
def test_dscp_and_ecn_are_cleared_and_nothing_else(traffic_class: int, version: int) -> None:
    one = segment(
        7,
        b"data",
        ACK | ECE,
        options=[Dss(1)],
        traffic_class=traffic_class,
        version=version,
        identification=9,
    )
    out = passed(BleachTrafficClass(), one)
    assert out.traffic_class == 0
    assert out.replace(traffic_class=traffic_class) == one


@given(CLASSES, VERSIONS, st.integers(0, 63))
def test_dscp_can_be_given_and_ecn_kept(traffic_class: int, version: int, dscp: int) -> None:
    one = segment(7, traffic_class=traffic_class, version=version)
    out = passed(BleachTrafficClass(dscp, ecn="kept"), one)
    assert (out.traffic_class >> 2, out.traffic_class & 3) == (dscp, traffic_class & 3)


@pytest.mark.parametrize(("ecn", "after"), [(0, 0), (1, 3), (2, 3), (3, 3)])
def test_congestion_is_marked_where_the_sender_knows_ecn(ecn: int, after: int) -> None:
    out = passed(BleachTrafficClass(None, ecn="marked"), segment(7, traffic_class=40 << 2 | ecn))
    assert out.traffic_class == 40 << 2 | after


def test_the_flags_of_ecn_go_where_that_is_asked() -> None:
    one = segment(7, flags=SYN | ECE | CWR | AE, traffic_class=0)
    assert passed(BleachTrafficClass(), one) is one
    assert passed(BleachTrafficClass(tcp=True), one).flags == SYN


@pytest.mark.parametrize("told", [{"dscp": 64}, {"ecn": "lost"}, {"tcp": 1}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^BleachTrafficClass: "):
        BleachTrafficClass(**told)
