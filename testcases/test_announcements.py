"""Addresses announced, and joined from, in mid-connection (RFC 8684 §3.4.1)."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SERVER,
    Aim,
    Announce,
    Counted,
    Interfered,
    Join,
    Lasts,
    Outcome,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import AddAddr, Segment
from middleboxes.drop import DropSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.forward_port import ForwardPort
from middleboxes.strip import StripOptions

BOTH_HOMED, TWO_PATHS = "dual-homed-both", "dual-homed-client"
FIRST, LAST = 64 * KIB, 256 * KIB
PORT = 8080
SHORT = {"net.mptcp.add_addr_timeout": "1"}
"""Seconds until a kernel announces again what was not echoed, or at most so many."""
ANNOUNCED, ANY_TIME = "RFC8684-3.4.1/add-addr", "RFC8684-3.4.1/add-addr-any-time"
AGAIN = "RFC8684-3.4.1/add-addr-retransmitted"


def announces(segment: Segment) -> bool:
    """Whether a segment has an ADD_ADDR that is no echo."""
    option = segment.option(AddAddr)
    return option is not None and not option.echo


def echoes(segment: Segment) -> bool:
    """Whether a segment has the echo of an ADD_ADDR."""
    option = segment.option(AddAddr)
    return option is not None and option.echo


def joined(session: Trial, path: str) -> None:
    """The address is joined, and the stream is whole."""
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)
    session.expect(Lasts(path))


@case(
    "announced.in-mid-connection",
    requires=(ANNOUNCED, ANY_TIME, "RFC8684-3.4.1/announced-without-port"),
    topology=BOTH_HOMED,
)
def test_an_address_is_announced_late(run: RunFixture) -> None:
    """The server announces an address after 64 KiB of data: it is joined, at the connection's port."""
    session = run(sends=LAST, actions=[Announce("server", after=FIRST)])

    joined(session, "c1-s2")


@case(
    "announced.with-a-port",
    requires=(ANNOUNCED, ANY_TIME, "RFC8684-3.4.1/announced-port-used"),
    families=("v4",),
    topology=BOTH_HOMED,
)
def test_an_address_is_announced_with_a_port(run: RunFixture) -> None:
    """The server announces an address with a port of its own: it is joined there."""
    session = run(sends=LAST, actions=[Announce("server", after=FIRST, port=PORT)])

    joined(session, "c1-s2")
    session.expect(Counted(CLIENT, "MPTcpExtPortAdd"), level=MAY)
    session.expect(Counted(SERVER, "MPTcpExtMPJoinPortAckRx"), level=MAY)


@case(
    "announced.by-the-client",
    requires=(ANNOUNCED, ANY_TIME, "RFC8684-3.4.1/announced-port-used"),
    families=("v4",),
    topology=TWO_PATHS,
)
def test_the_client_announces_an_address(run: RunFixture) -> None:
    """The client announces an address with a port: the server joins it there."""
    session = run(sends=LAST, actions=[Announce("client", after=FIRST, port=PORT)])

    joined(session, "c2-s1")


@case(
    "announced.without-room",
    requires=ANY_TIME,
    level=MAY,
    families=("v6",),
    topology=BOTH_HOMED,
    waits=4,
)
def test_an_announcement_has_no_room(run: RunFixture) -> None:
    """An IPv6 address with a port has no room beside timestamps: what is announced is the server's affair."""
    session = run(sends=LAST, actions=[Announce("server", after=FIRST, port=PORT)])

    session.expect(Unharmed(), level=MUST)
    session.expect(Counted(SERVER, "MPTcpExtAddAddrTxDrop"), level=MAY)


@case(
    "announced.echo-{}",
    each={
        "stripped": StripOptions(AddAddr, aim=Aim(where=echoes)),
        "lost": DropSegments(aim=Aim(where=echoes, nth=1)),
    },
    requires=AGAIN,
    level=MAY,
    topology=BOTH_HOMED,
    waits=4,
)
def test_no_echo_comes_back(run: RunFixture) -> None:
    """The echo of an ADD_ADDR is {}: it may be announced again, and is joined in any case."""
    actions = [Announce("server", after=FIRST, times=2)]
    session = run(run.value, sends=LAST, actions=actions, sysctls=SHORT)

    session.require(Interfered(type(run.value)))
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH, level=MUST)
    again = Sends(SERVER, AddAddr, at_least=2).ask(session)
    session.note(f"without an echo the address is {'' if again.met else 'not '}announced again")


@case("announced.lost-once", requires=AGAIN, level=MAY, topology=BOTH_HOMED, waits=4)
def test_an_announcement_is_lost(run: RunFixture) -> None:
    """The ADD_ADDR is lost: it may be announced again, and is joined then."""
    box = DropSegments(aim=Aim(where=announces, nth=1))
    session = run(box, sends=LAST, actions=[Announce("server", after=FIRST)], sysctls=SHORT)

    session.require(Interfered(DropSegments))
    session.expect(Unharmed(), level=MUST)
    session.note(f"the address is {'' if Lasts('c1-s2').ask(session).met else 'not '}joined")


@case("announced.flags-set", requires="RFC8684-3.4.1/add-addr-flags-ignored", topology=BOTH_HOMED)
def test_an_unassigned_flag_is_set(run: RunFixture) -> None:
    """An unassigned flag of the ADD_ADDR is set on the way: the address is joined all the same."""
    box = FlipBits("flags", 8, AddAddr, aim=Aim(where=announces))
    session = run(box, sends=LAST, actions=[Announce("server", after=FIRST)])

    session.require(Interfered(FlipBits))
    joined(session, "c1-s2")


@case(
    "join.in-mid-connection",
    requires="RFC8684-3.2/join",
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_a_subflow_is_opened_late(run: RunFixture) -> None:
    """The client opens a further subflow after 64 KiB of data: it comes about."""
    joined(run(sends=LAST, actions=[Join("client", after=FIRST)]), "c2-s1")


@case("join.at-a-forwarded-port", requires="RFC8684-3.2/join-found-by-token", topology=TWO_PATHS)
def test_a_join_arrives_at_another_port(run: RunFixture) -> None:
    """On the second path another port is forwarded to the server, where it listens, too: the token counts."""
    workload = Workload(client_sends=LAST, rehearsals=1)
    session = run(ForwardPort(80, 79, aim=Aim(path=1)), workload=workload)

    session.require(Interfered(ForwardPort))
    joined(session, "c2-s1")
