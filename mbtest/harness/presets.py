"""Chains of boxes as they are met in the field, by name: TOML files in `middleboxes/presets/`.

A file has a `description`, may have a `source`, and one `[[boxes]]` table for each box, the client's end
first: `box` is the class, `aim` a table of `Aim`'s conditions, every other key a parameter. A user's own
content folder may add files.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path

import msgspec

from mbtest import content
from mbtest.errors import UsageError
from mbtest.middlebox import Aim, Direction, Kind, Middlebox, Subflow, parameters
from mbtest.middlebox.arguments import did_you_mean

FOLDER = "middleboxes/presets"


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """A chain of boxes with a name."""

    name: str
    description: str
    source: str
    """Who saw it, or what tells of it."""
    boxes: tuple[Middlebox, ...]


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a preset's file has."""

    description: str
    source: str = ""
    boxes: list[dict[str, object]] = []


def preset(name: str) -> tuple[Middlebox, ...]:
    """Return the boxes of the preset of this name, the client's end first. Raises UsageError."""
    files = {path.stem: path for path in content.files(FOLDER, "*.toml")}
    if name not in files:
        raise UsageError(f"no preset {name!r}{did_you_mean(name, files)}")
    return load(files[name]).boxes


def presets() -> list[Preset]:
    """Return all presets. Raises UsageError for a mistake in a file."""
    return [load(path) for path in content.files(FOLDER, "*.toml")]


def load(path: Path) -> Preset:
    """Read a preset. Raises UsageError that names the file, the box, and what would be right."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {error}; a description, and a [[boxes]] table for each box") from None
    if not found.boxes:
        raise UsageError(f"{path}: no [[boxes]]; a preset is a chain of one box at least")
    boxes = tuple(_box(f"{path}: box {number}", said) for number, said in enumerate(found.boxes, 1))
    return Preset(name=path.stem, description=found.description, source=found.source, boxes=boxes)


def _box(place: str, said: dict[str, object]) -> Middlebox:
    known = content.classes("middleboxes", Middlebox)
    name = said.get("box")
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"{place}: no box {name!r}{did_you_mean(str(name), known)}")
    wanted = {key: value for key, value in said.items() if key not in ("box", "aim")}
    names = [parameter.name for parameter in parameters(known[name])]
    for key in wanted:
        if key not in names:
            raise UsageError(f"{place}: {name} has no parameter {key!r}{did_you_mean(key, names)}")
    try:
        return known[name](**wanted, aim=_aim(said["aim"]) if "aim" in said else None)
    except (UsageError, TypeError) as error:
        raise UsageError(f"{place}: {error}") from None


def _aim(said: object) -> Aim:
    """Return an aim as a table says it. Raises UsageError."""
    if not isinstance(said, dict):
        raise UsageError("aim: a table of conditions, as { direction = 'to_server', kinds = ['SYN'] }")
    names = [field.name for field in dataclasses.fields(Aim) if field.name != "where"]
    read: dict[str, object] = {}
    for key, value in said.items():
        if key not in names:
            raise UsageError(f"aim has no condition {key!r}{did_you_mean(key, names)}")
        try:
            read[key] = _condition(key, value)
        except (KeyError, ValueError):
            raise UsageError(f"aim: {key}={value!r} is none of its values") from None
    return Aim(**read)  # type: ignore[arg-type]


def _condition(key: str, value: object) -> object:
    if key == "direction":
        return Direction(value)
    if key == "subflow":
        return Subflow(value)
    if key == "kinds":
        kinds = Kind(0)
        for name in value if isinstance(value, list) else [value]:
            kinds |= Kind[str(name)]
        return kinds
    return value
