from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator

import pytest

from mbtest.network.loop import Loop

LONG = 10_000_000


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def test_run_ends_at_the_deadline_and_says_so(loop: Loop) -> None:
    deadline = loop.now + 3_000
    assert loop.run(lambda: False, deadline) is False
    assert loop.now >= deadline


def test_run_ends_when_its_condition_holds(loop: Loop) -> None:
    fired = []
    loop.call_at(loop.now + 500, lambda: fired.append(loop.now))
    assert loop.run(lambda: bool(fired), loop.now + LONG) is True


def test_a_condition_that_holds_already_is_found_even_past_the_deadline(loop: Loop) -> None:
    assert loop.run(lambda: True, loop.now - 1) is True


@pytest.mark.parametrize("delay", [0, 50, 300, 1_500, 2_500, 12_345])
def test_a_timer_fires_not_before_its_time(loop: Loop, delay: int) -> None:
    when, fired = loop.now + delay, []
    loop.call_at(when, lambda: fired.append(loop.now))
    loop.run(lambda: bool(fired), loop.now + LONG)
    assert fired[0] >= when


def test_timers_of_a_fraction_of_a_millisecond_are_not_rounded_up(loop: Loop) -> None:
    late = []
    for _ in range(50):
        when, fired = loop.now + 200, []
        loop.call_at(when, lambda fired=fired: fired.append(loop.now))
        loop.run(lambda fired=fired: bool(fired), loop.now + LONG)
        late.append(fired[0] - when)
    # epoll alone would take until the next whole millisecond, 800 microseconds more, every time.
    assert min(late) < 500


def test_a_cancelled_timer_does_not_wake_the_loop(loop: Loop) -> None:
    fired = []
    loop.call_at(loop.now, lambda: fired.append(1)).cancel()
    assert loop.run(lambda: bool(fired), loop.now + 2_000) is False


def test_a_reader_is_called_while_there_is_something_to_read(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    got: list[bytes] = []
    loop.add_reader(one, lambda: got.append(one.recv(2)))
    other.send(b"abcd")
    assert loop.run(lambda: len(got) == 2, loop.now + LONG)
    assert got == [b"ab", b"cd"]


def test_a_reader_and_a_writer_share_a_descriptor(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    seen: list[str] = []
    loop.add_reader(one, lambda: (one.recv(10), seen.append("read")))
    loop.add_writer(one, lambda: (seen.append("write"), loop.remove_writer(one)))
    assert loop.run(lambda: "write" in seen, loop.now + LONG)
    other.send(b"x")
    assert loop.run(lambda: "read" in seen, loop.now + LONG)
    assert seen.count("write") == 1


def test_a_reader_that_an_earlier_callback_removed_is_not_called(
    loop: Loop, pair: tuple[socket.socket, socket.socket]
) -> None:
    one, other = pair
    one.send(b"x")
    other.send(b"x")
    called: list[str] = []

    def call(name: str) -> None:
        called.append(name)
        loop.remove_reader(one)
        loop.remove_reader(other)

    loop.add_reader(one, lambda: call("one"))
    loop.add_reader(other, lambda: call("other"))
    loop.run(lambda: False, loop.now + 2_000)
    assert len(called) == 1


def test_the_end_of_a_stream_wakes_its_reader(loop: Loop) -> None:
    readable, writable = os.pipe()
    got: list[bytes] = []
    loop.add_reader(readable, lambda: got.append(os.read(readable, 10)))
    os.close(writable)
    assert loop.run(lambda: bool(got), loop.now + LONG)
    assert got == [b""]
    loop.remove_reader(readable)
    os.close(readable)


def test_removing_what_is_not_watched_is_harmless(loop: Loop) -> None:
    loop.remove_reader(0)
    loop.remove_writer(0)


def test_the_end_of_each_round_comes_after_its_callbacks_and_timers(loop: Loop) -> None:
    order: list[str] = []
    loop.at_round_end(lambda: order.append("end"))
    loop.call_at(loop.now, lambda: order.append("timer"))
    loop.run(lambda: "end" in order, loop.now + LONG)
    assert order[-2:] == ["timer", "end"]


def test_what_was_given_last_ends_a_round_first(loop: Loop) -> None:
    order: list[str] = []
    for name in ("network", "stack", "another"):
        loop.at_round_end(lambda name=name: order.append(name))  # type: ignore[misc]
    loop.run(lambda: bool(order), loop.now + LONG)
    assert order == ["another", "stack", "network"]


def test_the_garbage_collector_rests_while_the_loop_runs(loop: Loop) -> None:
    assert gc.isenabled()
    resting = []
    loop.call_at(loop.now, lambda: resting.append(not gc.isenabled()))
    loop.run(lambda: bool(resting), loop.now + LONG)
    assert resting == [True]
    assert gc.isenabled()


def test_the_garbage_collector_works_again_after_a_callback_that_raised(loop: Loop) -> None:
    def fail() -> None:
        raise ValueError("a box")

    loop.call_at(loop.now, fail)
    with pytest.raises(ValueError, match="a box"):
        loop.run(lambda: False, loop.now + LONG)
    assert gc.isenabled()
