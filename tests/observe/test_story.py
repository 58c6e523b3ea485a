"""What happened on a connection, in words."""

from mbtest.observe.story import stories
from mbtest.wire import ACK
from tests.observe.conversation import Talk
from tests.observe.rules.test_fallback import fail, failed


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
    (line,) = [line for line in told(talk).lines if line.words.startswith("owes")]
    assert line.who == "client"
    assert (
        line.words == "owes octets 101 to 200 once more for 5.0 s; its retransmission timeout would move it"
    )


def test_what_no_timer_moves_is_said_to_be_so():
    talk = failed()
    talk.ack("server", fail(101))
    talk.wait(3).send("server", flags=ACK)
    (line,) = [line for line in told(talk).lines if "MP_FAIL for" in line.words]
    assert line.words == "owes an answer to MP_FAIL for 3.0 s; no timer would move it"


def test_what_is_owed_for_a_moment_is_told_as_a_matter_of_the_captures_end():
    talk = Talk().established()
    talk.data("client", lost=True)
    (line,) = [line for line in told(talk).lines if line.words.startswith("owes")]
    assert line.words.startswith("owes octets 101 to 200 once more when the capture ends; ")


def test_further_subflows_are_named():
    talk = Talk().established()
    talk.join()
    words = [line.words for line in told(talk).lines]
    assert any(line.startswith("asks to join") and line.endswith(", subflow 2") for line in words)
    assert not any("subflow 1" in line for line in words)


def test_two_connections():
    talk = Talk().established()
    flow = talk.open()
    talk.send("client", flags=2, flow=flow)
    trace = talk.traced()
    assert [story.number for story in stories(trace)] == [1, 2]
