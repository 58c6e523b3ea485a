"""Verdicts: from findings and controls."""

from __future__ import annotations

import pytest

from mbtest.harness.grading import CAUSES, WITNESS, broken_rules, grade, in_words, kept_back, missed
from mbtest.observe.rules import RULES, Breach, Rulebook
from mbtest.results import Control, Evidence, Finding, Level, Outcome, StackState, Verdict

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
STALL = Control(kind="regular TCP", outcome=Outcome.STALLED, reason="nobody got anywhere")


def finding(level: Level, met: bool = False, rule: str = "", who: str = "") -> Finding:
    return Finding(
        expected=f"a {level}", actual="another", met=met, level=level, rule=rule, clause="RFC 1 §2", who=who,
        evidence=(Evidence(7, "it"),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((MUST, SHOULD, MAY), Verdict.FAIL),
        ((SHOULD, MAY), Verdict.NON_STRICT),
        ((MAY,), Verdict.INFORMATIONAL),
    ],
)
def test_the_highest_level_that_was_missed_decides(levels: tuple[Level, ...], verdict: Verdict) -> None:
    found = grade([finding(level) for level in levels], [], [], "it fell back")
    assert found is not None
    assert found.verdict is verdict
    assert found.reason.startswith("it fell back; expected: a ")


def test_nothing_missed_is_no_grade() -> None:
    assert grade([finding(MUST, met=True)], [], [], "it went well") is None


def test_what_a_control_shares_is_nobodys_fault() -> None:
    shared = finding(MUST)
    found = grade([shared], [shared], [STALL], "it stalled")
    assert found is not None
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "regular TCP through the same boxes: nobody got anywhere" in found.reason


def test_a_broken_rule_is_never_excused() -> None:
    shared, own = finding(MUST), finding(MUST, rule="dss.unmapped", who="server")
    found = grade([shared, own], [shared], [STALL], "it stalled")
    assert found is not None
    assert (found.verdict, found.blame) == (Verdict.FAIL, ("server",))


def test_whoever_broke_the_rule_that_spoils_a_stream_is_to_blame_for_it() -> None:
    stream = finding(MUST)
    cause = finding(SHOULD, rule="fallback.broken-kept", who="server")
    beside = finding(MUST, rule="tcp.beyond-window", who="client")
    found = grade([stream, beside, cause], [], [], "it was corrupted", [stream])
    assert found is not None
    assert (found.verdict, found.blame) == (Verdict.FAIL, ("server",))
    alone = grade([beside, cause], [], [], "it went well", [])
    assert alone is not None
    assert alone.blame == ("client",)


def test_a_signal_that_a_host_has_to_send_is_its_own_beside_the_cause() -> None:
    stream, signal = finding(MUST), finding(MUST, who="client")
    cause = finding(MUST, rule="fallback.path-broken", who="server")
    found = grade([stream, signal, cause], [], [], "it was corrupted", [stream])
    assert found is not None
    assert found.blame == ("server", "client")


def test_without_a_cause_it_is_whom_the_case_names() -> None:
    stream, beside = finding(MUST, who="server"), finding(MUST, rule="tcp.beyond-window", who="client")
    found = grade([stream, beside], [], [], "it was corrupted", [stream])
    assert found is not None
    assert found.blame == ("server",)
    nobody, lesser = finding(MUST), finding(SHOULD, who="client")
    found = grade([nobody, lesser], [], [], "it was reset", [nobody])
    assert found is not None
    assert found.blame == ("client",)


def test_causes_are_rules_that_there_are() -> None:
    assert set(RULES) >= CAUSES


def test_a_contradiction_decides_nothing() -> None:
    assert missed([finding(MAY, rule=WITNESS)]) == []
    assert grade([finding(MAY, rule=WITNESS)], [], [], "it went well") is None


@pytest.mark.parametrize("rule", ["dss.beyond-window", "dss.beyond-subflow-window"])
@pytest.mark.parametrize("is_about_it", [False, True])
def test_what_chance_shows_decides_only_where_the_case_is_about_it(rule: str, is_about_it: bool) -> None:
    book = Rulebook()
    book.breaches.append(Breach(rule, MUST, "RFC 8684 §3.3.5", 9, 0, "client", 1, "too much"))
    book.more = {(rule, "client", 1): 1}
    about = RULES[rule].requirements[0] if is_about_it else "RFC8684-3.2/join"
    (found,) = broken_rules(book, [about])
    assert (found.met, found.rule, found.level) == (False, rule, MUST)
    grades = grade([found], [], [], "it went well")
    assert (grades is not None and grades.verdict is Verdict.FAIL) is is_about_it


def test_what_timing_does_not_decide_is_nowhere_chance() -> None:
    book = Rulebook()
    book.breaches.append(Breach("tcp.beyond-window", MUST, "RFC 9293 §3.8.6", 9, 0, "client", 1, "too much"))
    book.more = {("tcp.beyond-window", "client", 1): 1}
    assert missed(broken_rules(book))


@pytest.mark.parametrize(
    ("counters", "rule", "verdict"),
    [
        ({"Ip6FragFails": 22_022}, "tcp.gap", Verdict.INFORMATIONAL),
        ({"TcpOutSegs": 9}, "tcp.gap", Verdict.FAIL),
        ({"IpFragFails": 1}, "dss.unmapped", Verdict.FAIL),
    ],
)
def test_numbers_whose_packets_the_host_itself_dropped_were_not_skipped(
    counters: dict[str, int], rule: str, verdict: Verdict
) -> None:
    skipped = finding(MUST, rule=rule, who="server")
    told = kept_back([skipped], {"server": StackState("linux", True, counters), "client": StackState("tcp")})
    found = grade(told, [], [], "it stalled")
    assert found is not None
    assert found.verdict is verdict
    assert ("never left the host" in found.reason) is (verdict is Verdict.INFORMATIONAL)


def test_words_name_clause_rule_and_packet() -> None:
    words = in_words([finding(MUST, rule="dss.unmapped", who="server")], "it stalled")
    assert words == "it stalled; broken: RFC 1 §2 dss.unmapped: another in frame 7"


def test_breaches_of_one_rule_by_one_host_are_one_finding() -> None:
    book = Rulebook()
    for frame in range(1, 6):
        book.breaches.append(
            Breach("tcp.checksum", MUST, "RFC 9293 §3.1", frame, 0, "client", 1, f"no {frame}")
        )
    book.breaches.append(Breach("join.port", SHOULD, "RFC 8684 §3.9.1", 9, 0, "server", 1, "a port"))
    book.more = {
        ("tcp.checksum", "client", 1): 40,
        ("tcp.checksum", "client", 2): 2,
        ("join.port", "server", 1): 1,
    }
    first, second = broken_rules(book)
    assert (first.rule, first.who, first.count, len(first.evidence)) == ("tcp.checksum", "client", 42, 3)
    assert first.actual == "client: no 1"
    assert first.requirement
    assert (second.rule, second.level, second.who) == ("join.port", SHOULD, "server")
