from __future__ import annotations

from mbtest.wire import ACK, SYN, Dss, MpCapable, MpFail, Sack, Segment, Timestamps
from reports.packets import Numbers, frames_of, passages_of
from reports.rows import Rows
from reports.steps import steps_of


def _rows(conversation):
    passages = passages_of(frames_of(list(conversation.capture)))
    numbers = Numbers(passages)
    rows = Rows(numbers)
    return [rows.row(step) for step in steps_of(passages, numbers)]


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
    assert rows[0].entry.absolute == (3_000_000_000, 502)
    assert rows[0].exits[0].absolute == ()


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


def test_timestamps_that_a_box_took_from_elsewhere_are_no_news(talk):
    def later(_, segment):
        return [segment.with_options((Timestamps(9, 9), MpFail(2)))]

    conversation = talk(box=later)
    conversation.send("client", ACK, (Timestamps(1, 1), MpFail(1)))
    row = _rows(conversation)[0]
    assert [label.change for label in row.entry.options] == ["", "removed"]
    assert [label.change for label in row.exits[0].options] == ["", "added"]
