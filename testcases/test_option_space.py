"""Option space taken by others: what of MPTCP no longer fits, and what does beside unknown options.

What happens does not depend on the family of addresses: most cases take one, now this, now that.
"""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import AddAddr, MpFail, MpJoin, Segment, Timestamps
from middleboxes.clamp_mss import ClampMss
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.squeeze_options import SqueezeOptions
from middleboxes.strip import StripOptions

THIRD_ACK = Kind.THIRD_ACK | Kind.DATA
STAGES = {"syn": Kind.SYN, "syn-ack": Kind.SYN_ACK, "third-ack": THIRD_ACK}
ROOM = ClampMss(1300), StripOptions(Timestamps, aim=Aim(kinds=Kind.SYN))
"""Boxes that have the hosts leave room for more, in packets and in options."""
SYN_LOST = "RFC8684-3.7/syn-option-lost"
FIRST_DATA = "RFC8684-3.7/first-data-without-dss"
SECOND_PATH = "dual-homed-client"


def announces(segment: Segment) -> bool:
    """Whether this has an ADD_ADDR."""
    return segment.option(AddAddr) is not None


def fails(segment: Segment) -> bool:
    """Whether this has an MP_FAIL."""
    return segment.option(MpFail) is not None


def joins(segment: Segment) -> bool:
    """Whether this has an MP_JOIN."""
    return segment.option(MpJoin) is not None


def became_tcp(session: Trial) -> None:
    """Both hosts go on as regular TCP, and every octet is in its place."""
    session.require(Interfered(SqueezeOptions))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed(), level=MUST)


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(SqueezeOptions))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed(), level=MUST)


@case(
    "space.capable-on-{}",
    requires=(SYN_LOST, "RFC8684-3.1/ack-without-capable"),
    families=("v4",),
    directions=BOTH_WAYS,
    each=STAGES,
)
def test_no_room_for_mp_capable(run: RunFixture) -> None:
    """A WAN optimiser's probe leaves no room for MP_CAPABLE on the {}: the connection is regular TCP."""
    became_tcp(run(SqueezeOptions(aim=Aim(kinds=run.value)), sends=48 * KIB))


@case(
    "space.padded-{}",
    level=SHOULD,
    requires=SYN_LOST,
    families=("v6",),
    each={"syn": Kind.SYN, "syn-ack": Kind.SYN_ACK},
)
def test_padding_fills_the_syns(run: RunFixture) -> None:
    """A box fills the {} with NOPs until MP_CAPABLE no longer fits: the connection is regular TCP."""
    became_tcp(run(SqueezeOptions("nops", aim=Aim(kinds=run.value)), sends=48 * KIB))


@case(
    "space.mapping",
    requires=FIRST_DATA,
    families=("v4",),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=3,
)
def test_no_room_for_mappings(run: RunFixture) -> None:
    """A box fills the headers of data with an option of its own: no mapping comes, so it is regular TCP."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction)
    became_tcp(run(SqueezeOptions(aim=aim), sends=48 * KIB))


@case(
    "space.later-mapping",
    requires="RFC8684-3.7/options-lost-later",
    level=SHOULD,
    families=("v6",),
    directions=BOTH_WAYS,
    waits=5,
)
def test_no_room_for_later_mappings(run: RunFixture) -> None:
    """From 32 KiB on there is no room for mappings: the subflow should be reset, nothing may be misread."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, from_byte=32 * KIB)
    session = run(SqueezeOptions(aim=aim), sends=128 * KIB)

    session.require(Interfered(SqueezeOptions))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.RESET)


@case(
    "space.data-acks",
    requires="RFC8684-3.7/data-acked-without-data-ack",
    families=("v4",),
    directions=BOTH_WAYS,
    waits=5,
)
def test_sack_leaves_no_room_for_data_acks(run: RunFixture) -> None:
    """SACK blocks and timestamps fill all ACKs: no Data ACK comes back, so the sender becomes regular TCP."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse)
    became_tcp(run(SqueezeOptions("sack", aim=aim), sends=48 * KIB))


@case(
    "space.some-data-acks",
    level=SHOULD,
    requires="RFC8684-6/some-data-acks-lost",
    families=("v6",),
    directions=BOTH_WAYS,
)
def test_sack_leaves_no_room_for_some_data_acks(run: RunFixture) -> None:
    """SACK blocks and timestamps fill ten ACKs in mid-transfer: later Data ACKs cover them, MPTCP goes on."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, from_nth=5, until_nth=15)
    survived(run(SqueezeOptions("sack", aim=aim), sends=256 * KIB))


@case(
    "space.join-on-{}",
    requires="RFC8684-6/join-option-stripped",
    families=("v6",),
    topology=SECOND_PATH,
    each=STAGES,
)
def test_no_room_for_mp_join(run: RunFixture) -> None:
    """An option that a box adds leaves no room for MP_JOIN on the {}: no subflow, and all goes on."""
    box = SqueezeOptions(aim=Aim(kinds=run.value, path=1, where=joins))
    session = run(box, sends=256 * KIB)

    session.require(Interfered(SqueezeOptions))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "space.add-addr",
    requires=(
        "RFC8684-3.3/one-stream",
        "RFC8684-3.4.1/add-addr-retransmitted",
        "RFC8684-3/options-on-extra-acks",
    ),
    directions=BOTH_WAYS,
    topology="dual-homed-both",
)
def test_no_room_for_add_addr(run: RunFixture) -> None:
    """ADD_ADDR never finds room: the address stays unknown, and the connection goes on without it."""
    # Just too much for ADD_ADDR: a Data ACK beside it still fits.
    session = run(SqueezeOptions(octets=16, aim=Aim(where=announces)), sends=256 * KIB, subflows=1)

    session.require(Interfered(SqueezeOptions))
    session.expect(Outcome.MULTIPATH, level=SHOULD)
    session.expect(Subflows(at_least=1), level=SHOULD)
    session.expect(Unharmed(), level=MUST)


@case(
    "space.mp-fail",
    requires="RFC8684-3.7/mp-fail",
    level=SHOULD,
    families=("v4",),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
)
def test_no_room_for_mp_fail(run: RunFixture) -> None:
    """Data is altered, MP_FAIL finds no room: the connection ends or goes on, and does not hang."""
    change = RewritePayload(at=40 * KIB, aim=Aim(direction=run.direction))
    session = run([change, SqueezeOptions(aim=Aim(where=fails))], sends=48 * KIB)

    session.require(Interfered(RewritePayload))
    session.require(Interfered(SqueezeOptions))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.RESET, Outcome.FELL_BACK))


@case(
    "space.unknown-option-{}",
    requires="RFC9293-3.1/unknown-option-ignored",
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(False, True),
    each={"76": 76, "253": 253, "255": 255},
)
def test_an_unknown_option_is_added(run: RunFixture) -> None:
    """A box adds option {}, which nobody knows, to every segment: MPTCP goes on."""
    survived(run([*ROOM, SqueezeOptions(octets=4, kind=run.value)], sends=64 * KIB))


@case(
    "space.padding-{}",
    requires="RFC9293-3.2/unaligned-options",
    families=("v4",),
    directions=BOTH_WAYS,
    each={"2": 2, "3": 3, "5": 5},
)
def test_a_little_padding_is_added(run: RunFixture) -> None:
    """A box puts {} NOPs in front of all options: MPTCP goes on."""
    survived(run([*ROOM, SqueezeOptions("nops", octets=run.value)], sends=64 * KIB))
