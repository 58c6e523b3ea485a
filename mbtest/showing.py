"""`mbtest show RUN`: the story of a run, or its packets, in the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from mbtest import results, telling, transcript
from mbtest.console import Screen
from mbtest.errors import UsageError
from mbtest.network.capture import CapturedFrame, read_capture
from mbtest.results import Run


def show(directory: Path, wanted: str, *, packets: bool = False) -> None:
    """Print the run whose id is, or alone contains, `wanted`.

    packets: packet by packet, instead of the story. Raises UsageError for a run or a capture that is not
    there, or cannot be read.
    """
    found = results.read(directory)
    run = _find(found.runs, wanted, directory)
    capture = run.artifacts.get("capture")
    frames = None if capture is None else _frames(directory / capture)
    if packets:
        lines = transcript.transcript(run, frames, directory)
    else:
        lines = telling.tell(run, found.provenance, frames)
    console = Screen(highlight=False)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _frames(path: Path) -> list[CapturedFrame]:
    if not path.exists():
        raise UsageError(f"{path}: the capture is not there; it was moved or deleted since the run")
    return read_capture(path)


def _find(runs: tuple[Run, ...], wanted: str, directory: Path) -> Run:
    exact = [run for run in runs if run.id == wanted]
    if exact:
        return exact[0]
    found = [run for run in runs if wanted in run.id]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"no run {wanted!r} in {directory}; `mbtest list cases` and the report show ids")
    some = ", ".join(run.id for run in found[:4])
    raise UsageError(
        f"{wanted!r} is part of {len(found)} runs; name one: {some}{', ...' if len(found) > 4 else ''}"
    )
