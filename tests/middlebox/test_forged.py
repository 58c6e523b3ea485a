from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.middlebox import FlowTable
from mbtest.middlebox.forged import Onlooker, reply, reset_for
from mbtest.wire import ACK, FIN, RST, SYN, Dss, Segment, Timestamps
from tests.middlebox.bench import TO_CLIENT, TO_SERVER, segment

NUMBERS = st.integers(0, 2**32 - 1)
FLOW = FlowTable().key(segment(), TO_SERVER)


@given(NUMBERS, NUMBERS, st.binary(max_size=9), st.sampled_from((4, 6)))
def test_a_reset_for_an_ack_has_the_number_that_it_acknowledges(
    seq: int, ack: int, payload: bytes, version: int
) -> None:
    one = segment(seq, payload, ack=ack, version=version)
    reset = reset_for(one)
    assert (reset.flags, reset.seq, reset.flow) == (RST, ack, one.flow[::-1])
    assert reset.checksum_is_right()


@given(NUMBERS, st.binary(max_size=9))
def test_a_reset_for_a_syn_acknowledges_it(seq: int, payload: bytes) -> None:
    reset = reset_for(segment(seq, payload, SYN))
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, 0, (seq + 1 + len(payload)) & 0xFFFFFFFF)


def test_a_reply_goes_back_empty() -> None:
    one = segment(7, b"data")
    back = reply(one, ACK | FIN, seq=3, ack=4, window=5)
    assert (back.flow, back.flags, back.seq, back.ack, back.window) == (one.flow[::-1], ACK | FIN, 3, 4, 5)
    assert (back.options, back.payload) == ((), b"")


def onlooker(*seen: Segment) -> Onlooker:
    one = Onlooker()
    for number in seen:
        one.see(FLOW, number, TO_SERVER if number.destination_port == 80 else TO_CLIENT)
    return one


def back(seq: int, payload: bytes = b"", flags: int = ACK, ack: int = 0) -> Segment:
    return segment(seq, payload, flags, ack, direction=TO_CLIENT)


def test_a_host_would_go_on_where_it_stopped() -> None:
    seen = onlooker(segment(100, b"data", ack=500), back(500, b"answer", ack=104))
    told = seen.speak(FLOW, TO_SERVER, FIN)
    assert told is not None
    assert (told.seq, told.ack, told.flags) == (104, 500, FIN | ACK)
    told = seen.speak(FLOW, TO_CLIENT, RST, shift=-5)
    assert told is not None
    assert (told.seq, told.ack, told.flags) == (501, 104, RST | ACK)


def test_an_old_segment_takes_nothing_back() -> None:
    seen = onlooker(
        segment(100, b"data", ack=500), segment(104, b"more", ack=600), segment(100, b"data", ack=500)
    )
    told = seen.speak(FLOW, TO_SERVER, RST)
    assert told is not None
    assert (told.seq, told.ack) == (108, 600)
    assert seen.expected(FLOW, TO_CLIENT) == 600


def test_numbers_wrap() -> None:
    seen = onlooker(segment(2**32 - 2, b"data", ack=2**32 - 1), segment(2, b"more", ack=5))
    told = seen.speak(FLOW, TO_SERVER, RST)
    assert told is not None
    assert (told.seq, told.ack) == (6, 5)


def test_a_new_handshake_begins_anew() -> None:
    seen = onlooker(segment(900, b"data", ack=900), segment(5, flags=SYN), back(7, flags=SYN | ACK, ack=6))
    told = seen.speak(FLOW, TO_SERVER, RST)
    assert told is not None
    assert told.seq == 6
    assert seen.expected(FLOW, TO_SERVER) == 6


def test_who_said_nothing_yet_would_answer_his_peer() -> None:
    told = onlooker(segment(100, b"data", ack=500)).speak(FLOW, TO_CLIENT, RST)
    assert told is not None
    assert (told.seq, told.ack, told.flags) == (500, 104, RST | ACK)
    assert told.flow == FLOW[::-1]


@pytest.mark.parametrize("seen", [onlooker(), onlooker(segment(5, flags=SYN))])
def test_without_numbers_there_is_nothing_to_say(seen: Onlooker) -> None:
    assert seen.speak(FLOW, TO_CLIENT, RST) is None
    assert seen.expected(FLOW, TO_SERVER) is None


def test_timestamps_stay_and_mptcp_does_not() -> None:
    stamps = Timestamps(5, 6)
    seen = onlooker(segment(100, b"data", ack=500, options=[stamps, Dss(data_ack=1)], urgent=3))
    told = seen.speak(FLOW, TO_SERVER, FIN)
    assert told is not None
    assert [option for option in told.options if option.kind > 1] == [stamps]
    assert (told.payload, told.urgent) == (b"", 0)
    assert told.checksum_is_right()
