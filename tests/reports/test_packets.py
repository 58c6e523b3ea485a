from __future__ import annotations

from mbtest.wire import ACK, SYN, MpCapable, MpJoinSyn, Segment
from mbtest.wire.keys import token
from reports.packets import Numbers, frames_of, passages_of

SERVER_KEY = 0xFEDCBA9876543210


def _read(talk):
    frames = frames_of(list(talk.capture))
    passages = passages_of(frames)
    return frames, passages, Numbers(passages)


def test_an_exit_belongs_to_the_frame_that_entered(talk):
    conversation = talk()
    conversation.handshake()
    frames, passages, _ = _read(conversation)
    assert [(p.entry.number, [out.number for out in p.exits]) for p in passages] == [
        (1, [2]),
        (3, [4]),
        (5, [6]),
    ]
    assert [frame.direction for frame in frames] == ["to_server"] * 2 + ["to_client"] * 2 + ["to_server"] * 2


def test_what_a_box_sends_by_itself_entered_nowhere(talk):
    conversation = talk()
    conversation.handshake()
    forged = Segment.build("198.19.1.2", "198.18.1.2", 5001, 41234, flags=ACK)
    conversation.capture.record(conversation.time, 0, True, forged.raw)
    _, passages, _ = _read(conversation)
    assert passages[-1].entry is None
    assert passages[-1].exits[0].direction == "to_client"


def test_numbers_are_relative_to_each_side_of_a_rewriting_box(talk):
    def rewrite(sender, segment):
        return [segment.replace(seq=int(segment.seq) + 1000) if sender == "client" else segment]

    conversation = talk(box=rewrite)
    conversation.handshake()
    conversation.data("client", b"x" * 100)
    frames, _, numbers = _read(conversation)
    assert numbers.seq(frames[0], frames[0].segment) == 0
    for seen in frames[6:8]:
        assert numbers.seq(seen, seen.segment) == 1


def test_data_numbers_count_from_the_key(talk):
    conversation = talk()
    conversation.handshake()
    conversation.data("client", b"x" * 100)
    conversation.data("client", b"x" * 100)
    frames, _, numbers = _read(conversation)
    dss = frames[10].segment.options[0]
    assert numbers.data(frames[10], "to_server", dss.dsn, dss.dsn_64) == 101
    assert numbers.data(frames[10], "to_server", dss.dsn & 0xFFFFFFFF, wide=False) == 101
    assert numbers.data(frames[10], "to_server", 1 << 63, wide=True) is None


def test_a_flow_without_its_handshake_counts_from_what_was_seen_first(talk):
    conversation = talk()
    conversation.data("client", b"x" * 100)
    frames, _, numbers = _read(conversation)
    assert numbers.seq(frames[0], frames[0].segment) == 1
    assert numbers.ack(frames[0], frames[0].segment) == 1
    assert numbers.subflows[0].opening == "in its course"


def test_a_join_belongs_to_the_connection_of_its_token(talk):
    first = talk()
    first.handshake()
    second = talk(first.capture, path="c2-s1")
    second.ends["client"] = ("198.18.2.2", 4000)
    second.send("client", SYN, (MpJoinSyn(2, token(SERVER_KEY), 1),))
    second.ends["client"] = ("198.18.2.2", 4001)
    second.send("client", SYN, (MpCapable(),))
    _, _, numbers = _read(first)
    assert [(s.number, s.connection, s.opening, s.path) for s in numbers.subflows] == [
        (1, 1, "MP_CAPABLE", "c1-s1"),
        (2, 1, "MP_JOIN id 2", "c2-s1"),
        (3, 2, "MP_CAPABLE", "c2-s1"),
    ]


def test_a_subflow_is_one_on_both_sides_of_an_address_translation(talk):
    def translate(sender, segment):
        if sender == "client":
            return [segment.replace(source_port=60000)]
        return [segment.replace(destination_port=41234)]

    conversation = talk(box=translate)
    conversation.ends["server"] = ("198.19.1.2", 5001)
    conversation.send("client", SYN)
    frames, _, numbers = _read(conversation)
    assert [frame.subflow for frame in frames] == [1, 1]
    assert numbers.subflows[0].outside == "198.18.1.2:60000 → 198.19.1.2:5001"


def test_octets_that_are_no_packet_are_said_to_be_none(talk):
    conversation = talk()
    conversation.capture.record(0, 0, False, b"\x45junk")
    frames, passages, _ = _read(conversation)
    assert frames[0].packet is None
    assert frames[0].problem
    assert len(passages) == 1


def test_failed_expectations_and_broken_rules_are_told_from_deeds(talk):
    conversation = talk()
    conversation.handshake()
    rule = "RFC 8684 §3.7 fallback.signalled: A sender that gives MPTCP up says so"
    for comment in (
        "expectation failed: outcome multipath",
        rule,
        " witness: MPFailTx is 1",
        "Drop dropped it",
    ):
        conversation.capture.annotate(1, comment)
    frames, _, _ = _read(conversation)
    assert frames[0].failures == ("outcome multipath", rule, " witness: MPFailTx is 1")
    assert frames[0].words == ("Drop dropped it",)
