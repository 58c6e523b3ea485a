from __future__ import annotations

from random import Random

import pytest

from mbtest.middlebox.overlay import Overlay, Places


@pytest.mark.parametrize(
    ("places", "start", "end", "span", "met"),
    [
        (Places((5, 20)), 0, 100, 1, [5, 20]),
        (Places((5, 20)), 6, 20, 1, []),
        (Places((5, 20)), 6, 20, 2, [5]),
        (Places((5,), 10), 0, 40, 1, [5, 15, 25, 35]),
        (Places((5,), 10), 17, 36, 3, [15, 25, 35]),
        (Places((5,), 10), 18, 36, 3, [25, 35]),
        (Places((2, 5), 100), 0, 10, 1, [2, 5]),
    ],
)
def test_places_are_met_where_a_change_reaches_them(
    places: Places, start: int, end: int, span: int, met: list[int]
) -> None:
    assert list(places.met(start, end, span)) == met


@pytest.mark.parametrize("flips", [False, True])
def test_an_octet_meets_the_same_fate_however_the_stream_is_cut(flips: bool) -> None:
    random = Random(1)
    overlay = Overlay(Places((3, 40), 17), b"\x0f\xf0\xaa", flips)
    stream = random.randbytes(300)
    whole = overlay.over(0, stream, range(len(stream)))
    for _ in range(50):
        start = random.randrange(300)
        end = random.randrange(start, 300) + 1
        piece = overlay.over(start, stream[start:end], range(start, end))
        assert piece == whole[start:end]
    assert sum(one != other for one, other in zip(stream, whole, strict=True)) > 30


def test_masks_flip_and_octets_are_put() -> None:
    assert Overlay(Places((1,)), b"\xff", flips=True).over(0, b"\x00\x0f\x00", range(3)) == b"\x00\xf0\x00"
    assert Overlay(Places((1,)), b"xy", flips=False).over(0, b"abcd", range(4)) == b"axyd"


def test_only_the_octets_of_now_are_changed() -> None:
    assert Overlay(Places((0,)), b"xyz", flips=False).over(0, b"abcd", range(1, 2)) == b"aycd"
