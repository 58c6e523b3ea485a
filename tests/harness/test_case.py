"""Cases as data, and the runs that they come to."""

import pytest

from mbtest.errors import UsageError
from mbtest.harness.case import Choice, case, case_of, parse_direction, parse_family, variants
from mbtest.results import Level
from mbtest.testing import BOTH_WAYS, TO_CLIENT, TO_SERVER


def declared(identifier="topic.claim", **said):
    @case(identifier, **said)
    def test_it(run):
        """One sentence
        over two lines.

        Not this.
        """

    return case_of(test_it)


def test_what_a_decorator_says():
    found = declared(requires="RFC8684-3.1/x", level=Level.SHOULD)
    assert found.id == "topic.claim"
    assert found.title == "One sentence over two lines."
    assert found.topic == "case"
    assert found.requirements == ("RFC8684-3.1/x",)
    assert found.level is Level.SHOULD


@pytest.mark.parametrize(
    "identifier", ["claim", "Topic.claim", "topic.", "topic.a_b", "topic claim", "", "a..b"]
)
def test_ids_are_words(identifier):
    with pytest.raises(UsageError, match="lower-case words"):
        declared(identifier)


def test_a_case_says_what_it_claims():
    with pytest.raises(UsageError, match="no docstring"):
        case("topic.claim")(lambda run: None)


def test_a_case_takes_the_run_fixture():
    with pytest.raises(UsageError, match="does not take `run`"):

        @case("topic.claim")
        def test_it():
            """It holds."""


def test_variants_multiply():
    found = variants(declared(directions=BOTH_WAYS, checksums=(False, True)), Choice())
    assert len(found) == len({variant.suffix for variant in found}) == 8


@pytest.mark.parametrize(
    ("choice", "number"),
    [
        (Choice(family="v4"), 4),
        (Choice(family="mixed"), 0),
        (Choice(direction=TO_CLIENT), 4),
        (Choice(checksum=True), 4),
        (Choice(family="v6", direction=TO_SERVER, checksum=False), 1),
        (Choice(pairs=(("linux", "linux"), ("tcp", "linux"))), 16),
    ],
)
def test_a_choice_leaves_what_both_have(choice, number):
    assert len(variants(declared(directions=BOTH_WAYS, checksums=(False, True)), choice)) == number


def test_a_chosen_topology_takes_the_place_of_the_cases_own():
    assert {v.topology for v in variants(declared(), Choice(topology="one-path"))} == {"one-path"}


def test_words_for_families_and_directions():
    assert parse_family("mixed") == "mixed"
    assert parse_direction("to_client") is TO_CLIENT
    with pytest.raises(UsageError, match="no family"):
        parse_family("v7")
    with pytest.raises(UsageError, match="no direction"):
        parse_direction("sideways")
