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
        self.told: list[tuple[int | None, str]] = []

    def lay(self, seed: int = 1, **stated: object) -> Link:
        path = NetworkPath("c1-s1", "c1", "s1", **stated)  # type: ignore[arg-type]
        return Link(
            path,
            self.clock,
            Random(seed),
            lambda raw, _origin, _packet: self.arrived.append((self.clock.now, raw)),
            lambda origin, why: self.lost.append((origin, why)),
            lambda origin, what: self.told.append((origin, what)),
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


def test_a_packet_that_is_held_back_is_overtaken(clock: JumpingClock, far: Far) -> None:
    link = far.lay(seed=3, delay_us=100, reorder=0.2, reorder_by_us=50)
    for number in range(50):
        clock.run_until(number * 10)
        link.send(bytes([number]), number, None)
    clock.run_until(10_000)
    held = {origin for origin, _ in far.told}
    assert 2 < len(held) < 25
    assert far.told[0][1] == "held back by the link for 50 us (stated reordering 20 %)"
    assert {(raw[0], when) for when, raw in far.arrived} == {
        (number, number * 10 + 100 + 50 * (number in held)) for number in range(50)
    }
    assert [raw[0] for _, raw in far.arrived] != list(range(50))
    in_order = [raw[0] for _, raw in far.arrived if raw[0] not in held]
    assert in_order == sorted(in_order)
    assert far.lost == []


def test_a_link_without_delay_holds_back_too(clock: JumpingClock, far: Far) -> None:
    link = far.lay(reorder=1.0, reorder_by_us=1_000)
    link.send(b"a", 1, None)
    assert far.arrived == []
    clock.run_until(5_000)
    assert far.arrived == [(1_000, b"a")]


def test_a_packet_that_is_doubled_arrives_twice_and_says_so(clock: JumpingClock, far: Far) -> None:
    link = far.lay(duplicate=0.1)
    for number in range(1_000):
        link.send(number.to_bytes(2), number, None)
    assert len(far.told) == pytest.approx(100, rel=0.3)
    assert far.told[0][1] == "doubled by the link (stated duplication 10 %)"
    twice = {origin for origin, _ in far.told}
    expected = [number for number in range(1_000) for _ in range(1 + (number in twice))]
    assert [int.from_bytes(raw) for _, raw in far.arrived] == expected


def test_a_copy_takes_none_of_the_lines_time(clock: JumpingClock, far: Far) -> None:
    link = far.lay(rate_bps=8_000_000, duplicate=1.0)
    for _ in range(2):
        link.send(bytes(100), None, None)
    clock.run_until(1_000)
    assert [when for when, _ in far.arrived] == [100, 100, 200, 200]


def test_one_copy_can_overtake_the_other(clock: JumpingClock) -> None:
    arrived = []
    for seed in range(20):
        far = Far(clock)
        began = clock.now
        far.lay(seed=seed, duplicate=1.0, reorder=0.5, reorder_by_us=10).send(b"x", 1, None)
        clock.run_until(began + 100)
        arrived.append([when - began for when, _ in far.arrived])
    assert [0, 10] in arrived
    assert [0, 0] in arrived
    assert [10, 10] in arrived


def test_what_is_not_stated_takes_no_chance(clock: JumpingClock) -> None:
    """A path that states nothing new loses the packets that it lost before there was more to state."""
    fates = []
    for stated in ({}, {"reorder_by_us": 0, "duplicate": 0.0}):
        far = Far(clock)
        link = far.lay(seed=7, loss=0.3, **stated)
        for number in range(100):
            link.send(b"x", number, None)
        fates.append([origin for origin, _ in far.lost])
    assert fates[0] == fates[1]
