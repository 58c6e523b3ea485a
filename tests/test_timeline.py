"""What happened in a run, event by event."""

import pytest

from mbtest.interference import interference
from mbtest.network.capture import Capture
from mbtest.observe.courses import Courses
from mbtest.observe.trace import OTHER, Trace
from mbtest.timeline import Event, beginning, events
from mbtest.wire import ACK, RST, SYN, Dss, MpCapable, MpTcprst, Segment
from tests.observe.conversation import ADDRESSES, IDSN, MASK_64, SYN_OPTIONS, Talk
from tests.observe.rules.test_fallback import answered, infinite
from tests.stored import captured


def happened(capture: Capture) -> list[Event]:
    frames = list(capture)
    acts = interference(frames, ("Box",))
    courses = Courses(watch={act.origin for act in acts})
    trace = Trace(courses)
    for frame in frames:
        sender = OTHER[frame.side] if frame.outbound else frame.side
        trace.add(frame.number, frame.time_us, frame.path, frame.side, sender, frame.raw)
    trace.finish()
    found = events(trace, courses, acts, frames)
    assert [event.time for event in found] == sorted(event.time for event in found)
    assert all(event.time >= beginning(trace) for event in found)
    return found


def beginning_of(talk: Talk) -> int:
    trace = Trace()
    for frame in captured(talk):
        sender = OTHER[frame.side] if frame.outbound else frame.side
        trace.add(frame.number, frame.time_us, frame.path, frame.side, sender, frame.raw)
    return beginning(trace)


def words(talk: Talk) -> list[str]:
    return [f"{event.who} {event.words}" for event in happened(captured(talk))]


def one(talk: Talk, part: str) -> str:
    (found,) = [line for line in words(talk) if part in line]
    return found


def test_a_connection_from_handshake_to_end():
    assert words(Talk(checksum=True).established().exchange().close()) == [
        "client SYN 198.18.1.2:40000 > 198.19.1.2:80, MP_CAPABLE v1 checksum",
        "server accepts with MP_CAPABLE v1 checksum",
        "client third ACK, with MP_CAPABLE",
        "client sends 200 octets in 2 segments until 0.012000 s, frame 13",
        "server sends 200 octets in 2 segments until 0.016000 s, frame 17",
        "client ends its stream: DATA_FIN, octet 201 in frame 21, FIN in frame 29",
        "server ends its stream: DATA_FIN, octet 201 in frame 25, FIN in frame 31",
    ]


def test_times_begin_with_the_first_syn():
    capture = captured(Talk().established(), begin=5_000_000)
    assert happened(capture)[0].time == 5_001_000


def test_where_both_open_the_connection_each_syn_is_its_own():
    talk = Talk()
    talk.send("server", *SYN_OPTIONS, flags=SYN)
    talk.send("client", *SYN_OPTIONS, flags=SYN)
    first, second = [event for event in happened(captured(talk)) if "SYN" in event.words]
    assert (first.who, first.words[:40]) == ("server", "SYN 198.19.1.2:80 > 198.18.1.2:40000, re")
    assert (second.who, second.words[:40]) == ("client", "SYN 198.18.1.2:40000 > 198.19.1.2:80, re")
    assert first.time == beginning_of(talk)


def test_what_was_changed_on_its_way_is_found_not_sent():
    talk = Talk().handshake(until=2)
    wrong = talk.send("client", MpCapable(talk.flags, 1, 2), unsent=True, lost=True)
    talk.send("client", talk.capable(), arrives=wrong)
    assert one(talk, "MP_CAPABLE was") == "server finds that MP_CAPABLE was changed on its way"


def test_syns_are_counted():
    talk = Talk()
    for _ in range(3):
        talk.handshake(until=1)
        talk.flows[0].next["client"] = 0
    assert "client SYN once more, 2 times" in words(talk)


def test_a_join_is_one_event_however_it_ends():
    talk = Talk().established()
    talk.join()
    frame = len(talk.frames)
    assert one(talk, "joins") == (
        f"client subflow 2 joins: 198.18.2.2:41001 > 198.19.1.2:80, established in frame {frame}"
    )
    refused = Talk().established()
    refused.join(until=1)
    refused.reset("server", MpTcprst(reason=1), flow=1)
    assert one(refused, "joins").endswith("never established")
    assert one(refused, "RST") == "server sends RST, MP_TCPRST reason 1: MPTCP-specific error on subflow 2"


def test_the_server_counts_subflows_as_the_client_does():
    talk = Talk().established()
    first, second = talk.open(), talk.open()
    talk.flows[second].address = {**talk.flows[second].address, "client": "198.18.3.2"}
    talk.send("client", *SYN_OPTIONS, talk.join_syn(first), flags=SYN, flow=first, lost=True)
    talk.join(flow=second)
    talk.data("server", flow=second)
    assert one(talk, "server sends 100 octets on subflow 3")


def test_detection_and_fallback_are_told_in_order():
    talk = infinite(answered())
    found = [line for line in words(talk) if "octets" not in line or "checksum" in line]
    told = [line for line in found if any(part in line for part in ("checksum of", "MP_FAIL", "infinite"))]
    assert told == [
        "server finds that the checksum of octets 101 to 200 is wrong",
        "server sends MP_FAIL, octet 101",
        "client sends MP_FAIL, octet 101",
        "client sends an infinite mapping from octet 201",
    ]


def test_what_is_sent_again_is_told_with_its_octets():
    talk = Talk().established()
    for _ in range(3):
        talk.data("client", seq=101, lost=True)
        talk.stream["client"] = 101
    assert "retransmits octets 101 to 200 of the subflow, in 2 segments until" in one(talk, "retransmits")
    again = Dss(dsn=(IDSN["client"] + 1) & MASK_64, dsn_64=True, subflow_sequence=201, length=100)
    talk.send("client", again, payload=bytes(100))
    assert one(talk, "again") == "client sends octets 1 to 100 of its stream again, under new SSNs"


def test_data_that_lost_its_mapping_is_received_without_one():
    talk = Talk().established()
    bare = Talk()
    bare.flows = [type(talk.flows[0])(**{**vars(talk.flows[0]), "next": {**talk.flows[0].next}})]
    talk.data("client", arrives=bare.send("client", payload=bytes(100), lost=True))
    talk.send("server")
    talk.send("server")
    assert one(talk, "receives") == "server receives data without a mapping"
    assert one(talk, "no option") == "server sends no option of MPTCP from here on, 2 segments"


def test_data_that_never_had_a_mapping_is_its_senders_doing():
    talk = Talk().established()
    talk.send("client", payload=bytes(100))
    assert (
        one(talk, "without a mapping") == "client sends data without a mapping: regular TCP, without a signal"
    )
    assert not any("no option" in line for line in words(talk))


def test_regular_tcp_is_not_told_to_send_no_options():
    talk = Talk().handshake(mptcp=False)
    talk.send("client", payload=bytes(10))
    found = words(talk)
    assert "client goes on as regular TCP: the SYN asked for no MPTCP" in found
    assert "client third ACK, without MPTCP" in found
    assert not any("no option" in line for line in found)


@pytest.mark.parametrize(("frame", "rank"), [(1, 1), (2, 0)])
def test_a_box_acts_after_what_was_sent_and_before_it_arrives(frame, rank):
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, flags=SYN)
    talk.send("server", flags=RST | ACK)
    capture = captured(talk)
    capture.annotate(frame, "Box removed MP_CAPABLE v1")
    found = [event for event in happened(capture) if event.frame == frame]
    assert found[rank].who == "box"
    assert found[rank].words == "the client's SYN: Box removed MP_CAPABLE v1"


def test_what_a_link_does_is_no_boxs_doing():
    capture = captured(Talk().established())
    capture.annotate(1, "lost by the link (stated loss 1 %)")
    assert [event.who for event in happened(capture) if "lost" in event.words] == ["link"]


def test_moved_numbers_weigh_less_than_altered_octets():
    capture = captured(Talk().established())
    capture.annotate(2, "Box seq +7")
    capture.annotate(4, "Box source 198.19.1.2 became 198.51.100.1")
    capture.annotate(8, "Box 1 octets of payload changed, the first at 0")
    moved, translated, altered = (event.weight for event in happened(capture) if event.who == "box")
    assert moved == translated < altered


def test_icmp_is_told():
    capture = captured(Talk().established())
    message = bytearray(Segment.build(ADDRESSES["server"][0], ADDRESSES["client"][0], 80, 40_000).raw)
    message[9] = 1
    capture.record(2_000_000, 0, True, bytes(message))
    capture.record(2_000_000, 0, True, b"\x45")
    assert [event.words for event in happened(capture) if event.who == "client"][
        -1
    ] == "receives an ICMP message"


def test_nothing_at_all():
    assert happened(Capture(("p/client", "p/server"))) == []
