"""The boxes that there are: what each interferes with and imitates, and what it can be told."""

from __future__ import annotations

import inspect
import tomllib

import msgspec

from mbtest import content
from mbtest.errors import UsageError
from mbtest.middlebox import Middlebox, parameters
from mbtest.results import BoxInfo, BoxParameter

OTHERS = "others"
"""The group of boxes that are in none."""


def boxes() -> tuple[BoxInfo, ...]:
    """Return all boxes, group by group. Raises UsageError for a file that cannot be read or imported."""
    kinds = content.classes("middleboxes", Middlebox)
    groups = _groups()
    for name, group in groups.items():
        if name not in kinds:
            raise UsageError(
                f"middleboxes/groups.toml: {group}: no box {name!r}; `mbtest list boxes` has all"
            )
    names = [*groups, *(name for name in kinds if name not in groups)]
    return tuple(_info(name, kinds[name], groups.get(name, OTHERS)) for name in names)


def _groups() -> dict[str, str]:
    """Return the group of each box that has one, in the order of the files."""
    found: dict[str, str] = {}
    for root in content.roots():
        path = root / "middleboxes" / "groups.toml"
        if not path.exists():
            continue
        try:
            said = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, list[str]])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            raise UsageError(f"{path}: {error}; a group is a name, and a list of boxes") from None
        for group, names in said.items():
            for name in names:
                found.setdefault(name, group)
    return found


def _info(name: str, kind: type[Middlebox], group: str) -> BoxInfo:
    # Every box has an aim; it is described once, with the contract.
    told = [BoxParameter(**found._asdict()) for found in parameters(kind) if found.name != "aim"]
    summary = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return BoxInfo(name=name, group=group, summary=summary, parameters=tuple(told))
