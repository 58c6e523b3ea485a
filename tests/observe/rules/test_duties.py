"""What is owed, and for how long before it counts."""

import pytest

from mbtest.observe.rules.duties import overdue
from mbtest.observe.state import Duty
from mbtest.wire import ACK, FIN, RST, MpFail, MpPrio
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


def data_acks(talk: Talk) -> list[str]:
    trace = talk.traced()
    return [words for _, _, _, words in overdue(trace.hosts["server"], trace.now, Duty.DATA_ACK)]


@pytest.mark.parametrize(("start", "is_bare", "found"), [(151, True, 1), (201, True, 0), (201, False, 1)])
def test_who_fell_silent_at_a_mapping_of_other_octets_owes_no_data_ack(start, is_bare, found):
    # The mapping of half of the data comes with the other half, as it does where a box cut something out.
    talk = Talk().established()
    whole = talk.dss("client", bytes(100))
    talk.send("client", whole, payload=bytes(50))
    other = talk.dss("client", bytes(50), subflow_sequence=start, dsn=IDSN["client"] + 151)
    talk.send("client", other, payload=bytes(50))
    talk.send("server", *(() if is_bare else (MpPrio(),)))
    talk.wait(9).send("client")
    assert len(data_acks(talk)) == found


@pytest.mark.parametrize(("offset", "found"), [(0, 1), (200_000, 0)])
def test_what_came_beyond_the_window_may_have_been_dropped(offset, found):
    talk = Talk().established()
    talk.ack("server", window=500)
    if offset:
        talk.data("client", 100, dsn=IDSN["client"] + 201 + offset)
    talk.data("client", 100)
    talk.wait(9).send("client")
    assert len(data_acks(talk)) == found


def test_a_fin_is_not_owed_behind_data_that_nobody_acknowledges():
    talk = Talk().established()
    talk.data("client", lost=True)
    talk.data("client", payload=b"", fin=True)
    talk.received["server"] = talk.stream["client"]
    talk.ack("server")
    talk.data("server", payload=b"", fin=True)
    talk.ack("client")
    talk.ack("server", flags=FIN | ACK)
    talk.wait(9).ack("client")
    trace = talk.traced()
    assert list(overdue(trace.hosts["client"], trace.now, Duty.FIN)) == []


def test_after_a_reset_by_the_peer_a_host_had_as_long_as_ever():
    talk = failed().wait(0.5)
    talk.reset("client")
    assert late(talk) == []


def test_a_connection_that_was_closed_meanwhile_leaves_less_time():
    talk = failed().wait(0.5)
    talk.close()
    assert late(talk) == ["an answer to MP_FAIL is owed for 0.5 s"]
