"""MP_CAPABLE removed from, or lost with, the segments of the handshake."""

from __future__ import annotations

from typing import Literal

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MUST,
    SERVER,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Fallback,
    FellBack,
    Interfered,
    Kind,
    NoMptcpOptions,
    Outcome,
    RunFixture,
    Stage,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import MpCapable
from middleboxes.drop import DropSegments
from middleboxes.strip import StripOptions

SILENT = "RFC8684-3.7/no-options-after-fallback"

Manner = Literal["delete", "nop", "end-of-list"]


def fell_back_in_the_handshake(session: Trial) -> None:
    """The connection is regular TCP from the start, for both hosts."""
    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(FellBack(Fallback.IN_HANDSHAKE))
    session.expect(Unharmed(), level=MUST)
    session.expect(NoMptcpOptions(CLIENT, after=Stage.SYN_ACK), level=MUST, requirement=SILENT)
    session.expect(NoMptcpOptions(SERVER, after=Stage.SYN_ACK), level=MUST, requirement=SILENT)


def strip_syn(manner: Manner) -> StripOptions:
    """A box that takes MP_CAPABLE from the client's SYN."""
    return StripOptions(MpCapable, manner=manner, aim=Aim(kinds=Kind.SYN, direction=TO_SERVER))


def strip_syn_ack(manner: Manner) -> StripOptions:
    """A box that takes MP_CAPABLE from the server's SYN/ACK."""
    return StripOptions(MpCapable, manner=manner, aim=Aim(kinds=Kind.SYN_ACK, direction=TO_CLIENT))


@case(
    "handshake.syn-deleted",
    level=SHOULD,
    requires="RFC8684-3.7/syn-option-lost",
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_mp_capable_deleted_from_syn(run: RunFixture) -> None:
    """MP_CAPABLE is deleted from the SYN: the server never knew, and the client goes on as regular TCP."""
    fell_back_in_the_handshake(run(strip_syn("delete"), sends=48 * KIB))


@case("handshake.syn-nop", level=SHOULD, requires="RFC8684-3.7/syn-option-lost", directions=BOTH_WAYS)
def test_mp_capable_overwritten_on_syn(run: RunFixture) -> None:
    """MP_CAPABLE is overwritten with NOPs on the SYN: regular TCP, as if it had been deleted."""
    fell_back_in_the_handshake(run(strip_syn("nop"), sends=48 * KIB))


@case("handshake.syn-end-of-list", level=SHOULD, requires="RFC8684-3.7/syn-option-lost", directions=BOTH_WAYS)
def test_mp_capable_becomes_end_of_list_on_syn(run: RunFixture) -> None:
    """MP_CAPABLE becomes End of Option List on the SYN: regular TCP, whatever stood behind it."""
    fell_back_in_the_handshake(run(strip_syn("end-of-list"), sends=48 * KIB))


@case(
    "handshake.syn-ack-deleted",
    requires="RFC8684-3.1/syn-ack-without-capable",
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_mp_capable_deleted_from_syn_ack(run: RunFixture) -> None:
    """MP_CAPABLE is deleted from the SYN/ACK: the client goes on as regular TCP, and the server follows."""
    fell_back_in_the_handshake(run(strip_syn_ack("delete"), sends=48 * KIB))


@case("handshake.syn-ack-nop", requires="RFC8684-3.1/syn-ack-without-capable", directions=BOTH_WAYS)
def test_mp_capable_overwritten_on_syn_ack(run: RunFixture) -> None:
    """MP_CAPABLE is overwritten with NOPs on the SYN/ACK: both hosts end up with regular TCP."""
    fell_back_in_the_handshake(run(strip_syn_ack("nop"), sends=48 * KIB))


@case("handshake.syn-ack-end-of-list", requires="RFC8684-3.1/syn-ack-without-capable", directions=BOTH_WAYS)
def test_mp_capable_becomes_end_of_list_on_syn_ack(run: RunFixture) -> None:
    """MP_CAPABLE becomes End of Option List on the SYN/ACK: both hosts end up with regular TCP."""
    fell_back_in_the_handshake(run(strip_syn_ack("end-of-list"), sends=48 * KIB))


@case("handshake.syns-deleted", level=SHOULD, requires="RFC8684-3.7/syn-option-lost", directions=BOTH_WAYS)
def test_mp_capable_deleted_from_both_syns(run: RunFixture) -> None:
    """A scrubbing firewall deletes MP_CAPABLE from every SYN: regular TCP for both."""
    fell_back_in_the_handshake(
        run(StripOptions(MpCapable, aim=Aim(kinds=Kind.SYN | Kind.SYN_ACK)), sends=48 * KIB)
    )


@case("handshake.third-ack-stripped", requires="RFC8684-3.1/ack-without-capable", directions=BOTH_WAYS)
def test_mp_capable_deleted_from_third_ack(run: RunFixture) -> None:
    """MP_CAPABLE is deleted from the third ACK: the server must take the connection for regular TCP."""
    session = run(StripOptions(MpCapable, aim=Aim(kinds=Kind.THIRD_ACK)), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())
    session.expect(NoMptcpOptions(SERVER, after=Stage.SYN_ACK))


@case(
    "handshake.third-ack-and-data-stripped", requires="RFC8684-3.1/ack-without-capable", directions=BOTH_WAYS
)
def test_mp_capable_passes_on_syns_only(run: RunFixture) -> None:
    """MP_CAPABLE passes on the SYNs and never again: regular TCP for both, and nothing is lost."""
    session = run(StripOptions(aim=Aim(where=lambda segment: not segment.syn)), sends=48 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "handshake.third-ack-lost",
    lesson="mptcp_net-next#205",
    requires="RFC8684-3.1/capable-on-first-data",
    checksums=(False, True),
)
def test_third_ack_is_lost(run: RunFixture) -> None:
    """The third ACK is lost: the first data repeats MP_CAPABLE with the keys, and the connection is MPTCP."""
    session = run(DropSegments(aim=Aim(kinds=Kind.THIRD_ACK)), client_sends=48 * KIB)

    session.require(Interfered(DropSegments))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "handshake.capable-syn-dropped",
    lesson="mptcp_net-next#477",
    requires="RFC8684-6/syn-with-capable-dropped",
    level=SHOULD,
    waits=3,
)
def test_syns_with_mp_capable_are_dropped(run: RunFixture) -> None:
    """SYNs with MP_CAPABLE are dropped: the client tries again without, and the transfer takes place."""
    box = DropSegments(aim=Aim(kinds=Kind.SYN, where=lambda segment: segment.option(MpCapable) is not None))
    session = run(box, client_sends=48 * KIB, patience=20)

    session.require(Interfered(DropSegments))
    session.expect(Outcome.FELL_BACK, level=SHOULD)
    session.expect(Unharmed(), level=SHOULD)
