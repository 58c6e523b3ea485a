from __future__ import annotations

from mbtest.results import BoxInfo, BoxUse, Finding, Verdict
from reports.index import filters_of, index_of

BROKE = Finding("claim", "client: seen", False, rule="fallback.signalled", who="client")
SAID = Finding("MPFailTx is 1", "it is 2", False, rule="witness", who="client")


def test_an_entry_is_short_and_shares_what_many_have(run):
    boxes = (BoxInfo(name="StripOptions", group="options", summary="Strips."),)
    runs = [run(0), run(0, id="six", family="v6"), run(1, boxes=(BoxUse("c1-s1", "PassThrough()", 0),) * 2)]
    index = index_of(runs, boxes, {"handshake.example-0"})
    first, six, other = index["runs"]
    assert index["uses"] == ["StripOptions(MpCapable)", "PassThrough()"]
    assert (first["uses"], six["uses"], other["uses"]) == ([0], [0], [1])
    assert (first["box"], other["box"]) == (["StripOptions"], ["PassThrough"])
    assert index["boxes"]["StripOptions"].summary == "Strips."
    assert index["cases"]["handshake.example-0"]["agreement"] == "differ"
    assert index["cases"]["handshake.example-1"]["agreement"] == "agree"
    assert [case["packed"] for case in index["cases"].values()] == [0, 1]
    assert not {"reason", "rule", "blame"} & first.keys()


def test_a_run_is_found_by_the_rules_it_broke_and_by_whom_it_blames(run):
    runs = [
        run(0, verdict=Verdict.FAIL, reason="why", findings=(BROKE, BROKE, SAID), blame=("client", "server")),
        run(1, client="reference", verdict=Verdict.FAIL, blame=("client",)),
    ]
    one, other = index_of(runs, (), ())["runs"]
    assert (one["rule"], one["reason"]) == (["fallback.signalled", "witness"], "why")
    assert one["blame"] == ["linux", "linux as client", "linux as server"]
    assert other["blame"] == ["reference", "reference as client"]
    filters = filters_of(runs, ())
    assert filters["rule"] == {"fallback.signalled": "fallback.signalled", "witness": "a contradiction"}
    assert list(filters["blame"]) == [*one["blame"], *other["blame"]]


def test_a_filter_with_one_choice_is_none_unless_some_runs_are_without(run):
    assert filters_of([run(0), run(1)], ()) == {}
    assert list(filters_of([run(0), run(1, findings=(BROKE,), family="v6")], ())) == ["rule", "family"]
