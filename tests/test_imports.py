"""Imports go one way, and clocks, sockets and chance live at the edge."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Which parts of mbtest each part may import, besides itself.
ALLOWED = {
    "wire": {"errors"},
    "endpoint": {"errors", "wire"},
    "middlebox": {"errors", "wire"},
    "observe": {"errors", "wire"},
    "network": {"errors", "wire", "middlebox"},
    "stacks": {"errors", "endpoint", "network", "results"},
    "harness": {
        "errors",
        "wire",
        "middlebox",
        "network",
        "stacks",
        "observe",
        "results",
        "content",
        "console",
    },
}
BESIDES = {
    "mbtest/middlebox/proxy.py": {"endpoint"},  # a proxy is two endpoints back to back
}
BOXES = {"wire", "middlebox", "errors"}
REPORTS = {"results", "wire", "errors", "network.capture", "network.collector", "network.processes"}
# Where clocks, sockets and processes are at home, and the few places besides, each with its reason.
EDGE = ("mbtest/network/", "mbtest/stacks/", "mbtest/cli.py")
EXCEPTIONS = {
    "mbtest/harness/fixture.py": {"time"},  # how long a run took, for people; no verdict depends on it
    "mbtest/harness/gather.py": {"time"},  # when the runs began, and how long they took
    "mbtest/harness/provenance.py": {"subprocess"},  # the revision, from git
    "mbtest/harness/watchdog.py": {"signal"},  # the alarm that ends a box in an endless loop; Ctrl-C
}
EFFECTS = {
    "time",
    "socket",
    "subprocess",
    "secrets",
    "select",
    "signal",
    "threading",
    "multiprocessing",
    "asyncio",
}
CALLS = {("os", "urandom"), ("os", "getrandom"), ("os", "fork"), ("datetime", "now"), ("datetime", "utcnow")}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts(path: Path) -> set[str]:
    return {name.removeprefix("mbtest.") for name in imports(path) if name.startswith("mbtest.")}


def is_within(name: str, allowed: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in allowed)


@pytest.mark.parametrize("part", ALLOWED)
def test_the_engine_imports_one_way(part):
    for path in sources(f"mbtest/{part}"):
        allowed = ALLOWED[part] | {part} | BESIDES.get(str(path.relative_to(ROOT)), set())
        wrong = {name for name in parts(path) if not is_within(name, allowed)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(("folder", "allowed"), [("middleboxes", BOXES), ("reports", REPORTS)])
def test_content_imports_what_it_may(folder, allowed):
    for path in sources(folder):
        # `from mbtest.network import capture` also names the package.
        wrong = {name for name in parts(path) if not is_within(name, allowed)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def effects(path: Path) -> set[str]:
    """Return the modules and functions in a file that reach beyond the process, or are left to chance."""
    found = {name.partition(".")[0] for name in imports(path)} & EFFECTS
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.value.id
            if (name, node.attr) in CALLS:
                found.add(f"{name}.{node.attr}")
            # A generator that is given its seed is no chance; the functions of the module are.
            if name == "random" and node.attr != "Random" and imports_whole(path, "random"):
                found.add(f"random.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            found |= {f"random.{alias.name}" for alias in node.names if alias.name != "Random"}
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called == "Random" and not node.args:
                found.add("Random()")
    return found


def imports_whole(path: Path, module: str) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        alias.name == module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    )


def test_time_chance_and_processes_stay_at_the_edge() -> None:
    found = {}
    for path in sources("mbtest", "middleboxes", "testcases", "reports"):
        name = str(path.relative_to(ROOT))
        if not name.startswith(EDGE) and (wrong := effects(path)):
            found[name] = wrong
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import random\nrandom.Random(1)", set()),
        ("from random import Random\ndef f(random): return random.randint(1, 2)", set()),
        ("import random\nrandom.random()", {"random.random"}),
        ("from random import randint", {"random.randint"}),
        ("import random\nrandom.Random()", {"Random()"}),
        ("import os\nos.urandom(4)", {"os.urandom"}),
        ("def f():\n    from time import monotonic", {"time"}),
        ("from datetime import datetime\ndatetime.now()", {"datetime.now"}),
        ("import socket as s", {"socket"}),
    ],
)
def test_what_counts(tmp_path: Path, code: str, found: set[str]) -> None:
    path = tmp_path / "module.py"
    path.write_text(code, encoding="utf-8")
    assert effects(path) == found


def test_boxes_and_cases_need_no_library() -> None:
    known = {*sys.stdlib_module_names, "mbtest", "middleboxes"}
    for path in sources("middleboxes", "testcases"):
        wrong = {name for name in imports(path) if name.partition(".")[0] not in known}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
