"""Boxes that reject, end, copy, mirror, double and rearrange options, or know MPTCP and mend its own.

What happens does not depend on the family of addresses: most cases take one, now this, now that.
"""

from __future__ import annotations

from mbtest.middlebox import Middlebox
from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    MAY,
    MUST,
    SHOULD,
    TO_CLIENT,
    TO_SERVER,
    Aim,
    Direction,
    Fallback,
    FellBack,
    Interfered,
    Kind,
    NoFalseData,
    NoMptcpOptions,
    OneOf,
    Outcome,
    RunFixture,
    Stage,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import (
    Dss,
    MaximumSegmentSize,
    MpCapable,
    MpJoin,
    SackPermitted,
    Segment,
    Timestamps,
    WindowScale,
)
from middleboxes.clear_data_fin import ClearDataFin
from middleboxes.copy_options import CopyOptions
from middleboxes.drop import DropSegments
from middleboxes.end_options import EndOptions
from middleboxes.mirror_options import MirrorOptions
from middleboxes.reject_options import RejectOptions
from middleboxes.repair_checksums import RepairChecksums
from middleboxes.rewrite_payload import RewritePayload
from middleboxes.split import SplitSegments
from middleboxes.strip import StripOptions

KNOWN = (2, 3, 4, 5, 8)
"""The option kinds that a device knows which is older than MPTCP: up to timestamps."""
WITHOUT_STAMPS = StripOptions(Timestamps, aim=Aim(kinds=Kind.SYN))
"""Leaves room for more options, on both directions."""
SYNS = {"syn": Kind.SYN, "syn-ack": Kind.SYN_ACK}
STAGES = SYNS | {"third-ack": Kind.THIRD_ACK | Kind.DATA}
SYN_LOST = "RFC8684-3.7/syn-option-lost"
TAMPERED = "RFC8684-3.1/compromised-handshake"
FIRST_DATA = "RFC8684-3.7/first-data-without-dss"
UNMAPPED = "RFC8684-6/unmapped-data"
UNALIGNED = "RFC9293-3.2/unaligned-options"
LENGTH = "RFC9293-3.1/illegal-option-length"
MENDED = "RFC8684-6/metadata-adjusted"
SECOND_PATH = "dual-homed-client"


def after_syns(segment: Segment) -> bool:
    """Whether this is no segment of the first two."""
    return not segment.syn


def ends_stream(segment: Segment) -> bool:
    """Whether this has a DATA_FIN."""
    dss = segment.option(Dss)
    return dss is not None and dss.data_fin


def along(direction: Direction, *boxes: Middlebox) -> list[Middlebox]:
    """Return a chain that data of a direction meets in this order."""
    return list(boxes if direction is TO_SERVER else reversed(boxes))


def survived(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


def became_tcp(session: Trial, box: type[Middlebox]) -> None:
    """Both hosts go on as regular TCP, and every octet is in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


def went_on(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP or regular TCP, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK), level=MUST)
    session.expect(Unharmed(), level=MUST)


def ended(session: Trial, box: type[Middlebox], *outcomes: Outcome) -> None:
    """Nobody reads a false octet; the connection comes to one of these ends, and does not hang."""
    session.require(Interfered(box))
    session.expect(NoFalseData(), level=MUST)
    session.expect(OneOf(*outcomes))


# -- Segments rejected for their options -----------------------------------


@case("options.ids", requires="RFC8684-6/syn-with-capable-dropped", level=SHOULD, waits=3)
def test_unknown_options_are_dropped(run: RunFixture) -> None:
    """Intrusion detection drops all with options that it does not know: regular TCP, after a few SYNs."""
    session = run(RejectOptions(known=KNOWN), sends=48 * KIB, patience=20)

    became_tcp(session, RejectOptions)
    session.expect(FellBack(Fallback.IN_HANDSHAKE))


@case("options.black-hole", requires="RFC8684-3.1/options-tried-again", level=MAY, families=("v4",), waits=1)
def test_syns_are_swallowed_for_a_while(run: RunFixture) -> None:
    """The first SYN with MP_CAPABLE is swallowed, later ones pass: the client may try its options again."""
    box = RejectOptions(MpCapable, aim=Aim(kinds=Kind.SYN, nth=1))
    went_on(run(box, sends=48 * KIB), RejectOptions)


@case(
    "options.syn-reset", requires="RFC8684-3.9.3/regular-syn-after-failures", level=SHOULD, families=("v6",)
)
def test_syns_with_mp_capable_are_reset(run: RunFixture) -> None:
    """A firewall answers SYNs with MP_CAPABLE by RST: the client should try a regular one."""
    box = RejectOptions(MpCapable, answer="reset", aim=Aim(kinds=Kind.SYN))
    became_tcp(run(box, sends=48 * KIB), RejectOptions)


@case(
    "options.join-{}",
    reads={
        "dropped": "SYNs with MP_JOIN are dropped",
        "reset": "SYNs with MP_JOIN are answered by RST",
        "dropped-after-syns": "after the SYNs what carries MPTCP's options is dropped",
    },
    requires="RFC8684-6/join-syn-dropped",
    families=("v6",),
    topology=SECOND_PATH,
    waits=2,
    each={
        "dropped": RejectOptions(MpJoin, aim=Aim(path=1)),
        "reset": RejectOptions(MpJoin, answer="reset", aim=Aim(path=1)),
        "dropped-after-syns": RejectOptions(aim=Aim(path=1, where=after_syns)),
    },
)
def test_joins_are_rejected(run: RunFixture) -> None:
    """{} on the second path: it stays unused, and the connection goes on."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(RejectOptions))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


# -- Lists that end early -----------------------------------


@case(
    "options.ended-{}",
    reads={"and-left-in-place": "with what is behind it left in place"},
    requires=(SYN_LOST, FIRST_DATA),
    families=("v4",),
    directions=BOTH_WAYS,
    waits=3,
    each={
        "from-the-syn-on": EndOptions(),
        "after-the-syns": EndOptions(aim=Aim(where=after_syns)),
        "from-the-first-data-on": EndOptions(aim=Aim(kinds=Kind.FIRST_DATA)),
        "and-left-in-place": EndOptions(rest="left"),
    },
)
def test_options_become_end_of_list(run: RunFixture) -> None:
    """MPTCP's options turn into End of Option List, {}: regular TCP, and the application notices nothing."""
    became_tcp(run(run.value, sends=48 * KIB), EndOptions)


@case(
    "options.ended-in-the-middle",
    requires="RFC8684-3.7/options-lost-later",
    level=SHOULD,
    families=("v6",),
    directions=BOTH_WAYS,
    waits=5,
)
def test_options_become_end_of_list_in_the_middle(run: RunFixture) -> None:
    """From 32 KiB on MPTCP's options turn into End of Option List: a reset or regular TCP, no stall."""
    box = EndOptions(aim=Aim(direction=run.direction, from_byte=32 * KIB))
    ended(run(box, sends=128 * KIB), EndOptions, Outcome.RESET, Outcome.FELL_BACK)


# -- Options that come back, or go on other segments -----------------------------------


@case(
    "options.mirrored-syn",
    requires="RFC8684-3.1/syn-ack-without-capable",
    families=("v6",),
    directions=BOTH_WAYS,
)
def test_a_server_that_seems_to_know_mptcp(run: RunFixture) -> None:
    """The server gets no option of MPTCP, the client gets its own back: that is no answer, so it is TCP."""
    strip = StripOptions(aim=Aim(direction=TO_SERVER))
    session = run([MirrorOptions(aim=Aim(direction=TO_CLIENT)), strip], sends=48 * KIB)

    became_tcp(session, MirrorOptions)
    session.expect(FellBack(Fallback.IN_HANDSHAKE))
    session.expect(NoMptcpOptions(CLIENT, after=Stage.SYN_ACK))


@case(
    "options.mirrored-{}",
    requires=("RFC8684-3.8/dsn-out-of-window", "RFC8684-3.7/data-acked-without-data-ack"),
    families=("v4",),
    directions=BOTH_WAYS,
    waits=5,
    each={"in-place-of": "replaced", "beside": "kept"},
)
def test_own_signals_come_back(run: RunFixture) -> None:
    """The sender's own DSS comes back on ACKs {} the peer's, for a while: it is not about the peer's data."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse, until_nth=10)
    # So much that the first ACKs come before the end of the stream does.
    session = run([WITHOUT_STAMPS, MirrorOptions(own=run.value, aim=aim)], sends=512 * KIB)

    ended(session, MirrorOptions, Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET)


@case(
    "options.copied-from-the-syn",
    requires="RFC8684-3.1/ack-without-capable",
    families=("v4",),
    directions=BOTH_WAYS,
)
def test_the_options_of_the_syn_go_on(run: RunFixture) -> None:
    """MP_CAPABLE of the SYN, without keys, takes the place of all later ones: it is regular TCP."""
    became_tcp(run(CopyOptions(aim=Aim(kinds=Kind.SYN)), sends=48 * KIB), CopyOptions)


@case("options.copied-beside", requires=TAMPERED, families=("v6",), directions=BOTH_WAYS)
def test_the_options_of_the_syn_go_on_beside_others(run: RunFixture) -> None:
    """MP_CAPABLE of the SYN stands on later segments too, behind the right ones: MPTCP or regular TCP."""
    box = CopyOptions(own="kept", aim=Aim(kinds=Kind.SYN))
    went_on(run([WITHOUT_STAMPS, box], sends=48 * KIB), CopyOptions)


@case(
    "options.copied-from-first-data",
    requires=UNMAPPED,
    level=SHOULD,
    families=("v4",),
    directions=BOTH_WAYS,
    waits=5,
)
def test_the_options_of_the_first_data_go_on(run: RunFixture) -> None:
    """The first mapping takes the place of those behind it: unmapped data must not be misread."""
    box = CopyOptions(aim=Aim(kinds=Kind.FIRST_DATA, direction=run.direction))
    ended(run(box, sends=128 * KIB), CopyOptions, Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET)


@case(
    "options.copied-on-retransmission",
    requires="RFC8684-3.3.2/data-ack",
    families=("v6",),
    directions=BOTH_WAYS,
    waits=1,
)
def test_a_retransmission_has_its_old_options(run: RunFixture) -> None:
    """Data is lost, and what is sent again has the old options: an old Data ACK does no harm."""
    aim = Aim(kinds=Kind.DATA, direction=run.direction, nth=10)
    boxes = along(run.direction, CopyOptions(reach=0, aim=aim), DropSegments(aim=aim))
    survived(run(boxes, client_sends=96 * KIB, server_sends=96 * KIB), CopyOptions)


# -- Options of regular TCP, and single signals -----------------------------------


@case(
    "options.without-{}",
    requires="RFC8684-3.1/capable-handshake",
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(False, True),
    each={
        "mss": MaximumSegmentSize,
        "timestamps": Timestamps,
        "sack": SackPermitted,
        "window-scale": WindowScale,
    },
)
def test_options_of_tcp_are_stripped(run: RunFixture) -> None:
    """A firewall takes {} from SYNs: slower perhaps, and MPTCP to the end."""
    box = StripOptions(run.value, aim=Aim(kinds=Kind.SYN | Kind.SYN_ACK))
    survived(run(box, sends=64 * KIB), StripOptions)


@case(
    "options.data-fin-cleared",
    requires="RFC8684-3.3.3/data-fin",
    families=("v4",),
    directions=BOTH_WAYS,
    checksums=(False, True),
    waits=2,
)
def test_data_fin_is_taken_away(run: RunFixture) -> None:
    """DATA_FIN is taken away twice: it is sent again, and the connection closes."""
    aim = Aim(direction=run.direction, where=ends_stream, until_nth=3)
    survived(run(ClearDataFin(aim=aim), sends=1000), ClearDataFin)


@case(
    "options.data-fin-counted",
    requires="RFC8684-3.7/checksum-finds-changes",
    level=SHOULD,
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
)
def test_data_fin_is_taken_away_and_still_counts(run: RunFixture) -> None:
    """DATA_FIN goes and its octet stays in the mapping's length: nothing false is read, and nothing hangs."""
    aim = Aim(direction=run.direction, where=ends_stream, until_nth=3)
    session = run(ClearDataFin("left", aim=aim), sends=1000)

    ended(session, ClearDataFin, Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET)


# -- A box that knows MPTCP -----------------------------------


@case("options.checksums-mended", requires=MENDED, directions=BOTH_WAYS, checksums=(True,))
def test_checksums_are_mended(run: RunFixture) -> None:
    """A gateway that knows MPTCP alters data and mends checksums: nobody notices, and MPTCP goes on."""
    aim = Aim(direction=run.direction)
    change = RewritePayload(at=1000, every=4 * KIB, aim=aim)
    session = run(along(run.direction, change, RepairChecksums(aim=aim)), sends=256 * KIB)

    session.require(Interfered(RewritePayload))
    survived(session, RepairChecksums)


@case(
    "options.checksums-mended-on-pieces",
    requires=MENDED,
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(True,),
)
def test_checksums_are_mended_on_pieces(run: RunFixture) -> None:
    """As options.checksums-mended, where mappings stand on the first of several pieces: MPTCP goes on."""
    aim = Aim(direction=run.direction)
    split = SplitSegments(500, options="first", lost="mptcp", aim=aim)
    change = RewritePayload(at=1000, every=4 * KIB, aim=aim)
    session = run(along(run.direction, split, change, RepairChecksums(aim=aim)), sends=256 * KIB)

    session.require(Interfered(RewritePayload))
    survived(session, RepairChecksums)
