"""What is done about a wrong checksum; the departures from each rule are with those on fallback."""

import pytest

from tests.observe.rules.test_fallback import (
    again,
    fail,
    failed,
    overtaken,
    plain_after_failure,
    untold,
    untold_to_the_end,
)


@pytest.mark.parametrize(
    ("by_a_copy", "rule"), [(False, "fallback.failure-told"), (True, "fallback.broken-kept")]
)
def test_a_duplicate_does_not_bring_the_mapping_of_what_came_before_it(by_a_copy, rule):
    assert {(one.rule, one.who) for one in overtaken(by_a_copy=by_a_copy).judged()} == {(rule, "server")}


def test_who_is_told_of_a_failure_owes_an_infinite_mapping():
    assert plain_after_failure("client").broken() == {"fallback.signalled"}


def test_what_fails_and_is_delivered_to_the_end_was_not_told():
    assert "fallback.failure-told" in untold_to_the_end().broken()


def test_mp_fail_may_name_the_first_of_many_failures():
    talk = failed()
    for _ in range(20):
        again(talk)
    talk.ack("server", fail(101))
    talk.ack("client", fail(talk.stream["server"], "server"))
    assert talk.judged() == []


def test_what_a_box_changed_is_not_the_senders_fault():
    assert {breach.who for breach in untold(3).judged()} == {"server"}
