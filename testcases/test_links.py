"""Links that fail, in one direction or both, for good or for a while: data goes on by the ways that work."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MILLISECOND,
    MUST,
    SHOULD,
    TO_CLIENT,
    Aim,
    Interfered,
    Kind,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import Dss, Segment
from middleboxes.link import FailLink

MOVED = ("RFC8684-3.3.6/moved-off-failed-subflow", "RFC8684-3.3/one-stream")
TAKES_OVER = "RFC8684-3.3.8/backup-takes-over"
RETRANSMITTED = "RFC9293-3.8.1/lost-data-retransmitted"
TOWARD = {"to-server": "toward the server", "to-client": "toward the client"}
FAILED = {"both-ways": "both", "to-server": "to_server", "to-client": "to_client"}
OUTAGE = 300 * MILLISECOND
ROUND_ROBIN = {"scheduler": "round-robin"}
"""A server that opens no subflows may ask for no backup: its client uses both subflows then."""
PATIENCE = 15.0
"""Seconds: data that is sent again at the connection level waits for timers, which back off."""


def went_on(session: Trial) -> None:
    """Every octet arrived although a link failed; how many subflows were left is the hosts' affair."""
    session.require(Interfered(FailLink))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


def ends_stream(segment: Segment) -> bool:
    """Whether a segment carries a DATA_FIN."""
    dss = segment.option(Dss)
    return dss is not None and dss.data_fin


@case("link.returns-{}", reads=TOWARD, each=FAILED, requires=RETRANSMITTED, directions=BOTH_WAYS, waits=1)
def test_the_only_link_fails_and_returns(run: RunFixture) -> None:
    """The only link fails {} for 300 ms: what was lost is sent again, and the connection stays MPTCP."""
    aim = Aim(direction=run.direction, from_byte=64 * KIB)
    session = run(FailLink(OUTAGE, directions=run.value, aim=aim), sends=256 * KIB)

    went_on(session)
    session.expect(Outcome.MULTIPATH)


@case(
    "link.first-of-two-{}",
    reads=TOWARD,
    each=FAILED,
    requires=MOVED,
    directions=BOTH_WAYS,
    topology="dual-homed-client",
    waits=3,
)
def test_the_link_of_the_initial_subflow_fails(run: RunFixture) -> None:
    """The link of the initial subflow fails {} for good: its data goes again by the other one."""
    aim = Aim(path=0, direction=run.direction, from_byte=8 * KIB)
    went_on(run(FailLink(directions=run.value, aim=aim), sends=1024 * KIB))


@case(
    "link.second-of-two-{}",
    reads=TOWARD,
    each=FAILED,
    requires=MOVED,
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_the_link_of_the_joined_subflow_fails(run: RunFixture) -> None:
    """The link of the joined subflow, which carries most, fails {} for good: its data goes by the other."""
    aim = Aim(path=1, direction=run.direction, from_byte=64 * KIB)
    went_on(run(FailLink(directions=run.value, aim=aim), sends=384 * KIB))


@case("link.of-two-returns", requires=MOVED, directions=BOTH_WAYS, topology="slow-first-path", waits=1)
def test_one_of_two_links_fails_and_returns(run: RunFixture) -> None:
    """The link of the joined subflow fails for 300 ms: nothing is lost or read twice when it returns."""
    aim = Aim(path=1, direction=run.direction, from_byte=64 * KIB)
    went_on(run(FailLink(OUTAGE, aim=aim), sends=512 * KIB))


@case("link.both-fail-and-return", requires=MOVED, directions=BOTH_WAYS, topology="slow-first-path", waits=1)
def test_both_links_fail_and_return(run: RunFixture) -> None:
    """Both links fail for 300 ms: what was lost on either is sent again."""
    first = FailLink(OUTAGE, aim=Aim(path=0, direction=run.direction, from_byte=1))
    second = FailLink(OUTAGE, aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB))
    went_on(run([first, second], sends=512 * KIB))


@case("link.join-half-open", requires="RFC8684-3.3/one-stream", topology="dual-homed-client", waits=1)
def test_a_link_fails_within_the_handshake_of_a_join(run: RunFixture) -> None:
    """The second link fails with the third packet of the join: the connection goes on without it."""
    session = run(FailLink(aim=Aim(path=1, kinds=Kind.THIRD_ACK)), sends=256 * KIB)

    session.require(Interfered(FailLink))
    session.expect(Unharmed())


@case(
    "link.backup-{}",
    reads=TOWARD,
    each=FAILED,
    requires=(TAKES_OVER, *MOVED),
    directions=BOTH_WAYS,
    topology="dual-homed-client",
    waits=3,
)
def test_a_backup_takes_over(run: RunFixture) -> None:
    """The link of the only subflow that is no backup fails {}: the backup takes over all data."""
    box = FailLink(directions=run.value, aim=Aim(path=0, direction=run.direction, from_byte=16 * KIB))
    went_on(run(box, sends=96 * KIB, backup=True, patience=PATIENCE, endpoint={"client": ROUND_ROBIN}))


@case(
    "link.backup-fails",
    level=SHOULD,
    requires="RFC8684-3.3.8/backup-respected",
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_the_link_of_a_backup_fails(run: RunFixture) -> None:
    """The link of the backup fails once it has joined: nobody needs it, and all data arrives."""
    aim = Aim(path=1, kinds=Kind.PURE_ACK)
    session = run(FailLink(aim=aim), sends=256 * KIB, backup=True)

    session.require(Interfered(FailLink))
    session.expect(Unharmed(), level=MUST)


@case(
    "link.at-the-end",
    requires=("RFC8684-3.3.3/data-fin", TAKES_OVER),
    directions=(TO_CLIENT,),
    topology="dual-homed-client",
    waits=3,
)
def test_a_link_fails_with_the_data_fin(run: RunFixture) -> None:
    """The first link fails as the DATA_FIN comes: it is sent on the backup, and both streams end."""
    aim = Aim(path=0, direction=run.direction, where=ends_stream)
    session = run(FailLink(aim=aim), sends=64 * KIB, backup=True, patience=PATIENCE)

    session.require(Interfered(FailLink))
    session.expect(Unharmed())
