"""MP_FAIL and the infinite mapping: which mapping fails, where, and what becomes of the signals."""

from __future__ import annotations

from collections.abc import Callable

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MILLISECOND,
    SHOULD,
    Aim,
    AnswersMpFail,
    Direction,
    Fallback,
    FellBack,
    Interfered,
    Middlebox,
    NoFalseData,
    Outcome,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Dss, MpFail, MptcpOption, Segment
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.reorder import ReorderSegments
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.strip import StripOptions

FAILS = ("RFC8684-3.7/mp-fail", "RFC8684-3.7/mp-fail-answered", "RFC8684-3.7/infinite-mapping")
KEEPS = "RFC8684-3.7/fallback-keeps-data"
SIZE = 160 * KIB
REQUESTS = Workload(shape="rounds", rounds=9, client_sends=9 * KIB, server_sends=9 * KIB)
"""Requests and answers of one segment each: what reaches a host before a signal, and what behind it, is the
same however long anything takes, and an infinite mapping has a segment that it fits in.
"""
PATIENCE = 8
"""The reference endpoint gives up after three seconds without an answer to MP_FAIL, two without a subflow."""
LONG_PATH, TWO_PATHS = "long-path", "long-paths"
"""So long that all that a window allows is under way when a signal comes, however busy the machine is."""
LONG = 5_000 * MILLISECOND
"""How long a segment waits for others to overtake it, at most."""
IN_THE_THIRD = 2 * KIB + 100
GIVE_UP = {"net.mptcp.close_timeout": "1"}
"""A kernel waits a minute for a new subflow when all are gone; a second lets a run see what comes then."""
WITHOUT_TIMESTAMPS = {"net.ipv4.tcp_timestamps": "0"}


def altered(direction: Direction, at: int | tuple[int, ...], path: int | None = None) -> RewritePayload:
    """Return a box that changes an octet of one direction, whenever it passes."""
    return RewritePayload(at=at, aim=Aim(direction=direction, path=path))


def exchange(run: RunFixture, size: int = SIZE) -> Workload:
    """Four times a quarter of `size` octets in the run's direction, each answered with a hundred."""
    sizes = {run.sender: size, run.receiver: 4 * 100}
    return Workload(shape="rounds", rounds=4, client_sends=sizes["client"], server_sends=sizes["server"])


def blocks(run: RunFixture, answers: int = 8 * 100) -> Workload:
    """Eight blocks of 48 KiB in the run's direction, each answered.

    A block is more than one subflow takes at once, and fits every window: it does not depend on the moment
    whether a host overruns one, of which `window.*` tells.
    """
    sizes = {run.sender: 8 * 48 * KIB, run.receiver: answers}
    return Workload(shape="rounds", rounds=8, client_sends=sizes["client"], server_sends=sizes["server"])


def carries(form: type[MptcpOption]) -> Callable[[Segment], bool]:
    """Return a condition: the segment carries an option of this form."""
    return lambda segment: segment.option(form) is not None


def infinite(segment: Segment) -> bool:
    """Whether a segment has an infinite mapping."""
    dss = segment.option(Dss)
    return dss is not None and dss.infinite


def survived(session: Trial) -> None:
    """The stream arrives as over regular TCP, and the connection is regular TCP at its end."""
    session.require(Interfered(RewritePayload))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)


def became_tcp(run: RunFixture, session: Trial) -> None:
    """As `survived`, by MP_FAIL, MP_FAIL in answer, and an infinite mapping."""
    survived(session)
    session.expect(AnswersMpFail(run.sender))
    session.expect(Sends(run.receiver, MpFail))
    # Without a word of RFC 2119, and both know by MP_FAIL.
    session.expect(FellBack(Fallback.INFINITE_MAPPING), level=SHOULD)


@case(
    "fail.{}",
    each={
        "second-block": 40 * KIB + 100,
        "block-boundary": 80 * KIB - 1,
        "last-block": 120 * KIB + 100,
        "last-octets": SIZE - 3,
    },
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_one_mapping_fails(run: RunFixture) -> None:
    """An octet of the {} of four is altered: MP_FAIL, infinite mapping, regular TCP."""
    became_tcp(run, run(altered(run.direction, run.value), workload=exchange(run), patience=PATIENCE))


@case(
    "fail.with-data-fin", requires=FAILS, directions=BOTH_WAYS, checksums=(True,), waits=5, topology=LONG_PATH
)
def test_the_mapping_with_the_data_fin_fails(run: RunFixture) -> None:
    """The last octet before the DATA_FIN is altered: regular TCP, and both streams end."""
    survived(run(altered(run.direction, 48 * KIB - 1), sends=48 * KIB, patience=PATIENCE))


@case(
    "fail.one-small-mapping",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_the_only_mapping_fails(run: RunFixture) -> None:
    """Of a stream of 100 octets one is altered: it arrives as over regular TCP."""
    survived(run(altered(run.direction, 50), sends=100, patience=PATIENCE))


@case("fail.both-directions", requires=FAILS, checksums=(True,), waits=5, topology=LONG_PATH)
def test_both_directions_fail_at_once(run: RunFixture) -> None:
    """A request and its answer are altered, in one exchange: both hosts become regular TCP."""
    boxes = [altered(direction, IN_THE_THIRD) for direction in BOTH_WAYS]
    survived(run(boxes, workload=REQUESTS, patience=PATIENCE))


@case("fail.both-directions-in-turn", requires=FAILS, checksums=(True,), waits=5, topology=LONG_PATH)
def test_the_directions_fail_one_after_the_other(run: RunFixture) -> None:
    """A request is altered, and later an answer: the second change is made to regular TCP."""
    boxes = [altered(direction, place * KIB) for direction, place in zip(BOTH_WAYS, (5, 15), strict=True)]
    workload = Workload(shape="rounds", rounds=20, client_sends=20 * KIB, server_sends=20 * KIB)
    survived(run(boxes, workload=workload, patience=PATIENCE))


@case("fail.peer-sends", requires=FAILS, directions=BOTH_WAYS, checksums=(True,), waits=5, topology=LONG_PATH)
def test_the_other_side_sends_all_the_while(run: RunFixture) -> None:
    """One direction is altered while the other sends, too: both streams arrive as over regular TCP.

    One goes on in segments of its own while the second half of a block of the other is under way.
    """
    sizes = {run.sender: 8 * KIB, run.receiver: 8 * 48 * KIB}
    workload = Workload(
        shape="rounds", rounds=8, overlap=True, client_sends=sizes["client"], server_sends=sizes["server"]
    )
    survived(run(altered(run.direction, IN_THE_THIRD), workload=workload, patience=PATIENCE))


@case(
    "fail.peer-ended-first",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_the_receiver_had_ended_its_stream(run: RunFixture) -> None:
    """The receiver of the altered data had ended its own stream before: regular TCP all the same.

    All that is sent is under way at once, and nothing is left to be sent when it fails.
    """
    workload = Workload(
        ends_early=True,
        client_sends=4 * KIB if run.sender == "client" else 0,
        server_sends=4 * KIB if run.sender == "server" else 0,
    )
    survived(run(altered(run.direction, IN_THE_THIRD), workload=workload, patience=PATIENCE))


@case(
    "fail.goes-on-{}",
    each={
        "changing": RewritePayload(at=28 * KIB, every=4 * KIB),
        "growing": RewritePayload(at=28 * KIB, put=b"192.0.2.1, ", cut=0, every=4 * KIB),
        "shrinking": RewritePayload(at=28 * KIB, put=b"", cut=7, every=4 * KIB),
    },
    requires=("RFC8684-3.7/altered-after-infinite", *FAILS),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_data_goes_on_being_altered(run: RunFixture) -> None:
    """After the failure data goes on {}: after the infinite mapping that is as over regular TCP."""
    box = RewritePayload(
        run.value.at, run.value.put, run.value.cut, every=run.value.every, aim=Aim(direction=run.direction)
    )
    # A block is three segments, which the least congestion window lets go at once, and the altered octet is
    # in the first. Half of it is answered: a block that shrinks does not arrive whole.
    sizes = {run.sender: 12 * 4 * KIB, run.receiver: 12 * 100}
    workload = Workload(
        shape="rounds", rounds=12, overlap=True, client_sends=sizes["client"], server_sends=sizes["server"]
    )
    survived(run(box, workload=workload, patience=PATIENCE))


@case(
    "fail.unequal-lengths",
    requires=KEEPS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_data_grows_and_shrinks_again(run: RunFixture) -> None:
    """Eleven octets are put in, and eleven cut out later: the stream is as over regular TCP."""
    aim = Aim(direction=run.direction)
    boxes = [
        RewritePayload(IN_THE_THIRD, b"hello world", 0, aim=aim),
        RewritePayload(IN_THE_THIRD + 3 * KIB, b"", 11, aim=aim),
    ]
    survived(run(boxes, workload=REQUESTS, patience=PATIENCE))


# -- What becomes of MP_FAIL -------------------------------------------------------------------------------


def with_signals(run: RunFixture, box: Middlebox) -> Trial:
    """Alter one of nine requests, or answers, and let `box` have the signals.

    Without timestamps: with them a segment that comes late is dropped where the clock of its sender moved
    on meanwhile, as PAWS wants it (RFC 7323 §5.3), and so is its MP_FAIL: see `fail.signal-lost`.
    """
    session = run(
        [altered(run.direction, IN_THE_THIRD), box],
        workload=REQUESTS,
        patience=PATIENCE,
        sysctls=WITHOUT_TIMESTAMPS,
        endpoint={"client": {"timestamps": False}, "server": {"timestamps": False}},
    )
    session.require(Interfered(type(box)))
    return session


def back(run: RunFixture, form: type[MptcpOption] = MpFail, nth: int | None = None) -> Aim:
    """Return an aim at what the receiver of the data sends with an option of this form."""
    return Aim(direction=run.direction.reverse, where=carries(form), nth=nth)


@case(
    "fail.signal-lost", requires=FAILS, directions=BOTH_WAYS, checksums=(True,), waits=8, topology=LONG_PATH
)
def test_the_first_mp_fail_is_lost(run: RunFixture) -> None:
    """The segment with the first MP_FAIL is lost: the stream still arrives as over regular TCP."""
    survived(with_signals(run, DropSegments(aim=back(run, nth=1))))


@case(
    "fail.signal-stripped-once",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=8,
    topology=LONG_PATH,
)
def test_the_first_mp_fail_is_stripped(run: RunFixture) -> None:
    """The first MP_FAIL is stripped: the stream still arrives as over regular TCP."""
    survived(with_signals(run, StripOptions(MpFail, aim=back(run, nth=1))))


@case(
    "fail.signal-stripped",
    requires=KEEPS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=8,
    topology=LONG_PATH,
)
def test_every_mp_fail_is_stripped(run: RunFixture) -> None:
    """Every MP_FAIL of the receiver is stripped: no application reads what its peer did not write."""
    session = with_signals(run, StripOptions(MpFail, aim=back(run)))

    # Without a signal that arrives, all that is left is to give the connection up: no word on how.
    session.expect(NoFalseData())


@case(
    "fail.answer-stripped",
    requires=KEEPS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=8,
    topology=LONG_PATH,
)
def test_every_answer_to_mp_fail_is_stripped(run: RunFixture) -> None:
    """The answer to MP_FAIL is stripped, the infinite mapping is not: as over regular TCP, or a reset."""
    box = StripOptions(MpFail, aim=Aim(direction=run.direction, where=carries(MpFail)))
    session = with_signals(run, box)

    session.expect(Outcome.FELL_BACK, Outcome.RESET)


@case(
    "fail.signal-{}",
    each={
        "delayed": lambda aim: ReorderSegments(1.0, LONG, behind=4, aim=aim),
        "duplicated": lambda aim: DuplicateSegments(aim=aim),
        "duplicated-late": lambda aim: DuplicateSegments(behind=4, aim=aim),
        "overtaken": lambda aim: ReorderSegments(1.0, LONG, behind=1, aim=aim),
    },
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=6,
    topology=LONG_PATH,
)
def test_mp_fail_is_disturbed(run: RunFixture) -> None:
    """The first MP_FAIL of the receiver is {}: the stream arrives as over regular TCP.

    How late is counted in segments, the answers that go before it, and not in time.
    """
    survived(with_signals(run, run.value(back(run, nth=1))))


# -- What becomes of the infinite mapping ------------------------------------------------------------------


@case(
    "infinite.{}",
    each={
        "lost": lambda aim: DropSegments(aim=aim),
        # Less than any retransmission timeout.
        "delayed": lambda aim: DelaySegments(100 * MILLISECOND, aim=aim),
        "duplicated": lambda aim: DuplicateSegments(aim=aim),
        "overtaken": lambda aim: ReorderSegments(1.0, LONG, behind=1, aim=aim),
    },
    requires=("RFC8684-3.7/infinite-mapping", KEEPS),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=6,
    topology=LONG_PATH,
)
def test_the_infinite_mapping_is_disturbed(run: RunFixture) -> None:
    """The first segment with the infinite mapping is {}: the stream arrives as over regular TCP."""
    survived(with_signals(run, run.value(Aim(direction=run.direction, where=infinite, nth=1))))


@case(
    "infinite.stripped", requires=KEEPS, directions=BOTH_WAYS, checksums=(True,), waits=8, topology=LONG_PATH
)
def test_the_infinite_mapping_is_stripped(run: RunFixture) -> None:
    """Every infinite mapping is stripped: both hosts signalled MP_FAIL, so the stream arrives, or a reset."""
    session = with_signals(run, StripOptions(Dss, aim=Aim(direction=run.direction, where=infinite)))

    session.expect(Outcome.FELL_BACK, Outcome.RESET)


# -- Several subflows --------------------------------------------------------------------------------------


@case(
    "fail.every-subflow",
    requires=("RFC8684-6/content-altered-everywhere", "RFC8684-3.7/mp-fail-rst"),
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
    waits=6,
)
def test_data_of_every_subflow_is_altered(run: RunFixture) -> None:
    """A box on each of two paths alters data again and again: regular TCP in the end, or given up.

    Once data in flight is not contiguous the RFC asks for a reset, after which a sender may join anew.
    """
    box = RewritePayload(at=2 * KIB, every=512, aim=Aim(direction=run.direction))
    session = run(box, workload=REQUESTS, patience=PATIENCE, sysctls=GIVE_UP)

    session.require(Interfered(RewritePayload))
    session.expect(Outcome.FELL_BACK, Outcome.FEWER_SUBFLOWS, Outcome.RESET)
    session.expect(Unharmed(), level=SHOULD)


@case(
    "fail.both-directions-of-two-subflows",
    requires=("RFC8684-3.7/mp-fail-rst", "RFC8684-3.7/failed-data-resent"),
    checksums=(True,),
    topology=TWO_PATHS,
    waits=4,
)
def test_both_directions_fail_on_one_of_two_subflows(run: RunFixture) -> None:
    """Both directions of the first of two subflows are altered: it is reset, the other carries on."""
    boxes = [altered(direction, 16 * KIB, path=0) for direction in BOTH_WAYS]
    session = run(boxes, workload=blocks(run, answers=8 * 48 * KIB), patience=PATIENCE)

    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case(
    "fail.longer-on-the-{}-of-two-subflows",
    each={"first": 0, "second": 1},
    requires=("RFC8684-3.7/mp-fail-rst", "RFC8684-3.7/failed-data-resent"),
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
    waits=4,
)
def test_data_grows_on_one_of_two_subflows(run: RunFixture) -> None:
    """A gateway puts octets in on the {} of two subflows: it is reset, nothing of that is delivered."""
    box = RewritePayload(8 * KIB, b"hello world", 0, aim=Aim(path=run.value, direction=run.direction))
    session = run(box, workload=blocks(run), patience=PATIENCE)

    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
