"""What both hosts saw of one run, from hand-built segments."""

from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MpCapable,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    Segment,
)
from mbtest.wire.fragments import fragments
from mbtest.wire.keys import join_hmac, token

CLIENT_KEY, SERVER_KEY = 2, 1
SYN_OPTION, SYN_ACK_OPTION = MpCapable(), MpCapable(sender_key=SERVER_KEY)
ACK_OPTION = MpCapable(sender_key=CLIENT_KEY, receiver_key=SERVER_KEY)
C, S = ("10.0.0.1", 1000), ("10.0.0.2", 80)


class Talk:
    """A conversation captured at both ends, nothing changed on the way unless a test says so."""

    def __init__(self, client=C, server=S, path="p"):
        self.seen = Observation()
        self.client, self.server, self.path, self.frame = client, server, path, 0

    def say(self, sender, flags, seq, ack=0, options=(), payload=b"", sides=(CLIENT, SERVER), outside=None):
        for side in sides:
            client = outside if outside and side == SERVER else self.client
            near, far = (client, self.server) if sender == CLIENT else (self.server, client)
            segment = Segment.build(
                near[0],
                far[0],
                near[1],
                far[1],
                seq=seq,
                ack=ack,
                flags=flags,
                options=options,
                payload=payload,
            )
            self.frame += 1
            self.seen.add(self.frame, self.frame * 10, self.path, side, sender, segment.raw)

    def handshake(self, first=SYN_OPTION, second=SYN_ACK_OPTION, third=ACK_OPTION):
        self.say(CLIENT, SYN, 100, options=[first] if first else [])
        self.say(SERVER, SYN | ACK, 500, 101, options=[second] if second else [])
        self.say(CLIENT, ACK, 101, 501, options=[third] if third else [])


def join(talk):
    proof = int.from_bytes(join_hmac(SERVER_KEY, CLIENT_KEY, 4, 3)[:8], "big")
    talk.client = ("10.0.1.1", 1001)
    talk.handshake(
        MpJoinSyn(1, token(SERVER_KEY), 3),
        MpJoinSynAck(1, proof, 4),
        MpJoinAck(join_hmac(CLIENT_KEY, SERVER_KEY, 3, 4)[:20]),
    )


def test_a_stripped_third_ack_is_no_mptcp_until_data_has_a_signal():
    talk = Talk()
    talk.handshake(third=None)
    assert talk.seen.spoke_to_the_end(CLIENT)
    assert not talk.seen.spoke_to_the_end(SERVER)
    talk.say(CLIENT, ACK, 101, 501, [Dss(data_ack=1, dsn=2, subflow_sequence=1, length=3)], b"abc")
    assert talk.seen.spoke_to_the_end(SERVER)


def test_a_stream_that_ends_without_a_data_fin_was_regular_tcp():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, FIN | ACK, 101, 501)
    assert not talk.seen.spoke_to_the_end(CLIENT)
    assert talk.seen.spoke_to_the_end(SERVER)


def test_nobody_speaks_where_nothing_was_seen():
    seen = Observation()
    assert seen.connection(CLIENT) is None
    assert not seen.spoke_to_the_end(CLIENT)
    assert not seen.closed()


def test_translated_ends_are_one_connection_for_each_host():
    talk = Talk()
    talk.handshake()
    outside = ("192.0.2.1", 4000)
    talk = Talk()
    talk.say(CLIENT, SYN, 100, options=[MpCapable()], outside=outside)
    talk.say(SERVER, SYN | ACK, 500, 101, [SYN_ACK_OPTION], outside=outside)
    assert len(talk.seen.client.flows) == len(talk.seen.server.flows) == 1
    for role in (CLIENT, SERVER):
        assert len(talk.seen.connection(role).subflows) == 1


def test_a_join_is_established_for_its_opener_by_the_fourth_ack():
    talk = Talk()
    talk.handshake()
    join(talk)
    (near,), (far,) = talk.seen.joins(CLIENT), talk.seen.joins(SERVER)
    assert not near.established
    assert far.established
    assert talk.seen.settled_joins() == 0
    talk.say(SERVER, ACK, 501, 101)
    assert near.established
    assert talk.seen.settled_joins() == 1


def test_a_reset_join_is_settled_and_not_established():
    talk = Talk()
    talk.handshake()
    talk.client = ("10.0.1.1", 1001)
    talk.handshake(MpJoinSyn(1, token(SERVER_KEY), 3), None, None)
    talk.say(CLIENT, RST, 101)
    (found,) = talk.seen.joins(CLIENT)
    assert not found.established
    assert talk.seen.settled_joins() == 1


def test_closed_when_both_fins_are_acknowledged():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, FIN | ACK, 101, 501)
    talk.say(SERVER, FIN | ACK, 501, 102)
    assert not talk.seen.closed()
    talk.say(CLIENT, ACK, 102, 502)
    assert talk.seen.closed()


def test_sequence_numbers_that_wrap():
    talk = Talk()
    talk.say(CLIENT, SYN, 2**32 - 1, options=[MpCapable()])
    talk.say(SERVER, SYN | ACK, 2**32 - 1, 0, [MpCapable(sender_key=1)])
    talk.say(CLIENT, FIN | ACK, 0, 0)
    talk.say(SERVER, FIN | ACK, 0, 1)
    talk.say(CLIENT, ACK, 1, 1)
    assert talk.seen.closed()


def test_what_cannot_be_read_is_counted_and_others_too():
    seen = Observation()
    seen.add(1, 0, "p", CLIENT, CLIENT, b"\x45")
    icmp = bytearray(Segment.build("10.0.0.1", "10.0.0.2", 1, 2).raw)
    icmp[9] = 1
    seen.add(2, 0, "p", CLIENT, CLIENT, bytes(icmp))
    assert (seen.undecodable, seen.trace.others) == (1, 1)


def test_rules_are_applied_to_what_is_taken_in():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, ACK, 101, 501, [Dss(dsn=2, subflow_sequence=1, length=3)], b"abc")
    talk.say(CLIENT, ACK, 101, 501, [Dss(dsn=2, subflow_sequence=1, length=3)], b"xyz")
    talk.seen.finish()
    assert "tcp.same-octets" in {breach.rule for breach in talk.seen.book.breaches}


def test_fragments_are_the_segment_that_they_make_up():
    talk = Talk()
    talk.handshake()
    data = Segment.build(
        C[0], S[0], C[1], S[1], seq=101, ack=501, options=[Dss(1, 2, 1, 900)], payload=bytes(900)
    )
    sent = [(CLIENT, data.raw), *((SERVER, piece.raw) for piece in fragments(data, 400, 1))]
    for number, (side, raw) in enumerate(sent, 7):
        talk.seen.add(number, number * 10, "p", side, CLIENT, raw)
    (arrived,) = talk.seen.server.flows.values()
    last = arrived.received.segments[-1]
    assert (last.frame, last.segment.payload, last.segment.options) == (10, data.payload, data.options)
    assert talk.seen.connection(SERVER).subflows[0].peer.mapped.taken.front == 901


def test_fragments_that_make_nothing_readable_are_counted():
    talk = Talk()
    data = Segment.build(C[0], S[0], C[1], S[1], payload=bytes(900))
    first, *rest = (bytearray(piece.raw) for piece in fragments(data, 400, 1))
    first[data.transport + 12] = 0  # the data offset
    for number, raw in enumerate((first, *rest), 1):
        talk.seen.add(number, number, "p", SERVER, CLIENT, bytes(raw))
    assert talk.seen.trace.undecodable == 1
