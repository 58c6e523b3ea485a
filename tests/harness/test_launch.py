"""From an order to a run directory: what is refused before anything is written, and how runs end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mbtest import results
from mbtest.errors import UsageError
from mbtest.harness.launch import default_jobs, render
from mbtest.results import Verdict

MBTEST = (sys.executable, "-m", "mbtest")
CASE = '''
@case("mine.it", families=("v4",){said})
def test_it(run):
    """It holds."""
    {body}
'''


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    """Return the one line in which a user's mistake ends."""
    assert finished.returncode == 4, finished.stdout + finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("mbtest: ")
    assert finished.stdout == ""
    return line


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("file/below", "--out file/below: Not a directory; name a directory that can be written"),
        ("file", "--out file: Not a directory; name a directory that can be written"),
        ("/proc/out", "--out /proc/out: "),
        ("full", "--out full: holds other files; name an empty or a new directory"),
    ],
)
def test_an_output_directory_that_cannot_be_written(own: Any, place: str, says: str) -> None:
    folder = own.folder.parent
    (folder / "file").write_text("mine", encoding="utf-8")
    (folder / "full").mkdir()
    (folder / "full" / "precious").write_text("mine", encoding="utf-8")
    before = sorted(folder.rglob("*"))
    assert says in refused(own.mbtest("run", "sanity.one-octet", "--out", place))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (', topology="one-pth"', "no topology 'one-pth'; did you mean 'one-path'?"),
        (', nonsense="x"', "unexpected keyword argument 'nonsense'"),
    ],
)
def test_a_case_that_says_what_is_not_there(own: Any, said: str, says: str) -> None:
    own.cases(CASE.format(said=said, body="run()"))
    assert says in refused(own.run("mine.*"))
    assert not own.out.exists()


def test_a_mistake_in_a_topology_names_file_and_field(own: Any) -> None:
    (own.folder / "topologies").mkdir()
    file = own.folder / "topologies" / "broken.toml"
    file.write_text("description = 3\n", encoding="utf-8")
    line = refused(own.run("sanity.one-octet", "--topology", "broken"))
    assert f"{file}: description" in line
    assert not own.out.exists()


def test_mptcp_that_is_disabled_is_told_before_anything_is_written(own: Any) -> None:
    script = (
        f"echo 0 >/proc/sys/net/mptcp/enabled; exec {sys.executable} -m mbtest run $0 --out out $1 $2 $3 $4"
    )
    disabled = ["unshare", "--net", "sh", "-c", script, "nat.home-router"]
    folder = own.folder.parent
    finished = subprocess.run(disabled, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert "MPTCP is disabled; `sysctl net.mptcp.enabled=1` enables it" in refused(finished)
    assert not own.out.exists()
    finished = subprocess.run(
        [*disabled, "--client", "tcp", "--server", "tcp"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert {run.verdict for run in own.results().runs} == {Verdict.INFORMATIONAL}


# -- what is left -------------------------------------------------------------------------------


def test_a_run_directory_is_used_again_and_the_newest_is_pointed_to(own: Any) -> None:
    own.cases(CASE.format(said=", directions=BOTH_WAYS", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    assert own.run("mine.*").returncode == 0
    assert own.run("mine.*", "--direction", "to_client").returncode == 0
    (run,) = own.results().runs
    assert [path.name for path in (own.out / "captures").iterdir()] == [Path(run.artifacts["capture"]).name]
    assert (own.out.parent / "latest").resolve() == own.out.resolve()
    assert (
        own.mbtest("run", "mine.*", "--client", "linux", "--content", "mine", "--out", "other").returncode
        == 0
    )
    assert (own.out.parent / "latest").resolve().name == "other"


def test_without_a_name_a_run_directory_is_named_after_the_time(own: Any) -> None:
    own.cases(CASE.format(said="", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    for _ in range(2):
        assert own.mbtest("run", "mine.*", "--client", "linux", "--content", "mine").returncode == 0
    folder = own.folder.parent / "results"
    found = sorted(path.name for path in folder.iterdir() if not path.is_symlink())
    assert len(found) == 2
    assert (folder / "latest").resolve().name == found[-1]


def test_something_else_called_latest_is_left_alone(own: Any) -> None:
    (own.out.parent / "latest").mkdir()
    own.cases(CASE.format(said="", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    assert own.run("mine.*").returncode == 0
    assert not (own.out.parent / "latest").is_symlink()


def test_the_command_that_repeats_a_run_does(own: Any) -> None:
    own.cases(CASE.format(said=", checksums=(False, True)", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    assert own.run("mine.*", "--seed", "5").returncode == 0
    found = own.results().runs[0]
    finished = subprocess.run(
        f"{' '.join(MBTEST)} {found.repeat.removeprefix('mbtest ')} --out again",
        shell=True, cwd=own.folder.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    (again,) = results.read(own.folder.parent / "again").runs
    assert (again.id, again.seed, again.verdict) == (found.id, 5, found.verdict)


def test_a_report_is_made_anew(own: Any) -> None:
    own.cases(CASE.format(said="", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    own.run("mine.*")
    page = own.out / "report" / "index.html"
    page.unlink()
    assert render(own.out) == page
    assert "mine.it" in page.read_text(encoding="utf-8")


def test_a_report_of_what_is_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory; give the one that `mbtest run` wrote"):
        render(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no result\.json here"):
        render(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_within_a_case_is_told_in_one_line(own: Any) -> None:
    own.cases(
        CASE.format(
            said="", body="from middleboxes.split import SplitSegments; run(SplitSegments(0), sends=1)"
        )
    )
    finished = own.run("mine.*")
    assert finished.returncode in (3, 4)
    assert "Traceback" not in finished.stdout + finished.stderr
    told = [line for line in finished.stdout.splitlines() if line.startswith("1/1 ")]
    assert len(told) == 1
    assert "SplitSegments: size=0 is out of range; give 1 to 65535 octets" in told[0]


@pytest.mark.parametrize(
    ("network", "chosen", "waits", "jobs"),
    [
        ("namespaces", 4, False, 1),
        ("namespaces", 50, False, 3),
        ("namespaces", 1_000, False, 4),
        ("namespaces", 30, True, 40),
        ("simulated", 30, True, 1),
        ("simulated", 1_000, False, 4),
    ],
)
def test_processes_are_started_where_they_are_of_use(
    network: Any, chosen: int, waits: bool, jobs: int
) -> None:
    assert default_jobs(network, chosen, waits, 4) == jobs


MISFITS = """
from middleboxes.bleach import Bleach


@case("mine.{name}", families=("v4",))
def test_{name}(run):
    \"\"\"It holds.\"\"\"
    {call}
"""
BLEACH = """
from mbtest.middlebox import Middlebox


class Bleach(Middlebox):
    shift: int

    def process(self, segment, direction):
        return [segment]
"""


def test_arguments_that_do_not_fit_end_in_a_line_each_with_file_and_remedy(own: Any) -> None:
    own.box("bleach.py", BLEACH)
    calls = {
        "box": ("run(Bleach(shft=2))", "Bleach has no parameter 'shft'; did you mean 'shift'?"),
        "call": ("run(send=2)", "run() has no parameter 'send'; did you mean 'sends'?"),
        "expect": (
            "run(sends=1).expect(Unharmed(), levl=MUST)",
            "expect() has no parameter 'levl'; did you mean 'level'?",
        ),
        "lack": ("run(Bleach())", "Bleach lacks 'shift'; it must be given"),
        "load": ("run(workload=Workload(sends=1))", "Unexpected keyword argument 'sends'"),
    }
    text = "".join(MISFITS.format(name=name, call=call) for name, (call, _) in calls.items())
    own.cases(text)
    finished = own.run("mine.*")
    assert finished.returncode == 4, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stdout
    written = (own.folder / "testcases" / "test_mine.py").read_text(encoding="utf-8").splitlines()
    expected = []
    for name, (call, says) in calls.items():
        line = 1 + next(number for number, words in enumerate(written) if words.strip() == call)
        place = f"mine/testcases/test_mine.py:{line}"
        expected.append(f"mbtest: mine.{name}: the case asks for what cannot be: {place}: {says}")
    assert finished.stderr.splitlines() == expected


def test_a_preset_without_a_parameter_that_must_be_given_is_refused(own: Any) -> None:
    own.box("bleach.py", BLEACH)
    (own.folder / "middleboxes" / "presets").mkdir()
    file = own.folder / "middleboxes" / "presets" / "broken.toml"
    file.write_text('description = "broken"\n[[boxes]]\nbox = "Bleach"\n', encoding="utf-8")
    line = refused(own.run("sanity.one-octet", "--through", "broken"))
    assert line.endswith("presets/broken.toml: box 1: Bleach lacks 'shift'; it must be given")
