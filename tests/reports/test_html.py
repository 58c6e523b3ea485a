from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import zlib
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import msgspec
import pytest

from mbtest.errors import UsageError
from mbtest.results import (
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
from mbtest.wire import ACK, PSH, MptcpOption, UnknownOption
from reports.html import render
from reports.matrix import NEEDS_A_LOOK, VERDICTS

CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><script>boom()</script><img src=x onerror=boom()>'\"&lt;{{ 7*7 }}\u2028]]>-->"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Page(HTMLParser):
    """The elements of a page, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.data, self._inside = [], [], {}, ""
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("id") or tag
            self.data[self._inside] = ""

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.data[self._inside] += data
        else:
            self.words.append(data)

    def run(self, number):
        return json.loads(zlib.decompress(base64.b64decode(self.data[f"packed-{number}"])))


def read(directory):
    return Page(render(directory).read_text(encoding="utf-8"))


def browse(file, tmp_path, state=(), size="1400,1000", extra=()):
    """Return the page as Chromium has it after the scripts ran, and what they complained of."""
    url = f"{file.as_uri()}#{urlencode(state)}" if state else file.as_uri()
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", f"--window-size={size}", *extra, "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def conversation(talk):
    made = talk(box=lambda _, segment: [segment.without_options(MptcpOption)])
    made.handshake()
    made.data("client", b"x" * 1428)
    made.close()
    return made


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
    assert "pass, fell back in the handshake" in [words["title"].partition(":")[0] for words in marks]


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
    labels = [attributes["data-label"] for tag, attributes in page.elements if "data-label" in attributes]
    assert labels == ["linux → linux", "linux → reference"] * 2
    assert "linux → linux ✓ pass 3" in page.text
    assert "linux → reference ✓ pass 2 ✗ fail 1" in page.text
    assert "The pairs differ in 1 case." in page.text
    row = page.text[page.text.index("example-1 pairs differ") :]
    assert "✓ pass multipath IPv4 → IPv6 → ✗ fail reset IPv6 → ✓ pass multipath IPv4 →" in row
    assert "example-2 pairs differ" not in page.text
    rows = [attributes["class"] for tag, attributes in page.elements if tag == "tr" and "class" in attributes]
    assert rows == ["topic", "row differs", "row"]


@needs_chromium
def test_cases_in_which_pairs_differ_can_be_had_alone(directory, found, run, tmp_path):
    runs = [
        run(number, id=f"{number}/{client}", client=client, artifacts={}, outcome=outcome)
        for client, outcome in (("linux", Outcome.MULTIPATH), ("reference", Outcome.FELL_BACK))
        for number in (1, 2)
        if number == 1 or client == "linux"
    ]
    file = render(directory(found(runs)))
    dom, complaints = browse(file, tmp_path, {"agreement": "differ", "family": "v4"})
    assert complaints == []
    assert "2 of 3 runs" in dom
    assert re.findall(r'<tr class="row[^"]*"( hidden)?', dom) == ["", " hidden"]
    # Columns of whole pairs stay, whatever family is looked for.
    assert not re.findall(r'<td class="column"[^>]* hidden', dom)
    dom, _ = browse(file, tmp_path, {"pair": "reference → linux"})
    assert len(re.findall(r'<t[dh] [^>]*class="column[^>]* hidden', dom)) == 3


def test_a_simulated_network_is_told(directory, found, run):
    words = "in a simulated network"
    assert words in read(directory(found([run(network="simulated", artifacts={})]))).text
    assert words not in read(directory(found([run(artifacts={})]))).text


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


@pytest.mark.parametrize(
    ("artifacts", "problem"),
    [
        ({}, "No capture of this run was kept."),
        ({"capture": "captures/gone.pcapng"}, "The capture of this run is not there."),
        ({"capture": "../../etc/passwd"}, "The capture of this run is not in the run directory."),
        ({"capture": "/etc/passwd"}, "The capture of this run is not in the run directory."),
    ],
)
def test_a_capture_that_is_missing_is_said_to_be(directory, found, run, artifacts, problem):
    data = read(directory(found([run(artifacts=artifacts)]))).run(0)
    assert data["ladder"]["problem"] == problem
    assert data["capture"] == ""


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
    assert len([1 for tag, attributes in page.elements if tag == "script"]) == 5
    assert page.text.count("boom()") > 10
    assert json.loads(page.data["index"])[0]["id"] == HOSTILE
    assert page.run(0)["capture"] == f"../{quote(name)}"


@needs_chromium
def test_hostile_words_stay_words_in_a_browser(directory, found, run, talk, tmp_path):
    folder, name = _hostile(directory, found, run, talk)
    dom, complaints = browse(render(folder), tmp_path, {"run": HOSTILE, "frame": "1"})
    assert complaints == []
    page = Page(dom)
    assert "img" not in {tag for tag, _ in page.elements}
    assert len([1 for tag, _ in page.elements if tag == "script"]) == 5
    opened = dom[dom.index('<article id="run"') :]
    assert opened.count("onerror=boom()") >= 12
    assert f'href="../{quote(name)}"' in opened
    assert 'class="packet' in opened


@needs_chromium
def test_filters_and_the_open_run_come_from_the_address(directory, found, run, conversation, tmp_path):
    runs = [
        run(0, id="one", family="v4"),
        run(0, id="two", family="v6", verdict=Verdict.FAIL, outcome=Outcome.STALLED, reason="nothing moves"),
        run(
            1, id="three", family="v6", artifacts={},
            stacks={"client": StackState("reference", True, {"MP_FAIL": 3}, {}, ("1.5 MP_FAIL: <b>",))},
        ),
    ]  # fmt: skip
    file = render(directory(found(runs), {"captures/0.pcapng": conversation.capture}))

    dom, complaints = browse(file, tmp_path, {"family": "v6", "verdict": "fail"})
    assert complaints == []
    marks = re.findall(r'<a class="mark"[^>]*data-run="(\d)"[^>]*>', dom)
    hidden = re.findall(r'<a class="mark"[^>]*data-run="(\d)"[^>]*hidden[^>]*>', dom)
    assert set(marks) - set(hidden) == {"1"}
    assert "1 of 3 runs" in dom
    heads = re.findall(
        r'<th scope="col" class="column"[^>]*data-family="(v\d)"[^>]*?( hidden)?(?:="")?>', dom
    )
    assert [family for family, hidden in heads if not hidden] == ["v6"]
    assert re.search(r'data-verdict="fail" aria-pressed="true"', dom)

    dom, complaints = browse(file, tmp_path, {"q": "example-1"})
    assert complaints == []
    assert "1 of 3 runs" in dom

    dom, complaints = browse(file, tmp_path, {"run": "two", "frame": "1"})
    assert complaints == []
    opened = Page(dom[dom.index('<article id="run"') :])
    assert "fail : stalled" in opened.text
    assert "nothing moves" in opened.text
    assert "StripOptions removed MP_CAPABLE" in opened.text
    assert 'packet changed sf-1 pointed" id="frame-1"' in dom
    assert '<main id="overview" hidden' in dom

    dom, complaints = browse(file, tmp_path, {"run": "three"}, size="390,844")
    assert complaints == []
    assert "No capture of this run was kept." in dom
    opened = Page(dom[dom.index('<article id="run"') :])
    assert "MPTCP counters that moved client: reference MP_FAIL 3" in opened.text
    assert "What the client noted (1) 1.5 MP_FAIL: <b>" in opened.text

    dom, complaints = browse(file, tmp_path, {"run": "of another report"})
    assert complaints == []
    assert "There is no run of another report" in dom


@needs_chromium
def test_clicks_and_keys(directory, found, run, talk, tmp_path):
    conversation = talk()
    conversation.handshake()
    for _ in range(20):
        conversation.data("client", b"x" * 1428)
    runs = [
        run(0, id="one"),
        run(0, id="two", verdict=Verdict.FAIL, reason="nothing moves", artifacts={}),
        run(1, id="three", artifacts={}),
    ]
    file = render(directory(found(runs), {"captures/0.pcapng": conversation.capture}))
    # The page's policy runs no script that is not its own: a copy without it plays the reader.
    script = """
    const pause = () => new Promise((done) => setTimeout(done, 300));
    const log = [];
    const note = (name, value) => log.push(`${name}=${value}`);
    const key = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    (async () => {
      document.querySelector("button.count.fail").click(); await pause();
      note("filtered", location.hash);
      note("shown", document.querySelectorAll(".matrix a.mark:not([hidden])").length);
      document.querySelector("#clear").click(); await pause();
      note("cleared", location.hash);
      document.querySelector(".matrix a.mark[data-run='0']").click(); await pause();
      note("opened", location.hash);
      note("rows", opened.querySelectorAll("tr.packet").length);
      opened.querySelector("tr.elided button").click();
      note("unfolded", opened.querySelectorAll("tr.packet").length);
      opened.querySelector("button.time").click();
      note("full", opened.querySelector("tr.full").textContent.includes("seq 3000000000"));
      opened.querySelector("tr.elided button").click();
      note("folded", opened.querySelectorAll("tr.packet").length);
      key("n"); await pause();
      note("next", opened.querySelector("h2").textContent);
      key("Escape"); await pause();
      note("closed", `${opened.hidden} ${location.hash}`);
      document.title = log.join(";");
    })();
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", file.read_text(encoding="utf-8"))
    copy = file.with_name("played.html")
    copy.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    dom, complaints = browse(copy, tmp_path)
    assert complaints == []
    log = dict(item.split("=", 1) for item in re.search("<title>(.*?)</title>", dom)[1].split(";"))
    assert (log["filtered"], log["shown"], log["cleared"]) == ("#verdict=fail", "1", "")
    assert log["opened"] == "#run=one"
    assert int(log["unfolded"]) == 43 > int(log["rows"]) == int(log["folded"])
    assert log["full"] == "true"
    assert log["next"].strip() == "✗ fail: multipath"
    assert log["closed"] == "true "
