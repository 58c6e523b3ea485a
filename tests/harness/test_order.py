"""In which order runs are started."""

from __future__ import annotations

from mbtest.harness.case import Case, Place
from mbtest.harness.order import in_turn
from mbtest.results import Level


def case(waits: float = 0.0, place: Place = "") -> Case:
    return Case(
        id="test.order", title="It holds.", topic="order", requirements=(), level=Level.MUST, families=(),
        directions=(), checksums=(), topology="one-path", needs=frozenset(), waits=waits, place=place,
    )  # fmt: skip


def test_what_waits_is_spread_over_what_computes_the_longest_first() -> None:
    items = [(f"computes {at}", case()) for at in range(6)] + [(f"waits {at}", case(at)) for at in (1, 3, 2)]
    assert in_turn(items) == [
        "waits 3", "computes 0", "waits 2", "computes 1", "computes 2", "waits 1", "computes 3", "computes 4",
        "computes 5",
    ]  # fmt: skip


def test_equals_stay_in_the_order_in_which_they_were_given() -> None:
    items = [(name, case(waits)) for waits in (2, 0) for name in ("one", "other")]
    assert in_turn(items) == ["one", "other", "one", "other"]
    assert in_turn([]) == []


def test_the_first_and_the_last_are_where_they_ask_to_be() -> None:
    items = [
        ("end", case(place="last")),
        ("no case", None),
        ("waits", case(5)),
        ("begin", case(place="first")),
    ]
    assert in_turn(items) == ["begin", "waits", "no case", "end"]
