"""Data changed under way: checksums find it, and MP_FAIL and the infinite mapping follow."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    SHOULD,
    Aim,
    AnswersMpFail,
    Fallback,
    FellBack,
    Interfered,
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
from mbtest.wire import MpFail
from middleboxes.rewrite_payload import RewritePayload

FAILS = ("RFC8684-3.7/mp-fail", "RFC8684-3.7/infinite-mapping")
REQUESTS = Workload(shape="rounds", rounds=9, client_sends=9 * KIB, server_sends=9 * KIB)
"""Requests and answers of one segment each: nothing else is under way when one of them fails."""
IN_THE_THIRD = 80 * KIB + 100
"""In the first segment of the third of four blocks of 40 KiB: others are under way behind it, whatever the
congestion window.
"""
PATIENCE = 8
"""The reference endpoint waits three seconds for an answer to MP_FAIL, and two for another subflow, before it
gives a connection up.
"""
LONG_PATH, TWO_PATHS = "long-path", "long-paths"
"""So long that all that a window allows is under way when a signal comes, and that no signal crosses what an
application or a thread of the kernel is about to send, however busy the machine is.
"""


def exchange(run: RunFixture, size: int) -> Workload:
    """Four times a quarter of `size` octets in the run's direction, each answered with a hundred."""
    sizes = {run.sender: size, run.receiver: 4 * 100}
    return Workload(shape="rounds", rounds=4, client_sends=sizes["client"], server_sends=sizes["server"])


def blocks(run: RunFixture) -> Workload:
    """Eight blocks of 48 KiB in the run's direction, each answered with a hundred octets.

    A block is more than one subflow takes at once, and fits every window: it does not depend on the moment
    whether a host overruns one, of which `window.*` tells.
    """
    sizes = {run.sender: 8 * 48 * KIB, run.receiver: 8 * 100}
    return Workload(shape="rounds", rounds=8, client_sends=sizes["client"], server_sends=sizes["server"])


def became_tcp(run: RunFixture, session: Trial) -> None:
    """One subflow: MP_FAIL from the receiver, one in answer, an infinite mapping, then regular TCP."""
    session.require(Interfered(RewritePayload))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)
    session.expect(AnswersMpFail(run.sender))
    session.expect(Sends(run.receiver, MpFail))
    # Without a word of RFC 2119, and both know by MP_FAIL.
    session.expect(FellBack(Fallback.INFINITE_MAPPING), level=SHOULD)


@case(
    "payload.first-mapping",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=LONG_PATH,
    waits=2,
)
def test_first_mapping_altered(run: RunFixture) -> None:
    """An octet of the first mapping is altered: MP_FAIL, infinite mapping, regular TCP."""
    session = run(
        RewritePayload(at=100, aim=Aim(direction=run.direction)), workload=REQUESTS, patience=PATIENCE
    )

    became_tcp(run, session)


@case(
    "payload.middle-mapping",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_middle_mapping_altered(run: RunFixture) -> None:
    """An octet in mid-transfer is altered: MP_FAIL, infinite mapping, regular TCP."""
    box = RewritePayload(at=IN_THE_THIRD, aim=Aim(direction=run.direction))
    session = run(box, workload=exchange(run, 160 * KIB), patience=PATIENCE)

    became_tcp(run, session)


@case(
    "payload.every-mapping",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_data_altered_again_and_again(run: RunFixture) -> None:
    """From 80 KiB on an octet of every 4 KiB is altered: after the fallback all is as over regular TCP."""
    box = RewritePayload(at=IN_THE_THIRD, every=4 * KIB, aim=Aim(direction=run.direction))
    session = run(box, workload=exchange(run, 160 * KIB), patience=PATIENCE)

    became_tcp(run, session)


@case("payload.longer", requires=FAILS, directions=BOTH_WAYS, checksums=(True,), waits=5, topology=LONG_PATH)
def test_data_grows(run: RunFixture) -> None:
    """A gateway inserts 11 octets at 40 KiB: MP_FAIL, infinite mapping, regular TCP."""
    box = RewritePayload(at=40 * KIB, put=b"hello world", cut=0, aim=Aim(direction=run.direction))
    session = run(box, sends=48 * KIB, patience=PATIENCE)

    became_tcp(run, session)


@case(
    "payload.longer-without-timestamps",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_data_grows_without_timestamps(run: RunFixture) -> None:
    """As payload.longer, without TCP timestamps: MP_FAIL finds room beside a DSS with a DATA_FIN."""
    box = RewritePayload(at=40 * KIB, put=b"hello world", cut=0, aim=Aim(direction=run.direction))
    session = run(
        box,
        sends=48 * KIB,
        sysctls={"net.ipv4.tcp_timestamps": "0"},
        endpoint={"client": {"timestamps": False}, "server": {"timestamps": False}},
        patience=PATIENCE,
    )

    became_tcp(run, session)


@case("payload.shorter", requires=FAILS, directions=BOTH_WAYS, checksums=(True,), waits=5, topology=LONG_PATH)
def test_data_shrinks(run: RunFixture) -> None:
    """A gateway cuts 7 octets out at 40 KiB: MP_FAIL, infinite mapping, regular TCP."""
    box = RewritePayload(at=40 * KIB, put=b"", cut=7, aim=Aim(direction=run.direction))
    session = run(box, sends=48 * KIB, patience=PATIENCE)

    became_tcp(run, session)


@case(
    "payload.longer-at-start",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=3,
    topology=LONG_PATH,
)
def test_data_grows_at_the_start(run: RunFixture) -> None:
    """A gateway puts 30 octets in front of the first data: MP_FAIL, infinite mapping, regular TCP."""
    box = RewritePayload(
        at=0, put=b"X-Forwarded-For: 192.0.2.1\r\n\r\n", cut=0, aim=Aim(direction=run.direction)
    )
    session = run(box, sends=48 * KIB, patience=PATIENCE)

    became_tcp(run, session)


@case(
    "payload.more-than-a-window-waits",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    topology=LONG_PATH,
)
def test_altered_while_more_than_a_window_waits(run: RunFixture) -> None:
    """The sender ended its stream with more written than the peer's window holds: it arrives all the same."""
    session = run(
        RewritePayload(at=40_000, aim=Aim(direction=run.direction)), sends=70_000, patience=PATIENCE
    )

    session.require(Interfered(RewritePayload))
    session.expect(Unharmed())


@case(
    "payload.between-requests",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=LONG_PATH,
    waits=2,
)
def test_a_later_request_or_answer_is_altered(run: RunFixture) -> None:
    """One of twenty requests, or answers, is altered, nothing else being under way: regular TCP then on."""
    box = RewritePayload(at=10 * KIB, aim=Aim(direction=run.direction))
    workload = Workload(shape="rounds", rounds=20, client_sends=20 * KIB, server_sends=20 * KIB)
    session = run(box, workload=workload, patience=PATIENCE)

    became_tcp(run, session)


@case("payload.unnoticed", requires="RFC8684-3.7/no-checksum-no-detection", directions=BOTH_WAYS, level=MAY)
def test_altered_without_checksums(run: RunFixture) -> None:
    """Without checksums an altered octet is not noticed: the application reads it, as over regular TCP."""
    session = run(RewritePayload(at=20 * KIB, aim=Aim(direction=run.direction)), sends=64 * KIB)

    session.require(Interfered(RewritePayload))
    session.expect(Unharmed())


@case(
    "payload.longer-without-checksums",
    requires="RFC8684-6/unmapped-data",
    directions=BOTH_WAYS,
    level=SHOULD,
    waits=5,
    topology=LONG_PATH,
)
def test_data_grows_without_checksums(run: RunFixture) -> None:
    """Data grows and no checksum guards it: mappings no longer fit, and the host must not stall."""
    box = RewritePayload(at=20 * KIB, put=b"hello world", cut=0, aim=Aim(direction=run.direction))
    # A sender may find out by its retransmission timeout at the connection level, which is long where round
    # trips were.
    session = run(box, sends=128 * KIB, patience=20)

    session.require(Interfered(RewritePayload))
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET), level=SHOULD)


@case(
    "payload.joined-subflow",
    requires="RFC8684-3.7/mp-fail-rst",
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
)
def test_altered_on_the_joined_subflow(run: RunFixture) -> None:
    """Data is altered on one of two subflows: it is reset with MP_FAIL, the data comes again on the other."""
    box = RewritePayload(at=1000, aim=Aim(path=1, direction=run.direction))
    session = run(box, workload=blocks(run), patience=PATIENCE)

    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(run.receiver, MpFail))


@case(
    "payload.initial-subflow",
    requires="RFC8684-3.7/mp-fail-rst",
    directions=BOTH_WAYS,
    checksums=(True,),
    topology=TWO_PATHS,
)
def test_altered_on_the_initial_subflow_of_two(run: RunFixture) -> None:
    """Data is altered on the initial of two subflows: it is reset with MP_FAIL, the joined one carries on."""
    box = RewritePayload(at=16 * KIB, aim=Aim(path=0, direction=run.direction))
    session = run(box, workload=blocks(run), patience=PATIENCE)

    session.require(Interfered(RewritePayload))
    session.expect(NoFalseData())
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(run.receiver, MpFail))
