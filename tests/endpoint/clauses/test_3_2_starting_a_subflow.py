"""RFC 8684 §3.2: MP_JOIN, from the SYN to the answer to the third ACK."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from mbtest.endpoint import Kind
from mbtest.endpoint.states import Join, Tcp
from mbtest.wire import (
    ACK,
    SYN,
    MaximumSegmentSize,
    MpCapable,
    MpJoin,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MptcpOption,
    MpTcprst,
)
from mbtest.wire.keys import token
from tests.endpoint.crafted import KEY, Peer
from tests.endpoint.scene import (
    A1,
    A2,
    A3,
    B1,
    B2,
    CLIENT,
    PORT,
    SECOND,
    SERVER,
    Scene,
    by,
    drop,
    has,
    octets,
    strip,
    through,
)

JOINS = {"join_from": (A2,), "subflows": 2}
MPTCP_ERROR, PROHIBITED = 1, 3


def own_hmac(key: int, other: int, nonce: int, other_nonce: int) -> bytes:
    secret = key.to_bytes(8, "big") + other.to_bytes(8, "big")
    message = nonce.to_bytes(4, "big") + other_nonce.to_bytes(4, "big")
    return hmac.new(secret, message, hashlib.sha256).digest()


def joining() -> tuple[Peer, object]:
    """Return a peer that the endpoint has just sent a joining SYN, and the line of that SYN."""
    peer = Peer(opens=False, **JOINS).open().confirm()
    peer.pull()
    return peer, peer.pick_up()


def still_works(peer: Peer) -> bool:
    """Whether the first subflow carries data both ways."""
    peer.read()
    peer.initial.data(b"still")
    (segment,) = peer.write(b"here")
    return peer.read() == b"still" and segment.source == peer.initial.remote[0]


# -- The SYN -------------------------------------------------------------------------------------------


def test_the_syn_has_the_receivers_token_a_nonce_and_an_address_id():
    """MP_JOIN names the connection by the token of the host that the SYN goes to."""
    _, line = joining()
    option = line.last.option(MpJoinSyn)
    assert option is not None
    assert len(option.encode()) == 12
    assert option.token == token(KEY)
    assert line.last.option(MpCapable) is None
    assert line.last.syn


def test_each_attempt_has_another_nonce():
    """Nonces are random, so that nothing can be replayed."""
    scene = Scene({"join_from": (A2, A3), "subflows": 4}, {"subflows": 4}).joined()
    scene.run()
    nonces = [option.nonce for side in (CLIENT, SERVER) for option in scene.options(side, MpJoinSyn)]
    nonces += [option.nonce for option in scene.options(SERVER, MpJoinSynAck)]
    assert len(nonces) == len(set(nonces)) == 4


def test_address_ids_are_unique_for_each_address():
    """Each address has an ID of its own; that of the first subflow is 0 without being said."""
    scene = Scene({"join_from": (A2, A3), "subflows": 4}, {"subflows": 4}).joined()
    scene.run()
    ids = {segment.source: segment.option(MpJoinSyn).address_id for segment in scene.sent(CLIENT, MpJoinSyn)}
    assert set(ids) == {A2, A3}
    assert len({0, *ids.values()}) == 3


def test_the_first_address_has_id_0_on_a_join_too():
    """A join from the address of the first subflow says 0."""
    scene = Scene({"subflows": 2, "accept_signals": 2}, {"subflows": 2, "signal": (B2,)}).joined()
    (option,) = scene.options(CLIENT, MpJoinSyn)
    assert option.address_id == 0
    (answer,) = scene.options(SERVER, MpJoinSynAck)
    assert answer.address_id != 0


@pytest.mark.parametrize("backup", [False, True])
def test_b_asks_for_a_backup_and_the_reserved_flags_are_0(backup):
    """On SYN and SYN/ACK flag B is the sender's wish; the three others are 0."""
    scene = Scene({**JOINS, "backup": backup}, {"subflows": 2, "backup": backup}).joined()
    assert [option.flags for option in scene.options(CLIENT, MpJoinSyn)] == [int(backup)]
    assert [option.flags for option in scene.options(SERVER, MpJoinSynAck)] == [int(backup)]
    assert [option.reserved for option in scene.options(CLIENT, MpJoinAck)] == [0]


def test_either_host_may_begin_a_subflow():
    """The host that accepted the connection may join too."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange()
    server = scene.server.connection
    initial = server.initial
    assert server.join(B2, initial.remote, initial.remote_port, scene.now) is not None
    scene.run(until=lambda: all(len(host.connection.usable()) == 2 for host in (scene.client, scene.server)))
    assert scene.sent(SERVER, MpJoinSyn)[0].destination == A1
    assert scene.options(SERVER, MpJoinSyn)[0].token == scene.client.connection.describe()["token"]
    scene.exchange(50_000, 50_000)


# -- The answer ----------------------------------------------------------------------------------------


def test_a_known_token_is_answered_with_nonce_and_truncated_hmac():
    """The SYN/ACK shows the leftmost 64 bits of the responder's HMAC, keys and nonces its own first."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    answer = line.last.option(MpJoinSynAck)
    assert answer is not None
    assert len(answer.encode()) == 16
    proof = own_hmac(peer.endpoint_key, KEY, answer.nonce, line.own_nonce)
    assert answer.hmac == int.from_bytes(proof[:8], "big")


def test_an_unknown_token_is_answered_with_a_reset():
    """RST, with the reason "MPTCP specific error", and no new connection."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn(token=token(peer.endpoint_key) ^ 1)
    assert line.last.rst
    assert [option.reason for option in line.options(MpTcprst)] == [MPTCP_ERROR]
    assert len(peer.endpoint.connections) == 1
    assert still_works(peer)


@pytest.mark.parametrize("subflows", [0, 1])
def test_a_join_beyond_the_limit_is_answered_with_a_reset(subflows):
    """A host refuses what its policy has no room for: RST, and a reason that says so."""
    peer = Peer(opens=True, subflows=subflows).open().confirm()
    for _ in range(subflows):
        assert not peer.join().is_reset
    line = peer.join_syn(A3)
    assert line.last.rst
    assert line.options(MpTcprst)[0].reason in (MPTCP_ERROR, PROHIBITED)
    assert still_works(peer)


def test_a_join_is_told_by_its_token_and_not_by_its_port():
    """Ports say nothing of a joining SYN: nobody has to listen, and who listens does not get it."""
    for port in (PORT, 4242):
        peer = Peer(opens=True, subflows=2).open().confirm()
        line = peer.line((A2, 999), (B1, port), iss=9)
        option = MpJoinSyn(3, token(peer.endpoint_key), line.own_nonce)
        line.send(MaximumSegmentSize(1460), option, flags=SYN)
        line.nonce = line.last.option(MpJoinSynAck).nonce
        line.send(MpJoinAck(peer.join_proof(line)[:20]))
        assert not line.is_reset
        assert len(peer.endpoint.connections) == 1
        line.data(b"by any port")
        assert peer.read() == b"by any port"


def test_the_token_tells_connections_apart():
    """Of several connections a join goes to the one that has the token."""
    scene = Scene(JOINS, {"subflows": 2})
    scene.exchange()
    other = scene.client.endpoint.connect(B1, PORT, scene.now)
    scene.run(until=lambda: other.established)
    other.send(b"second", scene.now)
    scene.run()
    tokens = [option.token for option in scene.options(CLIENT, MpJoinSyn)]
    servers = scene.server.endpoint.connections
    assert sorted(tokens) == sorted(connection.describe()["token"] for connection in servers)
    assert [connection.describe()["subflows"] for connection in servers] == [2, 2]


# -- The third ACK, and its answer ---------------------------------------------------------------------


def test_the_third_ack_shows_the_initiators_hmac():
    """160 bits of the initiator's HMAC, keys and nonces its own first."""
    peer, line = joining()
    (ack,) = peer.answer_join(line)
    option = ack.option(MpJoinAck)
    assert option is not None
    assert len(option.encode()) == 24
    nonce = line.got[0].option(MpJoinSyn).nonce
    assert option.hmac == own_hmac(peer.endpoint_key, KEY, nonce, line.own_nonce)[:20]


def test_the_third_ack_is_answered_with_an_ack():
    """Its receiver sends an ACK, even without data."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    answers = line.send(MpJoinAck(peer.join_proof(line)[:20]))
    assert answers
    assert not any(answer.syn or answer.rst for answer in answers)
    assert int(answers[-1].ack) == line.iss + 1


def test_a_repeated_third_ack_is_answered_again():
    """The first answer may have been lost."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join()
    assert line.send(MpJoinAck(peer.join_proof(line)[:20]))


def test_the_third_ack_is_repeated_until_it_is_acknowledged():
    """It is the only segment with the HMAC, so that it is sent until an ACK comes."""
    scene = Scene(JOINS, {"subflows": 2})
    scene.boxes.append(
        drop(by(SERVER, through(A2, lambda segment, _: not segment.syn and not segment.rst)), times=3)
    )
    scene.joined()
    acks = scene.sent(CLIENT, MpJoinAck)
    assert len(acks) >= 2
    assert len({segment.option(MpJoinAck) for segment in acks}) == 1


def test_no_data_before_the_third_ack_is_acknowledged():
    """In PRE_ESTABLISHED the initiator sends no data on the subflow; from ESTABLISHED on it may."""
    peer, line = joining()
    peer.answer_join(line)
    subflow = peer.made.subflows[1]
    assert subflow.join.state is Join.PRE_ESTABLISHED
    peer.write(octets(100_000))
    peer.wait(2 * SECOND)
    assert not any(segment.payload_length for segment in line.got)
    line.send(line.ack_option())
    assert subflow.join.state is Join.ESTABLISHED
    peer.wait()
    peer.initial.acknowledge()
    peer.wait()
    assert any(segment.payload_length for segment in line.got)


def test_the_responder_sends_no_data_before_the_third_ack():
    """Until the initiator has proved that it knows the keys, the subflow carries nothing."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    peer.write(octets(100_000))
    peer.wait(2 * SECOND)
    assert not any(segment.payload_length for segment in line.got)


# -- What goes wrong -----------------------------------------------------------------------------------


def assert_refused(peer: Peer, line, reasons=(MPTCP_ERROR,)) -> None:
    """The subflow was reset for that reason, and the connection lives."""
    assert line.last.rst
    assert [option.reason for option in line.last.options if isinstance(option, MpTcprst)] == list(reasons)
    assert len(peer.made.subflows) == 1
    assert peer.heard(Kind.REFUSED, "join")
    assert still_works(peer)


def test_a_wrong_hmac_on_the_syn_ack_closes_the_subflow():
    """The initiator answers a wrong HMAC with a RST, "MPTCP specific error"."""
    peer, line = joining()
    peer.answer_join(line, hmac=12345)
    assert_refused(peer, line)


def test_a_wrong_hmac_on_the_third_ack_closes_the_subflow():
    """So does the responder."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    line.send(MpJoinAck(bytes(20)))
    assert_refused(peer, line)


def test_a_replayed_hmac_is_wrong():
    """Another attempt has another nonce, so that an HMAC that was seen before does not fit it."""
    peer = Peer(opens=True, subflows=3).open().confirm()
    seen = peer.join()
    line = peer.join_syn(A3)
    line.send(MpJoinAck(peer.join_proof(seen)[:20]))
    assert line.last.rst


def test_a_third_ack_without_mp_join_closes_the_subflow():
    """The responder cannot do without the HMAC."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    line.send()
    assert_refused(peer, line)


def test_a_syn_ack_without_mp_join_closes_the_subflow():
    """Neither can the initiator, whether the option was stripped or never there."""
    peer, line = joining()
    line.send(MaximumSegmentSize(1460), flags=SYN | ACK)
    assert_refused(peer, line)


@pytest.mark.parametrize("port", [PORT, 4242])
def test_a_join_whose_syn_lost_its_option_ends_in_a_reset(port):
    """Whether the responder takes it for a new connection or has no listener, the subflow is closed."""
    scene = Scene({"subflows": 2}, {"subflows": 2}).exchange()
    scene.boxes.append(strip(MpJoin, when=through(A2)))
    subflow = scene.client.connection.join(A2, B1, port, scene.now)
    scene.run(until=lambda: subflow.state is Tcp.CLOSED)
    assert scene.client.connection.usable() == [scene.client.connection.initial]
    if port == PORT:
        assert [segment for segment in scene.sent(CLIENT, address=A2) if segment.rst]
    scene.exchange()


def test_a_join_whose_third_ack_always_loses_its_option_ends_in_a_reset():
    """The responder resets, with a reason, and the first subflow carries on."""
    scene = Scene(JOINS, {"subflows": 2})
    scene.boxes.append(strip(MpJoin, when=by(CLIENT, has(MpJoinAck))))
    scene.exchange().run(2 * SECOND)
    resets = [segment for segment in scene.sent(SERVER, address=A2) if segment.rst]
    assert [segment.option(MpTcprst).reason for segment in resets[:1]] == [MPTCP_ERROR]
    assert scene.exchange(20_000, 20_000).client.connection.is_mptcp


def test_a_joined_subflow_carries_no_data_of_a_stranger():
    """What a stranger with the right token but without the keys sends as data is never read."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    line = peer.join_syn()
    line.data(b"intruder")
    assert peer.read() is None
    assert line.last.rst
    assert line.last.option(MptcpOption) is not None
    assert len(peer.made.subflows) == 1


def test_resources_that_run_out_are_a_reason():
    """Where the host has no room for another handshake, the RST says "lack of resources"."""
    peer = Peer(opens=True, subflows=4, half_open_limit=1).open().confirm()
    peer.join_syn()
    line = peer.join_syn(A3)
    assert line.last.rst
    assert [option.reason for option in line.options(MpTcprst)] == [2]


def test_both_ends_know_each_others_addresses_by_id():
    """An address ID that came with MP_JOIN stands for that subflow: REMOVE_ADDR may name it later."""
    peer = Peer(opens=True, subflows=2).open().confirm()
    peer.join(address_id=9)
    assert [subflow.remote_id for subflow in peer.made.subflows] == [0, 9]


def test_joins_between_further_addresses_are_possible():
    """Any pair of addresses that is not in use yet may be joined."""
    scene = Scene({"subflows": 4}, {"subflows": 4}).exchange()
    for own, remote in ((A1, B2), (A2, B2), (A2, B1)):
        assert scene.client.connection.join(own, remote, PORT, scene.now) is not None
    scene.run(until=lambda: len(scene.server.connection.usable()) == 4)
    scene.exchange(50_000, 50_000)
