"""What a run of the suite shows while it goes on, and at its end."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from mbtest.harness.progress import STYLES, line
from mbtest.results import Level, Outcome, Run, Verdict


def entry(verdict: Verdict, reason: str = "so it is", outcome: Outcome | None = Outcome.MULTIPATH) -> Run:
    return Run(
        id="topic.claim/linux-linux/v4/to_server/no-checksum", case="topic.claim", topic="topic",
        title="It holds.", client="linux", server="linux", family="v4", direction="to_server",
        checksum=False, seed=1, topology="one-path", verdict=verdict, outcome=outcome, reason=reason,
        level=Level.MUST, seconds=0.123, repeat="mbtest run",
    )  # fmt: skip


def test_every_verdict_has_a_style_and_a_mark() -> None:
    assert set(STYLES) == set(Verdict)
    assert len({mark for _, mark in STYLES.values()}) == len(Verdict)


def test_a_pass_takes_a_line_and_a_failure_says_why() -> None:
    assert line(entry(Verdict.PASS)) == (
        "[green]✓ pass[/] topic.claim/linux-linux/v4/to_server/no-checksum multipath 0.12 s"
    )
    assert line(entry(Verdict.FAIL)).endswith("multipath 0.12 s: so it is")
    assert " - 0.12 s" in line(entry(Verdict.HARNESS_ERROR, outcome=None))


def test_words_from_packets_control_neither_markup_nor_terminal() -> None:
    shown = line(entry(Verdict.FAIL, reason="[red]loud[/] \x1b[2J\x07\u202e"))
    assert r"\[red]loud\[/]" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


def in_a_terminal(folder: Path, *words: str, **environment: str) -> str:
    """Run the command line in a pseudo terminal, and return what it showed."""
    near, far = pty.openpty()
    terminal = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "mbtest", *words], cwd=folder, stdin=far, stdout=far, stderr=far,
        env=base | terminal | environment,
    )  # fmt: skip
    os.close(far)
    shown = b""
    try:
        while select.select([near], [], [], 60)[0]:
            try:
                piece = os.read(near, 65536)
            except OSError:  # Linux says EIO once the other end is closed
                break
            shown += piece
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(near)
    return shown.decode(errors="replace")


WORDS = ("run", "sanity.one-octet", "--client", "linux", "--family", "v4", "--out", "out")


def test_a_terminal_gets_a_bar_and_colours(tmp_path: Path) -> None:
    shown = in_a_terminal(tmp_path, *WORDS)
    assert "2/2" in shown
    assert "\x1b[32m" in shown
    assert "report: out/report/index.html" in shown


@pytest.mark.parametrize("words", [WORDS, ("list", "cases")], ids=["run", "list"])
def test_no_color_is_respected(tmp_path: Path, words: tuple[str, ...]) -> None:
    shown = in_a_terminal(tmp_path, *words, NO_COLOR="1")
    # Colours are 30 to 37, 90 to 97 and 38; moving the cursor and bold are none.
    for sequence in shown.split("\x1b[")[1:]:
        parameters = sequence[: next(at for at, letter in enumerate(sequence) if letter.isalpha())]
        if sequence[len(parameters)] == "m":
            numbers = {int(number) for number in parameters.split(";") if number}
            assert not numbers & {*range(30, 39), *range(40, 49), *range(90, 108)}
