"""The pytest plugin: cases as tests, in the order of how long they wait, and nothing to other sessions."""

from __future__ import annotations

import re
from typing import Any

import pytest

CASE = '''
@case("{id}", {said})
def test_{name}(run):
    """It holds."""
    run(client_sends=1).expect(Outcome.{outcome})
'''


def case(name: str, said: str = 'families=("v4",)', outcome: str = "MULTIPATH") -> str:
    return CASE.format(id=f"mine.{name}", name=name, said=said, outcome=outcome)


def test_a_case_is_a_test_for_each_variant(own: Any) -> None:
    own.cases(case("it", "directions=BOTH_WAYS, checksums=(False, True)"))
    finished = own.pytest("--collect-only", "-q", "--mbtest-every")
    assert finished.returncode == 0, finished.stdout
    found = re.findall(r"test_it\[[\w.-]+/linux-linux/(v[46])/(to_\w+)/([\w-]+)\]", finished.stdout)
    assert len(found) == len(set(found)) == 8


def test_options_choose(own: Any) -> None:
    own.cases(case("it", "directions=BOTH_WAYS, checksums=(False, True)") + case("other"))
    finished = own.pytest(
        "--collect-only", "-q", "--mbtest-case", "*.it", "--mbtest-family", "v6",
        "--mbtest-direction", "to_client", "--mbtest-checksum", "on", "--mbtest-pair", "tcp:linux",
    )  # fmt: skip
    assert re.findall(r"test_\w+\[(.*)\]", finished.stdout) == ["mine.it/tcp-linux/v6/to_client/checksum"]


def test_a_simulated_network_is_a_choice(own: Any) -> None:
    own.cases(case("it"))
    finished = own.pytest("-q", "-rA", "--mbtest-network", "simulated")
    assert finished.returncode == 0, finished.stdout
    assert "test_it[mine.it/reference-reference/v4/to_server/no-checksum]" in finished.stdout
    finished = own.pytest("--mbtest-network", "simulated", "--mbtest-pair", "linux")
    assert finished.returncode != 0
    assert "stack linux runs on --network namespaces only" in finished.stdout + finished.stderr


def test_a_verdict_is_a_tests_outcome(own: Any) -> None:
    own.cases(
        case("holds")
        + case("fails", outcome="RESET")
        + case("lax", 'families=("v4",), level=SHOULD', "RESET")
        + '@case("mine.never", families=("v4",))\ndef test_never(run):\n    """It holds."""\n'
        "    run(PassThrough()).require(Interfered(PassThrough))\n"
    )
    finished = own.pytest("-rA", "--tb=short")
    assert finished.returncode == 1
    assert re.search(r"1 failed, 2 passed, 1 skipped", finished.stdout)
    assert "mine.fails/linux-linux/v4/to_server/no-checksum: fail: MPTCP to the end" in finished.stdout
    assert "repeat: mbtest run mine.fails --client linux" in finished.stdout
    assert (
        "inconclusive: the interference never happened: wanted that PassThrough interferes" in finished.stdout
    )


def test_what_asks_for_a_run_and_is_no_case_is_told_what_to_do(own: Any) -> None:
    own.cases("def test_it(run):\n    run()\n")
    finished = own.pytest()
    assert finished.returncode == 1
    assert "asks for `run` and is no case: put @case(...) above it" in finished.stdout


def test_a_case_that_names_no_requirement_is_not_run(own: Any) -> None:
    own.cases('@case("mine.it", requires="RFC1/x")\ndef test_it(run):\n    """It holds."""\n    run()\n')
    finished = own.pytest()
    assert finished.returncode != 0
    assert "test_mine.py::test_it: no requirement 'RFC1/x'" in finished.stdout


def test_the_longest_start_first(own: Any) -> None:
    waits = {"short": 0.0, "long": 9.0, "middle": 2.5}
    own.cases("".join(case(name, f'families=("v4",), waits={time}') for name, time in waits.items()))
    finished = own.pytest("--collect-only", "-q")
    assert re.findall(r"test_(\w+)\[", finished.stdout) == ["long", "middle", "short"]


def test_a_session_without_cases_is_left_alone(own: Any) -> None:
    (own.folder / "testcases" / "test_mine.py").write_text(
        "import sys\n\n\ndef test_it():\n    assert 'scapy' not in sys.modules\n"
        "    assert 'mbtest.harness.fixture' not in sys.modules\n"
        "    assert 'mbtest.network.namespaces' not in sys.modules\n",
        encoding="utf-8",
    )
    finished = own.pytest("-q")
    assert finished.returncode == 0, finished.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--mbtest-family", "v5"), "no family 'v5'; there are v4, v6, mixed"),
        (("--mbtest-direction", "up"), "no direction 'up'"),
        (("--mbtest-pair", "bsd"), "no stack 'bsd'"),
    ],
)
def test_a_wrong_option_is_told(own: Any, words: tuple[str, ...], says: str) -> None:
    own.cases(case("it"))
    finished = own.pytest(*words)
    assert finished.returncode != 0
    assert says in finished.stdout + finished.stderr
