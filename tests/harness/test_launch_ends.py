"""How an order ends: with boxes that raise, with interrupts, with few privileges."""

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
from mbtest.results import Outcome, Verdict
from tests.harness.test_launch import CASE, MBTEST, refused

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
