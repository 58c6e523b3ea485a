from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mbtest.errors import LocalProtocolError
from mbtest.network.inbox import Inbox

if TYPE_CHECKING:
    from tests.network.conftest import JumpingClock


def test_packets_are_handed_over_later_and_in_order(clock: JumpingClock) -> None:
    inbox, received = Inbox("client", clock, 20), []
    inbox.attach(lambda raw: received.append((clock.now, raw)))
    inbox.put(b"a")
    inbox.put(b"b")
    clock.run_until(10)
    inbox.put(b"c")
    assert received == []
    clock.run_until(100)
    assert received == [(20, b"a"), (20, b"b"), (30, b"c")]


def test_without_latency_they_wait_for_the_next_timers(clock: JumpingClock) -> None:
    inbox, received = Inbox("client", clock), []
    inbox.attach(received.append)
    inbox.put(b"a")
    assert received == []
    clock.run_until(0)
    assert received == [b"a"]


def test_an_answer_is_not_received_in_the_middle_of_what_it_answers(clock: JumpingClock) -> None:
    order: list[str] = []
    here, there = Inbox("client", clock), Inbox("server", clock)

    def answer(raw: bytes) -> None:
        order.append(f"server begins with {raw.decode()}")
        here.put(raw)
        order.append("server is done")

    there.attach(answer)
    here.attach(lambda raw: order.append(f"client has {raw.decode()}"))
    there.put(b"1")
    there.put(b"2")
    clock.run_until(0)
    assert order == [
        "server begins with 1", "server is done", "server begins with 2", "server is done",
        "client has 1", "client has 2",
    ]  # fmt: skip


def test_a_packet_for_nobody_is_our_mistake(clock: JumpingClock) -> None:
    Inbox("server", clock).put(b"a")
    with pytest.raises(LocalProtocolError, match="to which no stack was attached"):
        clock.run_until(0)
