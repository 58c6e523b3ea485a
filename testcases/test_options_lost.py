"""MPTCP options that pass in the handshake and are lost later."""

from __future__ import annotations

from typing import Literal

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    ResetsWith,
    Role,
    RunFixture,
    Subflow,
    Unharmed,
    case,
)
from mbtest.wire import Dss, MpJoin
from middleboxes.strip import StripOptions

JOINED = Subflow.JOINED
SECOND_PATH = "dual-homed-client"
SLOW_FIRST = "slow-first-path"
JOINED_REASON = "RFC8684-3.7/joined-subflow-reason"
LATER_REASON = "RFC8684-3.7/options-lost-later-reason"


def interference(host: Role | Literal["either host"]) -> ResetsWith:
    """A host resets with the reason "Middlebox interference"."""
    return ResetsWith(host, 6)


@case(
    "lost.first-data",
    requires="RFC8684-3.7/first-data-without-dss",
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=3,
)
def test_options_lost_on_the_first_data(run: RunFixture) -> None:
    """The first data loses its options: neither host may go on with MPTCP, and nothing is lost."""
    box = StripOptions(aim=Aim(kinds=Kind.FIRST_DATA, direction=run.direction))
    session = run(box, sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "lost.all-data",
    requires="RFC8684-3.7/first-data-without-dss",
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=3,
)
def test_options_lost_on_all_data_of_one_direction(run: RunFixture) -> None:
    """All data of one direction loses its options, ACKs keep theirs: the connection becomes regular TCP."""
    session = run(StripOptions(aim=Aim(kinds=Kind.DATA, direction=run.direction)), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "lost.after-third-ack",
    lesson="mptcp_net-next#241",
    requires="RFC8684-3.7/first-data-without-dss",
    directions=BOTH_WAYS,
    waits=3,
)
def test_options_lost_both_ways_after_the_handshake(run: RunFixture) -> None:
    """The three segments of the handshake keep their options, all later ones lose them: regular TCP."""
    kinds = Kind.DATA | Kind.PURE_ACK | Kind.FIN
    session = run(StripOptions(aim=Aim(kinds=kinds)), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case("lost.data-acks", requires="RFC8684-3.7/data-acked-without-data-ack", directions=BOTH_WAYS, waits=5)
def test_data_acks_lost_from_the_start(run: RunFixture) -> None:
    """Data arrives with its mappings, Data ACKs do not come back: the sender must become regular TCP."""
    box = StripOptions(aim=Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse))
    session = run(box, sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case("lost.some-data-acks", level=SHOULD, requires="RFC8684-6/some-data-acks-lost", directions=BOTH_WAYS)
def test_some_data_acks_are_lost(run: RunFixture) -> None:
    """Ten Data ACKs in mid-transfer are lost: later ones cover them, and the connection stays MPTCP."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=5, until_nth=15)
    session = run(StripOptions(Dss, aim=aim), sends=256 * KIB)

    session.require(Interfered(StripOptions, at_least=5))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed(), level=MUST)


@case(
    "lost.later-data",
    lesson="multipath-tcp/mptcp#420",
    requires=("RFC8684-3.7/options-lost-later", "RFC8684-3.3.1/mapping-never-comes"),
    directions=BOTH_WAYS,
    level=SHOULD,
    waits=5,
)
def test_options_lost_from_the_middle_on(run: RunFixture) -> None:
    """From 32 KiB on data loses its options: the subflow should be reset; no octet may be misplaced."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, from_byte=32 * KIB)
    session = run(StripOptions(aim=aim), sends=128 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET)
    session.expect(interference(run.receiver), requirement=LATER_REASON)


@case(
    "lost.everything-later",
    lesson=("mptcp_net-next#518", "multipath-tcp/mptcp#420"),
    requires="RFC8684-3.7/options-lost-later",
    directions=BOTH_WAYS,
    level=SHOULD,
    waits=5,
)
def test_all_options_lost_both_ways_from_the_middle_on(run: RunFixture) -> None:
    """A reroute in mid-transfer puts a box in the way that strips all: a reset, or regular TCP, no stall."""
    data = StripOptions(aim=Aim(kinds=Kind.DATA, direction=run.direction, from_byte=32 * KIB))
    acks = StripOptions(aim=Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=20))
    session = run([data, acks], sends=256 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET)
    session.expect(interference("either host"), requirement=LATER_REASON)


@case("lost.one-mapping", requires="RFC8684-6/unmapped-data", directions=BOTH_WAYS, level=SHOULD, waits=5)
def test_one_mapping_in_the_middle_is_lost(run: RunFixture) -> None:
    """The data at 32 KiB alone loses its mapping: the subflow is broken; no octet may be misplaced."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, from_byte=32 * KIB, until_byte=32 * KIB + 1)
    session = run(StripOptions(aim=aim), sends=128 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(OneOf(Outcome.RESET, Outcome.FELL_BACK, Outcome.MULTIPATH))


@case("lost.join-syn", requires="RFC8684-6/join-option-stripped", directions=BOTH_WAYS, topology=SECOND_PATH)
def test_mp_join_deleted_from_syn(run: RunFixture) -> None:
    """MP_JOIN is deleted from the SYN: the client resets that subflow, and the connection goes on."""
    session = run(StripOptions(MpJoin, aim=Aim(kinds=Kind.SYN, path=1)), sends=256 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "lost.join-syn-ack",
    requires="RFC8684-3.2/syn-ack-without-join",
    directions=BOTH_WAYS,
    topology=SECOND_PATH,
)
def test_mp_join_deleted_from_syn_ack(run: RunFixture) -> None:
    """MP_JOIN is deleted from the SYN/ACK: the client must reset that subflow."""
    session = run(StripOptions(MpJoin, aim=Aim(kinds=Kind.SYN_ACK, path=1)), sends=256 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "lost.join-third-ack", requires="RFC8684-3.2/ack-without-join", directions=BOTH_WAYS, topology=SECOND_PATH
)
def test_mp_join_deleted_from_third_ack(run: RunFixture) -> None:
    """MP_JOIN is deleted from the third ACK: the server must reset that subflow."""
    session = run(
        StripOptions(MpJoin, aim=Aim(path=1, where=lambda segment: not segment.syn)), sends=256 * KIB
    )

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "lost.joined-after-handshake",
    lesson="mptcp_net-next#544",
    requires="RFC8684-3.7/joined-subflow-without-dss",
    directions=BOTH_WAYS,
    topology=SLOW_FIRST,
    waits=2,
)
def test_options_lost_on_a_joined_subflow_after_its_handshake(run: RunFixture) -> None:
    """The joined subflow loses all options after its handshake: it must be reset, the other carries on.

    The fourth ACK, which ends the handshake, keeps them: it acknowledges no data, so no clause is about it.
    """
    boxes = [
        StripOptions(aim=Aim(path=1, kinds=Kind.DATA | Kind.FIN)),
        StripOptions(aim=Aim(path=1, kinds=Kind.PURE_ACK, direction=TO_SERVER)),
        StripOptions(aim=Aim(path=1, kinds=Kind.PURE_ACK, direction=TO_CLIENT, from_nth=2)),
    ]
    session = run(boxes, sends=256 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(interference("either host"), level=SHOULD, requirement=JOINED_REASON)


@case(
    "lost.joined-data",
    lesson="mptcp_net-next#544",
    requires="RFC8684-3.7/joined-subflow-without-dss",
    directions=BOTH_WAYS,
    topology=SLOW_FIRST,
    waits=2,
)
def test_options_lost_on_the_data_of_a_joined_subflow(run: RunFixture) -> None:
    """Data on the joined subflow loses its mappings: that subflow goes, no octet is lost or misplaced."""
    session = run(StripOptions(aim=Aim(path=1, kinds=Kind.DATA, direction=run.direction)), sends=384 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(interference("either host"), level=SHOULD, requirement=JOINED_REASON)


@case(
    "lost.joined-data-acks",
    requires="RFC8684-3.7/joined-subflow-without-dss",
    directions=BOTH_WAYS,
    topology=SLOW_FIRST,
    waits=2,
)
def test_data_acks_lost_on_a_joined_subflow(run: RunFixture) -> None:
    """ACKs of the joined subflow lose Data ACKs: its sender must reset it, and the stream arrives whole."""
    fourth = 1 if run.direction is TO_SERVER else 0  # the server's first ACK, which ends the handshake
    aim = Aim(path=1, kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=1 + fourth)
    session = run(StripOptions(Dss, aim=aim), sends=384 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS, who=run.sender)
    session.expect(interference(run.sender), level=SHOULD, requirement=JOINED_REASON)
