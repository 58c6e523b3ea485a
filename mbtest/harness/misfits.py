"""Mistakes of whoever wrote a case: arguments that do not fit, and the line that led to a failure."""

from __future__ import annotations

import traceback
from pathlib import Path


def _frames(failure: BaseException | None) -> list[traceback.FrameSummary]:
    return traceback.extract_tb(failure.__traceback__) if failure is not None else []


def is_misfit(failure: BaseException | None) -> bool:
    """Whether a case made a call with arguments that do not fit: what was called has no frame then."""
    frames = _frames(failure)
    at_fault = isinstance(failure, TypeError) and "argument" in str(failure)
    return at_fault and bool(frames) and _is_of_case(frames[-1])


def _is_of_case(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).name.startswith("test_")


def place_of(failure: BaseException | None) -> str:
    """Return the line of the case that led to a failure; empty where none did."""
    for frame in reversed(_frames(failure)):
        if _is_of_case(frame):
            file, here = Path(frame.filename), Path.cwd()
            return f"{file.relative_to(here) if file.is_relative_to(here) else file}:{frame.lineno}: "
    return ""
