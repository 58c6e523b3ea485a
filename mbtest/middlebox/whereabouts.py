"""Which box is at work, and at which of its lines: what an error and a stopped run are told by."""

from __future__ import annotations

import linecache
import sys
import traceback
from types import FrameType

from mbtest.middlebox import contract
from mbtest.middlebox.contract import Middlebox


def raised(box: Middlebox, error: BaseException) -> str:
    """Return an exception in words, with the line of the box that raised it, or that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    files = _files(box)
    last = next((frame for frame in reversed(frames) if frame.filename in files), frames[-1])
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words:.200} ({_line(last.filename, last.lineno or 0)})"


def at_work(frame: FrameType | None) -> tuple[Middlebox, str] | None:
    """Return the box that a stack is in, the innermost of several, and its line; None where it is in none.

    Looked for when a run is stopped: nothing is noted as packets pass.
    """
    box, inner = None, frame
    while frame is not None and box is None:
        owner = frame.f_locals.get("self")
        found = owner if isinstance(owner, Middlebox) else getattr(owner, "box", None)
        box = found if isinstance(found, Middlebox) else None
        frame = frame.f_back
    if box is None:
        return None
    files = _files(box)
    while inner is not None:
        if inner.f_code.co_filename in files:
            return box, _line(inner.f_code.co_filename, inner.f_lineno)
        inner = inner.f_back
    return box, "in none of its own lines"


def _files(box: Middlebox) -> set[str | None]:
    """Return the files of a box's class and those that it is made from."""
    modules = {base.__module__ for base in type(box).__mro__} - {contract.__name__, "builtins"}
    return {getattr(sys.modules.get(name), "__file__", None) for name in modules}


def _line(file: str, number: int) -> str:
    return f"{file.rsplit('/', 1)[-1]}:{number}, {linecache.getline(file, number).strip()}"
