"""Stretches of numbers, against a set of them."""

from hypothesis import given
from hypothesis import strategies as st

from mbtest.observe.ranges import Ranges, unwrap32, unwrap64

STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=20)


@given(STRETCHES)
def test_it_is_a_set_of_numbers(stretches):
    ranges, numbers = Ranges(1), set(range(1))
    for start, size in stretches:
        fresh = {n for left, right in ranges.add(start, start + size) for n in range(left, right)}
        assert fresh == set(range(start, start + size)) - numbers
        numbers |= set(range(start, start + size))
        assert ranges.front == next(n for n in range(200) if n not in numbers)
        assert ranges.end == max(numbers) + 1
        for low in range(0, 80, 7):
            assert ranges.has(low, low + 5) == (set(range(low, low + 5)) <= numbers)


def test_what_is_ahead_joins_the_front():
    ranges = Ranges(1)
    ranges.add(5, 9)
    ranges.add(1, 5)
    assert (ranges.front, ranges.ahead) == (9, [])


def test_numbers_unwrap_to_the_nearest():
    assert unwrap32(5, 2**32 - 10) == 2**32 + 5
    assert unwrap32(2**32 - 1, 3) == -1
    assert unwrap64(5, 2**64 - 10) == 2**64 + 5
