"""Signals of a run: an endless loop is ended and its box named; an interrupt waits to be asked for."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Sequence
from random import Random

import pytest

from mbtest.errors import HarnessError
from mbtest.harness.watchdog import Watchdog
from mbtest.middlebox import BoxError, Chain, Direction, Middlebox
from mbtest.network.virtual import VirtualLoop
from mbtest.wire import SYN, Segment


class Endless(Middlebox):
    """Never comes back."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        return [segment for _ in itertools.count() if self.now < 0]


class Restless(Middlebox):
    """Sets itself timers at the very time that it is."""

    def start(self) -> None:
        self.call_later(0, self.start)


def attached(box: Middlebox) -> tuple[Chain, VirtualLoop]:
    loop, chain = VirtualLoop(), Chain([box], "path", 0)
    chain.attach(loop, Random(1), "path", lambda packet, direction: None)
    return chain, loop


def test_a_box_in_an_endless_loop_is_named_with_its_line() -> None:
    chain, _ = attached(Endless())
    syn = Segment.build("192.0.2.1", "192.0.2.2", 1, 80, flags=SYN)
    with (
        pytest.raises(
            BoxError, match=r"did not come back for 0.05 s: Endless was at work, test_watchdog\.py:"
        ),
        Watchdog(0.05, {"path": chain}),
    ):
        chain.forward(syn, Direction.TO_SERVER)


def test_a_box_whose_timers_let_no_time_pass_is_named() -> None:
    chain, loop = attached(Restless())
    with pytest.raises(HarnessError, match="Restless"), Watchdog(0.05, {"path": chain}):
        loop.run(lambda: False, 1_000)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_waits_until_it_is_asked_for() -> None:
    waited = []

    def carry_out() -> None:
        with Watchdog(60, {}) as watchdog:
            watchdog.check()
            interrupt()
            waited.append(True)
            watchdog.check()
            waited.append(False)

    with pytest.raises(KeyboardInterrupt):
        carry_out()
    assert waited == [True]


def interrupted(work: Callable[[], object]) -> None:
    """Do some work, interrupted before it begins."""
    with Watchdog(60, {}):
        interrupt()
        work()


def test_a_second_interrupt_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt) as struck:
        interrupted(interrupt)
    assert [entry.name for entry in struck.traceback].count("interrupt") == 1


def test_an_interrupt_ends_an_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbtest.harness.watchdog.HOLD", 0.05)
    chain, _ = attached(Endless())
    syn = Segment.build("192.0.2.1", "192.0.2.2", 1, 80, flags=SYN)
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: chain.forward(syn, Direction.TO_SERVER))


def test_an_interrupt_that_nobody_asked_for_strikes_at_the_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Watchdog(60, {}):
        interrupt()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_beside_the_main_thread_it_watches_nothing() -> None:
    entered: list[Watchdog] = []

    def enter() -> None:
        with Watchdog(60, {}) as watchdog:
            entered.append(watchdog)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered
