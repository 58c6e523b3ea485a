"""Cases: one claim about behaviour under one interference, as data beside a test function."""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice, product
from typing import Any, Literal, TypeVar

import msgspec

from mbtest.errors import UsageError
from mbtest.harness import CASE_ATTRIBUTE
from mbtest.middlebox import Direction
from mbtest.network.topology import FAMILIES, Family
from mbtest.results import Level
from mbtest.stacks import Capability

Function = TypeVar("Function", bound=Callable[..., None])
MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT
BOTH_WAYS = (TO_SERVER, TO_CLIENT)

Place = Literal["first", "last", ""]
"""When a case runs: before all others, or after them, as what shows that nothing else is amiss does."""

_THREAD = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?#[0-9]+")
_WRITTEN = {
    "syn-ack": "SYN/ACK", "syns": "SYNs", "syn": "SYN", "acks": "ACKs", "ack": "ACK", "fin": "FIN",
    "hmac": "HMAC", "mss": "MSS", "sack": "SACK", "nat": "NAT", "dscp": "DSCP", "ecn": "ECN", "ttl": "TTL",
}  # fmt: skip
_ABBREVIATIONS = re.compile(rf"\b({'|'.join(_WRITTEN)})\b")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What `@case` says of a test function."""

    id: str
    """Permanent words, as `fallback.syn-stripped`; never a position."""
    title: str
    """The claim: the docstring's first sentence."""
    topic: str
    """The module's name without `test_`."""
    requirements: tuple[str, ...]
    level: Level
    families: tuple[Family, ...]
    directions: tuple[Direction, ...]
    """The ways in which the data goes that the case is about."""
    checksums: tuple[bool, ...]
    topology: str
    needs: frozenset[Capability]
    waits: float
    """Seconds of kernel timers that the case waits for, or that it takes, about; the longest start first."""
    place: Place = ""
    lessons: tuple[str, ...] = ()
    """Public threads that tell of what this case stands for, as `mptcp_net-next#544`."""
    sender_needs: frozenset[Capability] = frozenset()
    """What the stack needs besides that sends the data that the case is about."""
    value: Any = None
    """Of a member of a family: that in which it differs from the others."""


def case(
    identifier: str,
    *,
    requires: str | Sequence[str] = (),
    level: Level = MUST,
    families: Sequence[Family] = ("v4", "v6"),
    directions: Sequence[Direction] = (TO_SERVER,),
    checksums: Sequence[bool] = (False,),
    topology: str = "one-path",
    needs: Sequence[Capability] = (Capability.MPTCP,),
    sender_needs: Sequence[Capability] = (),
    waits: float = 0.0,
    place: Place = "",
    lesson: str | Sequence[str] = (),
    each: Mapping[str, Any] | None = None,
    reads: Mapping[str, str] | None = None,
) -> Callable[[Function], Function]:
    """Declare a test function to be a case. Raises UsageError for a bad identifier, no docstring, no `run`.

    requires: requirement ids, as `RFC8684-3.7/syn-option-lost`. Of families, directions and checksums
    (DSS checksums off, on) each is met in a run at least; all combinations are runs where they are asked for.
    lesson: public threads, as `mptcp_net-next#544`, on a defect that the case would have found.
    each: makes a family of cases that differ in one value. Its names take the place of `{}` in the
    identifier, and in the docstring with blanks for hyphens; the value is `run.value`.
    reads: what stands in the docstring for some of these names instead.
    """
    told = reads or {}
    if each is not None and (not each or "{}" not in identifier):
        raise UsageError(f"case {identifier!r}: a family has members, and {{}} where their names go")
    lessons = (lesson,) if isinstance(lesson, str) else tuple(lesson)
    for thread in lessons:
        if not _THREAD.fullmatch(thread):
            raise UsageError(f"case {identifier!r}: lesson {thread!r} is no thread: 'mptcp_net-next#544'")
    members = {"": None} if each is None else each
    if strange := set(told) - set(members):
        raise UsageError(f"case {identifier!r}: reads has {', '.join(sorted(strange))}, which is no member")
    for name in members:
        if not _ID.fullmatch(identifier.replace("{}", name)):
            raise UsageError(
                f"case {identifier.replace('{}', name)!r}: lower-case words, a dot between topic and claim: "
                "'split.first-data'"
            )

    def declare(function: Function) -> Function:
        doc = inspect.getdoc(function)
        if not doc:
            raise UsageError(
                f"case {identifier}: {function.__name__} has no docstring; its first sentence is the claim"
            )
        if "run" not in inspect.signature(function).parameters:
            raise UsageError(
                f"case {identifier}: {function.__name__} does not take `run`, so nothing would run"
            )
        topic = function.__module__.rpartition(".")[2].removeprefix("test_")
        title = " ".join(doc.split("\n\n")[0].split())
        found = tuple(
            Case(
                id=identifier.replace("{}", name),
                title=_sentence(title.replace("{}", told.get(name) or spoken(name))),
                topic=topic,
                requirements=(requires,) if isinstance(requires, str) else tuple(requires),
                level=level,
                families=tuple(families),
                directions=tuple(directions),
                checksums=tuple(checksums),
                topology=topology,
                needs=frozenset(needs),
                sender_needs=frozenset(sender_needs),
                waits=waits,
                place=place,
                lessons=lessons,
                value=value,
            )
            for name, value in members.items()
        )
        setattr(function, CASE_ATTRIBUTE, found)
        return function

    return declare


def spoken(name: str) -> str:
    """Return a name as it stands in a sentence: blanks for hyphens, abbreviations as they are written."""
    return _ABBREVIATIONS.sub(lambda found: _WRITTEN[found[0]], name).replace("-", " ")


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def cases_of(function: Any) -> tuple[Case, ...]:
    """Return the cases that `@case` made of a function: one, those of a family, or none."""
    found: tuple[Case, ...] = getattr(function, CASE_ATTRIBUTE, ())
    return found


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A case with everything chosen: what one run is."""

    client: str
    server: str
    family: Family
    direction: Direction
    checksum: bool
    topology: str

    @property
    def suffix(self) -> str:
        """The variant as part of a run's id."""
        checksum = "checksum" if self.checksum else "no-checksum"
        return f"{self.client}-{self.server}/{self.family}/{self.direction.value}/{checksum}"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line chooses; None leaves it to the case."""

    pairs: tuple[tuple[str, str], ...] = (("linux", "linux"),)
    family: Family | None = None
    direction: Direction | None = None
    checksum: bool | None = None
    topology: str | None = None
    every: bool = False
    """Each combination of families, directions and checksums, with every pair.

    Else the first pair meets each of these at least once, and further pairs take one combination.
    """


def variants(case: Case, choice: Choice) -> list[Variant]:
    """Return the runs that a case and a choice come to, none where they have nothing in common."""

    def chosen(offered: Sequence[Any], wanted: Any) -> list[Any]:
        return [item for item in offered if wanted is None or item == wanted]

    offered = (
        chosen(case.families, choice.family),
        chosen(case.directions, choice.direction),
        chosen(case.checksums, choice.checksum),
    )
    combined = list(product(*offered)) if choice.every else covered(*offered)
    return [
        Variant(
            client=client,
            server=server,
            family=family,
            direction=direction,
            checksum=checksum,
            topology=choice.topology or case.topology,
        )
        for number, (client, server) in enumerate(choice.pairs)
        for family, direction, checksum in (combined if choice.every or not number else _one(combined, case))
    ]


def _one(combined: Sequence[tuple[Any, ...]], case: Case) -> Sequence[tuple[Any, ...]]:
    """Return one of the combinations, another from case to case: what further pairs of stacks run."""
    return [combined[zlib.crc32(case.id.encode()) % len(combined)]] if combined else []


def covered(*offered: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return combinations in which each value of each dimension is met, as few as can be."""
    if not all(offered):
        return []
    return list(zip(*(islice(cycle(values), max(map(len, offered))) for values in offered), strict=True))


def parse_direction(word: Literal["to_server", "to_client"] | str) -> Direction:
    """Return the direction of this name. Raises UsageError."""
    try:
        return Direction(word)
    except ValueError:
        raise UsageError(f"no direction {word!r}; there are to_server, to_client") from None


def parse_family(word: str) -> Family:
    """Return the family of this name. Raises UsageError."""
    for family in FAMILIES:
        if family == word:
            return family
    raise UsageError(f"no family {word!r}; there are {', '.join(FAMILIES)}")
