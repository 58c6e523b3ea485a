"""What there is to run."""

from __future__ import annotations

from typing import Any

from mbtest import content
from mbtest.harness.catalogue import cases, coverage
from mbtest.harness.requirements import requirements
from mbtest.results import Level

content.use()


def test_all_cases_are_found_by_id() -> None:
    found = cases()
    assert all(name == case.id for name, case in found.items())
    assert {case.topic for case in found.values()} >= {"nat", "sequence", "splitting", "payload", "sanity"}
    # A helper that a module imports from another is no case of its own.
    assert len({id(case) for case in found.values()}) == len(found)


def test_an_id_that_is_used_twice_names_both_places(own: Any) -> None:
    twice = '@case("mine.it")\ndef test_{}(run):\n    """It holds."""\n    run()\n\n\n'
    own.cases(twice.format("one") + twice.format("two"))
    finished = own.mbtest("list", "cases", "--content", "mine")
    assert finished.returncode == 4
    assert finished.stderr == (
        "mbtest: testcases/test_mine.py: test_two has the id 'mine.it' "
        "of testcases/test_mine.py: test_one; ids are unique\n"
    )


def test_a_case_that_names_no_requirement_is_refused_with_its_place(own: Any) -> None:
    own.cases(
        '@case("mine.it", requires="RFC8684-3.7/syn-optoin-lost")\n'
        'def test_it(run):\n    """It holds."""\n    run()\n'
    )
    for words in (["list", "cases"], ["run", "mine.it"], ["list", "requirements"]):
        finished = own.mbtest(*words, "--content", "mine")
        assert finished.returncode == 4
        assert finished.stderr == (
            "mbtest: testcases/test_mine.py: test_it: no requirement 'RFC8684-3.7/syn-optoin-lost' "
            "in testcases/requirements.toml; did you mean 'RFC8684-3.7/syn-option-lost'?\n"
        )


def test_no_case_asks_for_more_than_what_it_cites() -> None:
    known = requirements()
    strict = list(Level)  # MUST, SHOULD, MAY
    for case in cases().values():
        most = min(strict.index(known[name].level) for name in case.requirements)
        assert strict.index(case.level) >= most, f"{case.id}: {case.level}, {case.requirements}"


def test_coverage_has_each_case_at_each_of_its_requirements() -> None:
    found = {entry.id: entry for entry in coverage()}
    for case in cases().values():
        assert case.requirements, case.id
        for name in case.requirements:
            assert case.id in found[name].cases
