from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.unwrap import unwrap32, unwrap64
from mbtest.wire import Seq32

WIDTHS = pytest.mark.parametrize(("unwrap", "bits"), [(unwrap32, 32), (unwrap64, 64)])


@WIDTHS
@given(data=st.data(), near=st.integers(-(1 << 70), 1 << 70))
def test_the_nearest_number_with_the_same_low_bits(unwrap, bits, data, near):
    wire = data.draw(st.integers(0, (1 << bits) - 1))
    number = unwrap(wire, near)
    assert number % (1 << bits) == wire
    assert -(1 << (bits - 1)) <= number - near < 1 << (bits - 1)


@WIDTHS
@given(data=st.data(), number=st.integers(-(1 << 70), 1 << 70))
def test_a_number_within_half_the_space_comes_back(unwrap, bits, data, number):
    half = 1 << (bits - 1)
    near = number - data.draw(st.integers(-half, half - 1))
    assert unwrap(number % (1 << bits), near) == number


@WIDTHS
def test_numbers_around_a_wrap(unwrap, bits):
    space = 1 << bits
    assert unwrap(5, 3 * space - 7) == 3 * space + 5
    assert unwrap(space - 7, 3 * space + 5) == 3 * space - 7
    assert unwrap(space - 1, 0) == -1


@WIDTHS
def test_half_the_space_away_is_before(unwrap, bits):
    assert unwrap(1 << (bits - 1), 0) == -(1 << (bits - 1))


@given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_the_wire_type_agrees_and_does_not_leak(wire, near):
    number = unwrap32(Seq32(wire), near)
    assert type(number) is int
    assert number - near == Seq32(wire) - Seq32(near)
