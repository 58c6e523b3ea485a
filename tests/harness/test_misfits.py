"""Whose mistake a failure in a case is, and which line of the case led to it."""

from __future__ import annotations

import pytest

from mbtest.harness.misfits import is_misfit, place_of


def called(number: int) -> int:
    return number + len("x" * number)


def failing(call: object) -> BaseException:
    """Return what a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        call()  # type: ignore[operator]
    return caught.value


def test_a_call_with_an_argument_too_many_is_the_authors() -> None:
    error = failing(lambda: called(1, 2))  # type: ignore[call-arg]
    assert is_misfit(error)
    assert place_of(error).startswith("tests/harness/test_misfits.py:")
    assert place_of(error).endswith(": ")


def test_a_type_error_within_what_was_called_is_not() -> None:
    # Its words speak of no argument.
    assert not is_misfit(failing(lambda: called("one")))  # type: ignore[arg-type]
    assert not is_misfit(failing(lambda: {}["none"]))
    assert not is_misfit(None)


def test_a_failure_outside_of_cases_has_no_place() -> None:
    assert place_of(None) == ""
    assert place_of(ValueError("never raised")) == ""
