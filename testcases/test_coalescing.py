"""Segments merged: what becomes of two mappings when there is room for one."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MILLISECOND,
    MUST,
    SHOULD,
    Aim,
    Interfered,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from middleboxes.clamp_mss import ClampMss
from middleboxes.coalesce import CoalesceSegments

SURVIVES = "RFC8684-6/coalescing"
UNMAPPED = "RFC8684-6/unmapped-data"
HOLD = 50 * MILLISECOND
"""Long enough that how much is merged depends on sizes and not on the pace of this machine."""
MANY = 256 * KIB
"""Enough for several mappings, so that some merged segment holds parts of two."""
SMALL = ClampMss(500)
"""Three segments of this size fit the link's packets once they are merged."""


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(CoalesceSegments))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


def degraded(session: Trial) -> None:
    """Regular TCP or a reset; no octet is misplaced, and the application knows where it stands."""
    session.require(Interfered(CoalesceSegments))
    session.expect(NoFalseData(), level=MUST)
    # An end of the stream that comes too early is no stall: data is lost, and nobody is told.
    session.expect(Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET, Outcome.STALLED, level=MUST)
    # §3.3.2: a sender keeps what is not Data ACKed, for the connection's liveness; a silent end is none.
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET))


@case("coalesce.only-equal", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_merged_where_options_are_equal(run: RunFixture) -> None:
    """A card with receive offload merges only where the options are equal: MPTCP to the end."""
    box = CoalesceSegments(only_equal=True, aim=Aim(direction=run.direction))
    survived(run([SMALL, box], sends=48 * KIB))


@case("coalesce.both-options", requires=SURVIVES, directions=BOTH_WAYS)
def test_merged_with_both_sets_of_options(run: RunFixture) -> None:
    """Two segments become one with the options of both while they fit: no octet may be misplaced."""
    box = CoalesceSegments(options="both", flush_on_push=False, delay=HOLD, aim=Aim(direction=run.direction))
    degraded(run([SMALL, box], sends=48 * KIB))


@case(
    "coalesce.first-options",
    level=SHOULD,
    requires=UNMAPPED,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=5,
)
def test_merged_with_the_first_options(run: RunFixture) -> None:
    """Three segments become one with the first mapping: data without a mapping must not be misplaced."""
    box = CoalesceSegments(options="first", flush_on_push=False, delay=HOLD, aim=Aim(direction=run.direction))
    degraded(run([SMALL, box], sends=MANY))


@case(
    "coalesce.last-options",
    level=SHOULD,
    requires=UNMAPPED,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=5,
)
def test_merged_with_the_last_options(run: RunFixture) -> None:
    """Three segments become one with the last mapping: data before it must not be misplaced."""
    box = CoalesceSegments(options="last", flush_on_push=False, delay=HOLD, aim=Aim(direction=run.direction))
    degraded(run([SMALL, box], sends=MANY))


@case("coalesce.later-data", level=SHOULD, requires=UNMAPPED, directions=BOTH_WAYS, waits=5)
def test_merged_from_the_middle_on(run: RunFixture) -> None:
    """From 32 KiB on segments are merged, the first mapping kept: reset or regular TCP, nothing misplaced."""
    aim = Aim(direction=run.direction, from_byte=32 * KIB)
    box = CoalesceSegments(options="first", flush_on_push=False, delay=HOLD, aim=aim)
    degraded(run([SMALL, box], sends=128 * KIB))


@case(
    "coalesce.joined-subflow",
    level=SHOULD,
    requires=UNMAPPED,
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=2,
)
def test_merged_on_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow's segments are merged with the first mapping: it may go, the stream stays whole."""
    box = CoalesceSegments(
        options="first", flush_on_push=False, delay=HOLD, aim=Aim(path=1, direction=run.direction)
    )
    session = run([SMALL, box], sends=512 * KIB)

    session.require(Interfered(CoalesceSegments))
    session.expect(Unharmed(), level=MUST)
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS))
