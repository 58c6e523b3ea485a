"""Holds runs against laws; where one breaks, leaves a case behind that `mbtest run` repeats."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from mbtest.harness.found import Found
from tests.properties.drive import Witness, drive

Law = Callable[[Witness], None]


def held(found: Found, laws: Iterable[Law]) -> None:
    """Carry a run out and hold it against laws. What is raised tells the command that repeats the run."""
    try:
        run = drive(found)
        for law in laws:
            law(run)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        error.add_note(f"repeat: {found.write(folder(found), told)}")
        raise


def folder(found: Found) -> Path:
    """Return the content folder of an example: the same for the same one."""
    base = Path(os.environ.get("MBTEST_FOUND") or Path(tempfile.gettempdir(), "mbtest-found"))
    return base / f"{zlib.crc32(found.source('').encode() + found.topology.__repr__().encode()):08x}"
