from __future__ import annotations

import pytest

from mbtest.middlebox import Direction, FlowTable, Windows
from mbtest.wire import ACK, RST, SYN, TcpOption, WindowScale
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, segment

ISN = 2**32 - 30


class Scene:
    """A flow whose client begins at ISN and whose server begins at 900."""

    def __init__(self, client: int | None = 2, server: int | None = 3, scaled: bool = True) -> None:
        self.flows = FlowTable()
        self.windows = Windows(scaled)
        self.see(TO_SERVER, flags=SYN, seq=ISN, options=_scale(client))
        self.see(TO_CLIENT, flags=SYN | ACK, seq=900, ack=ISN + 1, window=100, options=_scale(server))

    def see(self, direction: Direction, ack: int = 0, **more: object) -> None:
        one = segment(ack=ack % 2**32, direction=direction, **more)  # type: ignore[arg-type]
        flow = self.flows.flow(one, direction)
        flow.sight(one, direction)
        self.windows.learn(one, flow, direction)

    def edge(self, direction: Direction) -> int | None:
        one = segment(seq=ISN + 1 if direction is TO_SERVER else 901, direction=direction)
        return self.windows.edge(self.flows.flow(one, direction).half(one, direction))


def _scale(shift: int | None) -> list[TcpOption]:
    return [] if shift is None else [WindowScale(shift)]


def test_the_window_of_a_syn_is_not_scaled_and_those_after_it_are() -> None:
    scene = Scene()
    assert (scene.edge(TO_SERVER), scene.edge(TO_CLIENT)) == (100, None)
    scene.see(TO_CLIENT, seq=901, ack=ISN + 1 + 50, window=20)
    scene.see(TO_SERVER, seq=ISN + 1, ack=901, window=20)
    assert (scene.edge(TO_SERVER), scene.edge(TO_CLIENT)) == (50 + 160, 80)


def test_the_largest_edge_counts() -> None:
    scene = Scene()
    scene.see(TO_CLIENT, seq=901, ack=ISN + 1 + 20, window=1)
    assert scene.edge(TO_SERVER) == 100


@pytest.mark.parametrize("told", [{"client": None}, {"server": None}, {"scaled": False}])
def test_nothing_is_scaled_unless_both_offered_it_and_it_is_followed(told: dict[str, bool | None]) -> None:
    scene = Scene(**told)  # type: ignore[arg-type]
    scene.see(TO_CLIENT, seq=901, ack=ISN + 1, window=500)
    assert scene.edge(TO_SERVER) == 500


def test_a_scale_above_14_counts_as_14() -> None:
    scene = Scene(server=20)
    scene.see(TO_CLIENT, seq=901, ack=ISN + 1, window=1)
    assert scene.edge(TO_SERVER) == 1 << 14


def test_a_reset_offers_nothing() -> None:
    scene = Scene()
    scene.see(TO_CLIENT, seq=901, ack=ISN + 1, window=5000, flags=RST | ACK)
    assert scene.edge(TO_SERVER) == 100
