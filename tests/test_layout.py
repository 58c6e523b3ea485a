"""Every source file has its test file, and no file holds two ideas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 430

WITHOUT_TEST = {
    "mbtest/__main__.py": "every test of the command line goes through it",
    "mbtest/errors.py": "classes without a body",
    "mbtest/testing.py": "names alone; every case imports them",
}
LONGER = {
    "mbtest/wire/mptcp.py": "one class for each option of MPTCP; they belong side by side",
    "tests/wire/test_packet.py": "one test for each field",
    "tests/wire/test_tshark.py": "one table of fields, and what reads them",
}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "_content" not in path.parts:
                yield path.relative_to(ROOT)


@pytest.mark.parametrize("folder", ["mbtest", "middleboxes", "reports"])
def test_every_source_file_has_a_test_file(folder: str) -> None:
    missing = [
        str(path)
        for path in sources(folder)
        if path.name != "__init__.py" and str(path) not in WITHOUT_TEST and not mirror(path).exists()
    ]
    assert missing == []


def mirror(path: Path) -> Path:
    """Return the test file of a source file: those of mbtest stand at the top of tests/."""
    inner = path.relative_to("mbtest") if path.parts[0] == "mbtest" else path
    return ROOT / "tests" / inner.with_name(f"test_{inner.name}")


def test_no_file_is_too_long() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in sources("mbtest", "middleboxes", "reports", "testcases", "tests", "benchmarks")
    }
    too_long = {name: length for name, length in lengths.items() if length > LONGEST and name not in LONGER}
    assert too_long == {}


@pytest.mark.parametrize("name", [*WITHOUT_TEST, *LONGER])
def test_exceptions_are_still_needed(name: str) -> None:
    path = ROOT / name
    assert path.exists()
    if name in LONGER:
        assert len(path.read_text(encoding="utf-8").splitlines()) > LONGEST
    else:
        assert not mirror(Path(name)).exists()
