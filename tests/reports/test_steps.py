from __future__ import annotations

import pytest

from mbtest.wire import ACK, RST, SYN, Dss, MpFail, MpJoinSyn, Segment
from mbtest.wire.keys import token
from reports.packets import Numbers, frames_of, passages_of
from reports.steps import Spans, steps_of


def _steps(conversation):
    passages = passages_of(frames_of(list(conversation.capture)))
    return steps_of(passages, Numbers(passages))


@pytest.mark.parametrize(
    ("words", "fate"),
    [
        (None, "lost"),
        ("lost by the link (stated loss 5 %)", "dropped"),
        ("Coalesce held it", "held"),
        ("Captive let nothing pass", "withheld"),
    ],
)
def test_nothing_came_out(talk, words, fate):
    conversation = talk()
    segment = Segment.build("198.18.1.2", "198.19.1.2", 1, 2, flags=ACK)
    number = conversation.capture.record(0, 0, False, segment.raw)
    if words:
        conversation.capture.annotate(number, words)
    assert _steps(conversation)[0].fate == fate


def test_held_segments_say_where_they_went_on(talk):
    conversation = talk()
    conversation.handshake()
    capture, ends = conversation.capture, ("198.18.1.2", "198.19.1.2", 41234, 5001)
    first = Segment.build(*ends, seq=3_000_000_001, flags=ACK, payload=b"a" * 10)
    second = Segment.build(*ends, seq=3_000_000_011, flags=ACK, payload=b"b" * 10)
    merged = Segment.build(*ends, seq=3_000_000_001, flags=ACK, payload=b"a" * 10 + b"b" * 10)
    for segment in (first, second):
        capture.annotate(capture.record(2_000_000, 0, False, segment.raw), "CoalesceSegments held it")
    out = capture.record(2_000_900, 1, True, merged.raw)
    capture.annotate(out, "CoalesceSegments merged 2 segments")
    steps = _steps(conversation)[3:]
    assert [step.fate for step in steps] == ["held", "held", "sent"]
    assert steps[0].deeds[-1] == steps[1].deeds[-1] == f"goes on in frame {out}"


def test_a_long_delay_is_drawn_where_the_packet_comes_out(talk):
    conversation = talk()
    conversation.handshake()
    segment = Segment.build("198.18.1.2", "198.19.1.2", 41234, 5001, seq=3_000_000_001, flags=ACK)
    entry = conversation.pass_on("client", segment, after=500_000)
    held, released = _steps(conversation)[3:]
    assert (held.fate, released.fate, released.origins) == ("held", "sent", (entry,))
    assert released.deeds == ["held for 499 ms"]


def test_what_was_sent_before_is_remarked(talk):
    conversation = talk()
    conversation.handshake()
    conversation.data("client", b"x" * 10)
    conversation.data("client", b"x" * 10)
    conversation.next["client"] -= 10
    conversation.dsn["client"] -= 10
    conversation.data("client", b"x" * 10)
    conversation.dsn["client"] -= 10
    conversation.data("client", b"x" * 10)
    remarks = [step.remarks for step in _steps(conversation) if step.entry.segment.payload_length]
    assert remarks == [[], [], ["retransmission"], ["reinjection"]]


def test_segments_of_one_mapping_are_no_repetition(talk):
    conversation = talk()
    conversation.handshake()
    mapping = Dss(dsn=conversation.dsn["client"], dsn_64=True, subflow_sequence=1, length=20)
    for _ in range(2):
        conversation.send("client", ACK, (mapping,), b"x" * 10)
    assert not any(step.remarks for step in _steps(conversation))


def test_what_says_something_is_told_from_data_and_acks(talk):
    conversation = talk()
    conversation.handshake()
    conversation.data("client", b"x" * 10)
    conversation.send("client", ACK, (Dss(data_fin=True, dsn=1, length=1),))
    conversation.send("client", ACK, (Dss(dsn=1),))
    conversation.send("client", ACK, (MpFail(1),))
    conversation.send("client", RST)
    says = [bool(step.sayings) for step in _steps(conversation)]
    assert says == [True, True, True, False, False, True, True, True, True]


def test_spans_know_what_was_added():
    numbers, spans = set(), Spans()
    for start, end in ((10, 20), (30, 40), (12, 18), (5, 12), (19, 31), (50, 60), (0, 70), (3, 66), (70, 71)):
        wanted = set(range(start, end))
        assert spans.add(start, end) == (wanted <= numbers)
        numbers |= wanted


def test_data_that_overtakes_on_another_subflow_is_no_reinjection(talk):
    first = talk()
    first.handshake()
    second = talk(first.capture, path="c2-s1")
    second.ends["client"] = ("198.18.2.2", 4000)
    second.send("client", SYN, (MpJoinSyn(2, token(0xFEDCBA9876543210), 1),))
    second.dsn["client"] += 1000
    second.data("client", b"x" * 10)
    first.data("client", b"x" * 10)
    assert not any(step.remarks for step in _steps(first))
