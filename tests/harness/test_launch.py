"""From an order to a run directory: what is refused before anything is written, and how runs end."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mbtest import results
from mbtest.errors import UsageError
from mbtest.harness.launch import default_jobs, render
from mbtest.results import Outcome, Verdict

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


# -- how it ends --------------------------------------------------------------------------------


RAISES = """
from mbtest.middlebox import Middlebox


class RaiseLate(Middlebox):
    def start(self):
        self.left = 20

    def process(self, segment, direction):
        self.left -= 1
        if not self.left:
            raise RuntimeError("the twentieth")
        return [segment]
"""


@pytest.mark.parametrize("families", ["('v4', 'v6')", "('v4', 'v6', 'mixed')"])
def test_boxes_that_raise_in_runs_of_one_process_leave_a_report(own: Any, families: str) -> None:
    own.box("raise_late.py", RAISES)
    body = "from middleboxes.raise_late import RaiseLate; run(RaiseLate(), sends=256 * KIB)"
    own.cases(CASE.replace('families=("v4",)', f"families={families}").format(said="", body=body))
    finished = own.run("mine.*", "--jobs", "1")
    assert (finished.returncode, finished.stderr) == (3, "")
    found = own.results().runs
    assert {run.verdict for run in found} == {Verdict.HARNESS_ERROR}
    for run in found:
        assert "RaiseLate raised on " in run.reason
        assert "raise_late.py:12" in run.reason
    assert (own.out / "report" / "index.html").is_file()
    assert f"{len(found)} runs in " in finished.stdout


def test_no_stack_is_blamed_for_what_a_preset_does(own: Any) -> None:
    finished = own.run("sanity.one-octet", "--through", "mobile-carrier", "--network", "simulated")
    assert (finished.returncode, finished.stderr) == (0, "")
    for run in own.results().runs:
        assert (run.verdict, run.outcome) == (Verdict.INFORMATIONAL, Outcome.FELL_BACK)
        assert run.reason.startswith("through further boxes: ")
        assert run.reason.endswith("without them the case expects outcome multipath")
        assert "--through mobile-carrier" in run.repeat


def test_what_pytest_says_at_its_end_costs_no_result(own: Any) -> None:
    # A socket that nobody closes, in a cycle: it is found once all is over.
    body = "import socket; left = [socket.socket()]; left.append(left); run(sends=1)"
    own.cases(CASE.format(said="", body=body))
    finished = own.run("mine.*", "--network", "simulated")
    assert finished.returncode == 3, finished.stdout + finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("mbtest: harness fault at the end of the runs: ")
    assert "ResourceWarning" in line or "unclosed" in line or "Exception ignored in" in line
    assert [run.verdict for run in own.results().runs] == [Verdict.PASS]
    assert (own.out / "report" / "index.html").is_file()
    assert "1 runs in " in finished.stdout


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command line in a session of its own, as from a terminal; nothing of it stays."""
    process = subprocess.Popen(
        [*MBTEST, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def to_one(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)


def to_all(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send as a terminal does on Ctrl-C: to the workers, too."""
    os.killpg(process.pid, number)


@pytest.mark.parametrize("send", [to_one, to_all], ids=["controller", "terminal"])
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_an_interrupt_keeps_what_is_done(
    tmp_path: Path, send: Callable[[subprocess.Popen[str], signal.Signals], None], jobs: str
) -> None:
    with started(
        tmp_path, "run", "nat.*", "sequence.*", "--client", "linux", "--jobs", jobs, "--out", "out"
    ) as process:
        send(process, signal.SIGINT)
        output, complaints = process.communicate(timeout=60)
    assert process.returncode == 2, output + complaints
    assert "Traceback" not in output + complaints
    found = results.read(tmp_path / "out")
    assert found.provenance.interrupted
    assert found.runs
    assert not {run.verdict for run in found.runs} & {Verdict.HARNESS_ERROR}
    assert (tmp_path / "out" / "report" / "index.html").is_file()
    assert "report: out/report/index.html" in output


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


def test_killing_the_controller_leaves_no_process_no_interface_and_no_namespace(tmp_path: Path) -> None:
    interfaces = sorted(os.listdir("/sys/class/net"))
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").count(" nsfs ")
    with started(
        tmp_path, "run", "nat.*", "sequence.*", "--client", "linux", "--jobs", "2", "--out", "out"
    ) as process:
        workers = [os.pidfd_open(number) for number in processes_of(process.pid)]
        assert len(workers) == 3
        process.kill()
        # A descriptor of a process can be read once it has ended, and with it all that hung on it.
        for worker in workers:
            assert select.select([worker], [], [], 30)[0]
            os.close(worker)
    assert sorted(os.listdir("/sys/class/net")) == interfaces
    assert Path("/proc/self/mountinfo").read_text(encoding="utf-8").count(" nsfs ") == mounts


def without_privileges(program: str) -> list[str]:
    """Return what runs a program as a user without any privileges.

    Where the interpreter is out of reach for anyone else, that is this user without capabilities: all
    that CAP_SETFCAP is for is to let root be root of a user namespace.
    """
    if os.geteuid() != 0 or "4294967295" not in Path("/proc/self/uid_map").read_text(encoding="ascii"):
        return []
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, "test", "-x", program], check=False).returncode == 0:
        return nobody
    return ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all"]


def test_an_ordinary_user_runs_cases_too(tmp_path: Path) -> None:
    if Path("/proc/sys/user/max_user_namespaces").read_text(encoding="ascii").strip() == "0":
        pytest.skip("this machine forbids user namespaces: sysctl user.max_user_namespaces is 0")
    words = without_privileges(sys.executable)
    if "--clear-groups" in words:
        os.chown(tmp_path, 65534, 65534)
        for folder in tmp_path.parents:
            if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", "popen-")):
                folder.chmod(0o755)
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    finished = subprocess.run(
        [
            *words, *MBTEST, "run", "sanity.one-octet", "handshake.syn-deleted", "--client", "linux",
            "--jobs", "2", "--out", "out",
        ],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (0, "")
    found = results.read(tmp_path / "out")
    assert found.provenance.privileges == "user namespace"
    assert {run.verdict for run in found.runs} == {Verdict.PASS}


# In a user namespace of its own, root may set the limit for itself and then give up what it has.
FORBIDDEN = (
    "echo 0 >/proc/sys/user/max_user_namespaces; cd $1; "
    "exec setpriv --bounding-set=-all --inh-caps=-all $0 -m mbtest run sanity.one-octet --out out "
)


def run_forbidden(folder: Path, words: str = "") -> subprocess.CompletedProcess[str]:
    """Run a case as a user who may not make namespaces."""
    return subprocess.run(
        [
            "unshare", "--user", "--map-root-user", "--net", "sh", "-c", FORBIDDEN + words, sys.executable,
            str(folder),
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_user_who_may_not_make_namespaces_is_told_how_to_allow_them(tmp_path: Path) -> None:
    line = refused(run_forbidden(tmp_path))
    assert "run as root" in line
    assert "sysctl user.max_user_namespaces=10000" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["--network simulated", "--client reference --server reference"])
def test_such_a_user_runs_the_reference_endpoint(tmp_path: Path, words: str) -> None:
    finished = run_forbidden(tmp_path, words)
    assert (finished.returncode, finished.stderr) == (0, "")
    found = results.read(tmp_path / "out")
    assert {(run.client, run.server) for run in found.runs} == {("reference", "reference")}
    assert {run.network for run in found.runs} == {words.partition("k ")[2] or "namespaces"}
    assert {run.verdict for run in found.runs} == {Verdict.PASS}


def test_a_simulated_run_is_repeated_in_a_simulation(own: Any) -> None:
    own.cases(CASE.format(said="", body="run(sends=1).expect(Outcome.MULTIPATH)"))
    assert own.run("mine.*", "--network", "simulated").returncode == 0
    (found,) = own.results().runs
    assert "--client reference --server reference" in found.repeat
    assert "--network simulated" in found.repeat
    capture = (own.out / found.artifacts["capture"]).read_bytes()
    repeat = [*MBTEST, *shlex.split(found.repeat)[1:], "--out", "again"]
    assert subprocess.run(repeat, cwd=own.folder.parent, check=False, capture_output=True).returncode == 0
    assert (own.folder.parent / "again" / found.artifacts["capture"]).read_bytes() == capture
