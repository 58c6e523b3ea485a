from __future__ import annotations

import pytest

from mbtest.wire import ACK, SYN, Dss, MpCapable, MpFail, Sack, Segment
from reports.packets import frames_of, passages_of
from reports.rows import rows_of


def _rows(conversation):
    return rows_of(passages_of(frames_of(list(conversation.capture))))[0]


def _labels(view):
    return [f"{label.name} {label.detail}".strip() for label in view.options]


def test_an_unchanged_packet_is_one_row(talk):
    conversation = talk()
    conversation.handshake()
    rows = _rows(conversation)
    assert [row.fate for row in rows] == ["through"] * 3
    assert [(row.entry.flags, row.entry.seq, row.entry.ack) for row in rows] == [
        ("SYN", 0, None),
        ("SYN ACK", 0, 1),
        ("ACK", 1, 1),
    ]
    assert _labels(rows[0].entry)[-1] == "MP_CAPABLE v1"
    assert _labels(rows[2].entry)[-1] == "MP_CAPABLE v1 both keys"
    assert "3000000000" in rows[0].entry.line
    assert rows[0].exits[0].line == ""


def test_a_removed_option_is_marked_and_named_once(talk):
    conversation = talk(box=lambda _, segment: [segment.without_options(MpCapable)])
    conversation.handshake()
    row = _rows(conversation)[0]
    assert row.fate == "changed"
    assert [label.name for label in row.entry.options if label.change == "removed"] == ["MP_CAPABLE"]
    assert not any(label.change for label in row.exits[0].options)
    assert row.deeds == ["StripOptions removed MP_CAPABLE"]


def test_an_added_option_is_marked(talk):
    conversation = talk(box=lambda _, segment: [segment.with_options((*segment.options, MpFail(7)))])
    conversation.send("client", ACK)
    row = _rows(conversation)[0]
    assert [label.name for label in row.exits[0].options if label.change == "added"] == ["MP_FAIL"]
    assert row.entry.options == []


def test_two_equal_options_of_which_one_goes(talk):
    two = (Dss(data_ack=5), Dss(data_ack=5))
    conversation = talk(box=lambda _, segment: [segment.with_options(two[:1])])
    conversation.send("client", ACK, two)
    assert [label.change for label in _rows(conversation)[0].entry.options] == ["", "removed"]


def test_a_dropped_packet_ends_at_the_box(talk):
    conversation = talk(box=lambda _, segment: [])
    conversation.send("client", SYN)
    row = _rows(conversation)[0]
    assert (row.fate, row.exits, row.deeds) == ("dropped", [], ["DropSegments dropped it"])


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
    assert _rows(conversation)[0].fate == fate


def test_a_split_segment_has_several_exits(talk):
    def split(_, segment):
        half = len(segment.payload) // 2
        if not half:
            return [segment]
        return [
            segment.replace(payload=segment.payload[:half]),
            segment.replace(seq=int(segment.seq) + half, payload=segment.payload[half:]),
        ]

    conversation = talk(box=split)
    conversation.handshake()
    conversation.data("client", b"x" * 100)
    row = _rows(conversation)[3]
    assert row.fate == "split"
    assert [(out.seq, out.length) for out in row.exits] == [(1, 50), (51, 50)]
    assert row.deeds == ["SplitSegments made 2 segments of it"]


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
    rows = _rows(conversation)[3:]
    assert [row.fate for row in rows] == ["held", "held", "sent"]
    assert rows[0].deeds[-1] == rows[1].deeds[-1] == f"goes on in frame {out}"


def test_a_long_delay_is_drawn_where_the_packet_comes_out(talk):
    conversation = talk()
    conversation.handshake()
    segment = Segment.build("198.18.1.2", "198.19.1.2", 41234, 5001, seq=3_000_000_001, flags=ACK)
    entry = conversation.pass_on("client", segment, after=500_000)
    held, released = _rows(conversation)[3:]
    assert (held.fate, released.fate, released.origins) == ("held", "sent", [entry])
    assert released.deeds == ["held for 499 ms"]


def test_numbers_of_options_are_relative(talk):
    conversation = talk()
    conversation.handshake()
    conversation.data("client", b"x" * 10)
    conversation.send(
        "server", ACK, (Sack(((3_000_000_020, 3_000_000_030),)), MpFail(conversation.dsn["client"]))
    )
    rows = _rows(conversation)
    assert _labels(rows[3].entry) == ["DSS DSN 1 length 10 checksum Data ACK 1"]
    assert _labels(rows[-1].entry) == ["SACK 20–30", "MP_FAIL DSN 11"]
    assert str(int(conversation.dsn["client"])) in rows[-1].entry.options[1].words


def test_an_infinite_mapping_is_named(talk):
    conversation = talk()
    conversation.handshake()
    option = Dss(dsn=conversation.dsn["client"], dsn_64=True, subflow_sequence=1, length=0, checksum=0)
    conversation.send("client", ACK, (option,), b"x")
    assert _labels(_rows(conversation)[-1].entry) == ["DSS infinite mapping DSN 1 SSN 1 checksum"]


def test_what_is_no_tcp_segment_is_shown(talk):
    conversation = talk()
    icmp = bytearray(Segment.build("198.18.1.2", "198.19.1.2", 1, 2).raw)
    icmp[9] = 1
    conversation.capture.record(0, 0, False, bytes(icmp))
    conversation.capture.record(0, 0, False, b"\x00")
    rows = _rows(conversation)
    assert [row.entry.flags for row in rows] == ["ICMP", "no IP packet"]


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
    remarks = [row.remarks for row in _rows(conversation) if row.entry.length]
    assert remarks == [[], [], ["retransmission"], ["reinjection: data that was sent before"]]


def test_segments_of_one_mapping_are_no_repetition(talk):
    conversation = talk()
    conversation.handshake()
    mapping = Dss(dsn=conversation.dsn["client"], dsn_64=True, subflow_sequence=1, length=20)
    for _ in range(2):
        conversation.send("client", ACK, (mapping,), b"x" * 10)
    assert not any(row.remarks for row in _rows(conversation))
