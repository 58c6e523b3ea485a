"""What a run of the suite leaves behind."""

from __future__ import annotations

from typing import Any

import pytest

from mbtest.harness.gather import entry_of
from mbtest.results import Verdict

CASES = '''
@case("mine.holds", families=("v4",), directions=BOTH_WAYS)
def test_holds(run):
    """It holds."""
    run(sends=1).expect(Outcome.MULTIPATH)


@case("mine.breaks", families=("v6",))
def test_breaks(run):
    """It breaks."""
    raise KeyError("nothing")


@case("mine.asks", families=("v4",))
def test_asks(run, nobody_has_this):
    """It asks for what is not there."""
    run()
'''


@pytest.fixture(params=["1", "2"], ids=["one job", "two jobs"])
def done(request: pytest.FixtureRequest, own: Any) -> Any:
    own.cases(CASES)
    finished = own.run("mine.*", "--seed", "3", "--jobs", request.param)
    assert finished.returncode == 3, finished.stdout + finished.stderr
    return own


def test_every_run_has_an_entry_even_where_it_broke(done: Any) -> None:
    found = done.results()
    verdicts = {run.case.rpartition("::")[2].partition("[")[0]: run.verdict for run in found.runs}
    assert verdicts["mine.holds"] is Verdict.PASS
    assert verdicts["mine.breaks"] is Verdict.HARNESS_ERROR
    assert len(found.runs) == 4
    assert [run.id for run in found.runs] == sorted(run.id for run in found.runs)
    (broken,) = (run for run in found.runs if run.case not in ("mine.holds", "mine.breaks"))
    assert broken.verdict is Verdict.HARNESS_ERROR
    assert broken.topic == "mine"
    assert broken.reason.startswith("setup: ")
    assert found.provenance.seed == 3
    assert found.provenance.seconds > 0
    assert not found.provenance.interrupted
    assert found.provenance.command == (
        f"mbtest run --content mine --out out --client linux 'mine.*' --seed 3 --jobs {found.provenance.jobs}"
    )
    assert {entry.id for entry in found.requirements} > {"RFC8684-3.7/syn-option-lost"}
    assert "sanity.second-path" in next(entry.cases for entry in found.requirements if "/join" in entry.id)
    captures = sorted(path.name for path in (done.out / "captures").iterdir())
    assert captures == [
        "mine.holds__linux-linux__v4__to_client__no-checksum.pcapng",
        "mine.holds__linux-linux__v4__to_server__no-checksum.pcapng",
    ]


def test_a_report_of_another_phase_has_no_entry() -> None:
    report = pytest.TestReport(
        nodeid="x.py::test_x", location=("x.py", 1, "test_x"), keywords={}, outcome="passed",
        longrepr=None, when="setup",
    )  # fmt: skip
    assert entry_of(report) is None


def test_a_report_that_broke_without_an_entry_is_a_harness_error() -> None:
    report = pytest.TestReport(
        nodeid="a/test_topic.py::test_x", location=("a/test_topic.py", 1, "test_x"), keywords={},
        outcome="failed", longrepr="first\nE   the last line", when="call", duration=1.23456,
    )  # fmt: skip
    entry = entry_of(report)
    assert entry is not None
    assert entry.verdict is Verdict.HARNESS_ERROR
    assert (entry.topic, entry.reason, entry.seconds) == ("topic", "call: E   the last line", 1.235)
