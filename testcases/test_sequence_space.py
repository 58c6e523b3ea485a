"""Boxes that read the sequence space: holes, acknowledgments too early or late, copies that differ."""

from __future__ import annotations

from mbtest.middlebox import Middlebox
from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MIB,
    MILLISECOND,
    MUST,
    SHOULD,
    TO_SERVER,
    Aim,
    AnswersMpFail,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import MpFail, MpTcprst
from middleboxes.acknowledge_early import AcknowledgeEarly
from middleboxes.check_acks import CheckAcks
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.forge_overlap import ForgeOverlap
from middleboxes.holes import StopAtHoles
from middleboxes.lose_at_random import LoseAtRandom
from middleboxes.normalise import NormaliseData
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.sequence import RewriteSequence

NORMALISED = ("RFC8684-6/same-data-same-number", "RFC8684-3.3.6/original-retransmitted")
RELATIVE = "RFC8684-3.3.1/relative-subflow-sequence"
CHANGED = ("RFC8684-3.7/checksum-finds-changes", "RFC8684-3.7/mp-fail")
EARLY = "RFC8684-6/early-acks"
TWO_PATHS = "dual-homed-client"
SECOND_PATH = "slow-first-path"
PLACE = 20 * KIB
JOINED_PLACE = 4 * KIB
"""Soon enough that a joined subflow comes to it, whatever the scheduler."""


def along(run: RunFixture, *boxes: Middlebox) -> list[Middlebox]:
    """Return boxes so that the data of the run's direction meets them in this order."""
    return list(boxes if run.direction is TO_SERVER else boxes[::-1])


def survived(session: Trial) -> None:
    """MPTCP to the end, all subflows in use, and every octet in its place."""
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("sequence.bulk", requires=RELATIVE, families=("v4",), waits=3)
def test_bulk_through_a_randomiser(run: RunFixture) -> None:
    """Ten MiB arrive through a randomiser of initial numbers, MPTCP to the end."""
    session = run(RewriteSequence(), sends=10 * MIB, limit=100)

    session.require(Interfered(RewriteSequence))
    survived(session)


@case("sequence.on-all", requires=RELATIVE, directions=BOTH_WAYS, checksums=(False, True), topology=TWO_PATHS)
def test_randomised_on_all_subflows(run: RunFixture) -> None:
    """Randomisers on both paths, each with numbers of its own: both subflows are used to the end."""
    session = run(RewriteSequence(), sends=256 * KIB)

    session.require(Interfered(RewriteSequence))
    survived(session)


# -- holes ------------------------------------------------------------------------------------------------


@case("holes.{}", requires=NORMALISED, directions=BOTH_WAYS, each={"held-back": "hold", "dropped": "drop"})
def test_no_data_behind_a_hole(run: RunFixture) -> None:
    """Data behind a hole is {} until the hole is filled: it is filled, and MPTCP goes on."""
    # In the first flight, so that data behind it is under way.
    boxes = along(run, lost_once(run, 8 * KIB), StopAtHoles(run.value, aim=Aim(direction=run.direction)))
    session = run(boxes, sends=256 * KIB)

    session.require(Interfered(StopAtHoles))
    survived(session)


@case(
    "holes.joined-{}",
    requires=NORMALISED,
    directions=BOTH_WAYS,
    topology=SECOND_PATH,
    waits=2,
    each={"held-back": "hold", "dropped": "drop"},
)
def test_no_data_behind_a_hole_on_the_joined_subflow(run: RunFixture) -> None:
    """On a joined subflow data behind a hole is {}: the hole is filled there, whatever others carry."""
    # Lost twice, so that connection-level retransmission comes in.
    aim = Aim(
        path=1, direction=run.direction, from_byte=JOINED_PLACE, until_byte=JOINED_PLACE + 1, until_nth=3
    )
    boxes = along(run, DropSegments(aim=aim), StopAtHoles(run.value, aim=Aim(path=1)))
    session = run(boxes, sends=384 * KIB)

    session.require(Interfered(StopAtHoles))
    survived(session)


# -- acknowledgments ----------------------------------------------------------------------------------------


@case(
    "acks.unseen-{}",
    requires="RFC9293-3.8.1/lost-data-retransmitted",
    directions=BOTH_WAYS,
    waits=1,
    each={"corrected": "correct", "dropped": "drop"},
)
def test_acknowledgments_of_unseen_data(run: RunFixture) -> None:
    """Data took another way past a box; acknowledgments of it are {} until it is sent again."""
    box = CheckAcks(run.value, blind_from=PLACE, blind_until=PLACE + 1)
    session = run(box, sends=128 * KIB)

    session.require(Interfered(CheckAcks))
    survived(session)


@case(
    "acks.unseen-{}-on-joined",
    requires=("RFC8684-3.3.2/kept-until-acked-twice", "RFC9293-3.8.1/lost-data-retransmitted"),
    directions=BOTH_WAYS,
    topology=SECOND_PATH,
    waits=1,
    each={"corrected": "correct", "dropped": "drop"},
)
def test_acknowledgments_of_unseen_data_on_the_joined_subflow(run: RunFixture) -> None:
    """On a joined subflow acknowledgments of unseen data are {}: it is sent again on it."""
    box = CheckAcks(run.value, blind_from=JOINED_PLACE, blind_until=JOINED_PLACE + 1, aim=Aim(path=1))
    session = run(box, sends=384 * KIB)

    session.require(Interfered(CheckAcks))
    survived(session)


@case("acks.checked-on-all", requires=RELATIVE, directions=BOTH_WAYS, topology=TWO_PATHS)
def test_acknowledgments_checked_on_all_subflows(run: RunFixture) -> None:
    """Boxes on both paths correct acknowledgments of data that they did not see: there are none."""
    survived(run(CheckAcks(), sends=384 * KIB))


# -- other octets under the same numbers --------------------------------------------------------------------


@case(
    "overlap.after-{}",
    requires="RFC9293-3.10.7.4/unacceptable-acknowledged",
    directions=BOTH_WAYS,
    checksums=(False, True),
    each={"with-options": "copied", "without-options": "without MPTCP"},
)
def test_forged_copy_comes_too_late(run: RunFixture) -> None:
    """A copy with other octets comes behind the segment itself, {}: it is ignored."""
    box = ForgeOverlap(PLACE, order="after", options=run.value, aim=Aim(direction=run.direction))
    session = run(box, sends=128 * KIB)

    session.require(Interfered(ForgeOverlap))
    survived(session)


REQUESTS = Workload(shape="rounds", rounds=20, client_sends=20 * KIB, server_sends=20 * KIB)
"""One small segment at a time, so that nothing else is under way when one of them is forged."""


def became_tcp(run: RunFixture, session: Trial) -> None:
    """MP_FAIL from the receiver, one in answer, then regular TCP."""
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)
    session.expect(AnswersMpFail(run.sender))
    session.expect(Sends(run.receiver, MpFail))


@case("overlap.before", requires=CHANGED, directions=BOTH_WAYS, checksums=(True,), waits=3)
def test_forged_copy_comes_first(run: RunFixture) -> None:
    """A copy with another octet comes before the segment itself: its checksum fails, then regular TCP."""
    session = run(ForgeOverlap(10 * KIB, aim=Aim(direction=run.direction)), workload=REQUESTS)

    session.require(Interfered(ForgeOverlap))
    became_tcp(run, session)


@case(
    "overlap.before-on-joined",
    requires=("RFC8684-3.7/mp-fail-rst", "RFC8684-3.7/failed-data-resent"),
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=SECOND_PATH,
)
def test_forged_copy_comes_first_on_the_joined_subflow(run: RunFixture) -> None:
    """A copy with another octet comes first on a joined subflow: it is reset, the data comes again."""
    session = run(ForgeOverlap(JOINED_PLACE, aim=Aim(path=1, direction=run.direction)), sends=384 * KIB)

    session.require(Interfered(ForgeOverlap))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(run.receiver, MpFail))


@case(
    "overlap.before-without-options",
    requires=("RFC8684-3.7/checksum-finds-changes", "RFC8684-6/unmapped-data"),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=3,
)
def test_forged_copy_without_options_comes_first(run: RunFixture) -> None:
    """A copy with another octet and no mapping comes first: no such octet is delivered.

    Data without a mapping is kept or dropped (RFC 8684 section 3.3.1); it can come again with another one.
    """
    box = ForgeOverlap(10 * KIB, options="without MPTCP", aim=Aim(direction=run.direction))
    session = run(box, workload=REQUESTS)

    session.require(Interfered(ForgeOverlap))
    session.expect(NoFalseData(), who=run.receiver)
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET, Outcome.MULTIPATH), level=SHOULD)


@case("overlap.unnoticed", requires="RFC8684-3.7/no-checksum-no-detection", directions=BOTH_WAYS, level=MAY)
def test_forged_copy_without_checksums(run: RunFixture) -> None:
    """Without checksums a copy with another octet that comes first is what the application reads."""
    session = run(ForgeOverlap(PLACE, aim=Aim(direction=run.direction)), sends=64 * KIB)

    session.require(Interfered(ForgeOverlap))
    session.expect(Unharmed())


@case("overlap.retransmission", requires=CHANGED, directions=BOTH_WAYS, checksums=(True,), waits=3)
def test_retransmission_altered(run: RunFixture) -> None:
    """A segment is lost, and altered where it is sent again: its checksum fails, then regular TCP."""
    altered = RewritePayload(10 * KIB, aim=Aim(direction=run.direction, retransmissions=True))
    session = run(along(run, altered, lost_once(run, 10 * KIB)), workload=REQUESTS)

    session.require(Interfered(RewritePayload))
    became_tcp(run, session)


@case("normaliser.restores", requires=NORMALISED, directions=BOTH_WAYS, checksums=(True,))
def test_normaliser_restores_what_was_sent_first(run: RunFixture) -> None:
    """A retransmission is altered, and a normaliser puts back what it saw first: MPTCP to the end."""
    altered = RewritePayload(PLACE, aim=Aim(direction=run.direction, retransmissions=True))
    normal = NormaliseData(aim=Aim(direction=run.direction))
    session = run(along(run, altered, normal, lost_once(run)), sends=128 * KIB)

    session.require(Interfered(NormaliseData))
    survived(session)


@case(
    "normaliser.with-loss",
    requires=NORMALISED,
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology=TWO_PATHS,
    waits=1,
)
def test_normalisers_behind_lossy_paths(run: RunFixture) -> None:
    """Normalisers and loss on both paths: no number stands for other data, both are used to the end."""
    lost = LoseAtRandom(0.02, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    session = run(along(run, NormaliseData(), lost), sends=384 * KIB, patience=15)

    session.require(Interfered(LoseAtRandom))
    survived(session)


@case(
    "normaliser.replays",
    requires=("RFC8684-3.3.6/copies-ignored", "RFC8684-3.3.1/first-copy-delivered"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology=TWO_PATHS,
)
def test_old_data_is_replayed(run: RunFixture) -> None:
    """All data on both paths comes again 12 ms later: copies are ignored, and both are used to the end."""
    replayed = DuplicateSegments(later=12 * MILLISECOND, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    # A round trip of 10 ms, so that the transfer is not over before.
    session = run([replayed, DelaySegments(5 * MILLISECOND)], sends=256 * KIB)

    session.require(Interfered(DuplicateSegments))
    survived(session)


def lost_once(run: RunFixture, place: int = PLACE) -> DropSegments:
    """Return a box that loses the first segment with a given octet, and not where it is sent again."""
    return DropSegments(aim=Aim(direction=run.direction, from_byte=place, until_byte=place + 1, nth=1))


# -- an accelerator -----------------------------------------------------------------------------------------


@case(
    "accelerator.only-subflow",
    requires=(EARLY, "RFC8684-3.7/data-acked-without-data-ack"),
    directions=BOTH_WAYS,
    waits=3,
)
def test_accelerator_on_the_only_subflow(run: RunFixture) -> None:
    """An accelerator acknowledges the first data without a Data ACK: regular TCP, and nothing is lost."""
    session = run(AcknowledgeEarly(aim=Aim(direction=run.direction)), sends=64 * KIB)

    session.require(Interfered(AcknowledgeEarly))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK, who=run.sender)


@case(
    "accelerator.joined-subflow",
    requires=(EARLY, "RFC8684-3.7/joined-subflow-without-dss", "RFC8684-3.7/joined-subflow-reason"),
    directions=BOTH_WAYS,
    topology=SECOND_PATH,
    waits=3,
)
def test_accelerator_on_the_joined_subflow(run: RunFixture) -> None:
    """An accelerator on a joined subflow acknowledges data without a Data ACK: that subflow is reset."""
    session = run(AcknowledgeEarly(aim=Aim(path=1, direction=run.direction)), sends=384 * KIB)

    session.require(Interfered(AcknowledgeEarly))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS, who=run.sender)
    session.expect(Sends(run.sender, MpTcprst), level=SHOULD)


@case(
    "accelerator.later",
    requires=EARLY,
    directions=BOTH_WAYS,
    waits=3,
)
def test_accelerator_from_the_middle_on(run: RunFixture) -> None:
    """From 32 KiB on data is acknowledged early: the connection goes on, as MPTCP or as regular TCP."""
    session = run(AcknowledgeEarly(aim=Aim(direction=run.direction, from_byte=32 * KIB)), sends=256 * KIB)

    session.require(Interfered(AcknowledgeEarly))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FELL_BACK)


@case(
    "accelerator.repairs-loss",
    requires=(EARLY, "RFC8684-3.3.2/kept-until-acked-twice"),
    directions=BOTH_WAYS,
    waits=3,
)
def test_accelerator_with_loss_behind_it(run: RunFixture) -> None:
    """Data that was acknowledged early is lost, and sent again by the accelerator alone: nothing is lost."""
    early = AcknowledgeEarly(aim=Aim(direction=run.direction, from_byte=8 * KIB))
    session = run(along(run, early, lost_once(run)), sends=256 * KIB)

    session.require(Interfered(AcknowledgeEarly))
    session.require(Interfered(DropSegments))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FELL_BACK)


@case(
    "accelerator.{}-path-fails",
    requires=("RFC8684-3.3.2/kept-until-acked-twice", "RFC8684-3.3.6/data-level-timer"),
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=5,
    each={"initial": 0, "joined": 1},
)
def test_path_fails_behind_an_accelerator(run: RunFixture) -> None:
    """The {} path fails behind an accelerator that acknowledged: the data comes by the other path."""
    aim = Aim(path=run.value, kinds=Kind.DATA, direction=run.direction, from_byte=8 * KIB)
    session = run(along(run, AcknowledgeEarly(aim=aim), DropSegments(aim=aim)), sends=384 * KIB)

    session.require(Interfered(AcknowledgeEarly))
    session.require(Interfered(DropSegments))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Unharmed(), who=run.sender)
