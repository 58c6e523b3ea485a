"""Where and how runs were made."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

import mbtest
from mbtest.harness.provenance import privileges, provenance, revision


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one", encoding="utf-8")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_all_that_is_needed_to_make_the_runs_again() -> None:
    said = provenance(started=0.0, seconds=1.23456, command="mbtest run", seed=7, jobs=3, interrupted=True)
    assert said.mbtest == mbtest.__version__
    assert said.kernel == f"Linux {platform.release()}"
    assert said.python == platform.python_version()
    assert said.started == "1970-01-01T00:00:00+00:00"
    assert said.seconds == 1.235
    assert (said.command, said.seed, said.jobs, said.interrupted) == ("mbtest run", 7, 3, True)
    assert {"scapy", "pytest", "pyroute2"} <= set(said.libraries)
    assert said.sysctls["net.mptcp.enabled"] == "1"
    assert said.processors >= 1
    assert said.privileges == privileges()


def test_a_simulated_network_needed_no_privileges_and_no_kernel() -> None:
    said = provenance(
        started=0.0, seconds=1, command="mbtest run", seed=7, jobs=1, interrupted=False, network="simulated"
    )
    assert said.privileges == "none"
    assert said.sysctls == {}


def test_a_checkout_has_a_revision_and_says_whether_it_was_changed(checkout: Path) -> None:
    clean = revision(checkout)
    assert len(clean) == 12
    (checkout / "file").write_text("two", encoding="utf-8")
    assert revision(checkout) == f"{clean}-dirty"


def test_an_installation_has_none(tmp_path: Path) -> None:
    assert revision(tmp_path) == ""


def test_without_git_there_is_none(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert revision(checkout) == ""


def test_privileges_are_of_the_machine_or_of_a_namespace() -> None:
    identity = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    assert privileges() == ("root" if identity[1:] == ["0", "4294967295"] else "user namespace")
