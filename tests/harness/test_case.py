"""Cases as data, and the runs that they come to."""

import pytest

from mbtest.errors import UsageError
from mbtest.harness.case import Choice, case, cases_of, parse_direction, parse_family, variants
from mbtest.results import Level
from mbtest.testing import BOTH_WAYS, TO_CLIENT, TO_SERVER


def declared(identifier="topic.claim", **said):
    @case(identifier, **said)
    def test_it(run):
        """One sentence
        over two lines.

        Not this.
        """

    return cases_of(test_it)[0]


def test_what_a_decorator_says():
    found = declared(requires="RFC8684-3.1/x", level=Level.SHOULD)
    assert found.id == "topic.claim"
    assert found.title == "One sentence over two lines."
    assert found.topic == "case"
    assert found.requirements == ("RFC8684-3.1/x",)
    assert found.level is Level.SHOULD


def test_a_case_names_the_threads_that_it_stands_for():
    assert declared(lesson="mptcp_net-next#544").lessons == ("mptcp_net-next#544",)
    found = declared(lesson=("mptcp_net-next#544", "multipath-tcp/mptcp#420"))
    assert found.lessons == ("mptcp_net-next#544", "multipath-tcp/mptcp#420")
    assert declared().lessons == ()


@pytest.mark.parametrize("thread", ["544", "#544", "mptcp_net-next", "mptcp_net-next#", "a b#1"])
def test_a_lesson_is_a_thread(thread):
    with pytest.raises(UsageError, match="is no thread: 'mptcp_net-next#544'"):
        declared(lesson=thread)


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


def test_a_family_has_a_case_for_each_value():
    @case("flip.{}", each={"key": 1, "data-ack": 2}, requires="RFC8684-3.1/x")
    def test_flip(run):
        """A bit of the {} is flipped."""

    found = cases_of(test_flip)
    assert [one.id for one in found] == ["flip.key", "flip.data-ack"]
    assert [one.title for one in found] == [
        "A bit of the key is flipped.",
        "A bit of the data ACK is flipped.",
    ]
    assert [one.value for one in found] == [1, 2]
    assert {one.requirements for one in found} == {("RFC8684-3.1/x",)}


def test_names_of_members_read_as_english():
    names = {"syn-ack": 1, "third-ack": 2, "rest": 3, "stack-of-syns": 4}

    @case("flip.{}", each=names, reads={"rest": "all else"}, requires="RFC8684-3.1/x")
    def test_flip(run):
        """{} is lost."""

    assert [one.title for one in cases_of(test_flip)] == [
        "SYN/ACK is lost.", "Third ACK is lost.", "All else is lost.", "Stack of SYNs is lost.",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="reads has other, which is no member"):
        case("flip.{}", each=names, reads={"other": "it"})


@pytest.mark.parametrize(
    ("identifier", "each", "told"),
    [("flip.{}", {}, "members"), ("flip.key", {"a": 1}, "members"), ("flip.{}", {"Key": 1}, "lower-case")],
)
def test_a_family_needs_members_and_a_place_for_their_names(identifier, each, told):
    with pytest.raises(UsageError, match=told):
        case(identifier, each=each)


def test_variants_multiply_where_that_is_asked_for():
    found = variants(declared(directions=BOTH_WAYS, checksums=(False, True)), Choice(every=True))
    assert len(found) == len({variant.suffix for variant in found}) == 8


@pytest.mark.parametrize("directions", [BOTH_WAYS, (TO_CLIENT,)])
@pytest.mark.parametrize("checksums", [(False, True), (True,)])
def test_each_value_is_met_in_few_runs(directions, checksums):
    found = variants(declared(directions=directions, checksums=checksums), Choice())
    assert len(found) == 2
    assert {variant.family for variant in found} == {"v4", "v6"}
    assert {variant.direction for variant in found} == set(directions)
    assert {variant.checksum for variant in found} == set(checksums)


def test_further_pairs_take_one_of_the_runs():
    pairs = (("linux", "linux"), ("linux", "reference"), ("reference", "linux"))
    cases = [declared(f"topic.claim-{number}", directions=BOTH_WAYS) for number in range(20)]
    found = [variants(one, Choice(pairs=pairs)) for one in cases]
    assert {len(runs) for runs in found} == {4}
    assert {runs[2].family for runs in found} == {"v4", "v6"}
    assert all(runs[2].suffix.split("/")[1:] == runs[3].suffix.split("/")[1:] for runs in found)


def test_nothing_in_common_is_no_run():
    assert variants(declared(), Choice(family="mixed")) == []


@pytest.mark.parametrize(
    ("choice", "number"),
    [
        (Choice(every=True, family="v4"), 4),
        (Choice(every=True, family="mixed"), 0),
        (Choice(every=True, direction=TO_CLIENT), 4),
        (Choice(every=True, checksum=True), 4),
        (Choice(every=True, family="v6", direction=TO_SERVER, checksum=False), 1),
        (Choice(every=True, pairs=(("linux", "linux"), ("tcp", "linux"))), 16),
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
