"""The scripts of the page, in a browser."""

from __future__ import annotations

import re

import msgspec

from mbtest.results import (
    BoxInfo,
    BoxParameter,
    BoxUse,
    Control,
    Evidence,
    Finding,
    Level,
    Outcome,
    StackState,
    Verdict,
)
from reports.html import render
from tests.reports.browser import Page, browse, needs_chromium, play

pytestmark = needs_chromium


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


def test_filters_and_the_open_run_come_from_the_address(directory, found, run, conversation, tmp_path):
    runs = [
        run(0, id="one", family="v4"),
        run(0, id="two", family="v6", verdict=Verdict.FAIL, outcome=Outcome.STALLED, reason="nothing moves"),
        run(
            1, id="three", family="v6", artifacts={},
            stacks={"client": StackState("reference", True, {"MP_FAIL": 3}, events=("1.5 MP_FAIL: <b>",))},
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
    log = play(
        file,
        tmp_path,
        """
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
    """,
    )
    assert (log["filtered"], log["shown"], log["cleared"]) == ("#verdict=fail", "1", "")
    assert log["opened"] == "#run=one"
    assert int(log["unfolded"]) == 43 > int(log["rows"]) == int(log["folded"])
    assert log["full"] == "true"
    assert log["next"].strip() == "✗ fail: multipath"
    assert log["closed"] == "true "


def test_a_run_says_which_clause_who_and_which_packets(directory, found, run, conversation, tmp_path):
    clause = "RFC 8684 §3.7"
    findings = (
        Finding(
            "A sender that gives MPTCP up says so", "client: no infinite mapping", False, clause=clause,
            rule="fallback.signalled", who="client", count=1200,
            evidence=(Evidence(7, "no infinite mapping"),),
        ),
        Finding(
            "both streams arrive whole", "0 octets of 9", False, clause="RFC 8684 §6", who="server",
            evidence=(Evidence(1, "the SYN"),),
        ),
        Finding("MPFailTx of the client is 1", "it is 2", False, rule="witness", who="client"),
        Finding("", "it chose the backup", True, Level.MAY),
    )  # fmt: skip
    failed = run(
        0, id="one", server="reference", verdict=Verdict.FAIL, findings=findings, blame=("client", "server"),
        reason="nothing moved; expected: both streams; broken: RFC 8684 §3.7 fallback.signalled in frame 7",
        controls=(Control(kind="pass-through", outcome=Outcome.FEWER_SUBFLOWS, reason="one of two"),
                  Control(kind="regular TCP", outcome=Outcome.STALLED, reason="nothing moved")),
    )  # fmt: skip
    file = render(directory(found([failed]), {"captures/0.pcapng": conversation.capture}))
    dom, complaints = browse(file, tmp_path, {"run": "one"})
    assert complaints == []
    text = Page(dom[dom.index('<article id="run"') :]).text
    assert "nothing moved expected: both streams broken: RFC 8684 §3.7 fallback.signalled in frame 7" in text
    assert "MUST · RFC 8684 §3.7, RFC 8684 §6 · to blame: client (linux), server (reference)" in text
    assert "shown by frame 1 , frame 7" in text
    rules = text[text.index("Rules that were broken") : text.index("Expected and seen")]
    assert "RFC 8684 §3.7 · MUST · fallback.signalled client (linux) : no infinite mapping" in rules
    assert "1 200 times; the first: frame 7" in rules
    expected = text[text.index("Expected and seen") : text.index("What the stack chose")]
    assert (
        "both streams arrive whole RFC 8684 §6 · MUST 0 octets of 9 to blame: server (reference)" in expected
    )
    contradictions = text[text.index("Contradictions") : text.index("Boxes")]
    assert "No verdict depends on them. ≠ contradicts MPFailTx of the client is 1" in contradictions
    assert "without the boxes: fewer subflows : one of two" in text
    assert "regular TCP through the same boxes: stalled : nothing moved" in text
    for frame in (1, 7):
        assert re.search(rf'<tr class="packet \w+ marked[^>]*id="frame-{frame}"', dom)
        assert f'href="#run=one&amp;frame={frame}"' in dom
    assert "✗ RFC 8684 §3.7 fallback.signalled; no infinite mapping" in text


def test_a_verdict_of_a_run_that_passed_names_its_grounds(directory, found, run, conversation, tmp_path):
    many = tuple(Evidence(frame, "") for frame in range(1, 10))
    findings = (Finding("it holds", "so", True, clause="RFC 8684 §3.7", evidence=many),)
    passed = [
        run(0, id=name, family=family, findings=findings) for name, family in (("one", "v4"), ("two", "v6"))
    ]
    file = render(directory(found(passed), {"captures/0.pcapng": conversation.capture}))
    dom, _ = browse(file, tmp_path, {"run": "one"})
    grounds = (
        "MUST · RFC 8684 §3.7 · shown by frame 1 , frame 2 , frame 3 , frame 4 , frame 5 , frame 6 and 3 more"
    )
    assert grounds in Page(dom).text
    # Whose packets are told with another run has no frame to lead to.
    dom, complaints = browse(file, tmp_path, {"run": "two"})
    assert complaints == []
    opened = dom[dom.index('<article id="run"') :]
    assert "The same case came to the same end with linux → linux · IPv4" in Page(opened).text
    assert 'href="#run=one"' in opened
    assert "frame=" not in opened
    assert "packet" not in re.findall(r'<tr class="(\w+)', opened)


def test_a_box_has_a_page_with_its_cases_across_stacks(directory, found, run, tmp_path):
    strip = BoxInfo(
        name="StripOptions", group="options", summary="Strips, as a firewall does.",
        parameters=(
            BoxParameter(name="manner", default="'delete'", choices=("delete", "nop"), meaning="how"),
            BoxParameter(name="size", default="", meaning="of it", unit="octets", limits="1 to 9 octets"),
        ),
    )  # fmt: skip
    broke = Finding("claim", "client: seen", False, rule="fallback.signalled", who="client")

    def aimed(way):
        return (BoxUse("c1-s1", f"StripOptions(aim=Aim(direction={way}))", 1),)

    runs = [
        run(0, id="one", artifacts={}, boxes=aimed("to_server")),
        run(0, id="back", direction="to_client", artifacts={}, boxes=aimed("to_client")),
        run(0, id="two", client="reference", verdict=Verdict.FAIL, findings=(broke,), artifacts={}),
        run(1, id="three", boxes=(BoxUse("c1-s1", "PassThrough()", 0),), artifacts={}),
    ]
    results = msgspec.structs.replace(found(runs), boxes=(strip,))
    file = render(directory(results))
    dom, complaints = browse(file, tmp_path, {"box": "StripOptions"})
    assert complaints == []
    assert '<main id="overview" hidden' in dom
    text = Page(dom[dom.index('<article id="box"') :]).text
    assert "StripOptions Strips, as a firewall does. options · 3 runs of 1 case" in text
    assert "manner 'delete' how delete, nop size must be given of it 1 to 9 octets" in text
    assert "fallback.signalled 1 run" in text
    assert "StripOptions(aim=Aim(direction=to_server|to_client))" in text
    assert "linux → linux ✓ pass 2 reference → linux ✗ fail 1" in text
    assert "✓ pass multipath IPv4 → ← ✗ fail multipath IPv4 →" in text
    assert "example-1" not in text
    dom, _ = browse(file, tmp_path, {"box": "PassThrough", "verdict": "fail"})
    text = Page(dom[dom.index('<article id="box"') :]).text
    assert "A box that is in no file of middleboxes/. 1 run of 1 case" in text
    assert "0 of 1 run match the filters. Show all No run matches these filters." in text


def test_a_box_is_reached_from_matrix_run_and_list_and_left_again(directory, found, run, tmp_path):
    runs = [run(number, id=f"r{number}", artifacts={}) for number in range(2)]
    runs.append(run(2, id="r2", artifacts={}, boxes=()))
    log = play(render(directory(found(runs))), tmp_path, """
      const boxed = document.getElementById("box");
      document.querySelector(".matrix a[data-box]").click(); await pause();
      note("matrix", `${location.hash} ${boxed.hidden}`);
      key("Escape"); await pause();
      note("left", `${location.hash} ${overview.hidden}`);
      document.querySelector(".boxes a[data-box]").click(); await pause();
      boxed.querySelector("a.mark").click(); await pause();
      note("run", location.hash);
      note("among", opened.querySelector(".steps").textContent.includes("1 of 2"));
      note("back", opened.querySelector("a.back").textContent);
      opened.querySelector("td a").click(); await pause();
      note("again", `${location.hash} ${boxed.hidden} ${opened.hidden}`);
    """)  # fmt: skip
    assert log["matrix"] == "#box=StripOptions false"
    assert log["left"] == " false"
    assert log["run"] == "#box=StripOptions&run=r0"
    assert (log["among"], log["back"]) == ("true", "← StripOptions")
    assert log["again"] == "#box=StripOptions false true"


def test_runs_are_found_by_the_rule_they_broke_and_by_whom_they_blame(directory, found, run, tmp_path):
    def broke(rule, who="client"):
        return Finding(
            f"claim of {rule}", f"{who}: seen", False, rule=rule, who=who, evidence=(Evidence(3, ""),)
        )

    failed = {"verdict": Verdict.FAIL, "artifacts": {}}
    runs = [
        run(0, id="one", findings=(broke("a.rule"), broke("b.rule")), blame=("client",), **failed),
        run(1, id="two", findings=(broke("b.rule", "server"),), blame=("server",), **failed),
        run(2, id="three", artifacts={}),
    ]
    file = render(directory(found(runs)))
    assert "b.rule" in (text := Page(file.read_text(encoding="utf-8")).text)
    assert "linux as client: 1 run linux as server: 1 run 2 runs of 2 cases" in text
    for state, count, shown in (
        ({"rule": "a.rule"}, "1 of 3", ["a.rule"]),
        ({"rule": "b.rule"}, "2 of 3", ["b.rule"]),
        ({"blame": "linux as server"}, "1 of 3", ["b.rule"]),
        ({"blame": "linux"}, "2 of 3", ["b.rule", "a.rule"]),
    ):
        dom, complaints = browse(file, tmp_path, state)
        assert complaints == []
        assert f"{count} runs" in dom
        rules = re.findall(r'data-rule="([\w.]+)"( hidden)?', dom)
        assert [rule for rule, hidden in rules if not hidden] == shown
    log = play(file, tmp_path, """
      document.querySelector("[data-rule='b.rule'] a[data-frame]").click(); await pause();
      note("example", location.hash);
    """)  # fmt: skip
    assert log["example"] == "#run=one&frame=3"
