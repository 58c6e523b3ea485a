import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.wire import Seq32, Seq64

WIDTHS = pytest.mark.parametrize("width", [Seq32, Seq64])
ANY = st.integers(-(1 << 70), 1 << 70)


@WIDTHS
def test_wraps_at_both_ends(width: type[Seq32] | type[Seq64]) -> None:
    last = width(-1)

    assert last == (1 << width.bits) - 1
    assert last + 1 == 0
    assert width(0) - 1 == last
    assert 1 + last == 0
    assert type(last + 1) is type(1 + last) is type(width(0) - 1) is width


@WIDTHS
def test_order_around_the_wrap(width: type[Seq32] | type[Seq64]) -> None:
    before, after = width(-5), width(5)

    assert before < after
    assert before <= after
    assert after > before
    assert after >= before
    assert after - before == 10
    assert before - after == -10
    assert after > 3
    assert not before > 3


@WIDTHS
def test_half_the_space_away_is_before_in_both_directions(width: type[Seq32] | type[Seq64]) -> None:
    near, far = width(0), width(1 << (width.bits - 1))

    assert near - far == far - near == -(1 << (width.bits - 1))
    assert near < far < near


@WIDTHS
@given(start=ANY, data=st.data())
def test_distance_undoes_addition(width: type[Seq32] | type[Seq64], start: int, data: st.DataObject) -> None:
    half = 1 << (width.bits - 1)
    step = data.draw(st.integers(-half, half - 1))
    here = width(start)

    assert (here + step) - here == step
    assert here + step - step == here
    assert 0 <= int(here + step) < 1 << width.bits
    assert type(width(start) - step) is width


@WIDTHS
@given(ANY, ANY)
def test_exactly_one_order_holds(width: type[Seq32] | type[Seq64], a: int, b: int) -> None:
    left, right = width(a), width(b)
    orders = [left < right, left == right, left > right]

    assert sum(orders) == 1 or abs(left - right) == 1 << (width.bits - 1)
    assert (left <= right) == (left < right or left == right)
    assert (left >= right) == (left > right or left == right)


@given(ANY, st.integers(-(1 << 31), (1 << 31) - 1))
def test_nearest_finds_the_64_bits_again(reference: int, distance: int) -> None:
    number = Seq64(reference) + distance

    assert Seq64(reference).nearest(number & 0xFFFFFFFF) == number


def test_nearest_across_the_wrap_of_the_low_half() -> None:
    assert Seq64(0x1_FFFF_FFF0).nearest(0x10) == 0x2_0000_0010
    assert Seq64(0x2_0000_0010).nearest(0xFFFF_FFF0) == 0x1_FFFF_FFF0
    assert Seq64(0x10).nearest(0xFFFF_FFF0) == 0xFFFF_FFFF_FFFF_FFF0


def test_numbers_of_two_widths_have_no_distance() -> None:
    with pytest.raises(TypeError, match="no distance"):
        Seq64(1) - Seq32(1)


@WIDTHS
def test_it_hashes_prints_and_pickles_as_a_number(width: type[Seq32] | type[Seq64]) -> None:
    number = width(7)

    assert hash(number) == hash(7)
    assert repr(number) == f"{width.__name__}(7)"
    assert str(number) == f"{number}" == f"{number:d}" == "7"
    again = pickle.loads(pickle.dumps(number))
    assert again == number
    assert type(again) is width
    assert width.from_wire(7) == number
    assert type(width.from_wire(7)) is width
