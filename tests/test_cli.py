"""The command line, as its users meet it: exit statuses, and one line for each mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbtest import results

MBTEST = [sys.executable, "-m", "mbtest"]
LINUX = ("--client", "linux", "--server", "linux")
CASE = '''
from mbtest.testing import *
from middleboxes.pass_through import PassThrough
from middleboxes.split import SplitSegments

{decorator}
def test_it(run):
    """It holds."""
    {body}
'''


def mbtest(*words, cwd, **environment):
    return subprocess.run(
        [*MBTEST, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def content(tmp_path: Path, body: str, decorator: str = '@case("mine.it", families=("v4",))') -> Path:
    folder = tmp_path / "mine"
    (folder / "testcases").mkdir(parents=True)
    (folder / "testcases" / "test_mine.py").write_text(CASE.format(decorator=decorator, body=body))
    return folder


def one_line(finished) -> str:
    assert finished.returncode == 4, finished.stderr
    assert "Traceback" not in finished.stderr
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith("mbtest: ")
    return line


def entry(out: Path):
    (run,) = results.read(out).runs
    return run


def test_a_run_that_passes(tmp_path):
    finished = mbtest("run", "sanity.one-octet", *LINUX, "--family", "v4", "--out", "out", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = results.read(tmp_path / "out")
    assert {run.direction for run in found.runs} == {"to_server", "to_client"}
    assert all((tmp_path / "out" / run.artifacts["capture"]).is_file() for run in found.runs)
    assert (tmp_path / "out/report/index.html").is_file()
    assert (tmp_path / "latest").resolve() == tmp_path / "out"
    assert "\x1b" not in finished.stdout
    assert finished.stdout.splitlines()[0].startswith("1/2 ")
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "sanity.transfr"], "did you mean 'sanity.transfer'?"),
        (["run", "--client", "linus"], "no stack 'linus'; there are linux, tcp"),
        (["run", "--topology", "one-pth"], "did you mean 'one-path'?"),
        (["run", "--family", "v5"], "there are v4, v6, mixed"),
        (["run", "--direction", "up"], "to_server, to_client"),
        (["run", "--jobs", "0"], "--jobs"),
        (["run", "--content", "nowhere"], "no such folder"),
        (["run", "sanity.one-octet", "--out", "/proc/nowhere/out"], "--out /proc/nowhere/out"),
        (["list", "cats"], "cats"),
        (["list"], "Choose from: cases, boxes, topologies, stacks"),
        (["run", "--seed", "-1"], "'--seed': -1 is not in the range"),
        (["run", "sanity.one-octet", "--out"], "Option '--out' requires an argument"),
        (["run", "--colour"], "No such option"),
        (["list", "boxes", "--content", "nowhere"], "no such folder"),
        (["show", "sanity"], "no result.json here"),
        (["run", "--network", "simulate"], "'simulate' is not one of 'namespaces', 'simulated'"),
        (
            ["run", "--network", "simulated", "--server", "linux"],
            "name --client reference --server reference",
        ),
        (["run", "--client", "tcp+nothing"], "stack tcp has no profiles; `reference+PROFILE` does"),
        (["report", "nowhere"], "nowhere: no such directory"),
        (["walk"], "walk"),
    ],
)
def test_a_mistake_ends_in_one_line(tmp_path, words, says):
    line = one_line(mbtest(*words, cwd=tmp_path))
    assert says in line
    assert list(tmp_path.iterdir()) == []


def test_content_that_does_not_import_is_named_with_its_line(tmp_path):
    folder = content(tmp_path, "run()")
    (folder / "testcases/test_bad.py").write_text("import nothing_of_that_name\n")
    line = one_line(mbtest("run", "--content", "mine", "--out", "out", cwd=tmp_path))
    assert "testcases/test_bad.py" in line
    assert "test_bad.py:1" in line
    assert not (tmp_path / "out").exists()


def test_a_parameter_out_of_range_is_named_with_the_range(tmp_path):
    content(tmp_path, "run(BOX)")
    path = tmp_path / "mine/testcases/test_mine.py"
    path.write_text(path.read_text().replace("@case", "BOX = SplitSegments(0)\n\n@case"))
    line = one_line(mbtest("run", "mine.*", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path))
    assert "SplitSegments: size=0 is out of range" in line


def test_a_parameter_out_of_range_inside_of_a_case(tmp_path):
    content(tmp_path, "run(SplitSegments(0))")
    line = one_line(mbtest("run", "mine.*", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path))
    assert "mine.it: the case asks for what cannot be: mine/testcases/test_mine.py:" in line
    assert "SplitSegments: size=0 is out of range" in line


def test_an_aim_at_a_path_that_is_not_there(tmp_path):
    content(tmp_path, "run(PassThrough(aim=Aim(path=7)))")
    line = one_line(mbtest("run", "mine.*", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path))
    assert "topology one-path has no such path" in line


def test_two_cases_of_one_id(tmp_path):
    content(tmp_path, "run()", '@case("sanity.transfer")')
    assert "ids are unique" in one_line(mbtest("list", "cases", "--content", "mine", cwd=tmp_path))


@pytest.mark.parametrize(
    ("body", "status", "verdict"),
    [
        ("run(client_sends=1).expect(Outcome.MULTIPATH)", 0, "pass"),
        ("run(client_sends=1).expect(Outcome.RESET)", 1, "fail"),
        ("run(client_sends=1).expect(Outcome.RESET, level=SHOULD)", 0, "non_strict"),
        ("run(client_sends=1).expect(Outcome.RESET, level=MAY)", 0, "informational"),
        ("run(PassThrough()).require(Interfered(PassThrough))", 0, "inconclusive"),
        ("raise ValueError('ours')", 3, "harness_error"),
        ("pass", 3, "harness_error"),
    ],
)
def test_verdicts_and_exit_statuses(tmp_path, body, status, verdict):
    content(tmp_path, body)
    finished = mbtest("run", "mine.it", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path)
    run = entry(tmp_path / "out")
    assert (finished.returncode, run.verdict) == (status, verdict), finished.stdout + finished.stderr
    assert run.reason
    assert "mbtest run mine.it" in run.repeat
    assert "--content" in run.repeat


def test_a_box_that_raises_is_a_harness_error_that_names_it(tmp_path):
    folder = content(tmp_path, "from middleboxes.broken import Broken\n    run(Broken(), client_sends=1)")
    (folder / "middleboxes").mkdir()
    (folder / "middleboxes/broken.py").write_text(
        "from mbtest.middlebox import Middlebox\n\n\nclass Broken(Middlebox):\n"
        '    """Breaks."""\n\n    def process(self, segment, direction):\n        return segment.nonsense\n'
    )
    finished = mbtest("run", "mine.it", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path)
    assert finished.returncode == 3
    reason = entry(tmp_path / "out").reason
    assert "Broken raised on" in reason
    assert "broken.py:8" in reason


def test_a_box_in_an_endless_loop_is_stopped(tmp_path):
    folder = content(tmp_path, "from middleboxes.endless import Endless\n    run(Endless(), limit=3)")
    (folder / "middleboxes").mkdir()
    (folder / "middleboxes/endless.py").write_text(
        "from mbtest.middlebox import Middlebox\n\n\nclass Endless(Middlebox):\n"
        '    """Never ends."""\n\n    def process(self, segment, direction):\n'
        "        while True:\n            pass\n"
    )
    finished = mbtest("run", "mine.it", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path)
    assert finished.returncode == 3
    assert "Endless was at work, endless.py:" in entry(tmp_path / "out").reason


def test_a_stuck_run_says_where_it_was_stuck(tmp_path):
    body = (
        "from middleboxes.drop import DropSegments\n"
        "    run(DropSegments(aim=Aim(kinds=Kind.DATA)), client_sends=100, patience=0.5).expect(Unharmed())"
    )
    content(tmp_path, body)
    finished = mbtest("run", "mine.it", *LINUX, "--content", "mine", "--out", "out", cwd=tmp_path)
    assert finished.returncode == 0, "regular TCP gets no further either, and no stack is to blame"
    run = entry(tmp_path / "out")
    assert (run.outcome, run.verdict) == ("stalled", "inconclusive")
    assert "the client wrote 100 of 100 octets" in run.reason
    assert "the server read 0 of 100" in run.reason


def test_nothing_ran(tmp_path):
    finished = mbtest("run", "sanity.transfer", "--family", "mixed", cwd=tmp_path)
    assert finished.returncode == 5
    assert "--family mixed" in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "pairs"),
    [
        ([], ["linux-linux", "linux-reference", "reference-linux"]),
        (["--client", "reference"], ["reference-linux"]),
        (["--server", "tcp"], ["linux-tcp"]),
        (["--network", "simulated"], ["reference-reference"]),
        (["--network", "simulated", "--client", "reference+strict"], ["reference+strict-reference"]),
    ],
)
def test_stacks_that_are_not_named(tmp_path, words, pairs):
    finished = mbtest(
        "run", "sanity.one-octet", "--family", "v4", "--direction", "to_server", *words, "--out", "out",
        cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert [run.id.split("/")[1] for run in results.read(tmp_path / "out").runs] == pairs


def test_cases_run_in_a_simulated_network(tmp_path):
    topics = ["sanity.*", "handshake.*", "nat.*", "sequence.*"]
    finished = mbtest("run", *topics, "--network", "simulated", "--out", "out", cwd=tmp_path)
    assert finished.returncode in (0, 1), finished.stdout[-2000:] + finished.stderr
    found = results.read(tmp_path / "out")
    assert {run.network for run in found.runs} == {"simulated"}
    assert not [run.id for run in found.runs if run.verdict == "harness_error"]


@pytest.mark.parametrize(
    "what", ["cases", "boxes", "topologies", "stacks", "profiles", "presets", "requirements", "rules"]
)
def test_lists_as_json_and_for_people(tmp_path, what):
    entries = json.loads(mbtest("list", what, "--json", cwd=tmp_path).stdout)
    words = mbtest("list", what, cwd=tmp_path).stdout
    assert len(entries) >= 2
    assert all(item["name"] in words for item in entries)
    assert all(item["summary"] for item in entries)


def test_at_least_forty_cases_over_six_interferences(tmp_path):
    entries = json.loads(mbtest("list", "cases", "--json", cwd=tmp_path).stdout)
    topics = {item["topic"] for item in entries}
    assert {"nat", "sequence", "splitting", "coalescing", "options_lost", "handshake", "payload"} <= topics
    assert len([item for item in entries if item["topic"] != "sanity"]) >= 40
    assert all(item["requirements"] for item in entries)


def test_show_tells_the_story_of_a_run(tmp_path):
    mbtest("run", "handshake.syn-deleted", *LINUX, "--family", "v4", "--out", "out", cwd=tmp_path)
    full = "handshake.syn-deleted/linux-linux/v4/to_server/no-checksum"
    shown = mbtest("show", full, "--dir", "out", cwd=tmp_path).stdout
    assert "PASS: fell_back (in handshake)" in shown
    assert "StripOptions removed MP_CAPABLE v1" in shown
    assert "mbtest run handshake.syn-deleted --client linux" in shown
    shown = mbtest("show", full, "--dir", "out", "--packets", cwd=tmp_path).stdout
    assert "repeat:  mbtest run handshake.syn-deleted" in shown
    assert "is part of 2 runs" in one_line(mbtest("show", "syn-deleted", "--dir", "out", cwd=tmp_path))
    assert "no run 'nothing'" in one_line(mbtest("show", "nothing", "--dir", "out", cwd=tmp_path))


def test_the_same_seed_gives_the_same_verdicts(tmp_path):
    verdicts = []
    for number in range(3):
        out = tmp_path / str(number)
        words = [
            "run",
            "nat.random-ports",
            "sequence.randomised",
            *LINUX,
            "--seed",
            "7",
            "--jobs",
            "2",
            "--out",
            out,
        ]
        assert mbtest(*words, cwd=tmp_path).returncode == 0
        verdicts.append([(run.id, run.verdict, run.outcome) for run in results.read(out).runs])
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_regular_tcp_passes_through_the_same_boxes(tmp_path):
    words = ["run", "nat.home-router", "--client", "tcp", "--server", "tcp", "--out", "out"]
    finished = mbtest(*words, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout
    for run in results.read(tmp_path / "out").runs:
        assert run.outcome == "fell_back"
        assert run.verdict == "informational"


def test_without_a_command_the_help_is_shown(tmp_path):
    finished = mbtest(cwd=tmp_path)
    assert finished.returncode == 4
    assert finished.stderr.startswith("Usage: ")
    assert mbtest("--help", cwd=tmp_path).stdout.startswith("Usage: ")
    assert mbtest("--version", cwd=tmp_path).stdout.startswith("mbtest, version ")


def test_a_directory_of_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").write_text("mine")
    assert "holds other files" in one_line(mbtest("run", "--out", "out", cwd=tmp_path))
    assert (tmp_path / "out/precious").read_text() == "mine"
