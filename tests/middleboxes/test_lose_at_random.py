from __future__ import annotations

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import SYN
from middleboxes.lose_at_random import LoseAtRandom
from tests.middlebox.bench import Line, segment, talk


def lost(share: float, seed: int = 1, count: int = 2000) -> list[bool]:
    line = Line(LoseAtRandom(share), seed=seed)
    return [not line.put(segment(number)) for number in range(count)]


def test_so_large_a_share_is_lost() -> None:
    assert not any(lost(0))
    assert all(lost(1))
    assert 150 < sum(lost(0.1)) < 250


def test_chance_comes_from_the_seed() -> None:
    assert lost(0.1, seed=1) == lost(0.1, seed=1) != lost(0.1, seed=2)


def test_what_is_not_lost_is_the_very_one_and_so_is_what_the_aim_leaves_out() -> None:
    assert Line(LoseAtRandom(0)).put(one := segment(1, b"data"))[0] is one
    assert Line(LoseAtRandom(1, aim=Aim(kinds=Kind.DATA))).put(syn := segment(flags=SYN))[0] is syn


def test_streams_arrive_all_the_same() -> None:
    for connection in talk(LoseAtRandom(0.2, aim=Aim(kinds=Kind.DATA | Kind.PURE_ACK)), seed=3):
        assert connection.server.received == connection.client.stream


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match=r"^LoseAtRandom: share=.* is out of range; give 0 to 1$"):
        LoseAtRandom(share)
