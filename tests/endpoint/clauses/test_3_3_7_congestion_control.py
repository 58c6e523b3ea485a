"""RFC 8684 §3.3.7: subflows that share a bottleneck take together what one TCP would (RFC 6356)."""

from __future__ import annotations

from random import Random

import pytest

from mbtest.wire import MpCapable
from tests.endpoint.scene import (
    A1,
    A2,
    A3,
    B1,
    CLIENT,
    MILLISECOND,
    PORT,
    SECOND,
    Scene,
    octets,
    strip,
    through,
)

RATE = 300_000
"""Octets a second, of what clients send."""
LONGEST = 60 * MILLISECOND
"""Of waiting in the queue."""
BASE = 20 * MILLISECOND
PIECE = octets(1 << 16)


class Bottleneck:
    """One queue for all that clients send; the fuller, the more it drops (RED), so that nobody is in step."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.free_at = 0
        self.chance = Random(6356)

    def __call__(self, segment, side):
        scene = self.scene
        scene.delay = BASE
        if side is not CLIENT:
            return segment
        waits = max(0, self.free_at - scene.now)
        if segment.payload_length:
            if waits >= LONGEST or self.chance.random() < 0.06 * (waits / LONGEST) ** 2:
                return None
            self.free_at = scene.now + waits + len(segment.raw) * SECOND // RATE
        scene.delay = BASE + waits
        return segment


def shares(congestion: str, seconds: int = 20) -> tuple[float, float, dict[object, int]]:
    """Run a connection of two subflows against one of regular TCP; return what share of the rate each has.

    And how much arrived from each of the client's addresses.
    """
    scene = Scene({"join_from": (A2,), "subflows": 1, "congestion": congestion}, {"subflows": 1})
    scene.boxes += [strip(MpCapable, when=through(A3)), Bottleneck(scene)]
    scene.joined()
    single = scene.client.endpoint.connect(B1, PORT, scene.now, source=A3)
    other = []
    count = [0]

    def feed() -> bool:
        multipath, now = scene.client.connection, scene.now
        for connection in (multipath, single):
            if connection.established and connection.describe()["unacknowledged"] < 1 << 18:
                connection.send(PIECE, now)
        if not other and (made := scene.server.endpoint.accept(PORT)) is not None:
            other.append(made)
        if other and (got := other[0].receive(1 << 20, now)):
            count[0] += len(got)
        return False

    def over(end: int):
        return lambda: feed() or scene.now >= end

    # The slow starts are none of its business.
    scene.run(8 * SECOND, until=over(scene.now + 6 * SECOND))
    began, multipath, regular = scene.now, len(scene.server.got), count[0]
    scene.run((seconds + 2) * SECOND, until=over(began + seconds * SECOND))
    assert not single.is_mptcp
    assert len(scene.client.connection.usable()) == 2
    total = RATE * (scene.now - began) / SECOND
    sources = dict.fromkeys((A1, A2, A3), 0)
    for entry in scene.arrived:
        if entry.side is CLIENT and entry.time >= began:
            sources[entry.segment.source] += entry.segment.payload_length
    return (len(scene.server.got) - multipath) / total, (count[0] - regular) / total, sources


def test_two_subflows_over_one_bottleneck_take_about_what_one_tcp_takes():
    """Coupled increase: no harm is done to the regular connection beside them."""
    both, single, sources = shares("coupled")
    assert both + single > 0.75
    assert both < 1.45 * single
    # Nor do they take much less, and both are in use.
    assert both > 0.5 * single
    assert min(sources.values()) > 100_000


def test_uncoupled_they_would_take_about_twice_as_much():
    """The control: this bottleneck does tell the difference."""
    both, single, _ = shares("newreno")
    assert both + single > 0.75
    assert both > 1.7 * single


@pytest.mark.parametrize("congestion", ["coupled", "newreno"])
def test_a_connection_of_one_subflow_shares_alike(congestion):
    """With one subflow the coupled increase is that of regular TCP."""
    scene = Scene({"congestion": congestion}, {}).exchange()
    scene.boxes.append(Bottleneck(scene))
    began = scene.now
    scene.exchange(2_000_000, 0)
    assert scene.now - began < 2_000_000 / RATE * SECOND / 0.7
