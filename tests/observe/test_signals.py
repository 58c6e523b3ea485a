"""What signals do to a host's state, and which duties they make."""

from ipaddress import ip_address

import pytest

from mbtest.observe.state import Duty
from mbtest.wire import AddAddr, MpFail, MpFastclose, Timestamps
from mbtest.wire.keys import add_addr_hmac
from tests.observe.conversation import IDSN, KEYS, Talk


def found(talk: Talk, who: str = "server"):
    return talk.traced().hosts[who].connections[0]


def duties(talk: Talk, who: str = "server") -> set[Duty]:
    return {owed.duty for owed in found(talk, who).owed}


def test_mp_fail_wants_an_answer_until_it_has_one():
    talk = Talk().established()
    talk.ack("client", MpFail(IDSN["server"] + 101))
    assert duties(talk) == {Duty.FAIL_ANSWER}
    talk.ack("server", MpFail(IDSN["client"] + 101))
    assert duties(talk) == set()


def test_fast_close_wants_a_reset():
    talk = Talk().established()
    talk.ack("client", MpFastclose(KEYS["server"]))
    assert duties(talk) == {Duty.FAST_RESET}
    talk.reset("server")
    assert duties(talk) == set()


def test_a_proof_wants_an_acknowledgement():
    talk = Talk().established()
    talk.join(until=3)
    assert duties(talk) == {Duty.JOIN_ACK}
    assert duties(talk, "client") == {Duty.JOIN_HMAC}
    talk.ack("server", flow=1)
    assert duties(talk) == duties(talk, "client") == set()


def test_data_in_order_wants_a_data_ack():
    talk = Talk().established()
    talk.data("client")
    assert found(talk).data_owed is not None
    talk.ack("server")
    assert found(talk).data_owed is None


ADDRESS = ip_address("198.18.3.2")


@pytest.mark.parametrize(
    ("signal", "duty"),
    [
        (MpFail(IDSN["server"] + 101), Duty.FAIL_ANSWER),
        (MpFastclose(KEYS["server"]), Duty.FAST_RESET),
        (AddAddr(1, ADDRESS, hmac=add_addr_hmac(KEYS["client"], KEYS["server"], 1, ADDRESS, 0)), Duty.ECHO),
    ],
)
def test_what_comes_too_late_for_tcp_makes_no_duty(signal, duty):
    talk = Talk().established()
    talk.ack("client", signal, seq=51)
    assert duties(talk) == set()
    talk.ack("client", signal)
    assert duties(talk) == {duty}


def test_what_is_older_than_what_came_before_makes_no_duty():
    talk = Talk().established()
    talk.ack("client", Timestamps(5, 0))
    talk.ack("client", Timestamps(4, 0), MpFail(IDSN["server"] + 101))
    assert duties(talk) == set()
    talk.ack("client", Timestamps(5, 0), MpFail(IDSN["server"] + 101))
    assert duties(talk) == {Duty.FAIL_ANSWER}


def test_an_infinite_mapping_that_comes_too_late_for_tcp_forbids_no_data_acks():
    talk = Talk().established()
    infinite = talk.dss("client", dsn=IDSN["client"] + 1, subflow_sequence=1, length=0, dsn_64=True)
    talk.send("client", infinite, payload=bytes(100), seq=1)
    assert found(talk).infinite_arrival is None
    talk.send("client", infinite, payload=b"x")
    assert found(talk).infinite_arrival is not None


def test_a_data_fin_that_comes_too_late_for_tcp_is_owed_nothing():
    talk = Talk().established()
    talk.data("client", payload=b"", fin=True, seq=50)
    assert found(talk).data_owed is None
    talk.stream["client"] -= 1
    talk.data("client", payload=b"", fin=True)
    assert found(talk).data_owed is not None


def test_notes_are_of_what_the_host_sent_and_found():
    talk = Talk().established()
    talk.join()
    words = [note.words for note in talk.traced().hosts["server"].notes]
    assert words[0].startswith("accepts with MP_CAPABLE v1")
    assert "joined: the HMAC is right" in words
