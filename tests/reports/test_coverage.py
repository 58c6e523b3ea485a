"""What the runs of a report tested."""

from __future__ import annotations

import re

import msgspec
import pytest

from mbtest.results import Finding, Level, Requirement, Verdict
from reports.coverage import Share, coverage_of
from reports.html import render

LOST = "RFC8684-3.7/syn-option-lost"


def entry(name, **changed):
    fields = {
        "id": name, "section": f"RFC 8684 §{name.partition('-')[2].partition('/')[0]}", "heading": "Fallback",
        "level": Level.MUST, "text": f"It is {name}.", "by": ("case",),
    }  # fmt: skip
    return Requirement(**fields | changed)


def covered(found, runs, *entries):
    return coverage_of(msgspec.structs.replace(found(runs), requirements=entries))


def test_results_from_before_have_none(found, run):
    assert coverage_of(found([run()])) is None


def test_shares_by_section_and_level(found, run):
    coverage = covered(
        found, [run(1)],
        entry(LOST, cases=("handshake.example-1", "handshake.other")),
        entry("RFC8684-3.7/a", level=Level.SHOULD, rules=("rule-a",), by=("rule",)),
        entry("RFC8684-3.7/b"),
        entry("RFC8684-3.8/c", by=(), untestable="nobody sees it", heading="Errors"),
        entry("RFC8684-3.8/d", level=Level.MAY, cases=("handshake.other",), heading="Errors"),
    )  # fmt: skip
    fallback, errors = coverage.sections
    assert (fallback.name, fallback.heading, errors.heading) == ("RFC 8684 §3.7", "Fallback", "Errors")
    assert fallback.levels == {Level.MUST: Share(1, 2), Level.SHOULD: Share(1, 1), Level.MAY: Share(0, 0)}
    assert errors.levels == {Level.MUST: Share(0, 0), Level.SHOULD: Share(0, 0), Level.MAY: Share(0, 1)}
    assert (fallback.untestable, errors.untestable, coverage.total.untestable) == (0, 1, 1)
    assert coverage.total.share == Share(2, 4)
    assert coverage.known == Share(3, 4)
    (first, *_) = fallback.rows
    assert [(check.name, check.verdict, check.counts) for check in first.tests] == [
        ("handshake.example-1", Verdict.PASS, True),
        ("handshake.other", None, False),
    ]


@pytest.mark.parametrize("verdict", Verdict)
def test_a_run_that_came_to_nothing_tested_nothing(found, run, verdict):
    runs = [run(1, verdict=verdict)]
    (section,) = covered(found, runs, entry(LOST, cases=("handshake.example-1",))).sections
    tested = verdict in (Verdict.PASS, Verdict.FAIL, Verdict.NON_STRICT, Verdict.INFORMATIONAL)
    assert section.share == Share(int(tested), 1)
    assert section.rows[0].tests[0].verdict is verdict


def test_the_gravest_run_that_tested_something_stands_for_its_case(found, run):
    verdicts = [Verdict.HARNESS_ERROR, Verdict.PASS, Verdict.UNSUPPORTED, Verdict.NON_STRICT, Verdict.PASS]
    runs = [run(1, id=f"run-{number}", verdict=verdict) for number, verdict in enumerate(verdicts)]
    (section,) = covered(found, runs, entry(LOST)).sections
    (check,) = section.rows[0].tests
    assert (check.verdict, check.run) == (Verdict.NON_STRICT, "run-3")


def test_an_expectations_own_requirement_counts(found, run):
    findings = (Finding("this", "that", True, requirement="RFC8684-3.7/a"),)
    (section,) = covered(
        found, [run(1, requirements=(), findings=findings)], entry(LOST), entry("RFC8684-3.7/a")
    ).sections
    assert [row.tested for row in section.rows] == [False, True]


def test_without_runs_no_rule_tested_anything(found):
    assert covered(found, [], entry(LOST, rules=("rule-a",))).total.share == Share(0, 1)


def test_the_page_has_what_tests_each(directory, found, run):
    results = found([run(artifacts={})])
    assert "Requirements</h2>" not in render(directory(results)).read_text(encoding="utf-8")
    asked = (
        entry("RFC8684-3.7/run", cases=("handshake.example-0",)),
        entry("RFC8684-3.7/left-out", cases=("handshake.example-1",)),
        entry("RFC8684-3.7/open"),
        entry("RFC8684-3.7/hidden", by=(), untestable="nobody sees it"),
    )
    page = render(directory(msgspec.structs.replace(results, requirements=asked))).read_text(encoding="utf-8")
    text = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert "These runs tested 1 of the 3 requirements" in text
    assert "There are cases or rules for 2." in text
    assert "RFC 8684 §3.7 Fallback 1 of 3 – – 1" in text
    assert "RFC8684-3.7/run ✓ pass handshake.example-0" in text
    assert "RFC8684-3.7/left-out handshake.example-1 (not run)" in text
    assert "RFC8684-3.7/open not tested" in text
    assert "RFC8684-3.7/hidden cannot be tested: nobody sees it" in text
    assert 'data-run="0" title="pass: handshake.example-0/' in page
