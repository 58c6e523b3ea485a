from __future__ import annotations

from mbtest.results import BoxUse, Fallback, Outcome, Verdict
from reports.matrix import box_names, columns_of, differing_cases, outcome_words, topics_of


def test_one_pair_has_a_column_for_each_family(run):
    runs = [run(0), run(1, family="mixed"), run(2, verdict=Verdict.FAIL)]
    columns = columns_of(runs)
    assert [column.label for column in columns] == ["linux → linux, IPv4", "linux → linux, mixed"]
    assert [column.tally for column in columns] == [{Verdict.PASS: 1, Verdict.FAIL: 1}, {Verdict.PASS: 1}]


def test_several_pairs_have_a_column_each_in_the_order_in_which_they_ran(run):
    runs = [run(0, server="reference"), run(0), run(0, family="v6")]
    columns = columns_of(runs)
    assert [column.label for column in columns] == ["linux → reference", "linux → linux"]
    assert [sum(column.tally.values()) for column in columns] == [1, 2]


def test_no_runs_have_no_columns():
    assert columns_of([]) == []
    assert topics_of([], []) == {}


def test_pairs_differ_where_a_variant_they_both_ran_came_to_different_ends(run):
    def both(number, one, other, **changed):
        return [
            run(number, verdict=one[0], outcome=one[1]),
            run(number, client="reference", verdict=other[0], outcome=other[1], **changed),
        ]

    same, fallen = (Verdict.PASS, Outcome.MULTIPATH), (Verdict.PASS, Outcome.FELL_BACK)
    failed = Verdict.FAIL, Outcome.MULTIPATH
    runs = [
        *both(0, same, same),
        *both(1, same, fallen),
        *both(2, same, failed),
        *both(3, same, failed, family="v6"),
        *both(4, same, failed, checksum=True),
    ]
    assert differing_cases(runs) == {"handshake.example-1", "handshake.example-2"}
    (rows,) = topics_of(runs, columns_of(runs)).values()
    assert [row.differs for row in rows] == [False, True, True, False, False]


def test_runs_of_a_cell_that_came_to_the_same_are_together_by_family(run):
    runs = [
        run(0, id="d", family="v6"),
        run(0, id="a"),
        run(0, id="b", direction="to_client"),
        run(0, id="c", checksum=True, verdict=Verdict.FAIL),
        run(0, id="other", client="tcp"),
    ]
    (row,) = topics_of(runs, columns_of(runs))["handshake"]
    failed, passed = row.cells[0]
    assert (failed.verdict, failed.number, passed.number) == (Verdict.FAIL, 1, 3)
    assert {family: [mark.label for mark in marks] for family, marks in passed.marks.items()} == {
        "v4": ["→", "←"],
        "v6": ["→"],
    }
    assert [mark.index for mark in passed.marks["v4"]] == [1, 2]


def test_cases_are_in_the_order_of_their_numbers(run):
    runs = [run(10), run(9), run(1)]
    (rows,) = topics_of(runs, columns_of(runs)).values()
    assert [row.case.rpartition("-")[2] for row in rows] == ["1", "9", "10"]


def test_an_outcome_in_words(run):
    assert outcome_words(run(0, outcome=Outcome.FELL_BACK, fallback=Fallback.WITHOUT_SIGNAL)) == (
        "fell back without a signal"
    )
    assert outcome_words(run(0, outcome=None)) == "no outcome"


def test_boxes_are_named_as_their_classes_once_each_and_those_in_others_besides(run):
    uses = [
        "StripOptions(forms=MpCapable, aim=Aim(kinds=SYN))",
        "Reroute(after=(FlipBits(field='key', aim=None), StripOptions()))",
        "PassThrough()",
    ]
    found = box_names(run(0, boxes=tuple(BoxUse("c1-s1", use, 1) for use in uses)))
    assert found == ["StripOptions", "Reroute", "FlipBits", "PassThrough"]


def test_a_case_names_its_boxes(run):
    runs = [run(0), run(0, id="other", boxes=(BoxUse("c1-s1", "PassThrough()", 0),))]
    ((row,),) = topics_of(runs, columns_of(runs)).values()
    assert row.boxes == ["StripOptions", "PassThrough"]
