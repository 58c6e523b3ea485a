"""Outcomes: from what the applications read, and from packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from mbtest.harness.fixture import RunFixture
from mbtest.harness.judge import judge
from mbtest.harness.session import Session
from mbtest.harness.workload import KIB
from mbtest.middlebox import Aim, Direction, Kind, Middlebox
from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.results import Fallback, Outcome
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
    TcpOption,
)
from mbtest.wire.keys import join_hmac, token
from middleboxes.pass_through import PassThrough

Make = Callable[..., RunFixture]
CLIENT_KEY, SERVER_KEY = 2, 1
FIRST, SECOND = ("198.18.1.2", 1000), ("198.18.2.2", 1001)
ENDED = Dss(data_ack=1, dsn=4, subflow_sequence=0, length=1, data_fin=True)
INFINITE = Dss(dsn=1, subflow_sequence=1, length=0)
MAPPED = Dss(data_ack=1, dsn=1, subflow_sequence=1, length=3)


class Talk:
    """Packets as both hosts see them; `deaf` is the side that sees none of the options."""

    def __init__(self) -> None:
        self.seen = Observation()
        self.frame = 0

    def say(
        self,
        sender: str,
        flags: int,
        options: Sequence[TcpOption] = (),
        payload: bytes = b"",
        client: tuple[str, int] = FIRST,
        deaf: str = "",
        seq: int = 1,
    ) -> int:
        ends = (client, ("198.19.1.2", 80))
        (source, source_port), (target, target_port) = ends if sender == CLIENT else ends[::-1]
        for side in (sender, SERVER if sender == CLIENT else CLIENT):
            segment = Segment.build(
                source, target, source_port, target_port, flags=flags, payload=payload, seq=seq, ack=1,
                options=() if side == deaf else options,
            )  # fmt: skip
            self.frame += 1
            self.seen.add(self.frame, self.frame, "c1-s1", side, sender, segment.raw)
        return self.frame - 1

    def open(self, deaf: str = "") -> Talk:
        self.say(CLIENT, SYN, [MpCapable()], deaf=deaf)
        self.say(SERVER, SYN | ACK, [MpCapable(sender_key=SERVER_KEY)] if deaf != SERVER else ())
        self.say(CLIENT, ACK, [MpCapable(sender_key=CLIENT_KEY, receiver_key=SERVER_KEY)] if not deaf else ())
        return self

    def join(self) -> Talk:
        proof = int.from_bytes(join_hmac(SERVER_KEY, CLIENT_KEY, 4, 3)[:8], "big")
        self.say(CLIENT, SYN, [MpJoinSyn(1, token(SERVER_KEY), 3)], client=SECOND)
        self.say(SERVER, SYN | ACK, [MpJoinSynAck(1, proof, 4)], client=SECOND)
        self.say(CLIENT, ACK, [MpJoinAck(join_hmac(CLIENT_KEY, SERVER_KEY, 3, 4)[:20])], client=SECOND)
        self.say(SERVER, ACK, client=SECOND)
        return self

    def close(self, *options: TcpOption) -> Talk:
        for sender in (CLIENT, SERVER):
            self.say(sender, ACK, options)
            self.say(sender, ACK | FIN)
        return self


@pytest.fixture
def session(fixture: Make) -> Session:
    """A session of nothing but a connection, in which a test replaces what it is about."""
    return fixture()(PassThrough(), client_sends=200).session


def saw(session: Session, talk: Talk, subflows: int = 0) -> Session:
    plan = msgspec.structs.replace(session.plan, subflows=subflows)
    return msgspec.structs.replace(session, observation=talk.seen, plan=plan)


def read(session: Session, **said: object) -> Session:
    stream = msgspec.structs.replace(session.streams[0], intended=100, sent=100, received=100, end_seen=True)
    return msgspec.structs.replace(
        session, streams=(msgspec.structs.replace(stream, **said), session.streams[1])
    )


def test_mptcp_to_the_end(session: Session) -> None:
    found = judge(saw(session, Talk().open().close(ENDED)))
    assert found.outcome is Outcome.MULTIPATH
    assert found.reason == "MPTCP to the end, on its one subflow"
    assert found.fallback is None


def test_all_intended_subflows(session: Session) -> None:
    found = judge(saw(session, Talk().open().join().close(ENDED), subflows=1))
    assert (found.outcome, found.reason) == (Outcome.MULTIPATH, "MPTCP to the end, on 2 subflows")


def test_a_subflow_that_never_came_to_be(session: Session) -> None:
    found = judge(saw(session, Talk().open().close(ENDED), subflows=1))
    assert found.outcome is Outcome.FEWER_SUBFLOWS
    assert found.reason == "MPTCP to the end; 1 of 2 subflows came to be and stayed"


def test_a_subflow_that_was_reset_is_shown(session: Session) -> None:
    talk = Talk().open().join()
    frame = talk.say(CLIENT, RST, client=SECOND)
    found = judge(saw(session, talk.close(ENDED), subflows=1))
    assert found.outcome is Outcome.FEWER_SUBFLOWS
    assert [(item.frame, item.words) for item in found.evidence] == [(frame, "client resets a subflow")]


def test_a_subflow_that_was_reset_after_the_end_was_of_use(session: Session) -> None:
    talk = Talk().open().join().close(ENDED)
    talk.say(CLIENT, RST, client=SECOND)
    assert judge(saw(session, talk, subflows=1)).outcome is Outcome.MULTIPATH


def test_fallback_in_the_handshake(session: Session) -> None:
    found = judge(saw(session, Talk().open(deaf=SERVER).close()))
    assert (found.outcome, found.fallback) == (Outcome.FELL_BACK, Fallback.IN_HANDSHAKE)
    assert found.reason == "client and server went on as regular TCP, in the handshake"
    assert [item.words for item in found.evidence] == [
        "client saw that the answer to the SYN had no MP_CAPABLE",
        "server saw that the SYN asked for no MPTCP",
    ]


def test_fallback_without_a_signal(session: Session) -> None:
    talk = Talk().open()
    talk.say(CLIENT, ACK, [MAPPED], b"abc")
    frame = talk.say(CLIENT, ACK, (), b"def")
    found = judge(saw(session, talk.close()))
    assert (found.outcome, found.fallback) == (Outcome.FELL_BACK, Fallback.WITHOUT_SIGNAL)
    assert found.evidence[0].frame == frame
    assert found.evidence[0].words == "client sends data without a mapping"
    assert found.evidence[1].words == "server ends its stream without a DATA_FIN"


def test_fallback_by_infinite_mapping(session: Session) -> None:
    talk = Talk().open()
    frame = talk.say(SERVER, ACK, [INFINITE], b"abc")
    found = judge(saw(session, talk.close()))
    assert found.fallback is Fallback.INFINITE_MAPPING
    assert [(item.frame, item.words) for item in found.evidence] == [
        (frame, "server sends an infinite mapping")
    ]


def test_no_connection_at_all_is_no_mptcp(session: Session) -> None:
    found = judge(saw(session, Talk()))
    assert (found.outcome, found.fallback) == (Outcome.FELL_BACK, Fallback.IN_HANDSHAKE)
    assert found.evidence[0].words == "client saw no connection"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"first_difference": 7, "wrong_at": 7}, "to server, octet 8 is not what was sent"),
        (
            {"first_difference": 7, "wrong_at": 50},
            "to server, octet 51 is not what regular TCP through the boxes delivers",
        ),
        (
            {"first_difference": 100, "wrong_at": 100, "received": 130, "due": 100},
            "to server, more octets were read than the 100 that were sent",
        ),
        (
            {"first_difference": 7, "wrong_at": 110, "received": 130, "due": 110},
            "to server, more octets were read than the 110 that regular TCP through the boxes delivers",
        ),
        ({"received": 60}, "to server, the stream ended at 60 of 100"),
    ],
)
def test_corruption(session: Session, said: dict[str, object], reason: str) -> None:
    found = judge(read(session, **said))
    assert found.outcome is Outcome.CORRUPTED
    assert found.reason.startswith(reason)


def test_what_a_box_changed_on_purpose_is_no_corruption(session: Session) -> None:
    changed = read(session, first_difference=7, expected_difference=True, received=90)
    assert judge(changed).outcome is Outcome.MULTIPATH


def test_a_stuck_run_is_stalled_in_the_words_of_where(session: Session) -> None:
    stuck = msgspec.structs.replace(read(session, received=60), stuck="nobody got anywhere")
    assert (judge(stuck).outcome, judge(stuck).reason) == (Outcome.STALLED, "nobody got anywhere")


def test_corruption_is_worse_than_a_reset_and_a_reset_than_a_stall(session: Session) -> None:
    stuck = msgspec.structs.replace(read(session, error="ECONNRESET"), stuck="nobody got anywhere")
    assert judge(stuck).outcome is Outcome.RESET
    assert judge(stuck).reason == "an application was told ECONNRESET"
    wrong = read(session, error="ECONNRESET", first_difference=7, wrong_at=7)
    worst = msgspec.structs.replace(wrong, stuck="nowhere")
    assert judge(worst).outcome is Outcome.CORRUPTED


ONE, OTHER = bytes(range(100)), bytes(range(100, 200))


@pytest.mark.parametrize("again_on", [FIRST, SECOND])
def test_what_is_read_twice_is_shown_where_it_came_again(session: Session, again_on: tuple[str, int]) -> None:
    talk = Talk().open().join()
    talk.say(CLIENT, ACK, payload=ONE, seq=2)
    talk.say(CLIENT, ACK, payload=OTHER, seq=102)
    again = 1 + talk.say(CLIENT, ACK, payload=ONE, seq=202, client=again_on)
    got = msgspec.structs.replace(saw(session, talk), received={"to_server": ONE + OTHER + ONE})
    found = judge(read(got, first_difference=200, wrong_at=200))
    assert [item.frame for item in found.evidence] == [again]
    assert found.evidence[0].words == "octet 201 of the stream, as the server read it, arrives"


def test_an_octet_at_the_end_of_a_packet_is_found(session: Session) -> None:
    talk = Talk().open().join()
    talk.say(CLIENT, ACK, payload=OTHER, seq=2, client=SECOND)
    frame = 1 + talk.say(CLIENT, ACK, payload=ONE[:5], seq=102, client=SECOND)
    talk.say(CLIENT, ACK, payload=ONE[5:], seq=107, client=SECOND)
    got = msgspec.structs.replace(saw(session, talk), received={"to_server": OTHER + ONE})
    found = judge(read(got, first_difference=101, wrong_at=101))
    assert [item.frame for item in found.evidence] == [frame]


@pytest.mark.parametrize(("starts", "who"), [(0, SERVER), (1, "")])
def test_a_reader_that_skips_what_came_is_named(session: Session, starts: int, who: str) -> None:
    data = session.plan.workload.stream(CLIENT, session.plan.seed)
    talk = Talk().open()
    talk.say(CLIENT, ACK, payload=data[starts:100], seq=2)
    got = msgspec.structs.replace(saw(session, talk), received={"to_server": data[1:100]})
    assert judge(read(got, first_difference=0, wrong_at=0)).who == who


@pytest.mark.parametrize(("came", "who"), [(100, SERVER), (60, "")])
def test_a_reader_is_named_that_was_told_of_an_end_before_all_that_came(
    session: Session, came: int, who: str
) -> None:
    data = session.plan.workload.stream(CLIENT, session.plan.seed)
    talk = Talk().open()
    talk.say(CLIENT, ACK, payload=data[:came], seq=2)
    got = msgspec.structs.replace(saw(session, talk), received={"to_server": data[:60]})
    found = judge(read(got, received=60))
    assert (found.outcome, found.who) == (Outcome.CORRUPTED, who)


def test_what_no_packet_shows_is_not_shown(session: Session) -> None:
    got = msgspec.structs.replace(saw(session, Talk().open()), received={"to_server": ONE})
    assert judge(read(got, first_difference=3, wrong_at=3)).evidence == ()


class ResetBoth(Middlebox):
    """Answers for both hosts: turns a segment into a reset."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        back = Segment.build(
            segment.destination, segment.source, segment.destination_port, segment.source_port,
            seq=int(segment.ack), flags=RST,
        )  # fmt: skip
        self.send(back, direction.reverse, "reset")
        return [segment.replace(flags=RST, payload=b"", options=())]


def test_a_reset_of_the_only_subflow_ends_or_stalls_the_connection(fixture: Make) -> None:
    # RFC 8684 §3.6 leaves the connection open for a new subflow; this kernel tells its application.
    trial = fixture(stacks=("tcp", "tcp"))(ResetBoth(aim=Aim(kinds=Kind.FIRST_DATA)), client_sends=4 * KIB)
    assert trial.outcome is Outcome.RESET
    assert trial.judgement.reason == "an application was told ECONNRESET"
