from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import Dss, MpFail, Segment, TcpOption, Timestamps
from middleboxes.narrow_numbers import NarrowNumbers
from tests.middlebox.bench import Line, segment

WIDE = st.integers(0, 2**64 - 1)


def narrow(one: Segment, numbers: Any = "both") -> Segment:
    (out,) = Line(NarrowNumbers(numbers)).put(one)
    return out


@given(WIDE, WIDE, st.binary(max_size=20), st.none() | st.integers(0, 65535))
def test_the_lower_bits_are_left_and_all_else_as_it_was(
    data_ack: int, dsn: int, payload: bytes, checksum: int | None
) -> None:
    dss = Dss(data_ack, dsn, 7, 8, checksum, data_fin=True, data_ack_64=True, dsn_64=True)
    one = segment(payload=payload, options=[dss, Timestamps(1, 2)])
    out = narrow(one)
    low = 2**32 - 1
    assert out.option(Dss) == Dss(data_ack & low, dsn & low, 7, 8, checksum, data_fin=True)
    assert out.option(Timestamps) == Timestamps(1, 2)
    assert out.with_options(()) == one.with_options(())
    assert out.checksum_is_right()


def test_one_of_the_numbers_can_be_left_wide() -> None:
    one = segment(options=[Dss(2**40 + 5, 2**41 + 6, 7, 8, data_ack_64=True, dsn_64=True)])
    assert narrow(one, "dsn").option(Dss) == Dss(2**40 + 5, 6, 7, 8, data_ack_64=True)
    assert narrow(one, "data_ack").option(Dss) == Dss(5, 2**41 + 6, 7, 8, dsn_64=True)


@pytest.mark.parametrize("options", [[], [Dss(5)], [Dss(5, 6, 7, 8, 9)], [MpFail(2**40)], [Timestamps(1, 2)]])
def test_what_is_narrow_and_all_else_is_the_very_one(options: list[TcpOption]) -> None:
    one = segment(payload=b"data", options=options)
    assert narrow(one) is one


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^NarrowNumbers: numbers='ssn' should be one of"):
        NarrowNumbers("ssn")  # type: ignore[arg-type]
