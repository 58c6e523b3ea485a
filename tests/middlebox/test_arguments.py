from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Middlebox, Parameter
from mbtest.middlebox.arguments import checked, did_you_mean


class Halve(Middlebox):
    shift: Annotated[int, Parameter("right shift of the window", "bits", 1, 16)]
    often: int = 1


class Quarter(Halve):
    more: int = 0


@pytest.mark.parametrize(
    ("kind", "values", "named", "says"),
    [
        (Halve, (), {"shft": 1}, "Halve has no parameter 'shft'; did you mean 'shift'?"),
        (Halve, (1,), {"amount": 1}, "Halve has no parameter 'amount'; there are aim, often, shift"),
        (Halve, (), {}, "Halve lacks 'shift' (right shift of the window, 1 to 16 bits); it must be given"),
        (
            Halve,
            (1, 2, 3),
            {},
            "Halve was given 3 values by position; those that it takes so: shift, often",
        ),
        (Halve, (1,), {"shift": 2}, "Halve was given 'shift' twice: by position, and by name"),
        (Quarter, (1,), {"mroe": 2}, "Quarter has no parameter 'mroe'; did you mean 'more'?"),
        (Aim, (), {"knds": 1}, "Aim has no parameter 'knds'; did you mean 'kinds'?"),
    ],
)
def test_what_does_not_fit_is_told_with_the_remedy(
    kind: Callable[..., object], values: tuple[Any, ...], named: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        kind(*values, **named)
    assert str(refused.value) == says


def test_what_fits_passes() -> None:
    assert (Quarter(2, more=3).shift, Quarter(2, more=3).more) == (2, 3)
    assert Halve(3).fresh().shift == 3


def test_what_goes_wrong_within_is_left_as_it_is() -> None:
    def add(self: object, one: Any) -> Any:
        return one + "1"

    with pytest.raises(TypeError, match="unsupported operand"):
        checked(add, "add()")(None, 1)


def test_without_one_that_is_like_it_all_are_named() -> None:
    assert did_you_mean("shft", ["shift", "often"]) == "; did you mean 'shift'?"
    assert did_you_mean("xyz", ["shift", "often"]) == "; there are often, shift"
    assert did_you_mean("xyz", []) == "; there are none"
