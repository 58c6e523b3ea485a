"""Segments by flow and by option, from hand-built ones."""

from mbtest.observe import CLIENT, SERVER, Observation, Stage
from mbtest.wire import (
    ACK,
    SYN,
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


def test_stages():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, ACK, 101, 501, payload=b"x")
    flow = talk.seen.client.initial
    assert [seen.stage for seen in flow.sent.segments] == [Stage.SYN, Stage.HANDSHAKE_ACK, Stage.AFTER]
    assert [seen.stage for seen in flow.received.segments] == [Stage.SYN_ACK]
    assert len(talk.seen.client.sent(MpCapable)) == 2
    assert talk.seen.client.sent(MpCapable, Stage.AFTER) == []


def test_a_flow_has_an_opener_and_may_ask_to_join():
    talk = Talk()
    talk.handshake()
    talk.client = ("10.0.1.1", 1001)
    talk.handshake(MpJoinSyn(1, 2, 3), MpJoinSynAck(1, 2, 3), MpJoinAck(bytes(20)))
    first, second = talk.seen.client.flows.values()
    assert talk.seen.client.initial is first
    assert (first.is_join, second.is_join) == (False, True)
    assert first.opened_here
    assert first.opening is first.sent
    assert not talk.seen.server.initial.opened_here


def test_options_are_found_in_the_order_of_frames():
    talk = Talk()
    talk.handshake()
    talk.say(CLIENT, ACK, 101, 501, [MpFail(7)])
    ((seen, option),) = talk.seen.server.received(MpFail)
    assert (seen.frame, option) == (8, MpFail(7))
    assert talk.seen.server.sent(MpFail) == []
    assert [seen.frame for seen, _ in talk.seen.client.sent(MpCapable)] == [1, 5]
