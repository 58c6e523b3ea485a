from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import SYN, Dss, MpCapable, MpFail, Segment, TcpOption, Timestamps
from middleboxes.move_numbers import MoveNumbers
from tests.middlebox.bench import Line, segment

FIELDS = ("dsn", "data_ack", "subflow_sequence", "length")
WHOLE = Dss(5, 6, 7, 8, 9, data_ack_64=True, dsn_64=True)


def moved(one: Segment, field: Any, by: int) -> Segment:
    (out,) = Line(MoveNumbers(field, by)).put(one)
    return out


@pytest.mark.parametrize(
    ("field", "by", "before", "after"),
    [
        ("dsn", 3, Dss(1, 2, 3, 4), Dss(1, 5, 3, 4)),
        ("dsn", -3, Dss(1, 2, 3, 4), Dss(1, 2**32 - 1, 3, 4)),
        ("dsn", -3, Dss(1, 2, 3, 4, dsn_64=True), Dss(1, 2**64 - 1, 3, 4, dsn_64=True)),
        ("dsn", 2**40, Dss(1, 2, 3, 4, 5, dsn_64=True), Dss(1, 2 + 2**40, 3, 4, 5, dsn_64=True)),
        ("dsn", 2**40, Dss(1, 2, 3, 4), Dss(1, 2, 3, 4)),
        ("data_ack", 1, Dss(2**32 - 1), Dss(0)),
        ("data_ack", 1, Dss(2**32 - 1, data_ack_64=True), Dss(2**32, data_ack_64=True)),
        ("subflow_sequence", -3, Dss(1, 2, 2, 4), Dss(1, 2, 2**32 - 1, 4)),
        ("length", 2**16 - 1, Dss(1, 2, 3, 4), Dss(1, 2, 3, 3)),
    ],
)
def test_the_number_is_moved_in_the_bits_that_it_has(field: Any, by: int, before: Dss, after: Dss) -> None:
    out = moved(segment(options=[Timestamps(1, 2), before]), field, by)
    assert out.options == segment(options=[Timestamps(1, 2), after]).options
    assert out.checksum_is_right()


@pytest.mark.parametrize("field", FIELDS)
@given(by=st.integers(-(2**40), 2**40))
def test_nothing_else_is_touched_and_it_can_be_moved_back(field: Any, by: int) -> None:
    one = segment(payload=b"data", options=[WHOLE, Timestamps(1, 2)])
    out = moved(one, field, by)
    assert (len(out), out.with_options(())) == (len(one), one.with_options(()))
    assert moved(out, field, -by) == one


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("option", [MpFail(3), MpCapable(1, 2, 3, 4), Timestamps(1, 2)])
def test_all_else_is_the_very_one(field: Any, option: TcpOption) -> None:
    one = segment(payload=b"data", options=[option])
    assert moved(one, field, 1) is one


def test_a_dss_without_the_number_is_the_very_one() -> None:
    for field in ("dsn", "subflow_sequence", "length"):
        one = segment(options=[Dss(5)])
        assert moved(one, field, 1) is one
    one = segment(payload=b"data", options=[Dss(None, 6, 7, 4)])
    assert moved(one, "data_ack", 1) is one


def test_octets_that_are_sent_again_meet_the_same_fate() -> None:
    line = Line(MoveNumbers("dsn", 16, aim=Aim(from_byte=100, until_byte=200)))
    line.put(segment(2**32 - 1, flags=SYN))
    for start, size in ((0, 100), (100, 100), (200, 100), (100, 100), (150, 20), (50, 100), (0, 100)):
        (out,) = line.put(segment(start, bytes(size), options=[Dss(None, 0, start + 1, size)]))
        dss = out.option(Dss)
        assert dss is not None
        assert dss.dsn == (16 if start < 200 and start + size > 100 else 0)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"field": "checksum", "by": 1}, "should be one of 'dsn'"),
        ({"field": "dsn", "by": 2**64}, "is out of range"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^MoveNumbers: .*{words}"):
        MoveNumbers(**told)
