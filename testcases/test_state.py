"""Boxes that keep state, or lose it: firewalls, load balancers, routes that change, SYN cookies."""

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
    Did,
    Fallback,
    FellBack,
    Interfered,
    Kind,
    NoFalseData,
    NoMptcpOptions,
    Outcome,
    RunFixture,
    Sends,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import MpCapable, MpJoinSyn, MpTcprst
from middleboxes.balancer import MisdirectJoins
from middleboxes.clamp_mss import ClampMss
from middleboxes.coalesce import CoalesceSegments
from middleboxes.drop import DropSegments
from middleboxes.firewall import FilterByState
from middleboxes.nat import TranslateAddresses
from middleboxes.reroute import CHANGED, ON_NEW_WAY, Reroute
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.sequence import RewriteSequence
from middleboxes.split import SplitSegments
from middleboxes.strip import StripOptions

SURVIVES = ("RFC8684-3.3.6/moved-off-failed-subflow", "RFC8684-3.3/one-stream")
COOKIES = {"net.ipv4.tcp_syncookies": "2"}
"""Linux: cookies for every SYN, whatever the queue. The reference endpoint always keeps state."""
GIVE_UP = {"net.mptcp.close_timeout": "1"}
"""How long Linux keeps a connection without subflows: seconds, 60 by default."""
WITHOUT_STATE = {
    "firewall": FilterByState(),
    "resetting-firewall": FilterByState(answer="reset"),
    "translator": TranslateAddresses(),
    "randomiser": RewriteSequence(),
}
"""What a flow does not survive whose beginning it did not see; so it is with regular TCP."""


@case(
    "state.onto-{}",
    each=WITHOUT_STATE,
    requires="RFC8684-3.3.3/all-subflows-gone",
    level=MAY,
    directions=BOTH_WAYS,
    waits=3,
)
def test_reroute_of_the_only_subflow(run: RunFixture) -> None:
    """The only path changes to one with a {}, which knows nothing of the flow: a new subflow, or an end."""
    box = Reroute(after=(run.value,), aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB, patience=3, sysctls=GIVE_UP)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET, Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "state.onto-{}-of-two",
    each=WITHOUT_STATE,
    requires=SURVIVES,
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_reroute_of_one_of_two_subflows(run: RunFixture) -> None:
    """The path of the joined subflow changes to one with a {}: its data goes by the other subflow."""
    box = Reroute(after=(run.value,), aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=384 * KIB)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "state.onto-{}",
    each={
        "splitting": SplitSegments(),
        "merging": CoalesceSegments(only_equal=True),
    },
    requires=("RFC8684-6/segmentation", "RFC8684-6/coalescing"),
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_reroute_onto_what_is_harmless(run: RunFixture) -> None:
    """The path changes in mid-transfer to one with a box for {} segments: MPTCP to the end."""
    box = Reroute((ClampMss(600),), (run.value,), aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "state.onto-stripping",
    lesson="multipath-tcp/mptcp#415",
    requires="RFC8684-3.7/options-lost-later",
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=5,
)
def test_reroute_onto_a_box_that_strips(run: RunFixture) -> None:
    """The only path changes to one that strips all MPTCP options: a reset; no octet may be misplaced."""
    box = Reroute(after=(StripOptions(),), aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB, sysctls=GIVE_UP)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET)


@case(
    "state.onto-stripping-of-two",
    requires=("RFC8684-3.7/options-lost-later", *SURVIVES),
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_reroute_of_one_of_two_onto_a_box_that_strips(run: RunFixture) -> None:
    """The path of the joined subflow changes to one that strips all options: the other carries on."""
    box = Reroute(after=(StripOptions(),), aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=384 * KIB)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS, level=SHOULD)


@case(
    "state.onto-rewriting-of-two",
    lesson="mptcp_net-next#52",
    requires=("RFC8684-3.7/mp-fail-rst", "RFC8684-3.7/failed-data-resent"),
    checksums=(True,),
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=2,
)
def test_reroute_of_one_of_two_onto_a_box_that_rewrites(run: RunFixture) -> None:
    """The path of the joined subflow changes to one that changes octets: its data goes by the other one."""
    box = Reroute(
        after=(RewritePayload(128 * KIB),), aim=Aim(path=1, direction=run.direction, from_byte=64 * KIB)
    )
    session = run(box, sends=512 * KIB)

    session.require(Did(Reroute, ON_NEW_WAY))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case("state.away-from-stripping", requires="RFC8684-3.7/never-mptcp-again", directions=BOTH_WAYS)
def test_reroute_away_from_a_box_that_strips(run: RunFixture) -> None:
    """Options are stripped until the path changes in mid-transfer: the connection stays regular TCP."""
    box = Reroute((StripOptions(),), aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB)

    session.require(Did(Reroute, CHANGED))
    session.expect(Unharmed())
    session.expect(FellBack(Fallback.IN_HANDSHAKE))
    session.expect(NoMptcpOptions(sender=CLIENT))
    session.expect(NoMptcpOptions(sender=SERVER))


# -- Firewalls and load balancers -----------------------------------------------------------------


@case(
    "state.one-way-in-{}",
    each={"dropped": "drop", "reset": "reset"},
    requires="RFC8684-6/join-syn-dropped",
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_firewall_that_admits_no_join(run: RunFixture) -> None:
    """A firewall lets nobody open on the second path; joins are {}: the connection goes on without them."""
    box = FilterByState(opened_by="server", answer=run.value, aim=Aim(path=1))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(FilterByState))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case(
    "state.one-flow-each-{}",
    each={"dropped": "drop", "reset": "reset"},
    requires="RFC8684-6/join-syn-dropped",
    families=("mixed",),
    directions=BOTH_WAYS,
)
def test_firewall_that_admits_one_flow_for_two_hosts(run: RunFixture) -> None:
    """A firewall admits one flow between two hosts; a join over IPv6 is {}: the first one carries all."""
    session = run(FilterByState(most=1, answer=run.value), sends=256 * KIB)

    session.require(Interfered(FilterByState))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case(
    "state.balanced-join",
    requires=("RFC8684-3.2/unknown-token-reset", "RFC8684-6/misdirected-join"),
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_join_that_reaches_another_server(run: RunFixture) -> None:
    """A load balancer sends the join to a server without that token: RST, and the connection goes on."""
    session = run(MisdirectJoins(), sends=256 * KIB)

    session.require(Interfered(MisdirectJoins))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(SERVER, MpTcprst), level=SHOULD, requirement="RFC8684-3.2/refused-join-reason")


@case(
    "state.balanced-joins",
    requires=("RFC8684-6/misdirected-join", "RFC8684-3.9.3/failed-join-not-repeated"),
    topology="dual-homed-both",
)
def test_joins_that_all_reach_another_server(run: RunFixture) -> None:
    """Every join reaches a server without that token: the client does not try for ever, and all arrives."""
    session = run(MisdirectJoins(), sends=256 * KIB)

    session.require(Interfered(MisdirectJoins))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Sends(CLIENT, MpJoinSyn, at_most=6), level=SHOULD)


# -- SYN cookies: draft-paasch-mptcp-syncookies ---------------------------------------------------


@case(
    "state.cookie-{}",
    reads={"third-ack-lost": "the third ACK", "first-data-lost": "the first data"},
    each={
        "third-ack-lost": Aim(kinds=Kind.THIRD_ACK),
        "first-data-lost": Aim(kinds=Kind.FIRST_DATA, nth=1),
    },
    requires=("RFC8684-3.1/capable-on-first-data", "RFC8684-3.1/capable-handshake"),
    checksums=(False, True),
    waits=1,
)
def test_cookies(run: RunFixture) -> None:
    """A listener keeps no state in the handshake, and {} is lost: the keys come with the first data."""
    session = run(DropSegments(aim=run.value), sends=64 * KIB, sysctls=COOKIES)

    session.require(Interfered(DropSegments))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case("state.cookie-second-data-first", requires="RFC8684-3.1/capable-on-first-data", level=MAY, waits=1)
def test_cookies_and_the_second_segment_comes_first(run: RunFixture) -> None:
    """A listener without state gets the second data first, the third ACK lost: it may answer with a RST."""
    box = DropSegments(aim=Aim(kinds=Kind.THIRD_ACK | Kind.FIRST_DATA, until_nth=3))
    workload = Workload(client_sends=64 * KIB, wait_for_joins=False)
    session = run(box, workload=workload, sysctls=COOKIES | GIVE_UP)

    session.require(Interfered(DropSegments))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.MULTIPATH)


@case(
    "state.cookie-{}",
    reads={"keys-stripped": "they are stripped", "options-stripped": "all options are stripped"},
    each={
        "keys-stripped": StripOptions(MpCapable, aim=Aim(kinds=Kind.THIRD_ACK | Kind.FIRST_DATA)),
        "options-stripped": StripOptions(aim=Aim(where=lambda segment: not segment.syn)),
    },
    requires=("RFC8684-3.1/ack-without-capable", "RFC8684-3.7/fallback-keeps-data"),
    waits=3,
)
def test_cookies_and_keys_that_never_come(run: RunFixture) -> None:
    """A listener without state never gets the keys, as {} behind the SYNs: regular TCP, and all arrives."""
    session = run(run.value, sends=48 * KIB, sysctls=COOKIES)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)


@case("state.cookie-join", requires="RFC8684-3.2/join", topology="dual-homed-client", directions=BOTH_WAYS)
def test_cookies_and_a_join(run: RunFixture) -> None:
    """The SYN/ACK of a join to a listener that uses cookies is lost once: the subflow comes about."""
    session = run(DropSegments(aim=Aim(path=1, kinds=Kind.SYN_ACK, nth=1)), sends=256 * KIB, sysctls=COOKIES)

    session.require(Interfered(DropSegments))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)
