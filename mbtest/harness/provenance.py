"""Where and how runs were made: all that someone needs to make them again."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import mbtest
from mbtest.network.contract import Backend
from mbtest.network.processes import processors
from mbtest.results import Provenance

_LIBRARIES = ("scapy", "pyroute2", "pytest", "pytest-xdist", "msgspec", "netns")
_SYSCTLS = ("net.mptcp",)


def provenance(
    *,
    started: float,
    seconds: float,
    command: str,
    seed: int,
    jobs: int,
    interrupted: bool,
    network: Backend = "namespaces",
) -> Provenance:
    """Return the provenance of runs. started: seconds since the epoch."""
    return Provenance(
        mbtest=mbtest.__version__,
        revision=revision(Path(__file__).resolve().parents[2]),
        kernel=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        python=platform.python_version(),
        processors=processors(),
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        privileges=privileges() if network == "namespaces" else "none",
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        command=command,
        seed=seed,
        jobs=jobs,
        sysctls=_sysctls() if network == "namespaces" else {},
        interrupted=interrupted,
    )


def _sysctls() -> dict[str, str]:
    from mbtest.stacks.linux import read_sysctls  # noqa: PLC0415 - netlink may not be there, nor be needed

    return {name: value for prefix in _SYSCTLS for name, value in read_sysctls(prefix).items()}


def revision(checkout: Path) -> str:
    """Return the git revision of a checkout, `-dirty` where it was changed; empty where there is none."""
    if not (checkout / ".git").exists():
        return ""
    try:
        described = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()


def privileges() -> str:
    """Return `root` where the process is root of the whole machine, else `user namespace`."""
    return (
        "root"
        if Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
        else "user namespace"
    )
