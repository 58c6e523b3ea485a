"""Interference that moves counters of the kernel's that no other case moves for certain.

A counter is Linux's own: whether it moved is told, and no verdict depends on it.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SERVER,
    SHOULD,
    Aim,
    Announce,
    Connect,
    Counted,
    Interfered,
    Join,
    Kind,
    Lasts,
    Lose,
    NoFalseData,
    OneOf,
    Outcome,
    Remove,
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


@case(
    "counters.join-from-a-lost-address",
    requires="RFC8684-3.4.2/valid-address-removed",
    level=MAY,
    topology="dual-homed-client",
    waits=7,
)
def test_a_join_from_an_address_that_is_lost(run: RunFixture) -> None:
    """The client is to join from an address that it has lost: the connection goes on as it is."""
    lost = Lose("client", after=64 * KIB, busy=True)
    actions = (lost, Remove("client", after=64 * KIB), Join("client", after=64 * KIB))
    session = run(sends=256 * KIB, actions=actions)

    session.expect(Unharmed(), level=MUST)
    session.expect(Lasts("c1-s1"), level=MUST)
    session.expect(Counted(CLIENT, "MPTcpExtMPJoinSynTxBindErr"), level=MAY)


@case(
    "counters.connection-to-a-port-for-joins",
    requires=("RFC8684-3.3/one-stream", "RFC8684-3.4.1/add-addr-any-time"),
    families=("v4",),
    topology="dual-homed-both",
)
def test_a_connection_to_a_port_that_was_announced(run: RunFixture) -> None:
    """Another connection is opened to a port that ADD_ADDR announced: the one that there is goes on."""
    actions = (
        Announce("server", after=64 * KIB, port=8080),
        Connect("client", after=64 * KIB, port=8080),
    )
    session = run(sends=256 * KIB, actions=actions)

    session.expect(Unharmed())
    session.expect(Lasts("c1-s2"))
    session.expect(Counted(SERVER, "MPTcpExtMPCapableEndpAttempt"), level=MAY)
