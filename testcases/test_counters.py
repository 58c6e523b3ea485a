"""Interference that moves counters of the kernel's that no other case moves for certain.

A counter is Linux's own: whether it moved is told, and no verdict depends on it.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MUST,
    SERVER,
    SHOULD,
    Aim,
    Counted,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Dss, MpCapable
from middleboxes.flip_bits import FlipBits
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.strip import StripOptions


@case(
    "counters.mapping-inside-a-mapping",
    lesson="mptcp_net-next#501",
    requires="RFC8684-3.7/no-checksum-no-detection",
    directions=BOTH_WAYS,
    level=MAY,
    waits=5,
)
def test_a_mapping_inside_of_another(run: RunFixture) -> None:
    """A gateway cuts so much out that the next mapping lies within the one before it: no end is missed."""
    box = RewritePayload(at=100, put=b"", cut=1200, aim=Aim(direction=run.direction))
    session = run(box, sends=1500)

    session.require(Interfered(RewritePayload))
    # Without checksums nobody has to notice; what then becomes of the stream is told.
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET, Outcome.MULTIPATH))
    session.expect(Counted(run.receiver, "MPTcpExtDSSNotMatching"))


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
    "counters.regular-syn", lesson="mptcp_net-next#449", requires="RFC8684-3.7/syn-option-lost", level=SHOULD
)
def test_a_listener_gets_a_regular_syn(run: RunFixture) -> None:
    """A SYN arrives without MP_CAPABLE: regular TCP, which counts as no fallback at the third ACK."""
    session = run(StripOptions(MpCapable, aim=Aim(kinds=Kind.SYN)), sends=4 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed(), level=MUST)
    session.expect(Counted(SERVER, "MPTcpExtMPCapableFallbackACK", at_least=0, at_most=0), level=MAY)
