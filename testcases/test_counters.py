"""Interference that moves counters of the kernel's that no other case moves for certain.

A counter is Linux's own: whether it moved is told, and no verdict depends on it.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    SERVER,
    SHOULD,
    Aim,
    Counted,
    Direction,
    Interfered,
    Kind,
    NoFalseData,
    NoSubflowOn,
    OneOf,
    Outcome,
    RunFixture,
    Sends,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import AddAddr, Dss, MpJoinSyn, MpTcprst, Segment
from middleboxes.drop import DropSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.forge_end import ForgeEnd
from middleboxes.limit_rate import LimitRate
from middleboxes.rewrite_payload import RewritePayload


@case(
    "counters.mapping-inside-a-mapping",
    requires="RFC8684-6/content-altered-everywhere",
    directions=BOTH_WAYS,
    level=SHOULD,
    waits=5,
)
def test_a_mapping_inside_of_another(run: RunFixture) -> None:
    """A gateway cuts so much out that the next mapping lies within the one before: no stall."""
    box = RewritePayload(at=100, put=b"", cut=1200, aim=Aim(direction=run.direction))
    session = run(box, sends=1500)

    session.require(Interfered(RewritePayload))
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET))
    session.expect(Counted(run.receiver, "MPTcpExtDSSNotMatching"), level=MAY)


@case(
    "counters.mapping-of-other-octets",
    requires="RFC8684-6/unmapped-data",
    directions=BOTH_WAYS,
    level=SHOULD,
    waits=5,
)
def test_a_mapping_of_other_octets(run: RunFixture) -> None:
    """Mappings name other octets of the subflow than those that come with them: reset, or regular TCP."""
    box = FlipBits("subflow_sequence", 0x10000, (Dss,), aim=Aim(direction=run.direction, from_byte=4 * KIB))
    workload = Workload(shape="rounds", rounds=16, client_sends=16 * KIB, server_sends=16 * KIB)
    session = run(box, workload=workload)

    session.require(Interfered(FlipBits))
    session.expect(NoFalseData())
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET))
    session.expect(Counted(run.receiver, "MPTcpExtDSSNoMatchTCP"), level=MAY)


@case(
    "counters.refused-join",
    requires=("RFC8684-3.2/refused-join-reset", "RFC8684-3.2/refused-join-reason"),
    topology="dual-homed-both",
    waits=2,
)
def test_a_host_has_all_the_subflows_that_it_allows(run: RunFixture) -> None:
    """The client is told that its joined subflow is gone, the server is not: another join is refused.

    One further subflow is allowed on either side. The server's announcement of its second address is lost
    once, so that it comes when the client has room again.
    """
    answer = Aim(path="c2-s1", kinds=Kind.PURE_ACK, direction=Direction.TO_CLIENT)
    boxes = [
        LimitRate(1_000_000),
        ForgeEnd(to="client", later="drop", aim=answer),
        DropSegments(aim=Aim(where=announces, nth=1)),
    ]
    workload = Workload(shape="rounds", rounds=120, client_sends=120 * KIB, server_sends=120 * KIB)
    session = run(boxes, workload=workload, subflows=1)

    session.require(Interfered(ForgeEnd))
    session.require(Sends(CLIENT, MpJoinSyn, at_least=2))
    session.expect(NoSubflowOn("c1-s2"))
    session.expect(Unharmed())
    session.expect(Sends(SERVER, MpTcprst), level=SHOULD)
    session.expect(Counted(SERVER, "MPTcpExtMPJoinRejected"), level=MAY)


def announces(segment: Segment) -> bool:
    """Whether a segment has an ADD_ADDR that is no echo."""
    option = segment.option(AddAddr)
    return option is not None and not option.echo
