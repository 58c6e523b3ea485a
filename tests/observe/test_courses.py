"""What each host sent on each subflow, summed up."""

from mbtest.observe.courses import Courses
from mbtest.observe.rules import Rulebook
from mbtest.observe.trace import Trace
from mbtest.wire import RST, Dss
from tests.observe.conversation import IDSN, MASK_64, Talk


def summed(talk: Talk, watch=()) -> Courses:
    courses = Courses(watch=watch)
    trace = Trace(courses)
    for frame in talk.frames:
        trace.add(*frame)
    trace.finish()
    return courses


def course(talk: Talk, who: str = "client", flow: int = 0):
    return [one for one in summed(talk).of.values() if one.who == who][flow]


def test_new_data_is_counted_once():
    talk = Talk().established()
    talk.data("client", 300)
    found = course(talk)
    assert (found.data, found.octets) == (2, 400)
    assert found.start.frame < found.finish.frame
    assert found.again.number == found.remapped.number == 0


def test_a_retransmission_is_told_with_its_octets():
    talk = Talk().established()
    talk.data("client", lost=True)
    talk.stream["client"] -= 100
    talk.data("client", seq=101)
    again = course(talk).again
    assert (again.number, again.low, again.high) == (1, 101, 201)
    assert again.first == again.last
    assert course(talk).octets == 200


def test_octets_under_new_numbers_are_no_new_data():
    talk = Talk().established()
    dsn = (IDSN["client"] + 1) & MASK_64
    talk.send("client", Dss(dsn=dsn, dsn_64=True, subflow_sequence=101, length=100), payload=bytes(100))
    found = course(talk)
    assert (found.remapped.number, found.remapped.low, found.remapped.high) == (1, 1, 101)
    assert found.octets == 100


def test_data_behind_a_data_fin_that_was_told_ahead_is_new():
    talk = Talk().established()
    fin = (IDSN["client"] + 201) & MASK_64
    talk.send("client", Dss(dsn=fin, dsn_64=True, length=1, data_fin=True))
    talk.data("client")
    found = course(talk)
    assert (found.octets, found.remapped.number) == (200, 0)
    assert talk.traced().hosts["client"].connections[0].reinjections == 0


def test_segments_without_options_count_since_the_last_that_had_one():
    talk = Talk().established()
    talk.send("client")
    talk.ack("client")
    talk.send("client")
    talk.send("client")
    found = course(talk)
    assert (found.mptcp, found.bare, found.bare_since.frame) == (True, 2, talk.frames[-4][0])


def test_syns_and_what_the_opener_sent_first_after_them():
    talk = Talk()
    talk.handshake(until=1)
    talk.handshake()
    found = course(talk)
    assert (found.syns, found.third_words) == (2, "MP_CAPABLE")
    assert course(talk, "server").third is None


def test_places_of_frames_that_are_asked_for():
    talk = Talk().established()
    talk.data("client")
    data = talk.frames[-1][0] - 1
    talk.send("client", payload=bytes(10))
    unmapped = talk.frames[-1][0] - 1
    talk.ack("server")
    lone = talk.frames[-1][0] - 1
    talk.send("server", flags=RST)
    reset = talk.frames[-1][0] - 1
    expected = {
        1: "SYN", 3: "SYN/ACK", 5: "third ACK", data: "octets 101 to 200",
        unmapped: "octets 201 to 210 of the subflow", lone: "ACK", reset: "RST",
    }  # fmt: skip
    found = summed(talk, expected).places
    assert {frame: place.words for frame, place in found.items()} == expected
    assert (found[data].octet, found[unmapped].octet, found[1].octet) == (101, None, None)
    assert (found[1].who, found[3].who) == ("client", "server")


def test_whoever_judges_is_shown_all():
    talk = Talk().established()
    talk.data("client", reserved=1)
    talk.data("client", fin=True)
    book = Rulebook()
    trace = Trace(Courses(book))
    for frame in talk.frames:
        trace.add(*frame)
    trace.finish()
    assert [breach.rule for breach in book.breaches] == [breach.rule for breach in talk.judged()]
    assert book.breaches
