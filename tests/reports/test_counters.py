"""What moved the kernel's counters, as the report tells it."""

from __future__ import annotations

import pytest

from mbtest.results import Finding, Level, StackState
from reports.counters import LISTED, MEANING, WHY_NOT, counters_of
from reports.html import render

KNOWN = ("MPTcpExtMPFailTx", "MPTcpExtMPFailRx", "MPTcpExtMD5SigFallback", "MPTcpExtOFOQueue")


def linux(knows=KNOWN, **moved):
    counters = {f"MPTcpExt{name}": by for name, by in moved.items()} | {"TcpExtTCPTimeouts": 3}
    return StackState(name="linux", counters=counters, knows=knows)


def disagrees(counter):
    return Finding(
        expected=f"{counter} as the packets show it: {counter} of the client is exactly 1",
        actual="it is 0", met=False, level=Level.MAY, rule="witness", who="client",
    )  # fmt: skip


def named(counters, name):
    everything = [*(one for group in counters.groups.values() for one in group), *counters.others]
    return next(one for one in everything if one.name == name)


def test_stacks_without_counters_have_no_table(found, run):
    assert counters_of(found([])) is None
    assert counters_of(found([run(1)])) is None


def test_what_moved_a_counter(found, run):
    runs = [
        run(1, case="fail.one", stacks={"client": linux(MPFailTx=1), "server": linux(MPFailTx=1)}),
        run(2, case="fail.one", stacks={"client": linux(MPFailTx=5)}),
        run(3, case="fail.two", stacks={"client": linux(MPFailTx=1, MPFailRx=2)}),
        run(4, case="fail.two", stacks={"client": linux()}),
    ]
    counters = counters_of(found(runs))
    sent, received = named(counters, "MPFailTx"), named(counters, "MPFailRx")
    assert (sent.total, sent.runs, sent.more) == (8, 3, 0)
    assert [(one.case, one.index, one.by) for one in sent.movers] == [("fail.one", 1, 5), ("fail.two", 2, 1)]
    assert sent.movers[0].run == runs[1].id
    assert [one.case for one in received.movers] == ["fail.two"]


def test_only_counters_that_a_kernel_has_are_listed(found, run):
    counters = counters_of(found([run(1, stacks={"client": linux(), "server": linux(knows=())})]))
    assert {group: [one.name for one in found] for group, found in counters.groups.items()} == {
        "fallback": ["MD5SigFallback"],
        "failure, checksum, infinite mapping": ["MPFailTx", "MPFailRx"],
    }
    assert [one.name for one in counters.others] == ["OFOQueue"]
    assert (counters.number, len(counters.unmoved)) == (3, 3)


def test_a_counter_that_nothing_moves_says_why_where_there_is_a_reason(found, run):
    counters = counters_of(found([run(1, stacks={"client": linux()})]))
    assert named(counters, "MD5SigFallback").why_not
    assert not named(counters, "MPFailTx").why_not
    moved = counters_of(found([run(1, stacks={"client": linux(MD5SigFallback=1)})]))
    assert not named(moved, "MD5SigFallback").why_not


def test_reasons_are_of_counters_that_are_listed():
    assert set(WHY_NOT) <= {name for meanings in MEANING.values() for name in meanings}


def test_many_cases_are_counted_and_not_named(found, run):
    runs = [run(n, case=f"case.{n}", stacks={"client": linux(MPFailTx=1)}) for n in range(LISTED + 3)]
    sent = named(counters_of(found(runs)), "MPFailTx")
    assert (len(sent.movers), sent.more, sent.runs) == (LISTED, 3, LISTED + 3)


def test_contradictions_by_counter_and_of_sockets(found, run):
    runs = [
        run(1, stacks={"client": linux()}),
        run(2, stacks={"client": linux()}, findings=(disagrees("MPFailTx"), disagrees("MPFailTx"))),
        run(3, stacks={"client": linux()}, findings=(disagrees("MPFailTx"), disagrees("rcv_nxt"))),
    ]
    counters = counters_of(found(runs))
    assert [one.index for one in named(counters, "MPFailTx").contradicted] == [1, 2]
    assert {name: [one.run for one in runs] for name, runs in counters.sockets.items()} == {
        "rcv_nxt": [runs[2].id]
    }


@pytest.mark.parametrize("has", [False, True])
def test_the_page_has_them_where_there_are_any(found, run, directory, has):
    stacks = {"client": linux(MPFailTx=1)} if has else {}
    text = render(directory(found([run(1, stacks=stacks)]))).read_text(encoding="utf-8")
    assert ('id="counters-title"' in text) is has
    assert ("<code>MPFailTx</code>" in text) is has
    assert ("setsockopt(TCP_MD5SIG) on a socket" in text) is has
