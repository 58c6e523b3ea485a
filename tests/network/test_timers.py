from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbtest.network.timers import Timers


def test_timers_fire_in_the_order_in_which_they_are_due() -> None:
    timers, fired = Timers(), []
    for when in (30, 10, 20):
        timers.call_at(when, lambda when=when: fired.append(when))

    assert timers.next_at() == 10
    assert timers.run_due(20) == 2
    assert fired == [10, 20]
    assert len(timers) == 1
    assert timers.next_at() == 30


def test_timers_of_the_same_time_fire_in_the_order_in_which_they_were_set() -> None:
    timers, fired = Timers(), []
    for name in "abc":
        timers.call_at(5, lambda name=name: fired.append(name))
    timers.run_due(5)
    assert fired == ["a", "b", "c"]


def test_a_cancelled_timer_does_not_fire_even_when_another_that_is_due_cancels_it() -> None:
    timers, fired = Timers(), []
    second = timers.call_at(2, lambda: fired.append("second"))
    first = timers.call_at(1, second.cancel)
    assert timers.run_due(2) == 1
    assert fired == []
    first.cancel()
    second.cancel()
    assert len(timers) == 0
    assert timers.next_at() is None


def test_a_timer_set_in_the_past_by_a_timer_waits_for_the_next_round() -> None:
    timers, rounds = Timers(), []

    def again() -> None:
        rounds.append(None)
        timers.call_at(0, again)

    timers.call_at(0, again)
    assert timers.run_due(10) == 1
    assert timers.run_due(10) == 1
    assert len(rounds) == 2


def test_cancelled_timers_do_not_pile_up_under_one_that_is_due() -> None:
    timers, fired = Timers(), []

    def cancel_many() -> None:
        for at in range(2000):
            timers.call_at(1000 + at, lambda: fired.append("never")).cancel()

    timers.call_at(1, cancel_many)
    timers.call_at(1, lambda: fired.append("once"))
    timers.run_due(1)
    assert fired == ["once"]
    assert len(timers) == 0
    assert timers.run_due(10_000) == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans())), st.integers(0, 60))
def test_exactly_those_fire_that_are_due_and_not_cancelled(plan: list[tuple[int, bool]], now: int) -> None:
    timers, fired = Timers(), []
    handles = [timers.call_at(when, lambda at=at: fired.append(at)) for at, (when, _) in enumerate(plan)]
    for handle, (_, cancelled) in zip(handles, plan, strict=True):
        if cancelled:
            handle.cancel()
    timers.run_due(now)
    due = [at for at, (when, cancelled) in enumerate(plan) if when <= now and not cancelled]
    assert fired == sorted(due, key=lambda at: (plan[at][0], at))
