from __future__ import annotations

import gc
import time

import pytest

from mbtest.network.virtual import VirtualLoop

HOUR = 3_600_000_000


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop()


def test_time_jumps_from_timer_to_timer(loop: VirtualLoop) -> None:
    fired: list[int] = []
    for when in (HOUR, 5, 5, 70):
        loop.call_at(when, lambda: fired.append(loop.now))
    began = time.monotonic()
    assert loop.run(lambda: len(fired) == 4, 2 * HOUR)
    assert fired == [5, 5, 70, HOUR]
    assert time.monotonic() - began < 1


def test_without_a_timer_time_jumps_to_the_deadline(loop: VirtualLoop) -> None:
    assert loop.run(lambda: False, 1_000) is False
    assert loop.now == 1_000


def test_a_timer_after_the_deadline_is_left_for_later(loop: VirtualLoop) -> None:
    fired: list[int] = []
    loop.call_at(1_001, lambda: fired.append(loop.now))
    assert loop.run(lambda: bool(fired), 1_000) is False
    assert (loop.now, fired) == (1_000, [])
    assert loop.run(lambda: bool(fired), 2_000) is True
    assert fired == [1_001]


def test_a_timer_at_the_deadline_fires(loop: VirtualLoop) -> None:
    fired: list[int] = []
    loop.call_at(1_000, lambda: fired.append(loop.now))
    assert loop.run(lambda: bool(fired), 1_000) is True


def test_a_timer_in_the_past_fires_now(loop: VirtualLoop) -> None:
    fired: list[int] = []
    loop.run(lambda: False, 500)
    loop.call_at(100, lambda: fired.append(loop.now))
    loop.run(lambda: bool(fired), 1_000)
    assert fired == [500]


def test_a_condition_that_holds_already_takes_no_time(loop: VirtualLoop) -> None:
    loop.call_at(0, lambda: pytest.fail("not asked for"))
    assert loop.run(lambda: True, -1) is True
    assert loop.now == 0


def test_the_condition_is_asked_after_each_instant(loop: VirtualLoop) -> None:
    fired: list[int] = []
    for when in (1, 1, 2):
        loop.call_at(when, lambda: fired.append(loop.now))
    loop.run(lambda: bool(fired), 10)
    assert fired == [1, 1]


def test_the_end_of_a_round_comes_after_its_timers_the_youngest_first(loop: VirtualLoop) -> None:
    order: list[str] = []
    loop.at_round_end(lambda: order.append("network"))
    loop.at_round_end(lambda: order.append("stack"))
    loop.call_at(1, lambda: order.append("one"))
    loop.call_at(1, lambda: order.append("two"))
    loop.run(lambda: len(order) >= 4, 10)
    assert order == ["one", "two", "stack", "network"]


def test_a_timer_set_for_now_belongs_to_the_next_round(loop: VirtualLoop) -> None:
    order: list[str] = []
    loop.at_round_end(lambda: order.append("end"))
    loop.call_at(1, lambda: loop.call_at(1, lambda: order.append("again")))
    loop.run(lambda: order.count("end") == 2, 10)
    assert order == ["end", "again", "end"]
    assert loop.now == 1


def test_the_garbage_collector_rests_while_the_loop_runs(loop: VirtualLoop) -> None:
    resting: list[bool] = []
    loop.call_at(0, lambda: resting.append(not gc.isenabled()))
    loop.run(lambda: bool(resting), 10)
    assert resting == [True]
    assert gc.isenabled()
