"""What few programs do, and boxes have no part in: both hosts open the connection, or a host has a past."""

from __future__ import annotations

from mbtest.testing import (
    CLIENT,
    KIB,
    MAY,
    MUST,
    Aim,
    Counted,
    Interfered,
    Kind,
    NoMptcpOptions,
    Outcome,
    RunFixture,
    Sends,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import MpCapable
from middleboxes.drop import DropSegments


@case(
    "handshake.opened-by-both",
    requires=("RFC9293-3.5/simultaneous-open", "RFC8684-3.7/fallback-keeps-data"),
    checksums=(False, True),
)
def test_both_hosts_open_the_connection(run: RunFixture) -> None:
    """Both hosts connect to each other, and their SYNs cross: one connection, and no octet is lost.

    What becomes of MPTCP then RFC 8684 does not say.
    """
    session = run(workload=Workload(client_sends=16 * KIB, server_sends=16 * KIB, opened_by="both"))

    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK, Outcome.MULTIPATH, level=MAY)
    session.expect(Counted(CLIENT, "MPTcpExtSimultConnectFallback"), level=MAY)


@case(
    "handshake.capable-syn-dropped-before",
    lesson="mptcp_net-next#477",
    requires="RFC8684-6/syn-with-capable-dropped",
    level=MAY,
    waits=8,
)
def test_syns_with_capable_were_dropped_before(run: RunFixture) -> None:
    """SYNs with MP_CAPABLE are dropped, as they were for a connection before: the client may remember."""
    carries = Aim(kinds=Kind.SYN, where=lambda segment: segment.option(MpCapable) is not None)
    session = run(
        DropSegments(aim=carries), workload=Workload(client_sends=16 * KIB, rehearsals=1), patience=10
    )

    session.require(Interfered(DropSegments))
    session.expect(Outcome.FELL_BACK)
    session.expect(NoMptcpOptions(CLIENT))
    session.expect(Counted(CLIENT, "MPTcpExtMPCapableSYNTXDisabled"))


@case(
    "handshake.every-syn-dropped-before",
    lesson="mptcp_net-next#557",
    requires="RFC8684-6/syn-with-capable-dropped",
    level=MAY,
    waits=12,
)
def test_every_syn_was_dropped_before(run: RunFixture) -> None:
    """SYNs with and without MP_CAPABLE were dropped for a while, once before: MP_CAPABLE is tried again.

    That tells nothing of MP_CAPABLE: the path was down. Four of them are dropped, the last one without.
    """
    session = run(
        DropSegments(aim=Aim(kinds=Kind.SYN, until_nth=5)),
        workload=Workload(client_sends=16 * KIB, rehearsals=1),
        patience=10,
    )

    session.require(Interfered(DropSegments, at_least=4))
    session.expect(Sends(CLIENT, MpCapable))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed(), level=MUST)
