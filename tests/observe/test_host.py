"""One host's side: what its state is after conversations of every kind."""

import pytest

from mbtest.observe.state import Manner, Mode
from mbtest.wire import Dss, MpFail, Timestamps
from mbtest.wire.keys import token
from tests.observe.conversation import IDSN, KEYS, MASK_64, Talk


def connection(talk: Talk, who: str = "server"):
    return talk.traced().hosts[who].connections[0]


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_handshake_tells_keys_tokens_and_numbers(checksum, who):
    found = connection(Talk(checksum=checksum).established(), who)
    other = "server" if who == "client" else "client"
    assert (found.key, found.peer_key) == (KEYS[who], KEYS[other])
    assert found.token == token(KEYS[who])
    assert (found.own.base, found.peer.base) == (IDSN[who], IDSN[other])
    assert (found.mode, found.version, found.checksum) == (Mode.MPTCP, 1, checksum)


def test_data_is_followed_to_its_end():
    found = connection(Talk(checksum=True).established().exchange().close())
    assert found.peer.arrived.front == found.peer.acked == 202
    assert found.peer.fin == 201
    assert found.ended_at is not None
    assert found.closed_at is not None
    assert found.owed == []
    assert found.data_owed is None


def test_a_join_belongs_to_its_connection():
    talk = Talk().established()
    talk.join()
    host = talk.traced().hosts["server"]
    assert len(host.connections) == 1
    assert [subflow.kind for subflow in host.connections[0].subflows] == ["initial", "join"]
    assert host.connections[0].subflows[1].proved


def test_memory_does_not_grow_with_the_transfer():
    talk = Talk(checksum=True).established()
    for _ in range(300):
        talk.exchange()
    subflow = connection(talk).subflows[0]
    assert len(subflow.own.mapped.found) + len(subflow.peer.mapped.found) < 5
    assert len(subflow.own.held) < 5
    assert subflow.peer.mapped.unmapped == []


def test_a_reinjection_is_counted():
    talk = Talk().established()
    flow = talk.join()
    talk.data("client", lost=True)
    talk.send("client", Dss(dsn=(IDSN["client"] + 101) & MASK_64, dsn_64=True, subflow_sequence=1,
                            length=100), payload=bytes(100), flow=flow)  # fmt: skip
    assert connection(talk, "client").reinjections == 1
    assert connection(talk).peer.arrived.front == 201


def test_a_capture_from_the_middle_leaves_what_it_cannot_know():
    talk = Talk().established().exchange().exchange()
    talk.frames = talk.frames[14:]
    found = connection(talk)
    assert found.mode is Mode.UNKNOWN
    assert (found.key, found.version, found.checksum) == (None, None, None)
    assert not found.own.known
    assert talk.judged() == []


def test_a_fallback_has_a_moment_and_a_manner():
    talk = Talk().established()
    talk.send(
        "client", Dss(dsn=(IDSN["client"] + 101) & MASK_64, dsn_64=True, subflow_sequence=101), payload=b"x"
    )
    sender, receiver = connection(talk, "client").fallback, connection(talk).fallback
    assert (sender.manner, sender.offset) == (Manner.INFINITE_SENT, 101)
    assert (receiver.manner, receiver.offset) == (Manner.INFINITE_RECEIVED, 101)


def test_regular_tcp_is_no_fallback_of_mptcp():
    found = connection(Talk().handshake(mptcp=False))
    assert (found.mode, found.fallback.manner) == (Mode.TCP, Manner.NOT_ASKED)


def test_a_port_that_is_used_again_is_another_connection():
    talk = Talk().established().close()
    again = Talk()
    again.flows[0].isn["client"] = 5
    again.flows[0].isn["server"] = 6
    again.handshake()
    talk.frames += again.frames
    assert len(talk.traced().hosts["client"].connections) == 2


def test_a_segment_just_beyond_the_window_may_be_taken_and_need_not():
    talk = Talk().established()
    talk.data("client", lost=True)
    edge = connection(talk).subflows[0].peer.edge
    talk.send("client", talk.dss("client"), MpFail(IDSN["server"] + 101), payload=b"x", seq=edge)
    found = connection(talk)
    assert found.subflows[0].peer.mapped.taken.ahead == [(edge, edge + 1)]
    assert found.owed == []


def test_data_that_fills_a_hole_is_older_than_what_came_and_counts():
    talk = Talk().established()
    old = talk.dss("client", bytes(10))
    talk.flows[0].next["client"] += 10
    talk.stream["client"] += 10
    talk.data("client", 10, more=(Timestamps(9, 0),))
    talk.send("client", old, Timestamps(8, 0), payload=bytes(10), seq=101)
    assert connection(talk).data_owed is not None


def test_a_segment_outside_the_window_says_nothing():
    talk = Talk().established()
    talk.send("client", payload=b"x", seq=1 + 1_000_000)
    assert connection(talk).subflows[0].peer.top == 101
