from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import ACK, PSH, URG, Dss, Segment
from middleboxes.scrub import ScrubHeaders
from tests.middlebox.bench import Line, segment

VERSIONS = st.sampled_from((4, 6))
KEEPING: dict[str, Any] = {"identification": "kept", "ttl": None, "urgent": "kept", "reserved": False}


def passed(one: Segment, **told: Any) -> Segment:
    (out,) = Line(ScrubHeaders(**told)).put(one)
    assert out.checksum_is_right()
    assert out.ip_checksum_is_right()
    return out


@given(VERSIONS, st.integers(0, 65535), st.integers(1, 255), st.integers(0, 0xFFF), st.integers(0, 65535))
def test_sequence_numbers_windows_options_and_data_are_left_alone(
    version: int, identification: int, ttl: int, flags: int, urgent: int
) -> None:
    one = segment(
        7, b"data", flags, 9, [Dss(1)], version=version, identification=identification, ttl=ttl, urgent=urgent
    )
    out = passed(one)
    assert (out.ttl, out.urgent, out.flags & (URG | 0xE00)) == (64, 0, 0)
    assert out.replace(identification=identification, ttl=ttl, flags=one.flags, urgent=urgent) == one


@given(VERSIONS, st.integers(0, 65535))
def test_what_is_to_be_kept_is_kept(version: int, identification: int) -> None:
    one = segment(
        7, b"data", ACK | URG | 0x200, version=version, identification=identification, urgent=3, ttl=9
    )
    assert passed(one, **KEEPING) == one


def test_each_field_can_be_named_alone() -> None:
    one = segment(7, b"data", ACK | URG | 0x200, identification=5, urgent=3, ttl=9)
    for told, after in (
        ({"identification": "zero"}, one.replace(identification=0)),
        ({"ttl": 255}, one.replace(ttl=255)),
        ({"urgent": "cleared"}, one.replace(flags=ACK | 0x200, urgent=0)),
        ({"urgent": "random"}, one),
        ({"reserved": True}, one.replace(flags=ACK | URG)),
    ):
        assert passed(one, **KEEPING | told) == after


def test_an_urgent_pointer_of_chance_stands_only_where_it_means_nothing() -> None:
    line = Line(ScrubHeaders(**KEEPING | {"urgent": "random"}))
    out = [line.put(segment(7, b"data", ACK | PSH))[0] for _ in range(20)]
    assert len({one.urgent for one in out}) > 10
    assert {one.flags for one in out} == {ACK | PSH}


@pytest.mark.parametrize("version", [4, 6])
def test_identifications_of_chance_differ(version: int) -> None:
    line = Line(ScrubHeaders())
    out = [line.put(segment(7, version=version))[0].identification for _ in range(20)]
    assert len(set(out)) > 10


@pytest.mark.parametrize("told", [{"ttl": 0}, {"ttl": 256}, {"identification": "one"}, {"urgent": "yes"}])
def test_impossible_parameters_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^ScrubHeaders: "):
        ScrubHeaders(**told)
