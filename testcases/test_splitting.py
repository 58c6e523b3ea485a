"""Data segments cut to pieces: a mapping is independent of the segments that carry it."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.split import SplitSegments

SURVIVES = "RFC8684-6/segmentation"
COPIES = "RFC8684-3.1/duplicate-mappings"


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(SplitSegments))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("split.options-on-all", requires=(SURVIVES, COPIES), directions=BOTH_WAYS, checksums=(False, True))
def test_options_copied_to_every_piece(run: RunFixture) -> None:
    """A card with segmentation offload copies the options to every piece: MPTCP to the end."""
    survived(run(SplitSegments(500, aim=Aim(direction=run.direction)), sends=256 * KIB))


@case("split.options-on-first", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_options_on_the_first_piece(run: RunFixture) -> None:
    """The first piece keeps the options: its mapping covers the others, and MPTCP goes on."""
    box = SplitSegments(500, options="first", lost="mptcp", aim=Aim(direction=run.direction))
    survived(run(box, sends=256 * KIB))


@case(
    "split.options-on-last",
    requires=("RFC8684-3.3.1/mapping-after-data", "RFC8684-6/unmapped-data"),
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=3,
)
def test_options_on_the_last_piece(run: RunFixture) -> None:
    """The last piece has the options, the data before it comes unmapped: no octet may be misplaced."""
    box = SplitSegments(pieces=2, options="last", lost="mptcp", aim=Aim(direction=run.direction))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(SplitSegments))
    session.expect(NoFalseData(), level=MUST)
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK))


@case("split.options-on-none", requires="RFC8684-3.7/first-data-without-dss", directions=BOTH_WAYS, waits=3)
def test_options_on_no_piece(run: RunFixture) -> None:
    """No piece keeps MPTCP options: the connection becomes regular TCP, and nothing is lost."""
    box = SplitSegments(500, options="none", lost="mptcp", aim=Aim(direction=run.direction))
    session = run(box, sends=48 * KIB)

    session.require(Interfered(SplitSegments))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "split.first-data-options-on-all",
    requires=(SURVIVES, COPIES),
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_first_data_split_with_copies(run: RunFixture) -> None:
    """The first data alone is split, MP_CAPABLE or DSS copied to both pieces: MPTCP to the end."""
    box = SplitSegments(pieces=2, aim=Aim(kinds=Kind.FIRST_DATA, direction=run.direction))
    survived(run(box, sends=48 * KIB))


@case("split.first-data-options-on-first", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_first_data_split_with_options_on_the_first_piece(run: RunFixture) -> None:
    """The first data alone is split, the first piece keeps the options: MPTCP to the end."""
    aim = Aim(kinds=Kind.FIRST_DATA, direction=run.direction)
    survived(run(SplitSegments(pieces=2, options="first", lost="mptcp", aim=aim), sends=48 * KIB))


@case("split.tiny", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_tiny_pieces(run: RunFixture) -> None:
    """Data comes in pieces of 100 octets, options on the first of each segment: MPTCP to the end."""
    box = SplitSegments(100, options="first", lost="mptcp", aim=Aim(direction=run.direction))
    survived(run(box, sends=48 * KIB))


@case(
    "split.joined-subflow",
    requires=SURVIVES,
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology="slow-first-path",
)
def test_split_on_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow alone is split, options on the first piece: both subflows are used to the end."""
    box = SplitSegments(700, options="first", lost="mptcp", aim=Aim(path=1, direction=run.direction))
    session = run(box, sends=384 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))
