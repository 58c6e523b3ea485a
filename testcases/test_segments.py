"""Segments cut, merged and thinned out, and headers rewritten, as devices do that mean no harm."""

from __future__ import annotations

from typing import Any

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MIB,
    MILLISECOND,
    MUST,
    SHOULD,
    TO_SERVER,
    Aim,
    Interfered,
    Kind,
    Middlebox,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Subflow,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.clamp_mss import ClampMss
from middleboxes.coalesce import CoalesceSegments
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.merge_retransmissions import MergeRetransmissions
from middleboxes.scrub import ScrubHeaders
from middleboxes.split import SplitSegments
from middleboxes.thin_acks import ThinAcks
from middleboxes.traffic_class import BleachTrafficClass

CUT = ("RFC8684-6/segmentation", "RFC8684-3.1/duplicate-mappings", "RFC8684-3.3.1/mapping-covers-segments")
MERGED = "RFC8684-6/coalescing"
CLAMPED = ("RFC8684-3.3.1/mapping", "RFC9293-3.7.1/mss-respected")
FEWER_ACKS = "RFC8684-6/some-data-acks-lost"
HEADERS = "RFC8684-6/headers-rewritten"
CHECKSUMS = (False, True)
KEPT: dict[str, Any] = {"identification": "kept", "ttl": None, "urgent": "kept", "reserved": False}
"""What `ScrubHeaders` leaves alone unless it is told otherwise."""


def survived(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed(), level=MUST)


# -- Cards --------------------------------------------------------------------------------------------------


@case(
    "offload.sends-{}",
    each={"100-octets": 100, "536-octets": 536, "1220-octets": 1220},
    requires=CUT,
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_segmentation_offload(run: RunFixture) -> None:
    """A card cuts segments to {}, and copies the mapping to each piece: MPTCP to the end."""
    survived(run(SplitSegments(run.value, aim=Aim(direction=run.direction)), sends=96 * KIB), SplitSegments)


@case(
    "offload.receives-{}",
    each={"3000-octets": 3000, "9000-octets": 9000, "65535-octets": 65535},
    requires=(*CUT, MERGED),
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_receive_offload(run: RunFixture) -> None:
    """What the sender's card cut the receiver's merges again, to packets of up to {}: MPTCP to the end."""
    session = run(_cut_and_merged(run, run.value, Aim(direction=run.direction)), sends=256 * KIB)

    session.require(Interfered(SplitSegments))
    survived(session, CoalesceSegments)


def _cut_and_merged(run: RunFixture, largest: int, aim: Aim) -> list[Middlebox]:
    """Return the cards of the two hosts, in their order from the client on."""
    boxes = [SplitSegments(600, aim=aim), CoalesceSegments(only_equal=True, largest=largest, aim=aim)]
    return boxes if run.direction is TO_SERVER else boxes[::-1]


@case(
    "offload.joined-subflow-{}",
    each={"cut": SplitSegments, "cut-and-merged": CoalesceSegments},
    requires=(*CUT, MERGED),
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
    topology="slow-first-path",
)
def test_offload_on_the_joined_subflow(run: RunFixture) -> None:
    """On the joined subflow alone segments are {}, as by a card: both subflows are used to the end."""
    aim = Aim(path=1, direction=run.direction)
    boxes = _cut_and_merged(run, 65535, aim)
    session = run([box for box in boxes if run.value in (CoalesceSegments, type(box))], sends=384 * KIB)

    survived(session, run.value)
    session.expect(Subflows(at_least=1))


# -- Sizes --------------------------------------------------------------------------------------------------


@case(
    "mss.clamped-to-{}",
    each={"88": 88, "536": 536, "1220": 1220},
    requires=CLAMPED,
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_mss_clamped(run: RunFixture) -> None:
    """A router lowers the MSS on SYNs to {}: mappings get shorter, and nothing else changes."""
    survived(run(ClampMss(run.value), sends=48 * KIB), ClampMss)


@case("mss.clamped-on-the-joined-subflow", requires=CLAMPED, directions=BOTH_WAYS, topology="slow-first-path")
def test_mss_clamped_on_the_joined_subflow(run: RunFixture) -> None:
    """The joined subflow has a lower MSS than the first: data goes on either as it fits."""
    session = run(ClampMss(600, aim=Aim(path=1)), sends=384 * KIB)

    survived(session, ClampMss)
    session.expect(Subflows(at_least=1))


@case(
    "bulk.{}",
    reads={"split": "splits segments", "coalesce": "merges segments again", "mss-clamp": "lowers the MSS"},
    each={
        "split": [SplitSegments(800)],
        "coalesce": [SplitSegments(800), CoalesceSegments(only_equal=True, largest=9000)],
        "mss-clamp": [ClampMss(1220)],
    },
    requires=(*CUT, MERGED, *CLAMPED),
    families=("v4",),
    waits=3,
)
def test_ten_mebibytes(run: RunFixture) -> None:
    """Ten MiB pass a box that {}: MPTCP to the end, octet by octet."""
    survived(run(run.value, sends=10 * MIB, limit=120), type(run.value[-1]))


# -- Retransmissions ----------------------------------------------------------------------------------------


@case(
    "retransmitted.merged",
    requires=(MERGED, "RFC8684-6/some-mappings-lost"),
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
    waits=5,
)
def test_retransmission_merged_with_data_that_had_arrived(run: RunFixture) -> None:
    """One lost segment comes again with data behind it that had arrived, as had its mappings: no harm."""
    session = run(_merging(run, lost=1), sends=96 * KIB)

    session.require(Interfered(MergeRetransmissions))
    session.expect(NoFalseData())
    session.expect(Outcome.MULTIPATH, level=SHOULD)
    session.expect(Unharmed(), level=SHOULD)


@case("retransmitted.merged-unmapped", requires=MERGED, directions=BOTH_WAYS, checksums=CHECKSUMS, waits=5)
def test_retransmission_merged_with_data_that_was_lost(run: RunFixture) -> None:
    """Of several lost segments the first comes again with the data of all: no octet may be misplaced."""
    session = run(_merging(run, lost=4), sends=96 * KIB)

    session.require(Interfered(MergeRetransmissions))
    session.expect(NoFalseData())
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET))


def _merging(run: RunFixture, lost: int) -> list[Middlebox]:
    """Return the boxes that lose so many segments at 20 KiB, and merge what comes again in their place."""
    way = run.direction
    boxes: list[Middlebox] = [
        MergeRetransmissions(aim=Aim(direction=way)),
        DropSegments(aim=Aim(direction=way, from_byte=20 * KIB, until_nth=1 + lost)),
    ]
    return [ClampMss(400), *(boxes if way is TO_SERVER else boxes[::-1])]


# -- ACKs ---------------------------------------------------------------------------------------------------


@case(
    "acks.every-{}",
    level=SHOULD,
    each={"2nd": 2, "4th": 4, "8th": 8},
    requires=FEWER_ACKS,
    directions=BOTH_WAYS,
)
def test_acks_thinned_out(run: RunFixture) -> None:
    """A modem lets every {} pure ACK pass: later Data ACKs cover those that are lost."""
    box = ThinAcks(run.value, aim=Aim(direction=run.direction.reverse))
    survived(run(box, sends=256 * KIB), ThinAcks)


@case("acks.merged", level=SHOULD, requires=FEWER_ACKS, directions=BOTH_WAYS, checksums=CHECKSUMS)
def test_acks_merged(run: RunFixture) -> None:
    """Of the pure ACKs of 20 ms only the latest passes: slower, and MPTCP to the end."""
    box = ThinAcks(1000, delay=20 * MILLISECOND, aim=Aim(direction=run.direction.reverse))
    survived(run(box, sends=256 * KIB), ThinAcks)


@case("acks.delayed", level=SHOULD, requires=FEWER_ACKS, directions=BOTH_WAYS)
def test_acks_delayed(run: RunFixture) -> None:
    """Pure ACKs take 40 ms longer than data: slower, and MPTCP to the end."""
    aim = Aim(kinds=Kind.PURE_ACK, direction=run.direction.reverse)
    survived(run(DelaySegments(40 * MILLISECOND, aim=aim), sends=128 * KIB), DelaySegments)


@case(
    "acks.thinned-on-both-subflows",
    level=SHOULD,
    requires=FEWER_ACKS,
    directions=BOTH_WAYS,
    topology="slow-first-path",
)
def test_acks_thinned_out_on_both_subflows(run: RunFixture) -> None:
    """Every fourth pure ACK of two subflows passes: Data ACKs of either cover the data of both."""
    session = run(ThinAcks(4, aim=Aim(direction=run.direction.reverse)), sends=384 * KIB)

    survived(session, ThinAcks)
    session.expect(Subflows(at_least=1))


@case(
    "acks.answer-to-join-lost",
    requires="RFC8684-3.2/join-ack-retransmitted",
    directions=BOTH_WAYS,
    topology="dual-homed-client",
    waits=2,
)
def test_the_answer_to_a_join_is_lost(run: RunFixture) -> None:
    """The server's ACK of the joining HMAC is lost once: the client sends it again, and the join holds."""
    aim = Aim(path=1, subflow=Subflow.JOINED, direction=TO_SERVER.reverse, kinds=Kind.PURE_ACK, nth=1)
    session = run(DropSegments(aim=aim), sends=256 * KIB)

    survived(session, DropSegments)
    session.expect(Subflows(at_least=1))


# -- Headers ------------------------------------------------------------------------------------------------


@case(
    "headers.{}",
    reads={
        "dscp-given": "writes the DSCP anew",
        "congestion-marked": "marks congestion",
        "ecn-cleared": "clears ECN",
        "identification-random": "writes random identifications",
        "ttl-given": "writes the TTL anew",
        "urgent-pointer-random": "writes random urgent pointers",
        "all": "scrubs all header fields",
    },
    each={
        "dscp-given": BleachTrafficClass(46),
        "congestion-marked": BleachTrafficClass(46, ecn="marked"),
        "ecn-cleared": BleachTrafficClass(46, tcp=True),
        "identification-random": ScrubHeaders(**KEPT | {"identification": "random"}),
        "ttl-given": ScrubHeaders(**KEPT | {"ttl": 7, "identification": "zero"}),
        "urgent-pointer-random": ScrubHeaders(**KEPT | {"urgent": "random"}),
        "all": ScrubHeaders(),
    },
    requires=HEADERS,
    checksums=CHECKSUMS,
)
def test_headers_rewritten(run: RunFixture) -> None:
    """A box {}, which MPTCP has no use for: MPTCP to the end."""
    session = run(run.value, sends=48 * KIB, answers=48 * KIB, sysctls={"net.ipv4.tcp_ecn": "1"})

    survived(session, type(run.value))
