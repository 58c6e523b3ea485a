"""The schema of `result.json`: what a run of the suite leaves behind, and all that reports are made from.

Times are microseconds of a run's clock unless a name says otherwise. Frame numbers count from 1, as in
the run's capture and in the tools that read it.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Literal

import msgspec

from mbtest.errors import UsageError

SCHEMA = 1
"""Raised when a reader of the number before would be misled. A field that is added has a default, so that
files from before are read, and readers from before leave it out: neither needs a new number.
"""


class Outcome(enum.StrEnum):
    """What happened."""

    MULTIPATH = "multipath"
    FEWER_SUBFLOWS = "fewer_subflows"
    FELL_BACK = "fell_back"
    RESET = "reset"
    STALLED = "stalled"
    CORRUPTED = "corrupted"


class Fallback(enum.StrEnum):
    """How a connection came to be regular TCP."""

    IN_HANDSHAKE = "in_handshake"
    WITHOUT_SIGNAL = "without_signal"
    INFINITE_MAPPING = "infinite_mapping"


class Verdict(enum.StrEnum):
    """Whether it is right."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    NON_STRICT = "non_strict"
    FAIL = "fail"
    INFORMATIONAL = "informational"
    UNSUPPORTED = "unsupported"
    INCONCLUSIVE = "inconclusive"
    HARNESS_ERROR = "harness_error"


class Level(enum.StrEnum):
    """What the RFC's word for a requirement is (RFC 2119)."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


class Evidence(msgspec.Struct, frozen=True):
    """A packet that shows something. frame: its number in the capture; 0 where no packet shows it."""

    frame: int
    words: str


class Finding(msgspec.Struct, frozen=True):
    """One expectation and what came of it."""

    expected: str
    actual: str
    met: bool
    level: Level = Level.MUST
    requirement: str = ""
    """An id as `RFC8684-3.7/syn-option-lost`; empty where the case's own requirements apply."""
    evidence: tuple[Evidence, ...] = ()
    rule: str = ""
    """The conformance rule that found it, as `fallback.fail-answered`; `witness` where what a stack says of
    itself and the packets disagree; empty for an expectation of the case."""
    clause: str = ""
    """As `RFC 8684 §3.7`."""
    who: str = ""
    """The host that is to blame: client, server; empty where that is not known."""
    count: int = 1
    """How often."""
    by_chance: bool = False
    """Whether it was chance that showed it: no verdict depends on it."""


class BoxUse(msgspec.Struct, frozen=True):
    """A box on a path, and how many packets it changed, split, withheld or sent."""

    path: str
    box: str
    deeds: int


class Stream(msgspec.Struct, frozen=True):
    """The octets of one direction, as the two applications know them."""

    direction: Literal["to_server", "to_client"]
    intended: int
    sent: int
    received: int
    first_difference: int | None = None
    """Stream offset of the first octet that differs from what was sent."""
    expected_difference: bool = False
    """Whether regular TCP through the same boxes would have delivered the same octets."""
    wrong_at: int | None = None
    """Stream offset of the first octet from which on it is neither what was sent nor what regular TCP through
    the same boxes would have delivered; behind `first_difference` where that is a box's doing."""
    due: int | None = None
    """How many octets regular TCP through the same boxes would have delivered of all that was intended."""
    end_seen: bool = False
    """Whether the reader was told of the end of the stream."""
    error: str = ""
    """What the reader or writer was told instead: an errno name."""


class StackState(msgspec.Struct, frozen=True):
    """What a stack says of itself at the end."""

    name: str
    still_mptcp: bool | None = None
    """Whether the connection's socket still speaks MPTCP; None where the stack cannot tell."""
    counters: dict[str, int] = {}
    """Those that moved during the run, by name, as `MPTcpExtMPFailTx`."""
    info: dict[str, str | int] = {}
    knows: tuple[str, ...] = ()
    """The counters that it has, moved or not; of a kernel, those of MPTCP."""
    events: tuple[str, ...] = ()
    """What it noted while the run went on, in its own words; of stacks that keep a record."""


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """The same run with something left out, to tell whose fault a failure is."""

    kind: Literal["pass-through", "regular TCP"]
    """Without the boxes; or with them, and nobody speaks MPTCP."""
    outcome: Outcome
    reason: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One case with chosen stacks, address family, direction, checksum and seed."""

    id: str
    """Unique: case, stacks, family, direction and checksum, separated by slashes."""
    case: str
    topic: str
    """The file of the case, as `splitting`."""
    title: str
    """The case's claim in one sentence."""
    client: str
    server: str
    family: Literal["v4", "v6", "mixed"]
    direction: Literal["to_server", "to_client"]
    checksum: bool
    """Whether DSS checksums were asked for."""
    seed: int
    topology: str
    network: Literal["namespaces", "simulated"] = "namespaces"
    """What carried the packets: namespaces in real time, or a simulation in virtual time."""
    verdict: Verdict
    outcome: Outcome | None
    """None where the run did not get as far as having one."""
    fallback: Fallback | None = None
    reason: str
    """The verdict in words."""
    interference: str = ""
    """What the case waited for and what came instead, where its interference never happened; else empty."""
    level: Level
    requirements: tuple[str, ...] = ()
    seconds: float
    findings: tuple[Finding, ...] = ()
    blame: tuple[str, ...] = ()
    """Of a failure, the hosts that broke something, as far as is known: client, server."""
    controls: tuple[Control, ...] = ()
    boxes: tuple[BoxUse, ...] = ()
    streams: tuple[Stream, ...] = ()
    stacks: dict[str, StackState] = {}
    """By host: client, server."""
    artifacts: dict[str, str] = {}
    """Paths relative to the run directory: `capture`."""
    repeat: str
    """The command that repeats this run."""


Tester = Literal["rule", "case"]
"""Who can tell whether a requirement is met: a rule from the packets of any run, a case that provokes it."""


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an RFC asks for, and what tests it."""

    id: str
    """Permanent words behind document and section, as `RFC8684-3.7/syn-option-lost`."""
    section: str
    """As `RFC 8684 §3.7`."""
    heading: str = ""
    """What the section is called."""
    level: Level
    text: str
    """In one sentence, and not the RFC's own."""
    implied: bool = False
    """Whether the RFC says it without a word of RFC 2119, and the level is our reading."""
    by: tuple[Tester, ...] = ()
    untestable: str = ""
    """Why nobody outside of the host can tell; empty for what can be tested."""
    cases: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    """The ids of those that test it, run or not."""

    @property
    def tested(self) -> bool:
        """Whether a case or a rule tests it."""
        return bool(self.cases or self.rules)


class BoxParameter(msgspec.Struct, frozen=True, kw_only=True):
    """What a box can be told."""

    name: str
    default: str
    """In Python's notation; empty where it must be given."""
    choices: tuple[str, ...] = ()
    meaning: str = ""
    unit: str = ""
    limits: str = ""
    """The range, in words."""


class BoxInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A box that there is, used or not."""

    name: str
    """Its class: what a `BoxUse` says of it up to the parenthesis."""
    group: str = ""
    """What it interferes with, as `options`."""
    summary: str
    """What it does, and which real device does so."""
    parameters: tuple[BoxParameter, ...] = ()


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that the kernel reported of itself while runs went on: an oops, a warning, a stall."""

    seconds: float
    """Since the machine started, as dmesg prints it."""
    title: str
    """The first line, and the function of the kernel where that is known."""
    lines: tuple[str, ...]
    """The kernel's words."""
    pid: int = 0
    """The process that the kernel was in; a thread of the kernel's own as well. 0 where it does not say."""
    runs: tuple[str, ...] = ()
    """The ids of those that were under way: what caused it is among them."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how the runs were made."""

    mbtest: str
    revision: str
    """Git revision of the checkout, `-dirty` where it was changed; empty outside of one."""
    kernel: str
    machine: str
    python: str
    processors: int
    libraries: dict[str, str]
    privileges: str
    """`root` or `user namespace`; `none` where a simulated network needed no privileges."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    command: str
    seed: int
    jobs: int
    sysctls: dict[str, str]
    """net.mptcp.* and the like as a fresh namespace has them; none where the network was simulated."""
    interrupted: bool = False


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one `mbtest run` found."""

    schema: int = SCHEMA
    provenance: Provenance
    runs: tuple[Run, ...]
    requirements: tuple[Requirement, ...] = ()
    """All that there are, tested or not, in the order of sections."""
    boxes: tuple[BoxInfo, ...] = ()
    """All that there are, used or not."""
    alarms: tuple[Alarm, ...] = ()
    """In the order in which the kernel reported them; none too where its messages could not be read."""

    def tally(self) -> dict[Verdict, int]:
        """Return how many runs have each verdict, in the order of `Verdict`, zeros left out."""
        counts = {verdict: sum(run.verdict is verdict for run in self.runs) for verdict in Verdict}
        return {verdict: count for verdict, count in counts.items() if count}


def write(results: Results, directory: Path) -> Path:
    """Write `result.json` into a run directory, whole or not at all, and return its path."""
    target = directory / "result.json"
    draft = directory / ".result.json.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    draft.replace(target)
    return target


def read(directory: Path) -> Results:
    """Read a run directory's `result.json`, of this version or an older one of the same schema.

    Raises UsageError that names file, field and remedy.
    """
    path = directory / "result.json"
    try:
        results = msgspec.json.decode(path.read_bytes(), type=Results)
    except FileNotFoundError:
        raise UsageError(
            f"{directory}: no result.json here; give the directory that `mbtest run` wrote"
        ) from None
    except NotADirectoryError:
        raise UsageError(f"{directory}: a file; give the directory that `mbtest run` wrote") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; it must be a file that can be read") from None
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; it was not written by this version of mbtest") from None
    if results.schema != SCHEMA:
        raise UsageError(
            f"{path}: schema {results.schema}, this mbtest reads {SCHEMA}; use the one that wrote it"
        )
    return results
