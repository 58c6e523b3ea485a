"""Addresses removed in mid-connection: what becomes of REMOVE_ADDR, and of subflows (RFC 8684 §3.4.2)."""

from __future__ import annotations

from mbtest.network.topology import Role
from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SERVER,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Announce,
    DataOn,
    Interfered,
    Kind,
    Lasts,
    Lose,
    Middlebox,
    NoFalseData,
    Outcome,
    Remove,
    Resets,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import RemoveAddr, Segment
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.forge_option import ForgeOption
from middleboxes.nat import TranslateAddresses
from middleboxes.strip import StripOptions

BOTH_HOMED, TWO_PATHS = "dual-homed-both", "dual-homed-client"
FURTHER = {"client": "c2-s1", "server": "c1-s2"}
"""The path that a host's further interface is used on."""
FIRST, LAST = 64 * KIB, 256 * KIB
"""Where in the stream an address is removed, and its end."""
LATE = (FIRST + 64 * KIB, LAST)
"""Octets that are sent when the removal has been heard of for long."""
REMOVED = "RFC8684-3.4.2/valid-address-removed"
RESET = "RFC8684-3.4.2/removed-subflows-reset"
UNKNOWN = "RFC8684-3.4.2/unknown-id-ignored"
KEEPALIVE = ("RFC8684-3.4.2/live-path-kept", "RFC8684-3.4.2/keepalive-before-removal")
AGAIN = ("RFC8684-3.4.1/id-replaced-after-removal", "RFC8684-3.4.1/announced-again-tried-again")


def has_removal(segment: Segment) -> bool:
    """Whether a segment has a REMOVE_ADDR."""
    return segment.option(RemoveAddr) is not None


def goes(run: RunFixture, host: Role, *boxes: Middlebox, interface: int = 1) -> Trial:
    """Have a host remove an address; others carry the stream on."""
    session = run(boxes, sends=LAST, actions=[Remove(host, interface, after=FIRST)])

    for box in boxes:
        session.require(Interfered(type(box)))
    session.expect(Outcome.FEWER_SUBFLOWS, Outcome.MULTIPATH)
    session.expect(Unharmed())
    return session


@case(
    "remove-addr.by-the-client",
    requires=("RFC8684-3.3/one-stream", REMOVED, RESET),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_client_removes_an_address(run: RunFixture) -> None:
    """The client removes its further address: it says so, resets the subflow, and the other goes on."""
    session = goes(run, CLIENT)

    session.expect(Sends(CLIENT, RemoveAddr))
    session.expect(DataOn("c2-s1", run.sender, at_most=0, of=LATE))
    session.expect(Lasts("c1-s1"))
    session.expect(Resets(CLIENT, "c2-s1"), level=SHOULD, requirement=RESET)


@case("remove-addr.by-the-server", requires=("RFC8684-3.3/one-stream", REMOVED, RESET), topology=BOTH_HOMED)
def test_the_server_removes_an_address(run: RunFixture) -> None:
    """The server removes an address that it announced: it says so, resets the subflow, others go on."""
    session = goes(run, SERVER)

    session.expect(Sends(SERVER, RemoveAddr))
    session.expect(DataOn("c1-s2", run.sender, at_most=0, of=LATE))
    session.expect(Lasts("c1-s1"))
    session.expect(Resets(SERVER, "c1-s2"), level=SHOULD, requirement=RESET)


@case(
    "remove-addr.amid-data",
    requires=(REMOVED, "RFC8684-3.3/one-stream"),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_an_address_is_removed_amid_data(run: RunFixture) -> None:
    """The client removes its further address while data is under way on it: no octet is lost."""
    session = run(sends=LAST, actions=[Remove("client", after=FIRST, busy=True)])

    session.expect(Outcome.FEWER_SUBFLOWS, Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "remove-addr.{}",
    each={
        "lost-once": DropSegments(aim=Aim(where=has_removal, nth=1)),
        "stripped": StripOptions(RemoveAddr),
        "duplicated": DuplicateSegments(aim=Aim(where=has_removal)),
    },
    requires=("RFC8684-3.3/one-stream", REMOVED),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=4,
)
def test_a_removal_is_disturbed(run: RunFixture) -> None:
    """The REMOVE_ADDR is {}: the subflow ends all the same, the other goes on."""
    goes(run, CLIENT, run.value).expect(Lasts("c1-s1"))


@case(
    "remove-addr.names-another",
    requires=UNKNOWN,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_removal_has_another_id_on_arrival(run: RunFixture) -> None:
    """The ID in a REMOVE_ADDR is altered to one that nobody has: the other subflow goes on."""
    goes(run, CLIENT, FlipBits("address_ids", 0x60, RemoveAddr)).expect(Lasts("c1-s1"))


@case(
    "remove-addr.names-{}",
    each={"an-unknown-address": b"\x63", "several-unknown-addresses": b"\x63\x62\x61"},
    requires=UNKNOWN,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_removal_of_an_unknown_address(run: RunFixture) -> None:
    """A REMOVE_ADDR names {}: it is ignored, and every subflow stays."""
    box = ForgeOption(RemoveAddr(run.value), aim=Aim(path=0, direction=run.direction, from_byte=8 * KIB))
    session = run(box, sends=LAST)

    session.require(Interfered(ForgeOption))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case("remove-addr.of-a-live-path", requires=KEEPALIVE, level=SHOULD, topology=TWO_PATHS)
def test_a_removal_that_the_host_did_not_send(run: RunFixture) -> None:
    """A forged REMOVE_ADDR names the client's first address, which works: a keepalive shows so, it stays."""
    session = run(
        ForgeOption(RemoveAddr(b"\0"), aim=Aim(path=1, direction=TO_SERVER, from_nth=3)), sends=LAST
    )

    session.require(Interfered(ForgeOption))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Unharmed())
    session.expect(Lasts("c1-s1"))


@case(
    "remove-addr.outside-the-window",
    requires="RFC8684-3.4.2/remove-addr-checked-as-tcp",
    topology=TWO_PATHS,
)
def test_a_removal_on_a_segment_that_tcp_does_not_take(run: RunFixture) -> None:
    """A REMOVE_ADDR comes on a segment far outside the window: it has no effect, all subflows stay."""
    aim = Aim(path=0, direction=TO_SERVER, from_byte=8 * KIB)
    session = run(ForgeOption(RemoveAddr(b"\1"), shift=1 << 30, aim=aim), sends=LAST)

    session.require(Interfered(ForgeOption))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "remove-addr.of-the-initial-subflow",
    requires=(REMOVED, "RFC8684-3.3/one-stream"),
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_address_of_the_initial_subflow_is_removed(run: RunFixture) -> None:
    """The client removes the address that the connection began from, ID 0: the other subflow goes on."""
    session = goes(run, CLIENT, interface=0)

    session.expect(DataOn("c1-s1", run.sender, at_most=0, of=LATE))
    session.expect(Lasts("c2-s1"))


@case(
    "remove-addr.of-the-last-subflow",
    requires="RFC8684-3.3.3/all-subflows-gone",
    level=MAY,
    directions=BOTH_WAYS,
    waits=8,
)
def test_the_last_address_is_removed(run: RunFixture) -> None:
    """The reader removes its only address: what becomes of the connection is its own affair."""
    session = run(sends=LAST, actions=[Remove(run.receiver, 0, after=FIRST)])

    session.expect(NoFalseData(), level=MUST)


@case(
    "remove-addr.behind-a-translator",
    requires="RFC8684-3.4.2/removal-by-id",
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_an_address_is_removed_that_the_peer_knows_as_another(run: RunFixture) -> None:
    """The client removes a translated address, and its RST or FIN is lost: the ID says what is meant."""
    loss = DropSegments(aim=Aim(path=1, kinds=Kind.RST | Kind.FIN))
    session = goes(run, CLIENT, loss, TranslateAddresses(aim=Aim(path=1)))

    session.expect(DataOn("c2-s1", SERVER, at_most=0, of=LATE))


@case("remove-addr.then-announced-again", requires=AGAIN, level=MAY, topology=BOTH_HOMED, waits=3)
def test_an_address_returns(run: RunFixture) -> None:
    """The server removes an address and announces it again later: it may be joined again."""
    actions = (Remove("server", after=FIRST), Announce("server", after=2 * FIRST))
    session = run(sends=LAST, actions=actions)

    session.expect(Unharmed(), level=MUST)
    again = Lasts("c1-s2").ask(session).met
    session.note(f"the address is {'' if again else 'not '}joined again")


@case(
    "remove-addr.of-a-lost-address",
    requires="RFC8684-3.4.2/lost-address-announced",
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=4,
)
def test_an_address_is_lost(run: RunFixture) -> None:
    """The client loses an address that it joined from: it sends REMOVE_ADDR, the other subflow goes on."""
    session = run(sends=LAST, actions=[Lose("client", after=FIRST)])

    session.expect(Unharmed(), level=MUST)
    session.expect(Lasts("c1-s1"), level=MUST)
    session.expect(Sends(CLIENT, RemoveAddr))
