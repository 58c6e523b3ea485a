from __future__ import annotations

import base64
import json
import zlib

import pytest

from mbtest.results import Evidence, Finding, Outcome, StackState, Verdict
from reports.carried import carried, tellers
from reports.matrix import NEEDS_A_LOOK


def unfold(packed):
    return [run for one in packed for run in json.loads(zlib.decompress(base64.b64decode(one)))]


def test_runs_of_a_case_that_came_to_the_same_are_told_by_the_first_variant(run):
    runs = [
        run(0, id="back", direction="to_client"),
        run(0, id="six", family="v6"),
        run(0, id="first"),
        run(0, id="fell", outcome=Outcome.FELL_BACK),
        run(1, id="other"),
    ]
    assert [told.id for told in tellers(runs)] == ["first", "first", "first", "fell", "other"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_needs_a_look_tells_its_own_packets(run, verdict):
    one, two = run(0, id="one", verdict=verdict), run(0, id="two", verdict=verdict)
    assert [told.id for told in tellers([one, two])] == ["one", "two" if verdict in NEEDS_A_LOOK else "one"]


def test_a_run_without_a_capture_tells_for_nobody(run):
    runs = [run(0, id="none", artifacts={}), run(0, id="one", family="v6"), run(0, id="two", family="mixed")]
    assert [told.id for told in tellers(runs)] == ["one", "one", "one"]


def test_a_run_has_its_entry_and_its_packets_or_says_who_has(directory, found, run, conversation):
    runs = [run(0, id="one"), run(0, id="two", family="v6")]
    folder = directory(found(runs), {"captures/0.pcapng": conversation.capture})
    one, two = unfold(carried(runs, folder))
    assert (one["told_by"], two["told_by"]) == ("", "one")
    assert one["ladder"]["items"]
    assert "items" not in two["ladder"]
    assert (one["capture"], two["capture"]) == ("../captures/0.pcapng",) * 2
    assert [data["run"]["id"] for data in (one, two)] == ["one", "two"]


@pytest.mark.parametrize(
    ("artifacts", "problem"),
    [
        ({}, "No capture of this run was kept."),
        ({"capture": "captures/gone.pcapng"}, "The capture of this run is not there."),
        ({"capture": "../../etc/passwd"}, "The capture of this run is not in the run directory."),
        ({"capture": "/etc/passwd"}, "The capture of this run is not in the run directory."),
    ],
)
def test_a_capture_that_is_missing_is_said_to_be(tmp_path, run, artifacts, problem):
    (data,) = unfold(carried([run(artifacts=artifacts)], tmp_path))
    assert (data["ladder"]["problem"], data["capture"], data["told_by"]) == (problem, "", "")


def test_the_runs_of_a_case_are_packed_together_in_their_order(tmp_path, run):
    runs = [run(1, id="a"), run(0, id="b"), run(1, id="c")]
    packed = carried(runs, tmp_path)
    assert len(packed) == 2
    assert [data["run"]["id"] for data in unfold(packed)] == ["a", "c", "b"]


def test_which_counters_a_kernel_has_is_not_told_with_each_run(tmp_path, run):
    state = StackState("linux", True, {"MPTcpExtMPFailTx": 1}, knows=("MPTcpExtMPFailTx", "MPTcpExtMPFailRx"))
    (data,) = unfold(carried([run(stacks={"client": state})], tmp_path))
    assert data["run"]["stacks"]["client"]["counters"] == {"MPTcpExtMPFailTx": 1}
    assert not data["run"]["stacks"]["client"]["knows"]


def test_evidence_is_told_wherever_it_is_in_a_run_that_passed(directory, found, run, talk):
    conversation = talk()
    conversation.handshake()
    for _ in range(200):
        conversation.data("client", b"x" * 1428)
    evidence = (Evidence(401, "here"),)
    passed = run(findings=(Finding("it holds", "it does", True, evidence=evidence),))
    folder = directory(found([passed]), {"captures/0.pcapng": conversation.capture})
    (data,) = unfold(carried([passed], folder))
    views = [
        view for item in data["ladder"]["items"] if "fate" in item for view in (item["entry"], *item["exits"])
    ]
    assert 401 in [view["frame"] for view in views]
    assert len(views) < 200
