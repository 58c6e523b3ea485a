"""What is owed, by whom, since when, and what would move it."""

from ipaddress import IPv4Address

import pytest

from mbtest.observe.owed import AGAIN, NO_TIMER, RTO, WITHOUT_SUBFLOWS, Owing, Written, owed, owing_hosts
from mbtest.observe.state import Duty
from mbtest.wire import ACK, FIN, SYN, AddAddr, Dss, MpCapable, MpFastclose
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import IDSN, KEYS, MASK_64, SYN_OPTIONS, Talk
from tests.observe.rules.test_fallback import answered, fail, failed


def owing(talk: Talk, **written: Written):
    return owed(talk.traced(), None, written or None)


def words(talk: Talk, **written: Written) -> list[str]:
    return [f"{one.who}: {one.words}" for one in owing(talk, **written)]


@pytest.mark.parametrize("checksum", [False, True])
def test_nothing_is_owed_once_all_is_done(checksum):
    talk = Talk(checksum=checksum).established().exchange().close()
    wrote = {"client": Written(200, True), "server": Written(200, True)}
    assert owing(talk, **wrote) == []


def test_nothing_is_owed_by_applications_that_have_not_ended():
    talk = Talk().established().exchange()
    assert owing(talk, client=Written(200, False), server=Written(200, False)) == []


def test_data_that_is_lost_is_owed_by_its_sender_since_it_was_sent():
    talk = Talk().established()
    talk.data("client", lost=True)
    sent = talk.now
    (one,) = owed(talk.traced(), sent + 5_000_000)
    assert (one.who, one.words) == ("client", "octets 101 to 200 once more")
    assert (one.since, one.waited, one.timer) == (sent, 5_000_000, RTO)
    assert one.clause == "RFC 9293 §3.8.1"


def test_an_ack_is_owed_by_whoever_got_the_data():
    talk = Talk().established()
    talk.data("client")
    assert "server: an ACK of octets 101 to 200" in words(talk)


def test_what_came_behind_a_hole_needs_no_ack():
    talk = Talk().established()
    talk.data("client", lost=True)
    talk.data("client")
    assert words(talk) == ["client: octets 101 to 300 once more"]


@pytest.mark.parametrize("fin", [False, True])
def test_data_without_a_data_ack_goes_again_at_the_connection_level(fin):
    talk = Talk().established()
    talk.data("client", fin=fin)
    talk.send("server", Dss(data_ack=IDSN["client"] + 101 & MASK_64, data_ack_64=True))
    found = [one for one in owing(talk) if one.who == "client"]
    last = " and its DATA_FIN" if fin else ""
    assert [one.words for one in found] == [
        f"octets 101 to 200 of its stream{last} once more, as no Data ACK came"
    ]
    assert found[0].timer == AGAIN
    assert "server: a Data ACK of what came in order" in words(talk)


def test_a_data_fin_is_owed_again():
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True, lost=True)
    assert words(talk) == ["client: its DATA_FIN once more, as no Data ACK came"]


@pytest.mark.parametrize(("until", "what"), [(1, "client: its SYN"), (2, "server: its SYN/ACK")])
def test_a_handshake_that_is_not_answered(until, what):
    assert f"{what} once more" in words(Talk().handshake(until=until))


def test_a_subflow_is_named_where_there_are_several():
    talk = Talk().established()
    flow = talk.join()
    talk.data("client", flow=flow, lost=True)
    assert words(talk) == ["client: octets 1 to 100 of subflow 2 once more"]


@pytest.mark.parametrize(("until", "duty"), [(3, Duty.JOIN_ACK), (3, Duty.JOIN_HMAC)])
def test_a_join_that_is_not_finished(until, duty):
    talk = Talk().established()
    talk.join(until=until)
    assert any(duty.value in one and one.endswith("on subflow 2") for one in words(talk))


def test_an_announcement_without_an_echo():
    talk = Talk().established()
    address = IPv4Address("198.19.2.2")
    hmac = add_addr_hmac(KEYS["server"], KEYS["client"], 2, address, 0)
    talk.ack("server", AddAddr(2, address, hmac=hmac))
    (one,) = owing(talk)
    assert (one.who, one.words) == ("client", Duty.ECHO.value)
    assert one.timer == "the announcer's repetition of ADD_ADDR"


def told_of_failure() -> Talk:
    """Data of the client arrives changed; the server sends MP_FAIL."""
    talk = failed()
    talk.ack("server", fail(101))
    return talk


def test_an_answer_to_mp_fail_is_what_keeps_all_else_waiting():
    (one,) = owing(told_of_failure(), client=Written(300, True))
    assert (one.who, one.words, one.timer) == ("client", Duty.FAIL_ANSWER.value, NO_TIMER)
    assert one.clause == "RFC 8684 §3.7"


def test_after_its_answer_a_sender_owes_an_infinite_mapping_and_what_it_never_sent():
    found = words(answered(), client=Written(300, True))
    assert {one.partition(",")[0] for one in found} == {
        "client: an infinite mapping",
        "client: octets 201 to 300",
    }


def test_who_has_nothing_to_send_owes_no_infinite_mapping():
    talk = answered()
    assert not any(one.startswith("server") for one in words(talk, server=Written(100, False)))


def test_first_data_without_a_data_ack_asks_for_a_fallback():
    talk = Talk().handshake()
    talk.send("client", talk.capable(100), payload=bytes(100))
    talk.send("server")
    found = {one.who: one for one in owing(talk)}
    assert found["client"].words.startswith("a fallback to regular TCP, as its first data was acknowledged")
    assert found["client"].timer == NO_TIMER
    assert found["server"].words == Duty.DATA_ACK.value


def test_who_was_left_without_mappings_owes_no_data_ack():
    talk = Talk().established()
    talk.data("client")
    talk.send("client", payload=bytes(100))
    talk.send("server")
    assert not any(Duty.DATA_ACK.value in one for one in words(talk))


def test_what_an_application_wrote_and_nobody_saw_is_owed_without_any_timer():
    (one,) = owing(Talk().established(), client=Written(500, True))
    assert one.words.startswith(
        "octets 101 to 500, which its application wrote and which never left it, with room"
    )
    assert one.timer == NO_TIMER


def test_a_closed_window_is_owed_by_the_reader():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(1), flags=SYN)
    talk.send("server", *SYN_OPTIONS, MpCapable(1, KEYS["server"]), flags=SYN | ACK, window=200)
    talk.send("client", talk.capable(100), payload=bytes(100))
    talk.stream["client"] = talk.received["server"] = 101
    talk.ack("server", window=0)
    talk.data("client")
    talk.ack("server", window=0)
    (one,) = owing(talk, client=Written(300, True))
    assert (one.who, one.words) == ("server", "a window for octets 201 to 300")
    assert one.timer == "the sender's zero-window probes"


@pytest.mark.parametrize(("mptcp", "end"), [(True, "a DATA_FIN"), (False, "a FIN")])
def test_an_end_that_was_never_sent(mptcp, end):
    talk = Talk().established() if mptcp else Talk().handshake(mptcp=False)
    sent = 100 if mptcp else 0
    found = words(talk, client=Written(sent, True))
    assert found == [f"client: the end of its stream, {end}: its application has ended it"]


def test_an_end_after_a_fallback_is_a_fin():
    talk = Talk().handshake(mptcp=False)
    talk.send("client", flags=FIN | ACK)
    talk.send("server")
    assert words(talk, client=Written(0, True)) == []


def test_a_fast_close_leaves_nothing_owed_but_its_answer():
    talk = Talk().established()
    talk.data("server", lost=True)
    talk.ack("client", MpFastclose(KEYS["server"]))
    assert "server: " + Duty.FAST_RESET.value in words(talk)


def test_a_syn_of_regular_tcp_is_owed_as_well():
    talk = Talk()
    talk.send("client", *SYN_OPTIONS, MpCapable(1), flags=SYN, lost=True)
    assert words(talk) == ["client: its SYN once more"]


def test_what_was_not_delivered_when_all_subflows_ended_needs_a_new_one():
    talk = Talk().established()
    talk.reset("server")
    (one,) = owing(talk, client=Written(300, False), server=Written(0, False))
    assert (one.who, one.words) == ("client", "a new subflow for octets 101 to 300, as all have ended")
    assert one.clause == "RFC 8684 §3.3.3"
    assert owing(talk) == []
    assert owing(talk, client=Written(100, False)) == []
    # It waits for a minute, as it has to.
    assert owing_hosts([one]) == set()


def test_others_wait_for_whom_no_timer_moves_else_for_all_who_owe_but_wait_themselves():
    waits, moves, stuck = (
        Owing(who, "it", 0, 0, 0, timer, "RFC", 1)
        for who, timer in (("a", WITHOUT_SUBFLOWS), ("b", RTO), ("c", NO_TIMER))
    )
    assert owing_hosts([waits, moves]) == {"b"}
    assert owing_hosts([waits, moves, stuck]) == {"c"}
