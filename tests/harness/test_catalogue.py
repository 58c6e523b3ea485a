"""What there is to run."""

from __future__ import annotations

from typing import Any

from mbtest import content
from mbtest.harness.catalogue import cases

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
