"""From an order on the command line to a run directory with its report."""

from __future__ import annotations

import difflib
import fnmatch
import os
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest

from mbtest import content, results
from mbtest.console import Screen
from mbtest.errors import HarnessError, UsageError
from mbtest.harness.case import Case, Choice, parse_direction, parse_family, variants
from mbtest.harness.catalogue import cases
from mbtest.harness.fixture import USAGE
from mbtest.harness.progress import Progress, summary
from mbtest.harness.topologies import topology
from mbtest.network import privileges
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.results import Verdict
from mbtest.stacks import stack

INI = Path(__file__).with_name("cases.ini")
JOBS_PER_PROCESSOR = 6
"""Runs spend most of their time waiting for timers of the kernel."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    cases: tuple[str, ...]
    client: str
    server: str
    family: str | None
    direction: str | None
    checksum: bool | None
    topology: str | None
    jobs: int | None
    seed: int
    out: Path
    content: tuple[str, ...]
    command: str


def launch(order: Order) -> int:
    """Carry out an order, and return the exit status. Raises UsageError before anything is written."""
    content.use(*order.content)
    chosen = _check(order)
    if not chosen:
        raise_nothing(order)
        return 5
    privileges.enter()
    _check_namespaces(order)
    _make(order.out)
    jobs = order.jobs or max(1, len(os.sched_getaffinity(0)) * JOBS_PER_PROCESSOR)
    console = Screen(highlight=False)
    progress = Progress(console, chosen)
    os.environ["MBTEST_COMMAND"] = order.command
    # Whatever other plugins the user has, for other projects, stays out of these runs.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # pytest names its own temporary directory after the user: "root" in a user namespace, and so not ours.
    with progress, tempfile.TemporaryDirectory(prefix="mbtest-") as temporary:
        arguments = [*_arguments(order, min(jobs, chosen)), "--basetemp", f"{temporary}/pytest"]
        status = pytest.main(arguments, plugins=[progress])
    if not (order.out / "result.json").exists():
        raise HarnessError(
            "the runs ended without a result.json: " + (progress.complaint or f"pytest status {status}")
        )
    found = results.read(order.out)
    page = render(order.out)
    _point_latest(order.out)
    summary(console, found, page)
    mistakes = sorted({f"{run.case}: {run.reason}" for run in found.runs if run.reason.startswith(USAGE)})
    for mistake in mistakes:
        sys.stderr.write(f"mbtest: {mistake}\n")
    if found.provenance.interrupted or status == pytest.ExitCode.INTERRUPTED:
        return 2
    if mistakes:
        return 4
    tally = found.tally()
    if tally.get(Verdict.HARNESS_ERROR) or status == pytest.ExitCode.INTERNAL_ERROR:
        return 3
    if tally.get(Verdict.FAIL):
        return 1
    return 0 if found.runs else 5


def render(directory: Path) -> Path:
    """Make the report of a run directory, and return its page. Raises UsageError."""
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give the one that `mbtest run` wrote")
    content.use()
    module = content.load("reports.html")
    page: Path = module.render(directory)
    return page


def raise_nothing(order: Order) -> None:
    """Say why nothing is to be run."""
    limits = [
        f"--{name} {value}" for name in ("family", "direction", "topology") if (value := getattr(order, name))
    ]
    if order.checksum is not None:
        limits.append("--checksum" if order.checksum else "--no-checksum")
    sys.stderr.write(
        f"mbtest: no run of these cases has {' '.join(limits)}; `mbtest list cases` shows what they have\n"
    )


def _check(order: Order) -> int:
    """Return how many runs an order comes to. Raises UsageError for what is not there or cannot run."""
    known = cases()
    wanted = _wanted(order, known)
    choice = Choice(
        pairs=((stack(order.client).name, stack(order.server).name),),
        family=parse_family(order.family) if order.family else None,
        direction=parse_direction(order.direction) if order.direction else None,
        checksum=order.checksum,
        topology=topology(order.topology).name if order.topology else None,
    )
    for name in {order.client, order.server}:
        lacking = stack(name).lacks()
        if lacking:
            raise UsageError(lacking)
    for needed in {case.topology for case in wanted}:
        topology(needed)
    return sum(len(variants(case, choice)) for case in wanted)


def _wanted(order: Order, known: dict[str, Case]) -> list[Case]:
    for glob in order.cases:
        if not any(fnmatch.fnmatchcase(name, glob) for name in known):
            close = difflib.get_close_matches(glob, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ";"
            raise UsageError(f"no case {glob!r}{hint} `mbtest list cases` shows all")
    globs = order.cases or ("*",)
    return [case for name, case in known.items() if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


def _check_namespaces(order: Order) -> None:
    """Make a network and let go of it. Raises UsageError where this process may not."""
    try:
        with NamespaceNetwork(topology(order.topology or "one-path"), "v4", {}, 0):
            pass
    except (OSError, HarnessError) as error:
        raise UsageError(
            f"namespaces cannot be made here: {error}; run as root, or allow user namespaces"
        ) from None


def _make(directory: Path) -> None:
    """Make the run directory. Raises UsageError where it cannot be written or holds something else."""
    try:
        if directory.exists() and any(directory.iterdir()):
            if not (directory / "result.json").exists():
                raise UsageError(f"--out {directory}: holds other files; name an empty or a new directory")
            for folder in ("captures", "report"):
                shutil.rmtree(directory / folder, ignore_errors=True)
            (directory / "result.json").unlink()
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {directory}: {error.strerror}; name a directory that can be written"
        ) from None


def _point_latest(directory: Path) -> None:
    """Have `latest`, beside the run directory, point to it."""
    link = directory.resolve().parent / "latest"
    if link.exists() and not link.is_symlink():
        return
    draft = link.with_name(f".latest.{os.getpid()}")
    try:
        draft.symlink_to(directory.resolve().name)
        draft.replace(link)
    except OSError:
        # A file system without symbolic links has the run directory all the same.
        draft.unlink(missing_ok=True)


def _arguments(order: Order, jobs: int) -> list[str]:
    folders = [str(root / "testcases") for root in content.roots() if (root / "testcases").is_dir()]
    words = ["-c", str(INI), "--rootdir", str(content.shipped()), "--assert=plain", *folders]
    for plugin in ("mbtest.harness.plugin", "xdist.plugin", "no:terminal"):
        words += ["-p", plugin]
    if jobs > 1:
        words += ["-n", str(jobs), "--maxschedchunk", "1"]
    words += ["--mbtest-pair", f"{order.client}:{order.server}", "--mbtest-seed", str(order.seed)]
    words += ["--mbtest-out", str(order.out.resolve())]
    for name in ("family", "direction", "topology"):
        if getattr(order, name):
            words += [f"--mbtest-{name}", getattr(order, name)]
    if order.checksum is not None:
        words += ["--mbtest-checksum", "on" if order.checksum else "off"]
    for folder in order.content:
        words += ["--mbtest-content", str(Path(folder).resolve())]
    for glob in order.cases:
        words += ["--mbtest-case", glob]
    return words
