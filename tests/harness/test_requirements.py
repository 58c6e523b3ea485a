"""Requirements: what stands in the file, who may add to it, and what names them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

import pytest

from mbtest import content
from mbtest.errors import UsageError
from mbtest.harness.requirements import check, check_ids, coverage, requirements
from mbtest.results import Level

content.use()

KNOWN = "RFC8684-3.7/syn-option-lost"
UNTESTABLE = "RFC8684-3.1/key-hard-to-guess"
MINE = """
[sections]
"draft-mine-01-2.1" = "What I want"

[[requirements]]
id = "draft-mine-01-2.1/wanted"
level = "MAY"
text = "It is as I want it."
by = ["case"]
"""


class Rule(NamedTuple):
    id: str
    requirements: tuple[str, ...]


def test_what_ships_is_one_sentence_each_below_a_named_section() -> None:
    found = requirements()
    for name, entry in found.items():
        assert entry.id == name
        assert entry.heading, name
        assert re.fullmatch(r"[A-Z][^.]*([.][^ ][^.]*)*\.", entry.text), name
        assert len(entry.text) < 140, name
        assert not re.search(r"\b(MUST|SHOULD|SHALL)\b", entry.text), name
    texts = Counter(entry.text for entry in found.values() if not entry.text.startswith("That RST"))
    assert [text for text, times in texts.items() if times > 1] == []
    sections = list(dict.fromkeys(entry.section for entry in found.values()))
    assert sections[:2] == ["RFC 8684 §3", "RFC 8684 §3.1"]
    assert sections.index("RFC 8684 §3.9.1") < sections.index("RFC 8684 §6")
    assert sections.index("RFC 9293 §3.9.2.2") < sections.index("RFC 9293 §3.10.7.4")
    assert sum(entry.section.startswith("RFC 9293") for entry in found.values()) >= 15


def test_a_file_of_ones_own_adds_requirements(own: Any) -> None:
    own.cases(
        f'@case("mine.it", requires=("draft-mine-01-2.1/wanted", "{KNOWN}"))\n'
        'def test_it(run):\n    """It is."""\n    run()\n'
    )
    (own.folder / "testcases" / "requirements.toml").write_text(MINE, encoding="utf-8")
    finished = own.mbtest("list", "requirements", "--content", "mine")
    assert finished.returncode == 0, finished.stderr
    assert "draft-mine-01 §2.1 What I want\n" in finished.stdout
    assert "draft-mine-01-2.1/wanted  MAY: It is as I want it.\n    tested by mine.it\n" in finished.stdout
    assert f"{KNOWN}  SHOULD" in finished.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINE + MINE.replace("[sections]", "").replace('"draft-mine-01-2.1" = "What I want"', ""),
         "draft-mine-01-2.1/wanted: the id is taken in"),
        (MINE.replace("draft-mine-01-2.1/wanted", KNOWN), f"{KNOWN}: the id is taken in"),
        (MINE.replace("MAY", "MIGHT"), "2.1/wanted: Invalid enum value 'MIGHT' - at `$.level`; id, "),
        (MINE.replace('level = "MAY"\n', ""), "missing required field `level`; id, level (MUST, SH"),
        (MINE.replace("level", "lavel"), "draft-mine-01-2.1/wanted: Object "),
        (MINE.replace("2.1/wanted", "two/wanted"), "-01-two/wanted: an id is document, section and words"),
        (MINE.replace("2.1/wanted", "2.1/Wanted"), "as 'RFC8684-3.7/syn-option-lost'"),
        (MINE.replace('id = "draft-mine-01-2.1/wanted"\n', ""), "requirement number 1: Object missing"),
        (MINE.replace('"It is as I want it."', '" "'), "the text is empty"),
        (MINE.replace('by = ["case"]', ""), "give either `by`, who can test it, or `untestable`"),
        (MINE + 'untestable = "no"\n', "give either `by`, who can test it, or `untestable`"),
        (MINE.replace("case", "me"), "Invalid enum value 'me' - at `$.by[0]`"),
        (MINE.replace("[[requirements]]", "[requirements]"), "[[requirements]] one table a requirement"),
        (MINE + "[more]\n", "'more' is not known; there are [sections] and [[requirements]]"),
        ("id = ", "not TOML: "),
        (b"\xff", "cannot be read: "),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_line(own: Any, text: str | bytes, says: str) -> None:
    file = own.folder / "testcases" / "requirements.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    finished = own.mbtest("list", "requirements", "--content", "mine")
    assert finished.returncode == 4
    (line,) = finished.stderr.splitlines()
    assert line.startswith("mbtest: /")
    assert "requirements.toml: " in line
    assert says in line


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("RFC8684-3.7/syn-optoin-lost",), "did you mean 'RFC8684-3.7/syn-option-lost'?"),
        ((KNOWN, "RFC1/x"), "no requirement 'RFC1/x' in testcases/requirements.toml; `mbtest list req"),
        ((UNTESTABLE,), f"requirement '{UNTESTABLE}' is marked untestable"),
    ],
)
def test_what_names_no_requirement_is_refused(names: tuple[str, ...], says: str) -> None:
    check(Rule("a", (KNOWN,)), "here")
    with pytest.raises(UsageError, match=re.escape(says)) as raised:
        check(Rule("a", names), "mbtest/observe/rules: a")
    assert str(raised.value).startswith("mbtest/observe/rules: a: ")
    with pytest.raises(UsageError, match=re.escape(says)):
        check_ids(names, "there")


def test_an_expectation_that_names_no_requirement_is_the_users_mistake(own: Any) -> None:
    own.cases(
        '@case("mine.it", families=("v4",))\n'
        'def test_it(run):\n    """It is."""\n'
        '    run(sends=1).expect(Outcome.MULTIPATH, requirement="RFC8684-3.7/x")\n'
    )
    finished = own.run("mine.*", "--network", "simulated")
    assert finished.returncode == 4, finished.stdout + finished.stderr
    assert "no requirement 'RFC8684-3.7/x'" in finished.stderr


def test_coverage_says_what_tests_each() -> None:
    cases = [Rule("a.b", (KNOWN, KNOWN)), Rule("a.c", (KNOWN,)), Rule("a.d", ())]
    found = {entry.id: entry for entry in coverage(cases, [Rule("rule-x", (KNOWN, "RFC8684-3.1/token"))])}
    assert list(found) == list(requirements())
    assert (found[KNOWN].cases, found[KNOWN].rules) == (("a.b", "a.c"), ("rule-x",))
    assert (found["RFC8684-3.1/token"].cases, found["RFC8684-3.1/token"].rules) == ((), ("rule-x",))
    assert sum(entry.tested for entry in found.values()) == 2
    assert found[KNOWN].level is Level.SHOULD
