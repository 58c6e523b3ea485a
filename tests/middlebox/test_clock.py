from mbtest.middlebox import MICROSECOND, MILLISECOND, SECOND, Clock
from tests.middlebox.bench import VirtualClock


def test_units_are_microseconds() -> None:
    assert (MICROSECOND, MILLISECOND, SECOND) == (1, 1000, 1000 * 1000)


def test_a_clock_calls_in_time_and_not_what_was_cancelled() -> None:
    clock: Clock = VirtualClock()
    calls: list[tuple[str, int]] = []
    clock.call_at(20, lambda: calls.append(("second", clock.now)))
    clock.call_at(10, lambda: calls.append(("first", clock.now)))
    never = clock.call_at(15, lambda: calls.append(("never", clock.now)))
    never.cancel()
    never.cancel()
    assert isinstance(clock, VirtualClock)
    clock.advance(19)
    assert calls == [("first", 10)]
    clock.advance(1)
    assert calls == [("first", 10), ("second", 20)]
