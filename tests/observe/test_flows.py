"""Flows as each host saw them, from hand-built segments."""

from mbtest.observe import CLIENT, SERVER, Observation, Stage
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Dss,
    MpCapable,
    MpFail,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    Segment,
)

SYN_OPTION, SYN_ACK_OPTION = MpCapable(), MpCapable(sender_key=1)
ACK_OPTION = MpCapable(sender_key=2, receiver_key=1)
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


def test_a_whole_handshake_is_negotiated_on_both_sides():
    talk = Talk()
    talk.handshake()
    for host in (talk.seen.client, talk.seen.server):
        assert host.negotiated
        assert isinstance(host.initial.offered, MpCapable)
        assert host.initial.confirmed
    assert talk.seen.client.initial.opened_here
    assert not talk.seen.server.initial.opened_here


def test_a_stripped_third_ack_is_not_confirmed_until_data_has_a_signal():
    talk = Talk()
    talk.handshake(third=None)
    assert talk.seen.client.negotiated
    assert not talk.seen.server.negotiated
    talk.say(CLIENT, ACK, 101, 501, [Dss(data_ack=1, dsn=2, subflow_sequence=1, length=3)], b"abc")
    assert talk.seen.server.negotiated


def test_each_side_is_judged_by_what_it_saw():
    talk = Talk()
    talk.say(CLIENT, SYN, 100, options=[MpCapable()], sides=[CLIENT])
    talk.say(CLIENT, SYN, 100, sides=[SERVER])
    assert talk.seen.client.initial.offered == MpCapable()
    assert talk.seen.server.initial.offered is None


def test_translated_ends_are_one_flow_for_each_host():
    talk = Talk()
    outside = ("192.0.2.1", 4000)
    talk.say(CLIENT, SYN, 100, options=[MpCapable()], outside=outside)
    talk.say(SERVER, SYN | ACK, 500, 101, [MpCapable(sender_key=1)], outside=outside)
    assert len(talk.seen.client.flows) == len(talk.seen.server.flows) == 1
    assert talk.seen.server.initial.accepted == MpCapable(sender_key=1)


def test_a_join_is_established_for_its_opener_by_the_fourth_ack():
    talk = Talk(client=("10.0.1.1", 1001))
    talk.handshake(MpJoinSyn(1, 2, 3), MpJoinSynAck(1, 2, 3), MpJoinAck(bytes(20)))
    (near,), (far,) = talk.seen.client.joins, talk.seen.server.joins
    assert near.confirmed
    assert not near.established
    assert far.established
    assert talk.seen.settled_joins() == 0
    talk.say(SERVER, ACK, 501, 101)
    assert near.established
    assert talk.seen.settled_joins() == 1
    assert talk.seen.client.initial is None


def test_a_reset_join_is_settled_and_not_established():
    talk = Talk()
    talk.handshake(MpJoinSyn(1, 2, 3), None, None)
    talk.say(CLIENT, RST, 101)
    (join,) = talk.seen.client.joins
    assert not join.established
    assert join.reset.segment.rst
    assert talk.seen.settled_joins() == 1


def test_stages():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, ACK, 101, 501, payload=b"x")
    flow = talk.seen.client.initial
    assert [seen.stage for seen in flow.sent.segments] == [Stage.SYN, Stage.HANDSHAKE_ACK, Stage.AFTER]
    assert [seen.stage for seen in flow.received.segments] == [Stage.SYN_ACK]
    assert len(talk.seen.client.sent(MpCapable)) == 2
    assert talk.seen.client.sent(MpCapable, Stage.AFTER) == []


def test_data_fin_infinite_mapping_and_mp_fail():
    talk = Talk()
    talk.handshake()
    host = talk.seen.client
    assert host.data_fin is host.infinite_mapping is host.mp_fail is None
    talk.say(CLIENT, ACK, 101, 501, [MpFail(7)])
    talk.say(CLIENT, ACK, 101, 501, [Dss(dsn=2, subflow_sequence=1, length=0)], b"abc")
    talk.say(CLIENT, ACK, 104, 501, [Dss(dsn=2, subflow_sequence=0, length=1, data_fin=True)])
    assert (host.mp_fail.frame, host.infinite_mapping.frame, host.data_fin.frame) == (7, 9, 11)
    assert talk.seen.server.mp_fail is None
    assert talk.seen.server.received(MpFail)[0][1] == MpFail(7)


def test_unmapped_data_is_found():
    talk = Talk()
    talk.handshake()
    assert talk.seen.client.last_unmapped_data is None
    talk.say(CLIENT, ACK, 101, 501, payload=b"abc")
    assert talk.seen.client.last_unmapped_data.segment.payload == b"abc"


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


def test_what_cannot_be_read_is_counted_and_others_are_kept():
    seen = Observation()
    seen.add(1, 0, "p", CLIENT, CLIENT, b"\x45")
    icmp = bytearray(Segment.build("10.0.0.1", "10.0.0.2", 1, 2).raw)
    icmp[9] = 1
    seen.add(2, 0, "p", CLIENT, CLIENT, bytes(icmp))
    assert seen.undecodable == 1
    assert [frame for frame, _, _ in seen.others] == [2]
    assert not seen.closed()
