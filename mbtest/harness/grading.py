"""Verdicts: what comes of a case's expectations, of the conformance rules, and of the controls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mbtest.harness.witness import Contradiction
from mbtest.observe.rules import RULES, Breach, Rulebook
from mbtest.results import Control, Evidence, Finding, Level, StackState, Verdict

SHOWN = 3
"""Packets that are shown for a rule that was broken more often."""
WITNESS = "witness"
"""The rule of findings on which a stack and the packets contradict each other; no verdict depends on them."""
CAUSES = frozenset({
    "capable.unconfirmed", "close.data-fin-acked", "close.fin-loses-data", "dss.checksum-reset",
    "dss.data-ack-beyond", "dss.data-ack-unsent", "dss.data-acked", "dss.first-data-ack",
    "fallback.after-fail", "fallback.broken-kept", "fallback.dss-after", "fallback.fail-answered",
    "fallback.failed-acked", "fallback.failure-reset", "fallback.failure-told", "fallback.infinite-beyond",
    "fallback.infinite-moved", "fallback.infinite-start", "fallback.mapping-after-infinite",
    "fallback.one-subflow", "fallback.path-broken", "fallback.signalled", "tcp.gap",
})  # fmt: skip
"""Rules whose breach spoils what applications get: data is given up, numbered anew, or read where it is not
meant. Whoever breaks one is to blame for that, whatever else went wrong."""
DROPPED = ("IpFragFails", "Ip6FragFails")
"""Counters of packets that a kernel gave itself and could not send: too long for the route, and with DF."""
_VERDICTS = (
    (Level.MUST, Verdict.FAIL),
    (Level.SHOULD, Verdict.NON_STRICT),
    (Level.MAY, Verdict.INFORMATIONAL),
)


Hosts = tuple[str, ...]


class Grade(NamedTuple):
    """A verdict, in words, and the hosts to blame."""

    verdict: Verdict
    reason: str
    blame: Hosts = ()


def broken_rules(book: Rulebook, requirements: Collection[str] = ()) -> list[Finding]:
    """Return a finding for each rule that a host broke, those of higher level first.

    requirements: what the case is about. Some rules are broken in one run of sixty, as the timing has it. If
    that decided, a verdict would be chance, and a release would be blamed or cleared by it. So such a rule
    decides only in cases about what it tests, which provoke it in every run; elsewhere its breach is told.
    """
    found: dict[tuple[str, str], list[Breach]] = {}
    for breach in book.breaches:
        found.setdefault((breach.rule, breach.who), []).append(breach)
    counts: dict[tuple[str, str], int] = {}
    for (rule, who, _), number in book.more.items():
        counts[rule, who] = counts.get((rule, who), 0) + number
    findings = [
        Finding(
            expected=RULES[name].claim,
            actual=f"{who}: {breaches[0].words}",
            met=False,
            level=Level(breaches[0].level),
            requirement=next(iter(RULES[name].requirements), ""),
            evidence=tuple(Evidence(one.frame, one.words) for one in breaches[:SHOWN]),
            rule=name,
            clause=breaches[0].clause,
            who=who,
            count=counts[name, who],
            by_chance=RULES[name].by_chance and not set(RULES[name].requirements) & set(requirements),
        )
        for (name, who), breaches in found.items()
    ]
    return sorted(findings, key=lambda finding: list(Level).index(finding.level))


def kept_back(findings: Iterable[Finding], stacks: Mapping[str, StackState]) -> list[Finding]:
    """Return findings, those of skipped numbers put right where the host's IP layer dropped packets.

    TCP used the numbers in order then, as RFC 9293 §3.4 has it; packets alone cannot show that. What the host
    owes by it is told by its streams and by the outcome.
    """
    told = [_kept_back(one, stacks.get(one.who)) for one in findings]
    return sorted(told, key=lambda finding: list(Level).index(finding.level))


def _kept_back(finding: Finding, state: StackState | None) -> Finding:
    dropped = 0 if state is None else sum(state.counters.get(name, 0) for name in DROPPED)
    if finding.rule != "tcp.gap" or not dropped:
        return finding
    words = (
        f"{finding.actual}; the octets between never left the host: its IP layer dropped {dropped} packets"
    )
    return msgspec.structs.replace(
        finding, expected="What TCP numbers leaves the host", actual=words, level=Level.MAY, clause=""
    )


def contradicting(found: Iterable[Contradiction]) -> list[Finding]:
    """Return a finding for each point on which a stack contradicts the packets."""
    return [
        Finding(
            expected=f"{one.counter} as the packets show it: {one.expected}",
            actual=one.actual,
            met=False,
            level=Level.MAY,
            evidence=one.evidence[:SHOWN],
            rule=WITNESS,
            who=one.host,
        )
        for one in found
    ]


def missed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that a verdict depends on: what was expected and did not come."""
    return [one for one in findings if not (one.met or one.rule == WITNESS or one.by_chance)]


def worst(findings: Sequence[Finding]) -> tuple[Verdict, list[Finding]] | None:
    """Return the verdict that missed findings come to, and those of the highest level; None for none."""
    for level, verdict in _VERDICTS:
        if of_level := [finding for finding in findings if finding.level is level]:
            return verdict, of_level
    return None


def grade(
    findings: Sequence[Finding],
    excused: Sequence[Finding],
    controls: Sequence[Control],
    happened: str,
    delivery: Sequence[Finding] = (),
) -> Grade | None:
    """Return the verdict that findings come to; None where nothing was missed.

    excused: those that a control shares. happened: the outcome in words. delivery: those on what
    applications got.
    """
    left = [finding for finding in missed(findings) if finding not in excused]
    found = worst(left)
    if found is not None and found[0] is not Verdict.INFORMATIONAL:
        verdict, of_level = found
        return Grade(verdict, in_words(of_level, happened), _blame(of_level, left, delivery))
    if excused:
        shared = "; ".join(f"{_without(control)}: {control.reason}" for control in controls)
        return Grade(Verdict.INCONCLUSIVE, f"{happened}; no stack is to blame: {shared}")
    return Grade(found[0], in_words(found[1], happened)) if found is not None else None


def _blame(of_level: Sequence[Finding], left: Sequence[Finding], delivery: Sequence[Finding]) -> Hosts:
    """Return the hosts to blame for a failure. of_level: what decides it, of all that is `left`.

    Where an application did not get what it should, it is whoever broke the rule that brought it about, of
    whatever level that is; failing that, the host that the case names. What was broken besides is none of it.
    """
    if any(finding in delivery for finding in of_level):
        expectations = [finding for finding in of_level if not finding.rule]
        causes = [finding for finding in left if finding.rule in CAUSES]
        named = [finding for finding in expectations if finding not in delivery]
        lesser = [finding for finding in left if not finding.rule]
        for found in ([*causes, *named] if causes else expectations, of_level, lesser):
            if hosts := _hosts(found):
                return hosts
    return _hosts(of_level)


def _hosts(findings: Iterable[Finding]) -> Hosts:
    return tuple(dict.fromkeys(finding.who for finding in findings if finding.who))


def in_words(findings: Sequence[Finding], happened: str) -> str:
    """Return in words what happened, and what was expected instead; what is new of what was seen."""
    expected, broken = [], []
    for finding in findings:
        if finding.rule:
            times = f" ({finding.count} times)" if finding.count > 1 else ""
            frame = f" in frame {finding.evidence[0].frame}" if finding.evidence else ""
            broken.append(f"{finding.clause} {finding.rule}: {finding.actual}{frame}{times}")
        elif happened in finding.actual:
            expected.append(finding.expected)
        else:
            expected.append(f"{finding.expected} ({finding.actual})")
    words = [happened]
    if expected:
        words.append(f"expected: {'; '.join(expected)}")
    if broken:
        words.append(f"broken: {'; '.join(broken)}")
    return "; ".join(words)


def _without(control: Control) -> str:
    return "without the boxes" if control.kind == "pass-through" else "regular TCP through the same boxes"
