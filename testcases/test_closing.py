"""How connections end: DATA_FIN, FIN, fast close, and what becomes of each on the way."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MILLISECOND,
    SHOULD,
    TO_SERVER,
    Aim,
    Direction,
    Interfered,
    Kind,
    Lasts,
    Outcome,
    RunFixture,
    Sends,
    Told,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Dss, MpFastclose, Segment
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.forge_option import ForgeOption
from middleboxes.reorder import ReorderSegments
from middleboxes.strip import StripOptions

CLOSES, LAST = "RFC8684-3.3.3/data-fin", "RFC8684-3.3.3/subflows-closed-at-end"
FAST = "RFC8684-3.5/abort-by-fast-close"
TWO_PATHS = "dual-homed-client"
PORT = 80
"""The server's."""


def data_fin(segment: Segment) -> bool:
    """Whether a segment has a DATA_FIN."""
    dss = segment.option(Dss)
    return dss is not None and dss.data_fin


def lone_data_fin(segment: Segment) -> bool:
    """Whether a segment has a DATA_FIN, and no data."""
    return data_fin(segment) and not segment.payload_length


def fast_close(segment: Segment) -> bool:
    """Whether a segment has MP_FASTCLOSE."""
    return segment.option(MpFastclose) is not None


def closes(session: Trial) -> None:
    """MPTCP to the end, both streams whole."""
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "close.data-fin-{}",
    each={
        "lost": lambda aim: DropSegments(aim=aim),
        "delayed": lambda aim: DelaySegments(200 * MILLISECOND, aim=aim),
        "duplicated": lambda aim: DuplicateSegments(aim=aim),
        "overtaken": lambda aim: ReorderSegments(1.0, 5 * MILLISECOND, aim=aim),
    },
    requires=CLOSES,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=2,
)
def test_the_first_data_fin_is_disturbed(run: RunFixture) -> None:
    """The first DATA_FIN of a small stream is {}: the connection still closes, and nothing is lost.

    A DATA_FIN is repeated on every segment of the last mapping; here there is but one.
    """
    box = run.value(Aim(direction=run.direction, where=data_fin, nth=1))
    session = run(box, sends=100)

    session.require(Interfered(type(box)))
    closes(session)


@case("close.data-fin-stripped-once", requires=CLOSES, directions=BOTH_WAYS, waits=2)
def test_the_first_data_fin_is_stripped(run: RunFixture) -> None:
    """A DATA_FIN without data loses its option on the way: it is sent again, and the connection closes."""
    aim = Aim(direction=run.direction, where=lone_data_fin, nth=1)
    session = run(StripOptions(Dss, aim=aim), sends=100)

    session.require(Interfered(StripOptions))
    closes(session)


@case("close.data-fins-cross", requires=CLOSES, checksums=(False, True))
def test_both_end_at_once(run: RunFixture) -> None:
    """Both hosts send a little and end at once: both DATA_FINs are Data ACKed, and the connection closes."""
    closes(run(workload=Workload(client_sends=100, server_sends=100, ends_early=True)))


@case("close.data-fins-cross-slowly", requires=CLOSES, waits=1)
def test_the_data_fins_cross_on_the_way(run: RunFixture) -> None:
    """DATA_FINs of both hosts are under way at the same time for 100 ms: the connection closes."""
    box = DelaySegments(100 * MILLISECOND, aim=Aim(where=data_fin))
    session = run(box, workload=Workload(client_sends=100, server_sends=100, ends_early=True))

    session.require(Interfered(DelaySegments))
    closes(session)


@case("close.silent-side-ends-first", requires="RFC8684-3.3.3/data-fin-one-way", directions=BOTH_WAYS)
def test_one_side_ends_at_once_while_the_other_sends(run: RunFixture) -> None:
    """A host that has nothing to send ends its direction at once; the other direction goes on."""
    size = {run.sender: 256 * KIB, run.receiver: 0}
    workload = Workload(client_sends=size["client"], server_sends=size["server"], ends_early=True)
    closes(run(workload=workload))


@case("close.last-data-ack-lost", requires=CLOSES, directions=BOTH_WAYS, waits=3)
def test_the_data_ack_of_the_data_fin_is_lost(run: RunFixture) -> None:
    """The first three Data ACKs of the DATA_FIN are lost: it is sent again, and the connection closes."""
    aim = Aim(where=AcksDataFin(run.direction), until_nth=4)
    session = run(DropSegments(aim=aim), sends=48 * KIB)

    session.require(Interfered(DropSegments))
    closes(session)


@case(
    "close.fin-{}",
    each={
        "lost": lambda aim: DropSegments(aim=aim),
        "delayed": lambda aim: DelaySegments(200 * MILLISECOND, aim=aim),
        "duplicated": lambda aim: DuplicateSegments(aim=aim),
        "overtaken": lambda aim: ReorderSegments(1.0, 5 * MILLISECOND, aim=aim),
    },
    requires=LAST,
    directions=BOTH_WAYS,
    waits=2,
)
def test_the_first_fin_is_disturbed(run: RunFixture) -> None:
    """The first FIN of the subflow is {}: both streams are whole, and the applications are done."""
    box = run.value(Aim(direction=run.direction, kinds=Kind.FIN, nth=1))
    session = run(box, sends=48 * KIB)

    session.require(Interfered(type(box)))
    closes(session)


@case("close.fins-never-arrive", requires=CLOSES, directions=BOTH_WAYS)
def test_no_fin_arrives(run: RunFixture) -> None:
    """No FIN of either subflow arrives: DATA_FINs end the streams, and the applications are done."""
    session = run(DropSegments(aim=Aim(kinds=Kind.FIN)), sends=48 * KIB)

    session.require(Interfered(DropSegments))
    closes(session)


@case(
    "close.data-fin-lost-on-the-{}-path",
    each={"first": 0, "second": 1},
    requires=(CLOSES, "RFC8684-3.3.3/last-subflow-kept"),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=3,
)
def test_every_data_fin_is_lost_on_one_path(run: RunFixture) -> None:
    """Every segment with a DATA_FIN is lost on the {} of two paths: the other path closes the connection."""
    session = run(DropSegments(aim=Aim(path=run.value, where=data_fin)), sends=256 * KIB)

    session.require(Interfered(DropSegments))
    session.expect(Unharmed())


@case(
    "close.fast-by-{}",
    each={"the-writer": True, "the-reader": False},
    requires=(FAST, "RFC8684-3.5/fast-close-ack-answered"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    level=SHOULD,
)
def test_a_connection_is_aborted(run: RunFixture) -> None:
    """In mid-transfer the connection is aborted by {}: MP_FASTCLOSE, and the peer's application is told."""
    aborts = run.sender if run.value else run.receiver
    session = run(workload=aborted(run, by_writer=run.value))

    session.expect(Sends(aborts, MpFastclose))
    session.expect(Told("client" if aborts == "server" else "server"))


@case(
    "close.fast-on-two-subflows",
    requires=(FAST, "RFC8684-3.5/fast-close-ack-others-reset"),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    level=SHOULD,
)
def test_a_connection_of_two_subflows_is_aborted(run: RunFixture) -> None:
    """A connection of two subflows is aborted: MP_FASTCLOSE, resets, and the peer's application is told."""
    session = run(workload=aborted(run, by_writer=False))

    session.expect(Sends(run.receiver, MpFastclose))
    session.expect(Told(run.sender))


@case(
    "close.fast-{}",
    reads={
        "lost-once": "MP_FASTCLOSE is lost once",
        "stripped": "MP_FASTCLOSE is stripped",
        "duplicated": "MP_FASTCLOSE comes twice",
        "answer-lost": "the answer to MP_FASTCLOSE is lost",
    },
    each={
        "lost-once": lambda way: DropSegments(aim=Aim(direction=way, where=fast_close, nth=1)),
        "stripped": lambda way: StripOptions(MpFastclose, aim=Aim(direction=way)),
        "duplicated": lambda way: DuplicateSegments(aim=Aim(direction=way, where=fast_close)),
        "answer-lost": lambda way: DropSegments(aim=Aim(direction=way.reverse, kinds=Kind.RST, nth=1)),
    },
    requires=(FAST, "RFC8684-3.5/fast-close-retransmitted"),
    directions=BOTH_WAYS,
    level=MAY,
    waits=5,
)
def test_fast_close_is_disturbed(run: RunFixture) -> None:
    """{}: it is open whether, and when, the peer's application is told.

    On an ACK it is sent again (SHOULD), on a RST it is not, and a subflow that is gone does not end the
    connection: the RFC has no time after which its application has to know.
    """
    box = run.value(run.direction.reverse)
    session = run(box, workload=aborted(run, by_writer=False), grace=5)

    session.require(Interfered(type(box)))
    error = session.session.errors[run.sender]
    session.note(f"told {error}" if error else "told nothing within five seconds")


@case(
    "close.fast-on-rsts",
    requires=("RFC8684-3.5/fast-close-rst-answered", "RFC8684-3.5/fast-close-rst-everywhere"),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_a_connection_is_aborted_by_resets(run: RunFixture) -> None:
    """A connection of two subflows is aborted by MP_FASTCLOSE on RSTs, where the stack can be told to."""
    on_rst = {"fastclose_with_reset": True}
    session = run(
        workload=aborted(run, by_writer=False),
        endpoint={"client": on_rst, "server": on_rst},
    )

    session.expect(Sends(run.receiver, MpFastclose))
    session.expect(Told(run.sender))


@case(
    "close.forged-fast-{}",
    each={"on-an-ack": "ack", "on-a-rst": "rst"},
    requires="RFC8684-3.5/fast-close-wrong-key",
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_a_fast_close_is_forged(run: RunFixture) -> None:
    """An MP_FASTCLOSE with a wrong key is forged {} of the second subflow: the connection does not end."""
    aim = Aim(path=1, direction=run.direction, from_nth=3)
    session = run(ForgeOption(MpFastclose(0), run.value, aim=aim), sends=512 * KIB)

    session.require(Interfered(ForgeOption))
    session.expect(Unharmed())
    session.expect(Lasts("c1-s1"))


def aborted(run: RunFixture, *, by_writer: bool) -> Workload:
    """Return a transfer in the run's direction that a host aborts in the midst of it."""
    size = {run.sender: 512 * KIB, run.receiver: 0}
    return Workload(
        client_sends=size["client"],
        server_sends=size["server"],
        aborts=run.sender if by_writer else run.receiver,
        aborts_after=64 * KIB,
    )


class AcksDataFin:
    """A condition on both directions: a segment with a Data ACK of the DATA_FIN that ends one of them."""

    def __init__(self, direction: Direction) -> None:
        """Have seen no DATA_FIN in this direction."""
        self._to_server = direction is TO_SERVER
        self._next: int | None = None
        """The data sequence number after the DATA_FIN."""

    def __call__(self, segment: Segment) -> bool:
        """Look for the DATA_FIN in the one direction, for its Data ACK in the other."""
        dss = segment.option(Dss)
        if dss is None:
            return False
        if (segment.destination_port == PORT) is self._to_server:
            if dss.data_fin and dss.dsn is not None:
                self._next = dss.dsn + dss.length
            return False
        if self._next is None or dss.data_ack is None:
            return False
        # Either may be given in 32 bits.
        return (dss.data_ack - self._next) % (1 << 32) == 0
