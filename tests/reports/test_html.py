from __future__ import annotations

import json
import time
from urllib.parse import quote

import msgspec
import pytest

from mbtest.errors import UsageError
from mbtest.results import (
    Alarm,
    BoxUse,
    Evidence,
    Fallback,
    Finding,
    Level,
    Outcome,
    Requirement,
    StackState,
    Stream,
    Verdict,
)
from mbtest.wire import ACK, PSH, UnknownOption
from reports.html import render
from reports.matrix import NEEDS_A_LOOK, VERDICTS
from tests.reports.browser import Page, browse, needs_chromium, read

HOSTILE = "</script><script>boom()</script><img src=x onerror=boom()>'\"&lt;{{ 7*7 }}\u2028]]>-->"


def test_one_file_that_asks_for_nothing(directory, found, run, conversation):
    folder = directory(found([run()]), {"captures/0.pcapng": conversation.capture})
    target = render(folder)
    assert target == folder / "report" / "index.html"
    assert [file.name for file in target.parent.iterdir()] == ["index.html"]
    page = Page(target.read_text(encoding="utf-8"))
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert not attributes.get("src")
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "url(" not in page.data["style"]
    assert "http:" not in str(page.data)


def test_verdicts_are_words_and_symbols_without_scripts(directory, found, run):
    runs = [
        run(number, verdict=verdict, reason=f"because of {verdict.value}", artifacts={})
        for number, verdict in enumerate(Verdict)
    ]
    page = read(directory(found(runs)))
    for verdict, words in VERDICTS.items():
        assert f"{words.symbol} 1 {words.word}" in page.text
        assert (f"because of {verdict.value}" in page.text) == (verdict in NEEDS_A_LOOK)
    assert set(VERDICTS) == set(Verdict)
    order = [page.text.index(f"because of {verdict.value}") for verdict in NEEDS_A_LOOK]
    assert order == sorted(order)


def test_variants_that_share_an_outcome_are_one_entry(directory, found, run):
    runs = [
        run(
            0, id=f"case/{family}/{direction}/{checksum}", family=family, direction=direction,
            checksum=checksum, verdict=Verdict.FAIL, reason=f"{octets} of 65536 octets arrived", artifacts={},
        )
        for octets, (family, direction, checksum) in enumerate(
            (family, direction, checksum)
            for family in ("v4", "v6")
            for direction in ("to_server", "to_client")
            for checksum in (False, True)
        )
    ]  # fmt: skip
    runs.append(run(0, id="another", verdict=Verdict.FAIL, outcome=Outcome.RESET, artifacts={}))
    page = read(directory(found(runs)))
    assert len([1 for tag, attributes in page.elements if attributes.get("class") == "concern"]) == 2
    assert "IPv4 → →c ← ←c IPv6 → →c ← ←c" in page.text


def test_the_matrix_has_a_column_for_each_family_of_the_only_pair(directory, found, run):
    runs = [
        run(1, id="a", artifacts={}),
        run(1, id="b", family="v6", outcome=Outcome.FELL_BACK, fallback=Fallback.IN_HANDSHAKE, artifacts={}),
        run(10, id="c", outcome=None, verdict=Verdict.UNSUPPORTED, artifacts={}),
        run(2, id="d", topic="splitting", title="Split.", artifacts={}),
    ]
    page = read(directory(found(runs)))
    labels = [attributes["data-label"] for tag, attributes in page.elements if "data-label" in attributes]
    assert labels[:2] == ["linux → linux, IPv4", "linux → linux, IPv6"]
    assert page.text.index("handshake.example-1 ") < page.text.index("handshake.example-10 ")
    assert "– unsupported" in page.text
    assert "pairs differ" not in page.text
    marks = [attributes for tag, attributes in page.elements if attributes.get("class") == "mark"]
    assert "pass, fell back in the handshake" in [words["aria-label"].partition(":")[0] for words in marks]


def test_stack_pairs_stand_side_by_side(directory, found, run):
    other = {"server": "reference", "artifacts": {}}
    runs = [
        run(1, id="a", artifacts={}),
        run(1, id="b", family="v6", artifacts={}),
        run(2, id="c", artifacts={}),
        run(1, id="d", **other),
        run(1, id="e", family="v6", verdict=Verdict.FAIL, outcome=Outcome.RESET, **other),
        run(2, id="f", **other),
    ]
    page = read(directory(found(runs)))
    cells = [attributes for tag, attributes in page.elements if attributes.get("class") == "column"]
    assert [cell["data-label"] for cell in cells] == ["linux → linux", "linux → reference"] * 2
    assert "linux → linux ✓ pass 3" in page.text
    assert "linux → reference ✓ pass 2 ✗ fail 1" in page.text
    assert "The pairs differ in 1 case." in page.text
    row = page.text[page.text.index("example-1 pairs differ") :]
    assert "✓ pass multipath IPv4 → IPv6 → ✗ fail reset IPv6 → ✓ pass multipath IPv4 →" in row
    assert "example-2 pairs differ" not in page.text
    rows = [attributes["class"] for tag, attributes in page.elements if tag == "tr" and "class" in attributes]
    assert rows == ["topic", "row differs", "row"]


def test_a_simulated_network_is_told(directory, found, run):
    words = "in a simulated network"
    assert words in read(directory(found([run(network="simulated", artifacts={})]))).text
    assert words not in read(directory(found([run(artifacts={})]))).text


def test_what_the_kernel_reported_of_itself_is_told(directory, found, run):
    first, other = run(0, artifacts={}), run(1, artifacts={})
    oops = Alarm(
        seconds=202.878301,
        title="Oops: divide error, in tcp_tso_segs <b>",
        lines=("Oops: divide error", "RIP: 0010:tcp_tso_segs+0x6a/0xa0"),
        pid=9,
        runs=(first.id,),
    )
    results = msgspec.structs.replace(found([first, other]), alarms=(oops,))
    page = read(directory(results))
    assert "What the kernel reported of itself" in page.text
    assert "Oops: divide error, in tcp_tso_segs <b>" in page.text
    assert "202.878301 s" in page.text
    assert "RIP: 0010:tcp_tso_segs+0x6a/0xa0" in page.text
    section = page.text.partition("What the kernel reported of itself")[2].partition("RIP")[0]
    assert first.id in section
    assert other.id not in section
    assert "What the kernel reported" not in read(directory(found([first]))).text


def test_zero_runs(directory, found):
    page = read(directory(found([], interrupted=True)))
    assert "No runs" in page.text
    assert "Interrupted" in page.text


def test_a_run_carries_its_ladder(directory, found, run, conversation):
    page = read(directory(found([run()]), {"captures/0.pcapng": conversation.capture}))
    data = page.run(0)
    assert data["capture"] == "../captures/0.pcapng"
    assert data["outcome"] == "multipath"
    first = data["ladder"]["items"][0]
    assert (first["fate"], first["deeds"]) == ("changed", ["StripOptions removed MP_CAPABLE"])
    assert data["run"]["repeat"].startswith("mbtest run")


def test_no_result_is_a_users_mistake(tmp_path):
    with pytest.raises(UsageError):
        render(tmp_path)


def test_a_second_report_replaces_the_first(directory, found, run):
    folder = directory(found([run(artifacts={})]))
    assert render(folder) == render(folder)


def test_three_hundred_runs_are_small_and_soon_made(directory, found, run, talk):
    conversation = talk()
    conversation.handshake()
    for _ in range(60):
        conversation.data("client", b"x" * 1428)
    conversation.close()
    captures = {f"captures/{number}.pcapng": conversation.capture for number in range(300)}
    folder = directory(found([run(number) for number in range(300)]), captures)
    began = time.process_time()
    target = render(folder)
    assert time.process_time() - began < 20
    assert target.stat().st_size < 5_000_000


def _hostile(directory, found, run, talk):
    conversation = talk(points=(f"{HOSTILE}/client", f"{HOSTILE}/server"), path=HOSTILE)
    conversation.handshake()
    conversation.send("client", ACK | PSH, (UnknownOption(200, b"</script>"),), HOSTILE.encode())
    number = conversation.send("client", ACK, ())
    conversation.capture.annotate(number, HOSTILE)
    conversation.capture.annotate(number, f"expectation failed: {HOSTILE}")
    name = "captures/a'\"<b>&#?.pcapng"
    hostile = run(
        0, id=HOSTILE, case=HOSTILE, topic=HOSTILE, title=HOSTILE, client=HOSTILE, server=HOSTILE,
        topology=HOSTILE, verdict=Verdict.FAIL, reason=HOSTILE, requirements=(HOSTILE,), repeat=HOSTILE,
        findings=(Finding(HOSTILE, HOSTILE, False, Level.MUST, HOSTILE, (Evidence(1, HOSTILE),)),),
        boxes=(BoxUse(HOSTILE, HOSTILE, 1),),
        streams=(Stream("to_server", 1, 1, 0, 0, error=HOSTILE),),
        stacks={HOSTILE: StackState(HOSTILE, None, {HOSTILE: 1}, {HOSTILE: HOSTILE})},
        artifacts={"capture": name},
    )  # fmt: skip
    results = found(
        [hostile], kernel=HOSTILE, machine=HOSTILE, command=HOSTILE, revision=HOSTILE, started=HOSTILE,
        libraries={HOSTILE: HOSTILE}, sysctls={HOSTILE: HOSTILE}, privileges=HOSTILE, mbtest=HOSTILE,
    )  # fmt: skip
    asked = Requirement(
        id=HOSTILE, section=HOSTILE, heading=HOSTILE, level=Level.MAY, text=HOSTILE, cases=(HOSTILE, "other"),
        rules=(HOSTILE,), untestable=HOSTILE,
    )  # fmt: skip
    results = msgspec.structs.replace(results, requirements=(asked,))
    return directory(results, {name: conversation.capture}), name


def test_hostile_words_stay_words(directory, found, run, talk):
    folder, name = _hostile(directory, found, run, talk)
    page = read(folder)
    assert "img" not in {tag for tag, _ in page.elements}
    assert len([1 for tag, attributes in page.elements if tag == "script"]) == 6
    assert page.text.count("boom()") > 10
    assert json.loads(page.data["index"])["runs"][0]["id"] == HOSTILE
    assert page.run(0)["capture"] == f"../{quote(name)}"


@needs_chromium
def test_hostile_words_stay_words_in_a_browser(directory, found, run, talk, tmp_path):
    folder, name = _hostile(directory, found, run, talk)
    dom, complaints = browse(render(folder), tmp_path, {"run": HOSTILE, "frame": "1"})
    assert complaints == []
    page = Page(dom)
    assert "img" not in {tag for tag, _ in page.elements}
    assert len([1 for tag, _ in page.elements if tag == "script"]) == 6
    opened = dom[dom.index('<article id="run"') :]
    assert opened.count("onerror=boom()") >= 12
    assert f'href="../{quote(name)}"' in opened
    assert 'class="packet' in opened
