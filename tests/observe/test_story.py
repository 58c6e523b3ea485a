"""What happened on a connection, in words."""

from mbtest.observe.story import stories
from tests.observe.conversation import Talk


def told(talk: Talk):
    trace = talk.traced()
    trace.finish()
    (story,) = stories(trace)
    return story


def test_a_connection_from_its_handshake_to_its_end():
    story = told(Talk(checksum=True).established().exchange().close())
    words = [f"{line.who}: {line.words}" for line in story.lines]
    assert words[0].startswith("client: asks for MP_CAPABLE")
    assert words[-2:] == ["client: FIN", "server: FIN"]
    assert story.facts["mode"] == "MPTCP"
    assert story.facts["client"]["octets_sent"] == 200
    assert story.title.startswith("198.18.1.2:40000 > 198.19.1.2:80")


def test_lines_are_in_order_and_count_from_the_first_packet():
    story = told(Talk().established().close())
    times = [line.time for line in story.lines]
    assert times == sorted(times)
    assert times[0] == 0


def test_a_stall_says_who_waits_for_what_since_when():
    talk = Talk().established()
    talk.data("client", lost=True)
    talk.wait(5).ack("server")
    (line,) = [line for line in told(talk).lines if "not acknowledged" in line.words]
    assert line.who == "client"
    assert line.words.startswith("octets 101 to 200 of 198.18.1.2:40000")


def test_two_connections():
    talk = Talk().established()
    flow = talk.open()
    talk.send("client", flags=2, flow=flow)
    trace = talk.traced()
    assert [story.number for story in stories(trace)] == [1, 2]
