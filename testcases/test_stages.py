"""MPTCP options lost at every stage of a connection: one way, both ways, for a while, on every subflow."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    Outcome,
    RunFixture,
    Subflow,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import Dss
from middleboxes.drop import DropSegments
from middleboxes.strip import StripOptions

TWO_PATHS, SLOW_FIRST = "dual-homed-client", "slow-first-path"
LATER = "RFC8684-3.7/options-lost-later"
JOINED = "RFC8684-3.7/joined-subflow-without-dss"
GIVE_UP = {"net.mptcp.close_timeout": "1"}
"""How long Linux keeps a connection without subflows, which no case waits for: seconds, 60 by default."""
AFTER_HANDSHAKE = Kind.DATA | Kind.PURE_ACK | Kind.FIN


def honest(session: Trial) -> None:
    """No octet is misplaced; whether the connection goes on, falls back or ends is the stack's choice."""
    session.require(Interfered(StripOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET, Outcome.FELL_BACK, Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "stage.handshake-{}",
    reads={
        "of-both-syns": "on both SYNs",
        "and-first-data": "on the SYN/ACK and the first data",
        "from-the-third-ack-on": "from the third ACK on",
        "of-third-ack-and-first-data": "on the third ACK and the first data",
    },
    each={
        "of-both-syns": Kind.SYN | Kind.SYN_ACK,
        "and-first-data": Kind.SYN_ACK | Kind.FIRST_DATA,
        "from-the-third-ack-on": Kind.THIRD_ACK | AFTER_HANDSHAKE,
        "of-third-ack-and-first-data": Kind.THIRD_ACK | Kind.FIRST_DATA,
    },
    requires=("RFC8684-3.7/syn-option-lost", "RFC8684-3.7/fallback-keeps-data"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=3,
)
def test_options_lost_around_the_handshake(run: RunFixture) -> None:
    """Options are lost {}: regular TCP, and nothing is lost."""
    session = run(StripOptions(aim=Aim(kinds=run.value)), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "stage.one-way-to-{}",
    each={"server": TO_SERVER, "client": TO_CLIENT},
    requires="RFC8684-3.7/first-data-without-dss",
    checksums=(False, True),
    waits=3,
)
def test_every_option_is_lost_one_way_after_the_handshake(run: RunFixture) -> None:
    """While both send, all options to the {} are lost after the handshake: regular TCP, nothing lost."""
    box = StripOptions(aim=Aim(kinds=AFTER_HANDSHAKE, direction=run.value))
    session = run(box, client_sends=48 * KIB, server_sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "stage.first-data-ack",
    requires="RFC8684-3.7/data-acked-without-data-ack",
    directions=BOTH_WAYS,
    waits=5,
)
def test_the_first_data_ack_is_lost(run: RunFixture) -> None:
    """The ACK with the first Data ACK loses it, later ones do not: no octet is misplaced."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, nth=1)
    session = run(StripOptions(Dss, aim=aim), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())


@case(
    "stage.after-{}-octets",
    reads={"1": "one octet", "1000": "1000 octets", "10000": "10,000 octets", "100000": "100,000 octets"},
    lesson="mptcp_net-next#518",
    each={"1": 1, "1000": 1_000, "10000": 10_000, "100000": 100_000},
    requires=LATER,
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=5,
)
def test_options_lost_after_so_many_octets(run: RunFixture) -> None:
    """After {} of it data loses its options for good: no octet may be misplaced."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, from_byte=run.value)
    honest(run(StripOptions(aim=aim), sends=256 * KIB))


@case(
    "stage.come-back-after-{}-octets",
    each={"2000": 2_000, "20000": 20_000, "60000": 60_000},
    requires=LATER,
    level=SHOULD,
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=5,
)
def test_options_come_back(run: RunFixture) -> None:
    """From 40,000 octets on data loses its options, and has them again {} octets later."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, from_byte=40_000, until_byte=40_000 + run.value)
    honest(run(StripOptions(aim=aim), sends=256 * KIB))


@case("stage.data-acks-come-back", requires=LATER, level=SHOULD, directions=BOTH_WAYS, waits=5)
def test_data_acks_come_back(run: RunFixture) -> None:
    """Thirty Data ACKs in mid-transfer are lost, later ones are not: MPTCP to the end, or a reset."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=5, until_nth=35)
    honest(run(StripOptions(Dss, aim=aim), sends=384 * KIB))


@case("stage.on-retransmissions", requires="RFC8684-6/some-mappings-lost", directions=BOTH_WAYS, waits=4)
def test_only_retransmissions_lose_their_options(run: RunFixture) -> None:
    """A segment is lost, and what is sent again loses its options: no octet may be misplaced."""
    lost = DropSegments(aim=Aim(kinds=Kind.DATA, direction=run.direction, from_byte=40_000, nth=1))
    box = StripOptions(aim=Aim(kinds=Kind.DATA, direction=run.direction, retransmissions=True))
    # The box stands in front of the loss, as seen from the sender, and so sees what is sent again.
    session = run([box, lost] if run.sender == "client" else [lost, box], sends=256 * KIB)

    session.require(Interfered(DropSegments))
    honest(session)


@case(
    "stage.every-subflow-{}",
    reads={"after-handshake": "every segment", "on-data": "data"},
    each={"after-handshake": AFTER_HANDSHAKE, "on-data": Kind.DATA},
    requires=LATER,
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=6,
)
def test_every_subflow_loses_its_options(run: RunFixture) -> None:
    """From 32 KiB on each both subflows lose the options of {}: no octet may be misplaced."""
    aim = Aim(kinds=run.value, direction=run.direction, from_byte=32 * KIB)
    honest(run(StripOptions(aim=aim), sends=512 * KIB, patience=8, sysctls=GIVE_UP))


@case(
    "stage.joined-after-{}-octets",
    each={"1000": 1_000, "20000": 20_000},
    requires=(JOINED, LATER),
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=SLOW_FIRST,
    waits=4,
)
def test_a_joined_subflow_loses_its_options_later(run: RunFixture) -> None:
    """After {} octets on the joined subflow its data loses options: that path goes, the stream is whole."""
    aim = Aim(kinds=Kind.DATA, subflow=Subflow.JOINED, direction=run.direction, from_byte=run.value)
    session = run(StripOptions(aim=aim), sends=512 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.FEWER_SUBFLOWS)


@case(
    "stage.joined-{}-lost-once",
    lesson="mptcp_net-next#91",
    each={
        "first-data": Aim(subflow=Subflow.JOINED, kinds=Kind.FIRST_DATA, nth=1),
        "first-ack": Aim(subflow=Subflow.JOINED, kinds=Kind.PURE_ACK, nth=1),
        "fin": Aim(subflow=Subflow.JOINED, kinds=Kind.FIN),
    },
    requires="RFC8684-3.2/join",
    directions=BOTH_WAYS,
    topology=SLOW_FIRST,
    waits=4,
)
def test_a_joined_subflow_loses_the_options_of_one_segment(run: RunFixture) -> None:
    """On the joined subflow the {} loses its options: whatever becomes of that path, the stream is whole."""
    session = run(StripOptions(aim=run.value), sends=384 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)
