from __future__ import annotations

from itertools import groupby

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Kind
from mbtest.wire import SYN
from middleboxes.lose_in_bursts import LoseInBursts
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment


def lost(share: float, length: float, seed: int = 1, count: int = 20_000) -> list[bool]:
    line = Line(LoseInBursts(share, length), seed=seed)
    line.chain.record = None
    one = segment(1, b"data")
    return [not line.put(one) for _ in range(count)]


@pytest.mark.parametrize(("share", "length"), [(0.01, 1), (0.05, 4), (0.3, 10)])
def test_share_and_length_are_as_told_in_the_long_run(share: float, length: float) -> None:
    run = lost(share, length)
    bursts = [sum(1 for _ in group) for is_lost, group in groupby(run) if is_lost]
    assert sum(run) / len(run) == pytest.approx(share, rel=0.25)
    assert sum(bursts) / len(bursts) == pytest.approx(length, rel=0.25)


def test_nothing_is_lost_where_nothing_is_to_be() -> None:
    assert not any(lost(0, 5, count=1000))


def test_chance_comes_from_the_seed() -> None:
    assert lost(0.1, 4, 1, 500) == lost(0.1, 4, 1, 500) != lost(0.1, 4, 2, 500)


def test_the_directions_have_bursts_of_their_own() -> None:
    line = Line(LoseInBursts(0.5, 50), seed=1)
    ways = {
        way: [not line.put(segment(direction=way), way) for _ in range(300)] for way in (TO_SERVER, TO_CLIENT)
    }
    assert ways[TO_SERVER] != ways[TO_CLIENT]


def test_a_burst_ends_with_time() -> None:
    line = Line(LoseInBursts(0.99, 100_000, longest=1000), seed=1)
    while line.put(segment()):
        pass
    line.wait(999)
    assert line.put(segment()) == []
    line.wait(1)
    assert line.put(one := segment()) == [one]


def test_what_the_aim_leaves_out_passes() -> None:
    line = Line(LoseInBursts(0.99, 1000, aim=Aim(kinds=Kind.DATA)))
    assert all(line.put(segment(flags=SYN)) for _ in range(50))


@pytest.mark.parametrize(
    ("share", "length", "words"),
    [
        (1, 4, "share=1 is out of range; give 0 to 0.99"),
        (0.1, 0.5, "length=0.5 is out of range; give at least 1 segments"),
        (0.9, 4, "share=0.9, length=4: so large a share comes in bursts of at least 9 segments"),
    ],
)
def test_impossible_parameters_are_refused(share: float, length: float, words: str) -> None:
    with pytest.raises(UsageError, match=f"^LoseInBursts: {words}$"):
        LoseInBursts(share, length)
