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
from mbtest.harness.pairs import Pair, names, require, uses_kernel
from mbtest.harness.presets import preset
from mbtest.harness.progress import Progress, summary
from mbtest.harness.topologies import topology
from mbtest.network.contract import Backend
from mbtest.network.processes import processors
from mbtest.results import Verdict
from mbtest.stacks import stack

INI = Path(__file__).with_name("cases.ini")
JOBS_PER_PROCESSOR = 10
"""Runs that wait for timers of the kernel spend most of their time on that: all together they wait six times
as long as they compute."""
RUNS_PER_JOB = 16
"""Runs that do not wait are over before a process more has started, unless it has so many to do."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    cases: tuple[str, ...]
    pairs: tuple[Pair, ...]
    family: str | None
    direction: str | None
    checksum: bool | None
    topology: str | None
    jobs: int | None
    seed: int
    out: Path
    content: tuple[str, ...]
    command: str
    network: Backend = "namespaces"
    every: bool = False
    """Each combination of what a case offers, instead of each value at least once."""
    through: str | None = None
    """A preset whose boxes every run has besides its own."""


def launch(order: Order) -> int:
    """Carry out an order, and return the exit status. Raises UsageError before anything is written."""
    content.use(*order.content)
    chosen, waits = _check(order)
    if not chosen:
        raise_nothing(order)
        return 5
    if uses_kernel(order.pairs):
        _enter_namespaces(order)
    _make(order.out)
    jobs = order.jobs or default_jobs(order.network, chosen, waits, processors())
    console = Screen(highlight=False)
    progress = Progress(console, chosen)
    os.environ["MBTEST_COMMAND"] = order.command
    # Whatever other plugins the user has, for other projects, stays out of these runs.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    # pytest names its own temporary directory after the user: "root" in a user namespace, and so not ours.
    with progress, tempfile.TemporaryDirectory(prefix="mbtest-") as temporary:
        arguments = [*_arguments(order, min(jobs, chosen)), "--basetemp", f"{temporary}/pytest"]
        status = _run(arguments, progress, order.out)
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
    if tally.get(Verdict.FAIL) or found.alarms:
        return 1
    return 0 if found.runs else 5


def _run(arguments: list[str], progress: Progress, directory: Path) -> int:
    """Have pytest carry the runs out; return its status, also where it broke off after the last of them."""
    try:
        return pytest.main(arguments, plugins=[progress])
    except KeyboardInterrupt:
        status, complaint = pytest.ExitCode.INTERRUPTED, ""
    except Exception as error:  # noqa: BLE001 - of whatever kind, the results count more
        told = " ".join(str(error).split())
        status, complaint = pytest.ExitCode.INTERNAL_ERROR, f"{type(error).__name__}: {told}"
    if not (directory / "result.json").exists():
        if status is pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        raise HarnessError(f"the runs ended without a result.json: {complaint}")
    if complaint:
        sys.stderr.write(f"mbtest: harness fault at the end of the runs: {complaint}\n")
    return status


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


def default_jobs(network: Backend, chosen: int, waits: bool, processors: int) -> int:
    """Return how many runs go on at the same time where the order does not say.

    chosen: how many runs there are. waits: whether one of them waits for timers of a kernel.
    """
    if waits and network == "namespaces":
        return processors * JOBS_PER_PROCESSOR
    return max(1, min(processors, chosen // RUNS_PER_JOB))


def _check(order: Order) -> tuple[int, bool]:
    """Return how many runs an order comes to, and whether one waits for timers of a kernel.

    Raises UsageError for what is not there or cannot run.
    """
    known = cases()
    wanted = _wanted(order, known)
    require(order.network, order.pairs)
    choice = Choice(
        pairs=order.pairs,
        family=parse_family(order.family) if order.family else None,
        direction=parse_direction(order.direction) if order.direction else None,
        checksum=order.checksum,
        topology=topology(order.topology).name if order.topology else None,
        every=order.every,
    )
    for name in names(order.pairs):
        if lacking := stack(name).lacks():
            raise UsageError(lacking)
    for needed in {case.topology for case in wanted}:
        topology(needed)
    if order.through:
        preset(order.through)
    numbers = {case.id: len(variants(case, choice)) for case in wanted}
    return sum(numbers.values()), any(case.waits for case in wanted if numbers[case.id])


def _wanted(order: Order, known: dict[str, Case]) -> list[Case]:
    for glob in order.cases:
        if not any(fnmatch.fnmatchcase(name, glob) for name in known):
            close = difflib.get_close_matches(glob, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else ";"
            raise UsageError(f"no case {glob!r}{hint} `mbtest list cases` shows all")
    globs = order.cases or ("*",)
    return [case for name, case in known.items() if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


def _enter_namespaces(order: Order) -> None:
    """Get the right to make networks of namespaces, and make one. Raises UsageError where that is refused."""
    # Netlink and namespaces are of no use, and may not be there, where no stack is a kernel.
    from mbtest.network import privileges  # noqa: PLC0415
    from mbtest.network.namespaces import NamespaceNetwork  # noqa: PLC0415

    privileges.enter()
    try:
        with NamespaceNetwork(topology(order.topology or "one-path"), "v4", {}, 0):
            pass
    except (OSError, HarnessError) as error:
        raise UsageError(
            f"namespaces cannot be made here: {error}; run as root, or allow user namespaces, "
            "or do without: --network simulated"
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
    for client, server in order.pairs:
        words += ["--mbtest-pair", f"{client}:{server}"]
    words += ["--mbtest-network", order.network, "--mbtest-seed", str(order.seed)]
    words += ["--mbtest-out", str(order.out.resolve())]
    for name in ("family", "direction", "topology", "through"):
        if getattr(order, name):
            words += [f"--mbtest-{name}", getattr(order, name)]
    if order.checksum is not None:
        words += ["--mbtest-checksum", "on" if order.checksum else "off"]
    if order.every:
        words.append("--mbtest-every")
    for folder in order.content:
        words += ["--mbtest-content", str(Path(folder).resolve())]
    for glob in order.cases:
        words += ["--mbtest-case", glob]
    return words
