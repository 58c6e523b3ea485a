"""Imports go one way, and clocks, sockets and chance live at the edge."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Which parts of mbtest each part may import, besides itself.
ALLOWED = {
    "wire": {"errors"},
    "middlebox": {"errors", "wire"},
    "observe": {"wire"},
    "network": {"errors", "wire", "middlebox"},
    "stacks": {"errors", "network", "results"},
    "harness": {"errors", "wire", "middlebox", "network", "stacks", "observe", "results", "content"},
}
BOXES = {"wire", "middlebox", "errors"}
REPORTS = {"results", "wire", "errors", "network.capture"}
# The harness watches the clock of the machine for durations and the date, never for a verdict.
EDGE = {
    "mbtest/network", "mbtest/stacks", "mbtest/cli.py",
    "mbtest/harness/fixture.py",  # how long a run took
    "mbtest/harness/gather.py",  # when the runs began
    "mbtest/harness/provenance.py",  # git
}  # fmt: skip
EFFECTS = {"time", "socket", "subprocess", "secrets", "select", "threading", "asyncio"}


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
    allowed = ALLOWED[part] | {part}
    for path in sources(f"mbtest/{part}"):
        wrong = {name for name in parts(path) if not is_within(name, allowed)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(("folder", "allowed"), [("middleboxes", BOXES), ("reports", REPORTS)])
def test_content_imports_what_it_may(folder, allowed):
    for path in sources(folder):
        # `from mbtest.network import capture` also names the package.
        wrong = {name for name in parts(path) if not is_within(name, allowed)}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_effects_stay_at_the_edge():
    for path in sources("mbtest", "middleboxes"):
        name = str(path.relative_to(ROOT))
        if any(name.startswith(edge) for edge in EDGE):
            continue
        wrong = imports(path) & EFFECTS
        assert not wrong, f"{name} imports {wrong}"


def test_chance_is_seeded():
    for path in sources("mbtest", "middleboxes"):
        tree = ast.parse(path.read_text())
        modules = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        if "random" not in modules:
            continue
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "random"
            ):
                assert node.attr == "Random", (
                    f"{path.relative_to(ROOT)}:{node.lineno} uses random.{node.attr}"
                )
