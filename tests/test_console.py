"""Standard output whose reader leaves early."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
from mbtest.console import Screen
screen = Screen()
for number in range(10_000):
    screen.print(number)
raise SystemExit(7)
"""


@pytest.mark.parametrize(
    ("words", "status"), [(("-c", SCRIPT), 7), (("-m", "mbtest", "list", "cases"), 0)], ids=["screen", "list"]
)
def test_a_reader_that_has_seen_enough(words: tuple[str, ...], status: int) -> None:
    near, far = os.pipe()
    os.close(near)
    try:
        finished = subprocess.run(
            [sys.executable, *words], stdout=far, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(far)
    assert (finished.returncode, finished.stderr) == (status, "")
