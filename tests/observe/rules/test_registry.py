"""Rules as data, and how breaches are kept."""

import re

import pytest

from mbtest import content
from mbtest.harness.requirements import check, requirements
from mbtest.observe.rules import MUST, RULES, SHOULD, Rulebook
from mbtest.observe.rules.conditions import LATER
from mbtest.observe.rules.registry import KEPT, rule
from tests.observe.conversation import Talk

content.use()
LEVELS = ["MAY", SHOULD, MUST]
UNTOLD = {
    "RFC8684-3.3.1/long-dsn-at-speed",
    "RFC9293-3.8.4/keep-alive-off",
    "RFC9293-3.8.6.3/acknowledged-in-time",
}
"""What no rule tells yet."""


@pytest.mark.parametrize("one", RULES.values(), ids=list(RULES))
def test_a_rule_says_what_it_is(one):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", one.id)
    assert one.level in (MUST, SHOULD)
    assert one.claim
    assert not one.claim.endswith(".")


@pytest.mark.parametrize("one", RULES.values(), ids=list(RULES))
def test_a_rule_names_requirements_that_it_can_test(one):
    check(one, one.id)
    known = requirements()
    assert one.clause == known[one.requirements[0]].section
    assert len(set(one.requirements)) == len(one.requirements)
    for name in one.requirements:
        assert LEVELS.index(one.level) <= LEVELS.index(known[name].level), name
        assert "rule" in known[name].by, name


def test_what_only_a_rule_can_tell_is_not_left_to_nobody():
    named = {name for one in RULES.values() for name in one.requirements}
    alone = {name for name, entry in requirements().items() if tuple(entry.by) == ("rule",)}
    assert alone - named == UNTOLD


def test_there_are_enough_of_them():
    assert sum(one.clause.startswith("RFC 8684") for one in RULES.values()) >= 60


def test_a_name_is_of_one_rule():
    with pytest.raises(ValueError, match=r"two rules are called tcp\.gap"):
        rule("tcp.gap", MUST, "RFC 9293 §3.4", "", LATER)


def test_breaches_of_one_rule_are_kept_up_to_a_number_and_counted():
    talk = Talk().handshake(mptcp=False)
    for _ in range(KEPT + 5):
        talk.send("client", flags=0)
    book = Rulebook()
    talk.traced(book).finish()
    assert len(book.breaches) == KEPT
    assert book.more == {("tcp.ack-bit", "client", 1): KEPT + 5}


def test_a_breach_names_frame_host_and_connection():
    talk = Talk().handshake(mptcp=False)
    talk.send("client", flags=0)
    (breach,) = talk.judged()
    assert (breach.rule, breach.frame, breach.who, breach.connection) == ("tcp.ack-bit", 7, "client", 1)


def test_from_one_point_rules_that_need_the_host_itself_stay_silent():
    talk = Talk(one_point=True).established()
    talk.data("client")
    talk.wait(9).send("client")
    assert talk.judged() == []


def test_rules_can_be_chosen():
    talk = Talk().handshake(mptcp=False)
    talk.send("client", flags=0)
    book = Rulebook(iter([RULES["tcp.gap"]]))
    talk.traced(book).finish()
    assert book.breaches == []
