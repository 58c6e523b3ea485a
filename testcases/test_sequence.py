"""Sequence numbers rewritten: mappings are relative to the initial number for this reason."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    Aim,
    Interfered,
    Kind,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.drop import DropSegments
from middleboxes.sequence import RewriteSequence

SURVIVES = "RFC8684-3.3.1/relative-subflow-sequence"


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(RewriteSequence))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("sequence.constant", requires=SURVIVES, directions=BOTH_WAYS)
def test_constant_offset(run: RunFixture) -> None:
    """Every sequence number of one direction moves by the same amount: MPTCP to the end."""
    survived(run(RewriteSequence(offset=1_000_003, directions=run.direction.value), sends=64 * KIB))


@case("sequence.randomised", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_randomised(run: RunFixture) -> None:
    """A firewall randomises the initial numbers of both hosts: MPTCP to the end."""
    survived(run(RewriteSequence(), sends=256 * KIB))


@case("sequence.other-direction", requires=SURVIVES, directions=BOTH_WAYS)
def test_randomised_towards_the_sender(run: RunFixture) -> None:
    """Only the numbers of the host that acknowledges are randomised: MPTCP to the end."""
    survived(run(RewriteSequence(directions=run.direction.reverse.value), sends=64 * KIB))


@case("sequence.with-loss", requires=SURVIVES, directions=BOTH_WAYS)
def test_randomised_with_loss_and_sack(run: RunFixture) -> None:
    """Data is lost behind a randomiser that mends SACK: it is sent again, and MPTCP goes on."""
    lost = DropSegments(aim=Aim(kinds=Kind.DATA, direction=run.direction, from_nth=10, until_nth=13))
    session = run([RewriteSequence(), lost], sends=256 * KIB)

    session.require(Interfered(DropSegments, at_least=3))
    survived(session)


@case("sequence.sack-left-behind", requires=SURVIVES, directions=BOTH_WAYS, waits=1)
def test_sack_blocks_left_behind(run: RunFixture) -> None:
    """A randomiser leaves SACK blocks as they are: retransmission suffers, the stream does not."""
    lost = DropSegments(aim=Aim(kinds=Kind.DATA, direction=run.direction, from_nth=10, until_nth=13))
    # In this order the receiver's SACK blocks pass the randomiser on their way to the sender.
    session = run([RewriteSequence(sack="left behind"), lost], sends=256 * KIB)

    session.require(Interfered(DropSegments, at_least=3))
    survived(session)


@case("sequence.joined-subflow", requires=SURVIVES, directions=BOTH_WAYS, topology="dual-homed-client")
def test_randomised_on_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow alone is randomised: both subflows are used to the end."""
    session = run(RewriteSequence(aim=Aim(path=1)), sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))
