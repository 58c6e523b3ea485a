"""What there is to run: the cases of the content folders, found without running any."""

from __future__ import annotations

from mbtest import content
from mbtest.errors import UsageError
from mbtest.harness.case import Case, case_of


def cases() -> dict[str, Case]:
    """Return all cases by id, in the order of files and functions. Raises UsageError for an id used twice."""
    found: dict[str, Case] = {}
    places: dict[str, str] = {}
    for module in content.modules("testcases"):
        for name, value in vars(module).items():
            case = case_of(value)
            if case is None or getattr(value, "__module__", "") != module.__name__:
                continue
            place = f"{module.__name__.replace('.', '/')}.py: {name}"
            if case.id in found:
                raise UsageError(f"{place} has the id {case.id!r} of {places[case.id]}; ids are unique")
            found[case.id], places[case.id] = case, place
    return found
