"""What is owed, and for how long before it counts."""

import pytest

from mbtest.observe.rules.duties import overdue
from mbtest.observe.state import Duty
from mbtest.wire import RST, MpFail
from tests.observe.conversation import IDSN, Talk


def late(talk: Talk) -> list[str]:
    trace = talk.traced()
    return [words for _, _, _, words in overdue(trace.hosts["server"], trace.now, Duty.FAIL_ANSWER)]


def failed() -> Talk:
    talk = Talk().established()
    talk.ack("client", MpFail(IDSN["server"] + 101))
    return talk


@pytest.mark.parametrize(("seconds", "found"), [(1, 0), (3, 1)])
def test_a_host_has_time(seconds, found):
    talk = failed().wait(seconds)
    talk.ack("client")
    assert len(late(talk)) == found


def test_nothing_is_owed_on_a_connection_that_was_reset():
    talk = failed()
    talk.send("client", flags=RST)
    talk.wait(9)
    talk.send("client", flags=RST)
    assert late(talk) == []


def test_a_connection_that_was_closed_meanwhile_leaves_less_time():
    talk = failed().wait(0.5)
    talk.close()
    assert late(talk) == ["an answer to MP_FAIL is owed for 0.5 s"]
