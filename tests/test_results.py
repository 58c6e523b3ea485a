"""The schema of `result.json`: written whole or not at all, and read with an error that names the field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from mbtest import results
from mbtest.errors import UsageError
from mbtest.results import Evidence, Finding, Level, Provenance, Results, Run, Stream, Verdict


def run(number: int, verdict: Verdict) -> Run:
    return Run(
        id=f"topic.claim-{number}/linux-linux/v4/to_server/no-checksum", case=f"topic.claim-{number}",
        topic="topic", title="It holds.", client="linux", server="linux", family="v4",
        direction="to_server", checksum=False, seed=1, topology="one-path", verdict=verdict, outcome=None,
        reason="so it is", level=Level.MUST, seconds=0.1,
        findings=(Finding("this", "that", False, evidence=(Evidence(3, "a \u2028 packet"),)),),
        streams=(Stream("to_client", 5, 5, 4, first_difference=2),), repeat="mbtest run",
    )  # fmt: skip


@pytest.fixture
def found() -> Results:
    provenance = Provenance(
        mbtest="0.1.0", revision="", kernel="Linux", machine="x86_64", python="3.11", processors=2,
        libraries={}, privileges="root", started="2025-01-01T00:00:00+00:00", seconds=1.5, command="mbtest",
        seed=1, jobs=2, sysctls={},
    )  # fmt: skip
    runs = tuple(
        run(number, verdict) for number, verdict in enumerate((Verdict.FAIL, Verdict.PASS, Verdict.FAIL))
    )
    return Results(provenance=provenance, runs=runs)


def test_what_is_written_is_what_is_read(found: Results, tmp_path: Path) -> None:
    assert results.write(found, tmp_path) == tmp_path / "result.json"
    assert results.read(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_it_is_json_that_others_can_read(found: Results, tmp_path: Path) -> None:
    read = json.loads(results.write(found, tmp_path).read_text(encoding="utf-8"))
    assert read["schema"] == results.SCHEMA
    assert [entry["verdict"] for entry in read["runs"]] == ["fail", "pass", "fail"]
    assert {
        "case", "client", "server", "family", "direction", "seed", "verdict", "outcome", "level",
        "requirements", "seconds", "findings", "artifacts",
    } <= set(read["runs"][0])  # fmt: skip
    assert {"expected", "actual", "evidence"} <= set(read["runs"][0]["findings"][0])


def test_a_later_write_takes_the_place_of_an_earlier_one(found: Results, tmp_path: Path) -> None:
    results.write(found, tmp_path)
    fewer = msgspec.structs.replace(found, runs=found.runs[:1])
    results.write(fewer, tmp_path)
    assert results.read(tmp_path) == fewer


def test_a_tally_counts_verdicts_in_their_order(found: Results) -> None:
    assert list(found.tally().items()) == [(Verdict.PASS, 1), (Verdict.FAIL, 2)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no result.json here; give the directory that `mbtest run` wrote"),
        ("", "it was not written by this version of mbtest"),
        ("{}", "missing required field `provenance`"),
        ("[1]", "it was not written by this version of mbtest"),
    ],
)
def test_what_is_no_result_is_named_with_the_remedy(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(says)) as error:
        results.read(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="file: a file; give the directory that `mbtest run` wrote"):
        results.read(tmp_path / "file")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(UsageError, match=r"result\.json: Is a directory; it must be a file that can be read"):
        results.read(tmp_path)


def test_results_from_before_a_field_was_added_are_read(found: Results, tmp_path: Path) -> None:
    path = results.write(found, tmp_path)
    older = json.loads(path.read_text(encoding="utf-8"))
    for entry in older["runs"]:
        assert entry.pop("network") == "namespaces"
    assert older.pop("requirements") == []
    path.write_text(json.dumps(older), encoding="utf-8")
    assert results.read(tmp_path) == found


def test_another_schema_is_refused(found: Results, tmp_path: Path) -> None:
    results.write(msgspec.structs.replace(found, schema=99), tmp_path)
    with pytest.raises(UsageError, match=f"schema 99, this mbtest reads {results.SCHEMA}"):
        results.read(tmp_path)


def test_a_wrong_field_is_named(found: Results, tmp_path: Path) -> None:
    path = results.write(found, tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace('"fail"', '"failed"', 1), encoding="utf-8")
    with pytest.raises(UsageError, match=r"failed.*runs.*verdict"):
        results.read(tmp_path)
