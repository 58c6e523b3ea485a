from __future__ import annotations

from typing import Any

import pytest

from mbtest.errors import UsageError
from mbtest.middlebox import Aim
from mbtest.wire import (
    ACK,
    RST,
    SYN,
    Dss,
    Experimental,
    MaximumSegmentSize,
    MpCapable,
    MpJoinSyn,
    MpTcprst,
    NoOperation,
    SackPermitted,
    Segment,
    TcpOption,
    Timestamps,
    UnknownOption,
    WindowScale,
)
from middleboxes.reject_options import RejectOptions
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, Line, segment, segments

CLASSIC = (2, 3, 4, 5, 8)
PLAIN = (MaximumSegmentSize(1460), SackPermitted(), Timestamps(1, 0), NoOperation(), WindowScale(7))


@pytest.mark.parametrize(
    ("told", "rejected", "passed"),
    [
        ({}, [MpCapable(), Dss(1)], [Timestamps(1, 2), Experimental(253, 1)]),
        ({"forms": MpJoinSyn}, [MpJoinSyn(1, 2, 3)], [MpCapable()]),
        ({"kinds": (8,)}, [Timestamps(1, 2)], [MpCapable()]),
        ({"subtypes": (2,)}, [Dss(1)], [MpCapable()]),
        ({"known": CLASSIC}, [MpCapable(), UnknownOption(76), Experimental(253, 1)], [*PLAIN]),
        ({"known": (*CLASSIC, 30)}, [UnknownOption(76)], [MpCapable()]),
    ],
)
@pytest.mark.parametrize("answer", ["drop", "reset"])
def test_segments_with_a_rejected_option_do_not_pass(
    told: dict[str, Any], rejected: list[TcpOption], passed: list[TcpOption], answer: Any
) -> None:
    line = Line(RejectOptions(**told, answer=answer))
    for option in rejected:
        assert line.put(segment(options=[NoOperation(), option])) == []
    for option in passed:
        one = segment(options=[option])
        assert line.put(one)[0] is one


def test_what_cannot_be_read_is_no_kind_that_is_known() -> None:
    broken = segment(options=[SackPermitted(), NoOperation(), NoOperation()]).with_option_block(
        b"\x1e\x01\0\0"
    )
    assert Line(RejectOptions(known=CLASSIC)).put(broken) == []
    assert Line(RejectOptions()).put(broken) == [broken]


def answers(one: Segment, **told: Any) -> list[Segment]:
    line = Line(RejectOptions(**told))
    assert line.put(one) == []
    return segments(line.out, TO_CLIENT)


def test_a_syn_is_answered_as_by_a_closed_port() -> None:
    (answer,) = answers(segment(2**32 - 1, flags=SYN, options=[MpCapable()]), answer="reset")
    assert (answer.flags, answer.seq, answer.ack, answer.options) == (RST | ACK, 0, 0, ())
    assert (answer.source_port, answer.destination_port) == (80, 40000)
    assert answer.checksum_is_right()


def test_a_segment_that_acknowledges_is_reset_at_that_number() -> None:
    (answer,) = answers(segment(5, b"data", ack=700, options=[Dss(1)]), answer="reset")
    assert (answer.flags, answer.seq) == (RST, 700)


def test_a_reset_is_never_answered() -> None:
    assert answers(segment(flags=RST, options=[MpTcprst(1)]), answer="reset") == []


def test_nobody_is_told_unless_it_is_wanted() -> None:
    assert answers(segment(flags=SYN, options=[MpCapable()])) == []


def test_syns_are_swallowed_for_a_while() -> None:
    line = Line(RejectOptions(MpCapable, aim=Aim(direction=TO_SERVER, until_time=2_000_000)))
    syn = segment(flags=SYN, options=[MpCapable()])
    assert line.put(syn) == []
    assert line.put(segment(flags=SYN)) != []
    line.wait(2_000_000)
    assert line.put(syn) == [syn]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"known": CLASSIC, "forms": Dss}, "says what passes"),
        ({"known": CLASSIC, "subtypes": (1,)}, "says what passes"),
        ({"known": (1,)}, "out of range"),
        ({"kinds": (0,)}, "out of range"),
        ({"answer": "icmp"}, "should be"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=rf"^RejectOptions: .*{words}"):
        RejectOptions(**told)
