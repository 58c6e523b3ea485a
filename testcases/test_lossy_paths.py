"""Paths that lose, reorder, double and delay: what MPTCP takes from TCP, and what it does by itself."""

from __future__ import annotations

from mbtest.middlebox import Middlebox
from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MIB,
    MILLISECOND,
    TO_SERVER,
    Aim,
    Interfered,
    Kind,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from middleboxes.coalesce import CoalesceSegments
from middleboxes.delay import DelaySegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.limit_rate import LimitRate
from middleboxes.lose_at_random import LoseAtRandom
from middleboxes.lose_in_bursts import LoseInBursts
from middleboxes.reorder import ReorderSegments
from middleboxes.split import SplitSegments

REPAIRED = ("RFC8684-3.3/one-stream", "RFC9293-3.8.1/lost-data-retransmitted")
COPIES = ("RFC8684-3.3/one-stream", "RFC8684-3.3.1/first-copy-delivered")
AGAIN = ("RFC8684-3.3/one-stream", "RFC8684-3.3.6/original-retransmitted", "RFC8684-3.3.6/copies-ignored")
TWO_PATHS = "dual-homed-client"
PATIENCE = 15.0
"""Seconds. A sender that loses a retransmission several times waits for longer each time."""
TRAFFIC = Kind.DATA | Kind.PURE_ACK
"""All but handshakes and ends, which cases of their own are about."""
ROUND_TRIP = DelaySegments(5 * MILLISECOND)
"""Where a run depends on some time passing."""
TOLD = {
    "loss": "segments are lost at random",
    "burst-loss": "segments are lost in bursts",
    "reordering": "segments change places",
    "copies": "segments come twice",
    "late-copies": "segments come a second time later on",
    "jumping-delay": "the delay jumps",
    "overtaking": "segments overtake others when the delay falls",
}
TROUBLES = {
    "loss": [LoseAtRandom(0.04, aim=Aim(kinds=TRAFFIC))],
    "burst-loss": [LoseInBursts(0.06, 3, aim=Aim(kinds=TRAFFIC))],
    "reordering": [ReorderSegments(0.2, aim=Aim(kinds=TRAFFIC))],
    "copies": [DuplicateSegments(aim=Aim(kinds=TRAFFIC))],
    "late-copies": [DuplicateSegments(0.2, 12 * MILLISECOND, aim=Aim(kinds=TRAFFIC)), ROUND_TRIP],
    "jumping-delay": [DelaySegments((5 * MILLISECOND, 40 * MILLISECOND), 20 * MILLISECOND)],
    "overtaking": [DelaySegments((20 * MILLISECOND, MILLISECOND), 10 * MILLISECOND, overtaking=True)],
}


def survived(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP to the end, all subflows in use, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "lossy.{}",
    reads=TOLD,
    requires=REPAIRED,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
    each=TROUBLES,
)
def test_troubled_path(run: RunFixture) -> None:
    """On the only path {}: MPTCP to the end."""
    survived(run(run.value, sends=384 * KIB, patience=PATIENCE), type(run.value[0]))


@case(
    "lossy.{}-on-all",
    reads=TOLD,
    requires=AGAIN,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=1,
    each=TROUBLES,
)
def test_troubled_paths(run: RunFixture) -> None:
    """On both paths {}: both subflows are used to the end."""
    survived(run(run.value, sends=384 * KIB, patience=PATIENCE), type(run.value[0]))


@case("lossy.much-loss-on-joined", requires=AGAIN, directions=BOTH_WAYS, topology="slow-first-path", waits=3)
def test_much_loss_on_the_joined_path(run: RunFixture) -> None:
    """A fifth of what the joined path carries is lost: what is late there goes by the other path as well."""
    box = LoseAtRandom(0.2, aim=Aim(path=1, kinds=TRAFFIC))
    survived(run(box, sends=384 * KIB, patience=PATIENCE), LoseAtRandom)


@case("lossy.delay-beyond-timeout", requires=COPIES, directions=BOTH_WAYS, waits=2)
def test_delay_jumps_beyond_the_timeout(run: RunFixture) -> None:
    """The delay jumps from 5 to 400 ms, and back: all is sent again for nothing, and the copies ignored."""
    box = DelaySegments((5 * MILLISECOND, 400 * MILLISECOND), 30 * MILLISECOND)
    survived(run(box, sends=96 * KIB, patience=PATIENCE), DelaySegments)


@case(
    "lossy.delay-beyond-timeout-on-joined",
    requires=AGAIN,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=2,
)
def test_delay_of_the_joined_path_is_beyond_the_timeout(run: RunFixture) -> None:
    """Data of the joined path is 600 ms late at first: it comes by the other path, and then again."""
    aim = Aim(path=1, kinds=Kind.DATA, direction=run.direction)
    box = DelaySegments((600 * MILLISECOND, 5 * MILLISECOND), 300 * MILLISECOND, aim=aim)
    survived(run(box, sends=512 * KIB, patience=PATIENCE), DelaySegments)


@case(
    "lossy.{}",
    reads={"deep-queue": "a deep queue", "shallow-queue": "a shallow queue", "policer": "a policer"},
    requires=REPAIRED,
    directions=BOTH_WAYS,
    waits=1,
    each={
        "deep-queue": LimitRate(10_000_000, queue=1 * MIB),
        "shallow-queue": LimitRate(20_000_000, queue=30_000),
        "policer": LimitRate(20_000_000, queue=0, burst=15_000),
    },
)
def test_limited_rate(run: RunFixture) -> None:
    """{} makes the path slow: MPTCP to the end."""
    survived(run(run.value, sends=512 * KIB, patience=PATIENCE), LimitRate)


@case("lossy.deep-queue-on-joined", requires=AGAIN, directions=BOTH_WAYS, topology=TWO_PATHS, waits=1)
def test_deep_queue_on_the_joined_path(run: RunFixture) -> None:
    """The joined path has 4 Mbit/s and half a second of queue: both subflows are used to the end."""
    survived(
        run(LimitRate(4_000_000, queue=256 * KIB, aim=Aim(path=1)), sends=1 * MIB, patience=PATIENCE),
        LimitRate,
    )


# -- resegmenting with loss ---------------------------------------------------------------------------------


def along(run: RunFixture, *boxes: Middlebox) -> list[Middlebox]:
    """Return boxes so that the data of the run's direction meets them in this order."""
    return list(boxes if run.direction is TO_SERVER else boxes[::-1])


@case(
    "lossy.split-{}",
    reads={"options-on-all": "options on each piece", "options-on-first": "options on the first piece"},
    requires=("RFC8684-6/segmentation", "RFC8684-6/some-mappings-lost"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
    each={"options-on-all": "all", "options-on-first": "first"},
)
def test_pieces_lost(run: RunFixture) -> None:
    """Segments are split with the {}, and some pieces lost: they are sent again, and MPTCP goes on."""
    split = SplitSegments(500, options=run.value, lost="mptcp", aim=Aim(direction=run.direction))
    lost = LoseAtRandom(0.02, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    session = run(along(run, split, lost), sends=256 * KIB, patience=PATIENCE)

    session.require(Interfered(SplitSegments))
    survived(session, LoseAtRandom)


@case(
    "lossy.lost-before-split",
    requires="RFC8684-6/segmentation",
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
)
def test_split_again_otherwise(run: RunFixture) -> None:
    """What is lost is sent again and split again, options on the first piece: MPTCP to the end."""
    split = SplitSegments(700, options="first", lost="mptcp", aim=Aim(direction=run.direction))
    lost = LoseAtRandom(0.05, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    session = run(along(run, lost, split), sends=256 * KIB, patience=PATIENCE)

    session.require(Interfered(SplitSegments))
    survived(session, LoseAtRandom)


@case(
    "lossy.split-and-merged",
    requires=("RFC8684-6/segmentation", "RFC8684-6/coalescing"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
)
def test_split_lost_and_merged(run: RunFixture) -> None:
    """One card splits segments, pieces are lost, another merges where options are equal: MPTCP to the end."""
    split = SplitSegments(500, aim=Aim(direction=run.direction))
    lost = LoseAtRandom(0.05, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    merged = CoalesceSegments(only_equal=True, aim=Aim(direction=run.direction))
    session = run(along(run, split, lost, merged), sends=256 * KIB, patience=PATIENCE)

    session.require(Interfered(CoalesceSegments))
    survived(session, LoseAtRandom)


@case(
    "lossy.reordered-pieces",
    requires=("RFC8684-6/segmentation", "RFC8684-3.3.1/mapping-after-data"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
)
def test_pieces_out_of_order(run: RunFixture) -> None:
    """Segments are split, options on the first piece, and pieces overtake each other: MPTCP to the end."""
    split = SplitSegments(500, options="first", lost="mptcp", aim=Aim(direction=run.direction))
    mixed = ReorderSegments(0.2, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    session = run(along(run, split, mixed), sends=256 * KIB, patience=PATIENCE)

    session.require(Interfered(SplitSegments))
    survived(session, ReorderSegments)
