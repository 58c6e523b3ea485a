"""What boxes and links did, by the comments of a capture."""

import pytest

from mbtest.interference import MOVED, interference, kind_of
from mbtest.network.capture import Capture
from mbtest.observe.courses import Place
from tests.observe.conversation import Talk
from tests.stored import captured

BOXES = ("StripOptions", "RewritePayload", "HoldSegments")


def conversation() -> Capture:
    return captured(Talk().established().exchange())


def told(capture: Capture, places=None) -> list[str]:
    return [act.told(places or {}) for act in interference(list(capture), BOXES)]


def test_nothing_was_done():
    assert told(conversation()) == []


def test_alike_deeds_are_one_and_the_first_is_told():
    capture = conversation()
    for number in (2, 6, 8):
        capture.annotate(number, f"StripOptions removed DSS DSN {number} SSN 1 length 9 Data ACK {number}")
    (act,) = interference(list(capture), BOXES)
    assert (act.box, act.packets, act.first.number, act.last.number) == ("StripOptions", 3, 2, 8)
    assert act.told({}) == "to the server: StripOptions removed DSS mapping Data ACK; 3 packets until frame 8"


def test_directions_and_kinds_are_told_apart():
    capture = conversation()
    capture.annotate(2, "StripOptions removed MP_CAPABLE v1")
    capture.annotate(4, "StripOptions removed MP_CAPABLE v1 key 0123456789abcdef")
    capture.annotate(6, "StripOptions removed DSS Data ACK 5")
    assert told(capture) == [
        "to the server: StripOptions removed MP_CAPABLE v1",
        "to the client: StripOptions removed MP_CAPABLE v1",
        "to the server: StripOptions removed DSS Data ACK",
    ]


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("removed MSS 1460; added MSS 400", "MSS 1460 became 400"),
        (
            "removed MP_CAPABLE v1 key 0123456789abcdef; added MP_CAPABLE v1 key 1123456789abcdef",
            "changed MP_CAPABLE v1",
        ),
        ("removed SACK 140-141 138-139; added timestamps 1 2", "removed SACK; added timestamps 1 2"),
        ("removed MP_FAIL DSN 2326516316510477919", "removed MP_FAIL"),
    ],
)
def test_one_option_in_place_of_another_is_told_as_one_change(deed, words):
    capture = conversation()
    capture.annotate(2, f"StripOptions {deed}")
    assert told(capture) == [f"to the server: StripOptions {words}"]


def test_several_boxes_in_one_comment():
    capture = conversation()
    capture.annotate(2, "StripOptions removed DSS; added End of Option List; RewritePayload seq +7; ack -7")
    assert [(act.box, act.words) for act in interference(list(capture), BOXES)] == [
        ("StripOptions", "removed DSS; added End of Option List"),
        ("RewritePayload", "seq +7; ack -7"),
    ]


def test_what_came_out_in_pieces_is_one_packet():
    capture = conversation()
    for number in (2, 3):
        capture.annotate(number, "RewritePayload made 2 segments of it")
    frames = [frame._replace(origin=1) if frame.number in (2, 3) else frame for frame in capture]
    assert {act.packets for act in interference(frames, BOXES)} == {1}


def test_a_place_says_what_the_packet_was_and_which_octet():
    capture = conversation()
    capture.annotate(2, "StripOptions removed MP_CAPABLE v1")
    capture.annotate(8, "RewritePayload 1 octets of payload changed, the first at 40")
    places = {1: Place("client", "SYN", None), 7: Place("client", "octets 101 to 200", 101)}
    assert told(capture, places) == [
        "the client's SYN: StripOptions removed MP_CAPABLE v1",
        "RewritePayload changes octet 141 of the client's stream",
    ]
    more = conversation()
    more.annotate(8, "RewritePayload 3 octets of payload changed, the first at 0")
    assert told(more, places) == ["RewritePayload changes octet 101 of the client's stream, and 2 after it"]
    assert told(more) == ["to the server: RewritePayload 3 octets of payload changed, the first at 0"]


@pytest.mark.parametrize(
    "comment", ["expectation failed: it holds", "RFC 8684 §3.7 fallback.failed-acked: so it is", "what a day"]
)
def test_what_is_wrong_with_a_packet_is_no_deed(comment):
    capture = conversation()
    capture.annotate(2, comment)
    assert told(capture) == []


@pytest.mark.parametrize(
    "comment", ["lost by the link (stated loss 1 %)", "passed around the boxes: offset 0: too short"]
)
def test_what_no_box_did_is_told_all_the_same(comment):
    capture = conversation()
    capture.annotate(1, comment)
    (act,) = interference(list(capture), BOXES)
    assert act.told({}) == f"to the server: {comment}"


def test_a_mere_holding_back_is_told_where_nothing_else_is():
    capture = conversation()
    capture.annotate(1, "HoldSegments held it")
    assert told(capture) == ["to the server: HoldSegments held it"]
    capture.annotate(8, "HoldSegments merged 2 segments")
    assert told(capture) == ["to the server: HoldSegments merged 2 segments"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("seq +5; ack -9", MOVED),
        ("seq +5; removed SACK 1-2; added SACK 6-7", MOVED),
        ("made 12 segments of it", "made N segments of it"),
        ("source 198.18.1.2 became 2001:db8::1", "source N became N"),
        ("removed DSS DSN 5 SSN 1 length 9; seq +5", "removed DSS"),
        ("removed MSS 1460; added MSS 500", "removed MSS; added MSS"),
        ("dropped it", "dropped it"),
    ],
)
def test_kinds_are_words_without_numbers(words, kind):
    assert kind_of(words) == kind
