"""Requirements: what the RFCs ask for, once, and which cases and rules test it.

They live in `testcases/requirements.toml`; a user's own content folder may add a file of that name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

import msgspec

from mbtest import content
from mbtest.errors import UsageError
from mbtest.results import Level, Requirement, Tester

NAME = "requirements.toml"
_ID = re.compile(
    r"(?P<document>[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*)-(?P<section>([0-9]+|[A-Z])(\.[0-9]+)*)"
    r"/[a-z0-9]+(-[a-z0-9]+)*"
)
_SHAPE = "an id is document, section and words, as 'RFC8684-3.7/syn-option-lost'"


class Named(Protocol):
    """What tests requirements: a case, or a rule."""

    @property
    def id(self) -> str:
        """Permanent words."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """The ids of the requirements that it tests."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requirement as the file has it."""

    id: str
    level: Level
    text: str
    implied: bool = False
    by: tuple[Tester, ...] = ()
    untestable: str = ""


def requirements() -> dict[str, Requirement]:
    """Return all requirements by id, in the order of sections.

    Raises UsageError that names file, id and remedy.
    """
    files = tuple(root / "testcases" / NAME for root in content.roots())
    # A file may change, or a folder be added, while a process goes on: in tests, and in an editor's.
    return dict(_all(tuple((file, file.stat().st_mtime_ns) for file in files if file.is_file())))


@cache
def _all(files: tuple[tuple[Path, int], ...]) -> Mapping[str, Requirement]:
    found: dict[str, Requirement] = {}
    places: dict[str, Path] = {}
    for file, _ in files:
        for entry in _read(file):
            if entry.id in found:
                raise _mistake(file, entry.id, f"the id is taken in {places[entry.id]}; ids are unique")
            found[entry.id], places[entry.id] = entry, file
    documents = list(dict.fromkeys(_parts(name)[0] for name in found))
    return dict(sorted(found.items(), key=lambda item: _place(item[0], documents)))


def _place(identifier: str, documents: list[str]) -> tuple[int, list[tuple[int, str]]]:
    """Return a sort key that has §3.9 before §3.10, and documents in an order of their own."""
    document, section = _parts(identifier)
    numbers = [(int(part), "") if part.isdecimal() else (0, part) for part in section.split(".")]
    return documents.index(document), numbers


def _parts(identifier: str) -> tuple[str, str]:
    """Return document and section of an id. Raises ValueError."""
    match = _ID.fullmatch(identifier)
    if match is None:
        raise ValueError(identifier)
    return match["document"], match["section"]


def _read(file: Path) -> list[Requirement]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not TOML: {error}") from None
    if others := set(tree) - {"sections", "requirements"}:
        raise UsageError(f"{file}: {min(others)!r} is not known; there are [sections] and [[requirements]]")
    try:
        headings = msgspec.convert(tree.get("sections", {}), dict[str, str])
        entries = msgspec.convert(tree.get("requirements", []), list[dict[str, object]])
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{file}: {error}; [sections] has words, [[requirements]] one table a requirement"
        ) from None
    return [_requirement(file, entry, number, headings) for number, entry in enumerate(entries, 1)]


def _requirement(
    file: Path, fields: dict[str, object], number: int, headings: Mapping[str, str]
) -> Requirement:
    name = str(fields.get("id", f"number {number}"))
    try:
        entry = msgspec.convert(fields, _Entry)
    except msgspec.ValidationError as error:
        raise _mistake(
            file, name, f"{error}; id, level (MUST, SHOULD, MAY), text, and by ('rule', 'case') or untestable"
        ) from None
    try:
        document, section = _parts(entry.id)
    except ValueError:
        raise _mistake(file, name, _SHAPE) from None
    if not entry.text.strip():
        raise _mistake(file, name, "the text is empty; say in one sentence what is asked for")
    if bool(entry.by) == bool(entry.untestable.strip()):
        raise _mistake(
            file, name, "give either `by`, who can test it, or `untestable`, why nobody outside can"
        )
    words = re.sub(r"^RFC(?=[0-9])", "RFC ", document)
    return Requirement(
        section=f"{words} §{section}",
        heading=headings.get(entry.id.partition("/")[0], ""),
        **msgspec.structs.asdict(entry),
    )


def _mistake(file: Path, name: str, words: str) -> UsageError:
    return UsageError(f"{file}: requirement {name}: {words}")


def check(subject: Named, place: str) -> None:
    """Raise UsageError where a case or a rule names a requirement that is unknown, or that nobody can test.

    place: where it stands, as `testcases/test_nat.py: test_home_router`.
    """
    check_ids(subject.requirements, place)


def check_ids(identifiers: Iterable[str], place: str) -> None:
    """Raise UsageError where one of these is unknown, or marked as one that nobody can test."""
    known: dict[str, Requirement] = {}
    for name in identifiers:
        known = known or requirements()
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            hint = f"did you mean {close[0]!r}?" if close else "`mbtest list requirements` shows all"
            raise UsageError(f"{place}: no requirement {name!r} in testcases/{NAME}; {hint}")
        if known[name].untestable:
            raise UsageError(
                f"{place}: requirement {name!r} is marked untestable in testcases/{NAME}; give it `by` there"
            )


def coverage(cases: Iterable[Named], rules: Iterable[Named] = ()) -> tuple[Requirement, ...]:
    """Return all requirements, each with the cases and the rules that name it. Raises UsageError."""
    by_case, by_rule = _named(cases), _named(rules)
    return tuple(
        msgspec.structs.replace(entry, cases=tuple(by_case.get(name, ())), rules=tuple(by_rule.get(name, ())))
        for name, entry in requirements().items()
    )


def _named(subjects: Iterable[Named]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for subject in subjects:
        for name in dict.fromkeys(subject.requirements):
            found.setdefault(name, []).append(subject.id)
    return found
