"""What there is to run, and to hold it against: cases, conformance rules, requirements."""

from __future__ import annotations

from mbtest import content
from mbtest.errors import UsageError
from mbtest.harness import requirements
from mbtest.harness.case import Case, cases_of
from mbtest.observe.rules import RULES, Rule
from mbtest.results import Requirement


def cases() -> dict[str, Case]:
    """Return all cases by id, in the order of files and functions.

    Raises UsageError for an id used twice, and for a requirement that is not known.
    """
    found: dict[str, Case] = {}
    places: dict[str, str] = {}
    for module in content.modules("testcases"):
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__:
                continue
            place = f"{module.__name__.replace('.', '/')}.py: {name}"
            for case in cases_of(value):
                if case.id in found:
                    raise UsageError(f"{place} has the id {case.id!r} of {places[case.id]}; ids are unique")
                requirements.check(case, place)
                found[case.id], places[case.id] = case, place
    return found


def rules() -> dict[str, Rule]:
    """Return all conformance rules by id. Raises UsageError for a requirement that is not known."""
    for rule in RULES.values():
        requirements.check(rule, f"rule {rule.id}")
    return RULES


def coverage() -> tuple[Requirement, ...]:
    """Return all requirements with the cases and rules that test them. Raises UsageError."""
    return requirements.coverage(cases().values(), rules().values())
