"""Data ACKs changed, lost, late or out of order: what a sender makes of them."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MILLISECOND,
    Aim,
    Interfered,
    Kind,
    Middlebox,
    NoFalseData,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import Dss
from middleboxes.delay import DelaySegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.move_numbers import MoveNumbers
from middleboxes.narrow_numbers import NarrowNumbers
from middleboxes.reorder import ReorderSegments
from middleboxes.strip import StripOptions

CUMULATIVE = ("RFC8684-3.3.2/data-ack", "RFC8684-3.3.2/kept-until-acked-twice")
SPARSE = ("RFC8684-3.3.2/sparse-data-acks-valid", "RFC8684-3.3.2/window-with-data-ack-only")
FAR = 1 << 40
"""Further than anything that can be under way."""
TWO_PATHS = "dual-homed-client"


def acks(run: RunFixture, first: int | None = None, last: int | None = None, path: int | None = None) -> Aim:
    """Aim at pure ACKs of the run's data, of which the first two or so are of the handshake's end."""
    return Aim(
        kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=first, until_nth=last, path=path
    )


def went_on(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP to the end on all subflows, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


# -- Other numbers -----------------------------------


@case(
    "data-ack.once-{}",
    requires=CUMULATIVE,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=1,
    each={
        "one-octet-ahead": 1,
        "ahead-of-all": 1 << 30,
        "far-ahead": FAR,
        "behind": -20_000,
        "far-behind": -FAR,
    },
)
def test_one_data_ack_is_of_another_octet(run: RunFixture) -> None:
    """A Data ACK in mid-transfer is {}: nothing is given up for it, and the next one counts."""
    went_on(run(MoveNumbers("data_ack", run.value, aim=acks(run, 5, 6)), sends=256 * KIB), MoveNumbers)


@case("data-ack.{}-flipped", requires=CUMULATIVE, directions=BOTH_WAYS, checksums=(False, True), waits=1,
      each={"low-bit": 1 << 3, "far-bit": FAR, "highest-bit": 1 << 63})  # fmt: skip
def test_a_bit_of_data_acks_is_flipped(run: RunFixture) -> None:
    """In ten Data ACKs the {} is flipped: up or down, nothing is given up for it."""
    box = FlipBits("data_ack", run.value, Dss, aim=acks(run, 5, 15))
    went_on(run(box, sends=256 * KIB), FlipBits)


@case("data-ack.all-far-{}", requires=CUMULATIVE, level=MAY, directions=BOTH_WAYS, waits=5,
      each={"ahead": FAR, "behind": -FAR})  # fmt: skip
def test_no_data_ack_is_right(run: RunFixture) -> None:
    """All Data ACKs are far {}: no octet is ever Data ACKed, and none may be misplaced for that."""
    session = run(
        MoveNumbers("data_ack", run.value, aim=Aim(direction=run.direction.reverse)), sends=48 * KIB
    )

    session.require(Interfered(MoveNumbers))
    session.expect(NoFalseData())


@case(
    "data-ack.of-32-bits",
    requires="RFC8684-3.3.1/both-sizes-received",
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_data_acks_are_short(run: RunFixture) -> None:
    """DSNs have 64 bits and Data ACKs come back with 32: the sender understands them."""
    box = NarrowNumbers("data_ack", aim=Aim(direction=run.direction.reverse))
    went_on(run(box, sends=96 * KIB), NarrowNumbers)


@case(
    "data-ack.all-numbers-of-32-bits",
    requires=("RFC8684-3.3.1/both-sizes-received", "RFC8684-3.3.1/short-dsn-sent"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology=TWO_PATHS,
)
def test_all_numbers_are_short(run: RunFixture) -> None:
    """DSNs and Data ACKs have 32 bits both ways on two subflows: MPTCP to the end on both."""
    went_on(run(NarrowNumbers(), sends=256 * KIB), NarrowNumbers)


# -- Fewer -----------------------------------


@case("data-ack.beside-data-only", requires=SPARSE, directions=BOTH_WAYS)
def test_pure_acks_lose_their_data_acks(run: RunFixture) -> None:
    """Pure ACKs in mid-connection have no Data ACK, data of the other direction has: that is enough."""
    box = StripOptions(Dss, aim=acks(run, 4, 20))
    went_on(run(box, sends=256 * KIB, answers=64 * KIB), StripOptions)


@case("data-ack.on-the-{}-subflow-only", requires=SPARSE, directions=BOTH_WAYS, topology=TWO_PATHS,
      each={"initial": 1, "joined": 0})  # fmt: skip
def test_data_acks_come_on_one_subflow(run: RunFixture) -> None:
    """Of two subflows the {} alone goes on having Data ACKs: they are of the data of both."""
    box = StripOptions(Dss, aim=acks(run, 5, 25, path=run.value))
    went_on(run(box, sends=384 * KIB), StripOptions)


# -- At another time -----------------------------------


@case("data-ack.{}", requires=("RFC8684-3.3.2/data-ack", "RFC8684-3.3.2/data-ack-never-back"),
      directions=BOTH_WAYS, checksums=(False, True),
      each={"reordered": ReorderSegments, "doubled": DuplicateSegments, "late": DelaySegments})  # fmt: skip
def test_data_acks_out_of_order(run: RunFixture) -> None:
    """ACKs of the data are {}: an older Data ACK takes nothing back, and MPTCP goes on."""
    went_on(run(run.value(aim=acks(run)), sends=256 * KIB), run.value)


@case(
    "data-ack.before-the-subflow-ack",
    requires=CUMULATIVE,
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology=TWO_PATHS,
    waits=1,
)
def test_data_acks_come_sooner_on_another_subflow(run: RunFixture) -> None:
    """ACKs of one subflow are late, and Data ACKs of its data come on the other: it is freed in the end."""
    box = DelaySegments(60 * MILLISECOND, aim=acks(run, 3, path=0))
    # Less than the first windows: Linux overruns later ones.
    went_on(run(box, sends=60_000), DelaySegments)
