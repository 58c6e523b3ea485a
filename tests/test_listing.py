"""Lists for people and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mbtest import content, listing
from mbtest.stacks import stack

content.use()


def as_json(what: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    listing.show(what, as_json=True)
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_cases_say_what_they_claim(capsys: pytest.CaptureFixture[str]) -> None:
    entry = as_json("cases", capsys)["sanity.transfer"]
    assert entry["topic"] == "sanity"
    assert entry["level"] == "MUST"
    assert entry["families"] == ["v4", "v6"]
    assert entry["directions"] == ["to_server", "to_client"]
    assert entry["checksums"] == [False, True]
    assert "RFC8684-3.1/capable-handshake" in entry["requirements"]  # type: ignore[operator]


def test_cases_say_which_threads_they_stand_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("cases", capsys)
    assert found["lost.joined-data"]["lessons"] == ["mptcp_net-next#544"]
    assert found["sanity.one-octet"]["lessons"] == []
    listing.show("cases", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("lost.joined-data  "))
    assert "    lesson: mptcp_net-next#544" in lines[at : at + 3]


def test_boxes_say_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    entry = as_json("boxes", capsys)["SplitSegments"]
    found = {parameter["name"]: parameter for parameter in entry["parameters"]}  # type: ignore[attr-defined]
    assert found["options"]["choices"] == ["all", "first", "last", "none"]
    assert found["options"]["default"] == "'all'"
    assert found["size"]["limits"] == "1 to 65535 octets"
    assert "aim" not in found


def test_boxes_say_what_uses_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("boxes", capsys)
    assert "split.options-on-all" in found["SplitSegments"]["cases"]  # type: ignore[operator]
    assert found["TranslateAddresses"]["presets"] == [
        "carrier-grade-nat", "ftp-gateway", "home-router", "mobile-carrier",
    ]  # fmt: skip
    listing.show("boxes", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("TranslateAddresses  "))
    until = next(number for number, line in enumerate(lines) if number > at and not line.startswith("    "))
    assert "state and routes" in lines[:at]
    users = found["TranslateAddresses"]["cases"]
    nat = sum(case.startswith("nat.") for case in users)  # type: ignore[attr-defined]
    told = " ".join(line.strip() for line in lines[at:until])
    assert f"used by {len(users)} cases: " in told  # type: ignore[arg-type]
    assert f"nat.* ({nat})" in told
    assert "nat.home-router" not in told
    assert max(len(line) for line in lines if line.startswith("    ")) <= listing.WIDTH
    assert "    in the presets carrier-grade-nat, ftp-gateway, home-router, mobile-carrier" in lines[at:until]
    assert any("(1 to 65535)" in line for line in lines[at:until])
    used = sum(bool(entry["cases"]) for entry in found.values())
    assert lines[-1].startswith(f"{len(found)} boxes, {used} of them used by cases")


def test_rules_say_what_they_hold_hosts_to(capsys: pytest.CaptureFixture[str]) -> None:
    entry = as_json("rules", capsys)["fallback.fail-answered"]
    assert (entry["topic"], entry["level"], entry["clause"]) == ("fallback", "MUST", "RFC 8684 §3.7")
    assert entry["requirements"]


def test_topologies_say_their_paths(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("topologies", capsys)
    assert {"one-path", "dual-homed-client", "dual-homed-both"} <= set(found)
    assert [path["name"] for path in found["dual-homed-client"]["paths"]] == ["c1-s1", "c2-s1"]  # type: ignore[attr-defined]


def test_stacks_say_what_they_can(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("stacks", capsys)
    assert set(found) == {"linux", "tcp", "reference"}
    assert found["linux"]["capabilities"] == ["checksum", "join", "lose", "manage", "mptcp", "signal"]
    assert found["tcp"]["capabilities"] == []
    assert found["reference"]["networks"] == ["namespaces", "simulated"]


def test_profiles_are_named_as_the_command_line_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("profiles", capsys)
    assert len(found) > 2
    for name, entry in found.items():
        assert stack(name).name == name
        assert entry["summary"]
    listing.show("profiles", as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == len(found)


def test_requirements_say_what_tests_them(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("requirements", capsys)
    entry = found["RFC8684-3.7/syn-option-lost"]
    assert (entry["section"], entry["level"], entry["tested"]) == ("RFC 8684 §3.7", "SHOULD", True)
    assert "handshake.syn-deleted" in entry["cases"]  # type: ignore[operator]
    assert found["RFC8684-3.1/key-hard-to-guess"]["untestable"]
    listing.show("requirements", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("RFC8684-3.7/syn-option-lost  "))
    assert "RFC 8684 §3.7 Fallback" in lines[:at]
    assert lines[at].split("  ")[1].startswith("SHOULD: ")
    assert lines[at + 1].startswith("    tested by ")
    assert " handshake.syn-deleted, " in lines[at + 1]
    assert any(line.startswith("    cannot be tested from outside: ") for line in lines)
    untested = sum(line.startswith("    NOT TESTED; could be by a ") for line in lines)
    testable = sum(not entry["untestable"] for entry in found.values())
    assert lines[-1].startswith(
        f"{testable - untested} tested of {testable} testable of {len(found)} in all (MUST "
    )


def test_paths_say_all_that_is_stated(tmp_path: Path) -> None:
    (tmp_path / "topologies").mkdir()
    shipped = content.shipped() / "topologies" / "one-path.toml"
    stated = 'reorder = 0.1\nreorder_by = "2ms"\nduplicate = 0.01\n'
    (tmp_path / "topologies" / "unruly.toml").write_text(
        shipped.read_text(encoding="utf-8") + stated, encoding="utf-8"
    )
    command = [sys.executable, "-m", "mbtest", "list", "topologies", "--content", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "0 us, any bit/s, loss 0, reorder 0.1 by 2000 us, duplicate 0.01" in printed


def test_people_read_topics_names_and_details(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json("cases", capsys)
    listing.show("cases", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("sanity.transfer "))
    assert "sanity" in lines[:at]
    assert lines[at + 1].startswith("    MUST: RFC8684-")
    assert lines[-1] == f"{len(found)} cases in {len({entry['topic'] for entry in found.values()})} topics"
    listing.show("boxes", as_json=False)
    printed = capsys.readouterr().out
    assert "    options='all': the pieces that have the segment's options [all, first, last, none]" in printed
    listing.show("topologies", as_json=False)
    assert "    c1-s1: c1 to s1, 5000 us, 20000000 bit/s, loss 0" in capsys.readouterr().out
    listing.show("stacks", as_json=False)
    assert "can: regular TCP; on namespaces" in capsys.readouterr().out
