"""Content folders: those that ship, a user's own before them, and what is wrong with one in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mbtest import content
from mbtest.errors import UsageError
from mbtest.middlebox import Middlebox

BOX = '''
from mbtest.middlebox import Middlebox


class {name}(Middlebox):
    """{name}."""
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for folder in content.FOLDERS:
        (tmp_path / folder).mkdir()
    return tmp_path


def with_own(own: Path, code: str) -> list[str]:
    """Run code after `content.use(own)`, in a process of its own: the import path is the whole process's."""
    script = "import sys\nfrom mbtest import content\nfrom mbtest.errors import UsageError\n"
    script += f"content.use({str(own)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=own
    )
    return done.stdout.splitlines()


def test_what_ships_has_all_folders() -> None:
    content.use()
    root = content.shipped()
    assert all((root / folder).is_dir() for folder in content.FOLDERS)
    assert content.roots()[-1] == root


def test_shipped_boxes_are_found_by_name() -> None:
    content.use()
    boxes = content.classes("middleboxes", Middlebox)
    assert {"PassThrough", "StripOptions", "SplitSegments", "CoalesceSegments"} <= set(boxes)
    assert "Middlebox" not in boxes


def test_a_users_folder_is_searched_first(own: Path) -> None:
    (own / "topologies" / "one-path.toml").write_text("", encoding="utf-8")
    (own / "topologies" / "mine.toml").write_text("", encoding="utf-8")
    printed = with_own(
        own,
        "print(content.roots()[0])\n"
        "files = {path.stem: path for path in content.files('topologies', '*.toml')}\n"
        "print(files['one-path'], files['mine'])\n"
        "print('dual-homed-both' in files)\n",
    )
    folder = own / "topologies"
    assert printed == [str(own), f"{folder / 'one-path.toml'} {folder / 'mine.toml'}", "True"]


def test_a_users_boxes_stand_beside_ours(own: Path) -> None:
    (own / "middleboxes" / "mine.py").write_text(BOX.format(name="Mine"), encoding="utf-8")
    printed = with_own(
        own,
        "from mbtest.middlebox import Middlebox\n"
        "from middleboxes.mine import Mine\n"
        "from middleboxes.strip import StripOptions\n"
        "found = content.classes('middleboxes', Middlebox)\n"
        "print(found['Mine'] is Mine, found['StripOptions'] is StripOptions)\n",
    )
    assert printed == ["True True"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("\n\nraise KeyError('x')\n", "KeyError: 'x'"),
        ("\n\n\ndef broken(:\n", "SyntaxError: invalid syntax"),
        ("\n1 / 0\n", "ZeroDivisionError: division by zero"),
        ("\nraise ValueError('two\\nlines')\n", "ValueError: two lines"),
        (
            "from middleboxes.split import SplitSegments\nSplitSegments(0)\n",
            "UsageError: SplitSegments: size=0 is out of range; give 1 to 65535 octets",
        ),
    ],
)
def test_a_module_that_does_not_import_is_named_with_file_and_line(own: Path, text: str, says: str) -> None:
    path = own / "middleboxes" / "bad.py"
    path.write_text(text, encoding="utf-8")
    code = "try:\n    content.load('middleboxes.bad')\nexcept UsageError as error:\n    print(error)\n"
    (line,) = with_own(own, code)
    assert line.startswith(f"middleboxes/bad.py does not import: {says}")
    assert line.endswith(f"({path}:{len(text.splitlines())})")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--content .*nowhere: no such folder"):
        content.use(tmp_path / "nowhere")


def test_a_folder_without_any_content(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of middleboxes, testcases, topologies, reports in it"):
        content.use(tmp_path)
    assert tmp_path not in content.roots()
