"""Further subflows: their handshake disturbed, raced by data, by fallback, by close."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MILLISECOND,
    MUST,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Interfered,
    Kind,
    Middlebox,
    NoFalseData,
    Outcome,
    ResetsWith,
    RunFixture,
    Sends,
    Subflow,
    Subflows,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Dss, MpJoinAck, MpJoinSyn, Segment
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.reorder import ReorderSegments
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.strip import StripOptions

JOINS = "RFC8684-3.2/join"
TWO_PATHS, BOTH_HOMED = "dual-homed-client", "dual-homed-both"


def third_ack(segment: Segment) -> bool:
    """Whether a segment has the MP_JOIN of a third ACK."""
    return segment.option(MpJoinAck) is not None


STEPS = {
    "syn": Aim(subflow=Subflow.JOINED, kinds=Kind.SYN, nth=1),
    "syn-ack": Aim(subflow=Subflow.JOINED, kinds=Kind.SYN_ACK, nth=1),
    "third-ack": Aim(where=third_ack, nth=1),
}
"""The steps of a join that a host makes, each aimed at the first time that it is made."""


def joined(session: Trial, box: type[Middlebox]) -> None:
    """The join comes about all the same, and the stream is whole."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())


@case("join.{}-lost", each=STEPS, requires=JOINS, directions=BOTH_WAYS, topology=TWO_PATHS, waits=3)
def test_a_step_of_the_join_is_lost(run: RunFixture) -> None:
    """The {} of a join is lost once: it is sent again, and the subflow comes about."""
    joined(run(DropSegments(aim=run.value), sends=256 * KIB), DropSegments)


@case("join.{}-duplicated", each=STEPS, requires=JOINS, directions=BOTH_WAYS, topology=TWO_PATHS)
def test_a_step_of_the_join_comes_twice(run: RunFixture) -> None:
    """The {} of a join arrives twice: the subflow comes about."""
    joined(run(DuplicateSegments(aim=run.value), sends=256 * KIB), DuplicateSegments)


@case("join.{}-delayed", each=STEPS, requires=JOINS, directions=BOTH_WAYS, topology=TWO_PATHS, waits=1)
def test_a_step_of_the_join_is_late(run: RunFixture) -> None:
    """The {} of a join is 300 ms late: the subflow comes about."""
    joined(run(DelaySegments(300 * MILLISECOND, aim=run.value), sends=256 * KIB), DelaySegments)


@case("join.first-data-ahead", requires=JOINS, directions=BOTH_WAYS, topology=TWO_PATHS, waits=1)
def test_data_overtakes_the_fourth_ack(run: RunFixture) -> None:
    """What answers the third ACK is overtaken by what follows it: the subflow stays."""
    aim = Aim(path=1, kinds=Kind.PURE_ACK, nth=1)
    session = run(ReorderSegments(1.0, 10 * MILLISECOND, aim=aim), sends=256 * KIB)

    session.require(Interfered(ReorderSegments))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "join.syns-dropped",
    requires="RFC8684-6/join-syn-dropped",
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=3,
)
def test_every_join_is_dropped(run: RunFixture) -> None:
    """Every SYN on the second path is dropped: the connection goes on without."""
    session = run(DropSegments(aim=Aim(path=1, kinds=Kind.SYN)), sends=256 * KIB)

    session.require(Interfered(DropSegments))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "join.{}-altered",
    reads={
        "token": "token of a join",
        "nonce-of-the-syn": "nonce of a join's SYN",
        "nonce-of-the-syn-ack": "nonce of a join's SYN/ACK",
        "hmac-of-the-syn-ack": "HMAC of a join's SYN/ACK",
        "hmac-of-the-third-ack": "HMAC of a join's third ACK",
    },
    each={
        "token": FlipBits("token", aim=Aim(path=1)),
        "nonce-of-the-syn": FlipBits("nonce", aim=Aim(path=1, kinds=Kind.SYN)),
        "nonce-of-the-syn-ack": FlipBits("nonce", aim=Aim(path=1, kinds=Kind.SYN_ACK)),
        "hmac-of-the-syn-ack": FlipBits("hmac", aim=Aim(path=1, kinds=Kind.SYN_ACK)),
        "hmac-of-the-third-ack": FlipBits("hmac", aim=Aim(path=1, where=third_ack)),
    },
    requires=(
        "RFC8684-3.2/unknown-token-reset",
        "RFC8684-3.2/wrong-hmac-on-syn-ack",
        "RFC8684-3.2/wrong-hmac-on-ack",
    ),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=2,
)
def test_a_join_that_is_not_authentic(run: RunFixture) -> None:
    """The {} is altered: the subflow is reset, and the connection goes on."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(FlipBits))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())
    if run.value.field != "token":
        reason = "RFC8684-3.2/join-failure-reason"
        session.expect(ResetsWith("either host", 1), level=SHOULD, requirement=reason)


@case(
    "join.several-{}",
    reads={
        "syns-lost": "their first SYNs lost",
        "acks-lost": "their third ACKs lost",
        "steps-overtaken": "their steps overtaken",
    },
    each={
        "syns-lost": DropSegments(aim=Aim(subflow=Subflow.JOINED, kinds=Kind.SYN, until_nth=3)),
        "acks-lost": DropSegments(aim=Aim(where=third_ack, until_nth=3)),
        "steps-overtaken": ReorderSegments(1.0, 5 * MILLISECOND, aim=Aim(subflow=Subflow.JOINED)),
    },
    requires=JOINS,
    topology=BOTH_HOMED,
    waits=4,
)
def test_several_joins_are_disturbed_at_once(run: RunFixture) -> None:
    """Two joins at the same time have {}: the stream is whole."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(type(run.value)))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


# -- Races ---------------------------------------------------------------------------------------------------


def raced(session: Trial, delay: int) -> None:
    """There was a join, late if it was to be; whichever comes first, the stream is whole."""
    session.require(Sends(CLIENT, MpJoinSyn))
    if delay:
        session.require(Interfered(DelaySegments))
    session.expect(Unharmed())


AHEAD = 20
"""Milliseconds that a failure has ahead of a join."""
LATE = {"0": "a join is under way"} | {ms: f"a join is {ms} ms late" for ms in ("1", "5", "50")}


def late_join(delay: int) -> list[Middlebox]:
    """Return what has joins wait so many milliseconds."""
    aim = Aim(path=1, kinds=Kind.SYN | Kind.SYN_ACK)
    return [DelaySegments(delay * MILLISECOND, aim=aim)] if delay else []


@case(
    "race.join-{}-ms-late-and-fallback",
    reads=LATE,
    lesson=("mptcp_net-next#555", "mptcp_net-next#570"),
    each={"0": 0, "1": 1, "5": 5, "50": 50},
    requires=("RFC8684-3.7/data-acked-without-data-ack", "RFC8684-3.7/fallback-keeps-data"),
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
    waits=4,
)
def test_a_fallback_races_with_a_join(run: RunFixture) -> None:
    """What the client sends on the first subflow loses its options, while {}.

    What the server sends keeps them: the client knows that the server speaks MPTCP, and joins.
    """
    aim = Aim(path=0, direction=TO_SERVER, kinds=Kind.DATA | Kind.PURE_ACK | Kind.FIN)
    session = run([StripOptions(aim=aim), *late_join(run.value)], sends=128 * KIB)

    session.require(Interfered(StripOptions))
    raced(session, run.value)
    session.expect(Outcome.FELL_BACK, Outcome.FEWER_SUBFLOWS)


@case(
    "race.join-{}-ms-late-and-failure",
    reads=LATE,
    lesson=("mptcp_net-next#555", "mptcp_net-next#570"),
    each={"0": 0, "1": 1, "5": 5, "50": 50},
    requires=("RFC8684-3.7/mp-fail", "RFC8684-3.7/mp-fail-rst"),
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
    waits=4,
)
def test_a_checksum_failure_races_with_a_join(run: RunFixture) -> None:
    """The second piece of data fails its checksum, while {}.

    The first piece is answered, with a DSS: the client joins as the second goes out. The join's way takes
    20 ms besides, so that the failure comes first however slow a machine is.
    """
    box = RewritePayload(at=5_000, aim=Aim(path=0, direction=run.direction))
    late = AHEAD + run.value
    session = run(
        [box, *late_join(late)],
        workload=Workload(
            shape="rounds", rounds=32, client_sends=128 * KIB, server_sends=128 * KIB, wait_for_joins=False
        ),
    )

    session.require(Interfered(RewritePayload))
    raced(session, late)
    session.expect(Outcome.FELL_BACK, Outcome.FEWER_SUBFLOWS, Outcome.MULTIPATH)


@case(
    "race.join-and-close",
    requires="RFC8684-3.3.3/no-join-after-end",
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_connection_closes_during_a_join(run: RunFixture) -> None:
    """The answer to a join is under way while both streams end: nothing is lost, and nothing stalls."""
    box = DelaySegments(40 * MILLISECOND, aim=Aim(path=1, kinds=Kind.SYN_ACK))
    session = run(box, sends=1500, subflows=1)

    session.require(Interfered(DelaySegments))
    session.expect(Unharmed())


@case(
    "race.fallback-and-close-{}",
    reads={
        "without-options": "all of it still arrives",
        "of-a-small-stream": "a small one, too, arrives whole",
    },
    each={"without-options": (Kind.DATA, None), "of-a-small-stream": (Kind.DATA | Kind.FIN, 200)},
    requires=("RFC8684-3.7/first-data-without-dss", "RFC8684-3.7/fallback-keeps-data"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=4,
)
def test_a_fallback_races_with_the_close(run: RunFixture) -> None:
    """The stream is written and ended before its sender learns of the fallback: {}."""
    kinds, size = run.value
    session = run(StripOptions(aim=Aim(kinds=kinds, direction=run.direction)), sends=size or 20 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "race.data-fin-lost-with-options",
    requires="RFC8684-3.7/options-lost-later",
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=5,
)
def test_options_are_lost_with_the_data_fin(run: RunFixture) -> None:
    """From the DATA_FIN on all options are lost both ways: no octet is misplaced, and nothing stalls."""
    session = run(StripOptions(aim=Aim(where=FromDataFin())), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET, Outcome.FELL_BACK, Outcome.MULTIPATH)


class FromDataFin:
    """A condition that holds from the first DATA_FIN on."""

    def __init__(self) -> None:
        """Have seen none."""
        self._seen = False

    def __call__(self, segment: Segment) -> bool:
        """Whether a DATA_FIN passed, this one included."""
        dss = segment.option(Dss)
        self._seen = self._seen or (dss is not None and dss.data_fin)
        return self._seen
