"""What signals do to a host's state, and which duties they make."""

from mbtest.observe.state import Duty
from mbtest.wire import MpFail, MpFastclose
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


def test_notes_are_of_what_the_host_sent_and_found():
    talk = Talk().established()
    talk.join()
    words = [note.words for note in talk.traced().hosts["server"].notes]
    assert words[0].startswith("accepts with MP_CAPABLE v1")
    assert "joined: the HMAC is right" in words
