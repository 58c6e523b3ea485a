from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import pytest

from mbtest.network.link import Link
from mbtest.network.topology import NetworkPath

if TYPE_CHECKING:
    from tests.network.conftest import JumpingClock

Lay = Callable[..., Link]


class Far:
    """The far end of a link: what arrived when, and what did not and why."""

    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.arrived: list[tuple[int, bytes]] = []
        self.lost: list[tuple[int | None, str]] = []

    def lay(self, seed: int = 1, **stated: object) -> Link:
        path = NetworkPath("c1-s1", "c1", "s1", **stated)  # type: ignore[arg-type]
        return Link(
            path,
            self.clock,
            Random(seed),
            lambda raw, _origin, _packet: self.arrived.append((self.clock.now, raw)),
            lambda origin, why: self.lost.append((origin, why)),
        )


@pytest.fixture
def far(clock: JumpingClock) -> Far:
    return Far(clock)


def test_a_delay_holds_every_packet_as_long(clock: JumpingClock, far: Far) -> None:
    link = far.lay(delay_us=5_000)
    link.send(b"a", None, None)
    clock.run_until(100)
    link.send(b"b", None, None)
    clock.run_until(10_000)
    assert far.arrived == [(5_000, b"a"), (5_100, b"b")]


def test_a_rate_spaces_packets_by_their_size(clock: JumpingClock, far: Far) -> None:
    link = far.lay(rate_bps=8_000_000)
    for size in (100, 50, 10):
        link.send(bytes(size), None, None)
    clock.run_until(1_000)
    assert [(when, len(raw)) for when, raw in far.arrived] == [(100, 100), (150, 50), (160, 10)]


def test_a_line_that_was_idle_starts_at_once(clock: JumpingClock, far: Far) -> None:
    link = far.lay(rate_bps=8_000_000)
    link.send(bytes(10), None, None)
    clock.run_until(1_000)
    link.send(bytes(10), None, None)
    clock.run_until(2_000)
    assert [when for when, _ in far.arrived] == [10, 1_010]


@pytest.mark.parametrize("rate", [3_000_000, 100_000_000, 10_000_000_000])
def test_a_rate_holds_over_many_packets(clock: JumpingClock, far: Far, rate: int) -> None:
    link = far.lay(rate_bps=rate)
    for _ in range(10_000):
        link.send(bytes(1_500), None, None)
    clock.run_until(100_000_000)
    assert far.arrived[-1][0] == pytest.approx(10_000 * 1_500 * 8e6 / rate, rel=0.001)


def test_a_full_queue_drops_what_comes_last(clock: JumpingClock, far: Far) -> None:
    link = far.lay(rate_bps=8_000_000, queue_bytes=250)
    for number in range(5):
        link.send(bytes([number]) * 100, number, None)
    clock.run_until(10_000)
    # One on the line, two and a half wait, and there are no half packets.
    assert [raw[0] for _, raw in far.arrived] == [0, 1]
    assert [origin for origin, _ in far.lost] == [2, 3, 4]
    assert "queue of 250 octets full" in far.lost[0][1]


def test_an_empty_queue_takes_no_room_from_the_packet_on_the_line(clock: JumpingClock, far: Far) -> None:
    link = far.lay(rate_bps=8_000_000, queue_bytes=10)
    link.send(bytes(100), None, None)
    clock.run_until(1_000)
    assert len(far.arrived) == 1


def test_loss_takes_its_stated_share_and_says_so(clock: JumpingClock, far: Far) -> None:
    link = far.lay(loss=0.1)
    for number in range(10_000):
        link.send(b"x", number, None)
    clock.run_until(1)
    assert len(far.lost) == pytest.approx(1_000, rel=0.15)
    assert len(far.lost) + len(far.arrived) == 10_000
    assert far.lost[0][1] == "lost by the link (stated loss 10 %)"


def test_the_same_seed_loses_the_same_packets(clock: JumpingClock) -> None:
    fates = []
    for seed in (7, 7, 8):
        far = Far(clock)
        link = far.lay(seed=seed, loss=0.3)
        for number in range(100):
            link.send(b"x", number, None)
        fates.append([origin for origin, _ in far.lost])
    assert fates[0] == fates[1] != fates[2]
