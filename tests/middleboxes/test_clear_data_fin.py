from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.errors import UsageError
from mbtest.wire import ACK, FIN, Dss, MpCapable, MpFail, Segment, TcpOption, Timestamps
from mbtest.wire.checksum import dss_checksum
from middleboxes.clear_data_fin import ClearDataFin
from tests.middlebox.bench import Line, segment


def cleared(one: Segment, length: Any = "mended") -> Segment:
    (out,) = Line(ClearDataFin(length)).put(one)
    return out


@given(st.binary(min_size=1, max_size=50), st.integers(0, 2**64 - 1), st.booleans(), st.booleans())
def test_what_is_left_is_the_mapping_of_the_data(data: bytes, dsn: int, wide: bool, summed: bool) -> None:
    number = dsn if wide else dsn & 0xFFFFFFFF
    length = len(data)
    before = dss_checksum(dsn, 8, length + 1, data) if summed else None
    one = segment(
        7, data, FIN | ACK, options=[Dss(5, number, 8, length + 1, before, data_fin=True, dsn_64=wide)]
    )
    out = cleared(one)
    dss = out.option(Dss)
    assert dss is not None
    assert dss == Dss(5, number, 8, length, dss.checksum, dsn_64=wide)
    if summed:
        assert dss.checksum is not None
        assert dss.checksum % 65535 == dss_checksum(dsn, 8, length, data) % 65535
    assert out.checksum_is_right()
    assert out.with_options(()) == one.with_options(())


def test_of_a_data_fin_alone_the_data_ack_is_left() -> None:
    out = cleared(segment(options=[Timestamps(1, 2), Dss(5, 6, 0, 1, 7, data_fin=True, dsn_64=True)]))
    assert out.options[:2] == (Timestamps(1, 2), Dss(5))


def test_length_and_checksum_can_be_left() -> None:
    out = cleared(segment(payload=b"data", options=[Dss(5, 6, 7, 5, 9, data_fin=True)]), "left")
    assert out.options == (Dss(5, 6, 7, 5, 9),)


def test_a_flag_without_a_mapping_goes_alone() -> None:
    assert cleared(segment(options=[Dss(5, data_fin=True)])).options == (Dss(5),)
    infinite = Dss(5, 6, 7, 0, 0, data_fin=True)
    assert cleared(segment(options=[infinite])).options[0] == Dss(5, 6, 7, 0, 0)


@pytest.mark.parametrize(
    "options", [[], [Dss(5)], [Dss(5, 6, 7, 8, 9)], [MpCapable(1, 2, 3, 4)], [MpFail(3)]]
)
def test_all_else_is_the_very_one(options: list[TcpOption]) -> None:
    one = segment(payload=b"data", flags=FIN | ACK, options=options)
    assert cleared(one) is one


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^ClearDataFin: length='gone' should be 'mended' or 'left'$"):
        ClearDataFin("gone")  # type: ignore[arg-type]
