"""Where the content is: boxes, cases, topologies, reports; those that ship, and a user's own before them.

The four folders are namespace packages: a user's `middleboxes/` and ours are searched together, the
user's first. In a checkout they stand beside the engine, in an installed wheel inside of it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from mbtest.errors import UsageError

FOLDERS = ("middleboxes", "testcases", "topologies", "reports")
_PACKAGE = Path(__file__).resolve().parent

Kind = TypeVar("Kind")
_roots: list[Path] = []


def shipped() -> Path:
    """Return the folder that holds the content that ships with mbtest."""
    for root in (_PACKAGE / "_content", _PACKAGE.parent):
        if all((root / folder).is_dir() for folder in FOLDERS):
            return root
    raise UsageError(
        f"{_PACKAGE}: no content folders ({', '.join(FOLDERS)}) here; install mptcp-mbtest again"
    )


def use(*own: str | Path) -> list[Path]:
    """Put the user's content folders and ours on the import path, and return them, the user's first.

    Raises UsageError for a folder that does not exist or holds none of the four.
    """
    for folder in own:
        root = Path(folder).resolve()
        if not root.is_dir():
            raise UsageError(f"--content {folder}: no such folder")
        if not any((root / name).is_dir() for name in FOLDERS):
            raise UsageError(f"--content {folder}: none of {', '.join(FOLDERS)} in it")
        if root not in _roots:
            _roots.append(root)
            sys.path.insert(len(_roots) - 1, str(root))
    if str(shipped()) not in sys.path:
        sys.path.append(str(shipped()))
    importlib.invalidate_caches()
    return roots()


def roots() -> list[Path]:
    """Return the content folders in use, the user's own first."""
    return [*_roots, shipped()]


def files(folder: str, pattern: str) -> list[Path]:
    """Return the files of a content folder, the user's first; a name found before hides later ones."""
    found: dict[str, Path] = {}
    for root in roots():
        for path in sorted((root / folder).glob(pattern)):
            found.setdefault(path.name, path)
    return list(found.values())


def modules(folder: str) -> Iterator[ModuleType]:
    """Import and give each module of a content folder. Raises UsageError naming the file and the line."""
    for root in roots():
        if not (root / folder).is_dir():
            continue
        for info in pkgutil.iter_modules([str(root / folder)]):
            yield load(f"{folder}.{info.name}")


def load(name: str) -> ModuleType:
    """Import a module of the content. Raises UsageError naming the file and the line that failed."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a user's module may raise anything; it ends in one line
        what = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
        raise UsageError(
            f"{name.replace('.', '/')}.py does not import: {type(error).__name__}: {what} ({_place(error)})"
        ) from None


def _place(error: Exception) -> str:
    """Return the file and the line of the content that an error comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    folders = tuple(f"{root / folder}/" for root in roots() for folder in FOLDERS)
    # What the content calls may raise far inside of the engine or of a library.
    own = [frame for frame in frames if frame.filename.startswith(folders)]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}"


def classes(folder: str, base: type[Kind]) -> dict[str, type[Kind]]:
    """Return the concrete subclasses of `base` that the modules of a folder define, by class name."""
    found: dict[str, type[Kind]] = {}
    for module in modules(folder):
        for name, value in vars(module).items():
            if (
                inspect.isclass(value)
                and issubclass(value, base)
                and value.__module__ == module.__name__
                and not name.startswith("_")
            ):
                found.setdefault(name, value)
    return found
