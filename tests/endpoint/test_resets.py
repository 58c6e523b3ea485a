"""RST and challenge ACKs in each state: RFC 9293 §3.10.7.4, RFC 5961."""

from __future__ import annotations

import pytest

from mbtest.endpoint.states import Tcp
from tests.endpoint.pair import ACK, FIN, PSH, RST, SECOND, SYN, ByHand, Pair

TCP = {"mptcp": False}


@pytest.fixture
def hand() -> ByHand:
    return ByHand()


def reach(hand: ByHand, state: Tcp) -> int:
    """Bring a subflow to a state; return the peer's next offset."""
    if state is Tcp.SYN_RECEIVED:
        (answer,) = hand.say(SYN, 0)
        hand.own_iss = int(answer.seq)
        hand.connection = hand.endpoint.connections[0]
        return 1
    connection = hand.accept()
    if state in (Tcp.CLOSE_WAIT, Tcp.LAST_ACK):
        hand.say(FIN | ACK, 1, 1)
    if state not in (Tcp.ESTABLISHED, Tcp.CLOSE_WAIT):
        connection.shutdown(hand.now)
        hand.answers()
    if state is Tcp.FIN_WAIT_2:
        hand.say(ACK, 1, 2)
    if state in (Tcp.CLOSING, Tcp.TIME_WAIT):
        hand.say(FIN | ACK, 1, 2 if state is Tcp.TIME_WAIT else 1)
    return 2 if state in (Tcp.CLOSE_WAIT, Tcp.LAST_ACK, Tcp.CLOSING, Tcp.TIME_WAIT) else 1


SYNCHRONISED = (
    Tcp.SYN_RECEIVED, Tcp.ESTABLISHED, Tcp.FIN_WAIT_1, Tcp.FIN_WAIT_2, Tcp.CLOSE_WAIT, Tcp.CLOSING,
    Tcp.LAST_ACK, Tcp.TIME_WAIT,
)  # fmt: skip


@pytest.mark.parametrize("state", SYNCHRONISED)
def test_a_reset_at_exactly_rcv_nxt_ends_every_state(hand: ByHand, state: Tcp) -> None:
    following = reach(hand, state)
    subflow, connection = hand.subflow, hand.connection
    assert connection is not None
    assert subflow.state is state
    assert hand.say(RST, following) == []
    assert subflow.state is Tcp.CLOSED
    assert hand.endpoint.connections == []
    assert hand.endpoint.next_timer() is None
    # Both streams were over in these: nothing was lost.
    over = (Tcp.CLOSING, Tcp.LAST_ACK, Tcp.TIME_WAIT)
    refused = "ECONNREFUSED" if state is Tcp.SYN_RECEIVED else "ECONNRESET"
    assert connection.error == (None if state is Tcp.TIME_WAIT else refused) or state in over


@pytest.mark.parametrize("state", SYNCHRONISED)
def test_a_reset_within_the_window_is_only_asked_about(hand: ByHand, state: Tcp) -> None:
    """RFC 5961 §3.2."""
    following = reach(hand, state)
    (challenge,) = hand.say(RST, following + 1)
    assert (challenge.flags, hand.ack(challenge)) == (ACK, following)
    assert hand.subflow.state is state


@pytest.mark.parametrize("state", SYNCHRONISED)
def test_a_reset_outside_of_the_window_is_ignored(hand: ByHand, state: Tcp) -> None:
    following = reach(hand, state)
    for seq in (following - 1, following + (1 << 24), following - (1 << 24)):
        assert hand.say(RST, seq) == []
    assert hand.subflow.state is state


def test_a_reset_in_syn_sent_counts_only_if_it_acknowledges_the_syn(hand: ByHand) -> None:
    hand.connect()
    assert hand.say(RST, 0) == []
    assert hand.say(RST | ACK, 0, 2) == []
    assert hand.say(RST | ACK, 0, 0) == []
    assert hand.subflow.state is Tcp.SYN_SENT
    assert hand.say(RST | ACK, 0, 1) == []
    assert hand.connection is not None
    assert hand.connection.error == "ECONNREFUSED"


def test_an_abort_sends_a_reset_that_the_peer_believes() -> None:
    pair = Pair(TCP, TCP)
    client, server = pair.connect(b"data", ends=False)
    pair.run(lambda: len(server.got) == 4)
    client.connection.abort(pair.now)
    assert pair.run(lambda: bool(server.connection.error))
    assert server.connection.error == "ECONNRESET"


def test_a_challenge_is_limited_and_the_limit_is_for_a_time() -> None:
    """RFC 5961 §7: ten in five seconds."""
    hand = ByHand()
    hand.accept()
    assert sum(len(hand.say(SYN, 5)) for _ in range(50)) == 10
    hand.wait(5 * SECOND)
    assert sum(len(hand.say(RST, 5)) for _ in range(50)) == 10
    # Data is still acknowledged.
    assert len(hand.say(ACK | PSH, 1, 1, b"data")) == 1
