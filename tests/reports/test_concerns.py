from __future__ import annotations

import msgspec

from mbtest.results import Evidence, Finding, Level, Outcome, Verdict
from reports.concerns import blamed, broken_rules, endings_of


def broke(rule="fallback.signalled", who="client", level=Level.MUST, count=1, frame=7):
    return Finding(
        "A sender that gives MPTCP up says so", f"{who}: no infinite mapping", False, level, rule=rule,
        who=who, clause="RFC 8684 §3.7", count=count, evidence=(Evidence(frame, "no infinite mapping"),),
    )  # fmt: skip


MISSED = Finding("both streams arrive whole", "0 of 9 octets", False)


def test_a_rule_that_many_runs_broke_is_told_once(run):
    failed = {"verdict": Verdict.FAIL, "outcome": Outcome.FELL_BACK}
    runs = [
        run(0, findings=(broke(count=3),), **failed),
        run(0, id="six", family="v6", findings=(broke(frame=9),), **failed),
        run(1, client="reference", findings=(broke(who="server"), broke("dss.data-acked")), **failed),
        run(2),
    ]
    first, second = broken_rules(runs)
    assert (first.rule, first.clause, first.verdict) == ("fallback.signalled", "RFC 8684 §3.7", Verdict.FAIL)
    assert (first.runs, first.times, first.frame, first.run.id) == (3, 5, 7, runs[0].id)
    assert first.blame == {"linux as client": 2, "linux as server": 1}
    assert list(first.cases) == ["handshake.example-0", "handshake.example-1"]
    assert list(first.cases["handshake.example-0"]["linux → linux"]) == ["v4", "v6"]
    assert (second.rule, second.runs, second.blame) == ("dss.data-acked", 1, {"reference as client": 1})
    assert endings_of(runs) == []


def test_a_rule_that_both_hosts_broke_counts_its_run_once(run):
    (rule,) = broken_rules([run(0, verdict=Verdict.FAIL, findings=(broke(), broke(who="server")))])
    assert (rule.runs, rule.times) == (1, 2)
    assert rule.blame == {"linux as client": 1, "linux as server": 1}


def test_rules_of_higher_level_come_first_then_those_broken_most_often(run):
    rules = [
        ("b", Level.SHOULD),
        ("b", Level.SHOULD),
        ("c", Level.MUST),
        ("a", Level.MUST),
        ("a", Level.MUST),
    ]
    runs = [run(number, findings=(broke(rule, level=level),)) for number, (rule, level) in enumerate(rules)]
    found = broken_rules(runs)
    assert [(rule.rule, rule.verdict) for rule in found] == [
        ("a", Verdict.FAIL),
        ("c", Verdict.FAIL),
        ("b", Verdict.NON_STRICT),
    ]


def test_what_needs_a_look_is_told_once_for_all_pairs(run):
    missed = {"findings": (MISSED,)}
    runs = [
        run(0, verdict=Verdict.NON_STRICT, **missed),
        run(0, client="reference", verdict=Verdict.FAIL, **missed),
        run(0, client="reference", verdict=Verdict.FAIL, family="v6", **missed),
        run(0, client="tcp", verdict=Verdict.FAIL, **missed),
        run(1),
    ]
    failed, lax = endings_of(runs)
    assert (failed.verdict, failed.runs, lax.verdict, lax.runs) == (Verdict.FAIL, 3, Verdict.NON_STRICT, 1)
    (concern,) = failed.concerns
    assert {pair: list(families) for pair, families in concern.marks.items()} == {
        "reference → linux": ["v4", "v6"],
        "tcp → linux": ["v4"],
    }


def test_ends_come_in_the_order_of_their_gravity_and_cases_in_that_of_their_names(run):
    ends = [
        (Verdict.FAIL, Outcome.MULTIPATH),
        (Verdict.NON_STRICT, Outcome.CORRUPTED),
        (Verdict.FAIL, Outcome.STALLED),
        (Verdict.FAIL, Outcome.CORRUPTED),
        (Verdict.HARNESS_ERROR, None),
    ]
    runs = [
        run(number, id=f"{number} {end}", verdict=end[0], outcome=end[1], findings=(MISSED,))
        for end in ends
        for number in (10, 9)
    ]
    assert [(ending.verdict.value, ending.outcome) for ending in endings_of(runs)] == [
        ("fail", "corrupted"),
        ("fail", "stalled"),
        ("fail", "multipath"),
        ("harness_error", "no outcome"),
        ("non_strict", "corrupted"),
    ]
    for ending in endings_of(runs):
        assert [concern.case for concern in ending.concerns] == [
            "handshake.example-9",
            "handshake.example-10",
        ]


def test_a_run_that_missed_more_than_rules_stands_with_its_case_too(run):
    reason = "nothing moved; expected: both streams; broken: RFC 8684 §3.7 fallback.signalled: client: no"
    runs = [
        run(0, verdict=Verdict.FAIL, findings=(broke(), MISSED), reason=reason),
        # What decides is the rule: the other finding is of a lower level.
        run(1, verdict=Verdict.FAIL, findings=(broke(), Finding("a", "b", False, Level.SHOULD))),
        run(2, verdict=Verdict.INCONCLUSIVE, findings=(broke(level=Level.SHOULD),), reason="no packet met"),
        run(3, verdict=Verdict.HARNESS_ERROR, outcome=None, findings=(), reason="KeyError"),
    ]
    found = [concern for ending in endings_of(runs) for concern in ending.concerns]
    assert [(concern.case, concern.reason) for concern in found] == [
        ("handshake.example-0", "nothing moved; expected: both streams"),
        ("handshake.example-3", "KeyError"),
        ("handshake.example-2", "no packet met"),
    ]


def test_a_run_whose_interference_never_happened_stands_with_its_case_by_itself(run):
    waited = "it waited for the 7th SYN"
    reason = f"the interference never happened: {waited}; yet nothing moved; broken: RFC 8684 §3.7 a: b"
    runs = [
        run(0, verdict=Verdict.FAIL, findings=(broke(),), reason=reason, interference=waited),
        run(0, id="other", family="v6", verdict=Verdict.FAIL, findings=(MISSED,), reason="nothing moved"),
    ]
    found = [concern for ending in endings_of(runs) for concern in ending.concerns]
    assert [(concern.case, concern.reason) for concern in found] == [
        (
            "handshake.example-0",
            "the interference never happened: it waited for the 7th SYN; yet nothing moved",
        ),
        ("handshake.example-0", "nothing moved"),
    ]
    assert [rule.rule for rule in broken_rules(runs)] == ["fallback.signalled"]


def test_a_contradiction_is_neither_a_broken_rule_nor_why_a_run_needs_a_look(run):
    contradiction = broke("witness")
    runs = [
        run(0, findings=(contradiction,)),
        run(1, verdict=Verdict.FAIL, findings=(contradiction, broke())),
    ]
    assert [rule.rule for rule in broken_rules(runs)] == ["fallback.signalled"]
    assert endings_of(runs) == []


def test_what_chance_showed_is_a_broken_rule_and_not_why_a_run_needs_a_look(run):
    by_chance = msgspec.structs.replace(broke("dss.beyond-window"), by_chance=True)
    missed = Finding("an answer", "none", False, Level.SHOULD)
    runs = [
        run(0, verdict=Verdict.PASS, findings=(by_chance,)),
        run(1, verdict=Verdict.NON_STRICT, findings=(by_chance, missed)),
    ]
    (rule,) = broken_rules(runs)
    assert (rule.rule, rule.runs) == ("dss.beyond-window", 2)
    (ending,) = endings_of(runs)
    assert [concern.case for concern in ending.concerns] == ["handshake.example-1"]


def test_whom_a_finding_blames_is_a_stack_in_its_role(run):
    assert blamed(run(0, server="reference"), "server") == "reference as server"
    assert blamed(run(0), "") == ""
