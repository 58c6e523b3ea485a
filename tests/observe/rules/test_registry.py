"""Rules as data, and how breaches are kept."""

import re

import pytest

from mbtest.observe.rules import MUST, RULES, SHOULD, Rulebook
from mbtest.observe.rules.registry import KEPT, LATER, rule
from tests.observe.conversation import Talk


@pytest.mark.parametrize("one", RULES.values(), ids=list(RULES))
def test_a_rule_says_what_it_is(one):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*\.[a-z]+(-[a-z]+)*", one.id)
    assert one.level in (MUST, SHOULD)
    assert re.fullmatch(r"RFC \d+ §[\d.]+", one.clause)
    assert one.claim
    assert not one.claim.endswith(".")
    assert one.requires


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
