"""Mappings changed under way: numbers, lengths and checksums of DSS that are not what the sender declared.

Checksums cover a mapping's own numbers. Without, one that is wrong cannot be told from one that is right,
unless it points out of the window or contradicts another.
"""

from __future__ import annotations

import dataclasses

from mbtest.endpoint import PROFILES
from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MILLISECOND,
    MUST,
    SHOULD,
    TO_SERVER,
    Aim,
    AnswersMpFail,
    Capability,
    Interfered,
    Kind,
    Middlebox,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Sends,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Dss, MpCapable, MpFail
from middleboxes.delay import DelaySegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.move_numbers import MoveNumbers
from middleboxes.narrow_numbers import NarrowNumbers
from middleboxes.reorder import ReorderSegments
from middleboxes.sequence import RewriteSequence
from middleboxes.strip import StripOptions

FAILS = ("RFC8684-3.3.1/checksum-failure-acted-on", "RFC8684-3.7/mp-fail", "RFC8684-3.7/infinite-mapping")
NOT_FOUND = "RFC8684-3.7/no-checksum-no-detection"
UNMAPPED = ("RFC8684-6/unmapped-data", "RFC8684-3.3.1/unmapped-data-not-data-acked")
OUTSIDE = ("RFC8684-3.3.4/window-by-dsn", "RFC8684-3.3.6/data-level-timer")
FIXED = "RFC8684-3.3.1/mapping-unchanged"
WHOLE, COVERS = "RFC8684-3.3/one-stream", "RFC8684-3.3.1/mapping-covers-segments"
FAR = 1 << 40
"""Beyond any window."""

REQUESTS = Workload(shape="rounds", rounds=20, client_sends=20_000, server_sends=20_000)
"""A thousand octets at a time, each in a segment and a mapping of its own; nothing else is under way."""
PLACE = 10_000
"""Where one of them begins."""
WRAPPING = 0x6D62_7465_7374_30F0
"""A key by which the lower 32 bits of the DSN are 0 at octet 36,999."""
BLOCKS = Workload(shape="rounds", rounds=4, client_sends=160 * KIB, server_sends=160 * KIB)
"""Blocks that take many segments. A kernel maps each as a whole."""
BLOCK, SECOND, NINTH = 80 * KIB, 80 * KIB + 1_500, 80 * KIB + 8_000
"""Where one of them begins, and places in further segments of its first mapping."""
LONG: dict[str, object] = {"profile": PROFILES["long-mappings"]}
"""Eight segments to each mapping of the reference endpoint, too."""


def at(run: RunFixture, place: int, until: int | None = None, *, again: bool = False) -> Aim:
    """Aim at the run's data from a place on, of one segment where no end is given."""
    return Aim(direction=run.direction, from_byte=place, until_byte=until or place + 1, retransmissions=again)


def along(run: RunFixture, *boxes: Middlebox) -> list[Middlebox]:
    """Return boxes so that the data of the run's direction meets them in this order."""
    return list(boxes if run.direction is TO_SERVER else boxes[::-1])


def slow_answer(run: RunFixture, place: int, size: int = 1_000) -> Middlebox:
    """The peer's answer to what stands at a place is late: the sender has to help itself until then."""
    aim = Aim(direction=run.direction.reverse, kinds=Kind.DATA, from_byte=place, until_byte=place + size + 1)
    return DelaySegments(1_500 * MILLISECOND, aim=aim)


def request(run: RunFixture, box: Middlebox, place: int = PLACE) -> Trial:
    """Have a box change one of twenty requests, or answers."""
    # The reference endpoint waits 3 s for an answer to MP_FAIL, and then 2 s for a new subflow.
    return run([box, slow_answer(run, place)], workload=REQUESTS, patience=8)


def blocks(run: RunFixture, *boxes: Middlebox) -> Trial:
    """Have boxes change one of four blocks."""
    slow = slow_answer(run, BLOCK, 40 * KIB)
    return run([*boxes, slow], workload=BLOCKS, endpoint={"client": LONG, "server": LONG})


def recovered(session: Trial, box: type[Middlebox]) -> None:
    """No false octet is read, and the connection goes on, or the applications are told."""
    session.require(Interfered(box))
    session.expect(NoFalseData(), level=MUST)
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK, Outcome.RESET), level=SHOULD)


def unmoved(session: Trial, box: type[Middlebox]) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


# -- With checksums -----------------------------------


@case(
    "mapping.{}-altered",
    requires=FAILS,
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=3,
    # 992 of a thousand octets.
    each={"checksum": ("checksum", 1 << 9), "length": ("length", 1 << 3)},
)
def test_the_checksum_of_a_mapping_fails(run: RunFixture) -> None:
    """A bit of one mapping's {} is flipped: MP_FAIL, infinite mapping, regular TCP."""
    field, mask = run.value
    session = run(FlipBits(field, mask, Dss, aim=at(run, PLACE)), workload=REQUESTS)

    session.require(Interfered(FlipBits))
    session.expect(Unharmed())
    session.expect(Outcome.FELL_BACK)
    session.expect(AnswersMpFail(run.sender))
    session.expect(Sends(run.receiver, MpFail), level=SHOULD)


@case(
    "mapping.dsn-{}-with-checksums",
    requires=(*FAILS, "RFC8684-3.7/not-contiguous-reset", "RFC8684-3.7/checksum-finds-changes"),
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    each={
        "ahead": MoveNumbers("dsn", 16),
        "behind": MoveNumbers("dsn", -16),
        "in-bit-40": FlipBits("dsn", FAR, Dss),
    },
)
def test_a_checksum_covers_the_dsn(run: RunFixture) -> None:
    """A mapping's DSN is moved {}: its checksum fails, MP_FAIL, and regular TCP or a reset follow."""
    # To its receiver the data in flight is not contiguous.
    session = request(run, dataclasses.replace(run.value, aim=at(run, PLACE)))

    session.require(Interfered(type(run.value)))
    session.expect(NoFalseData())
    session.expect(OneOf(Outcome.FELL_BACK, Outcome.RESET))
    session.expect(Sends(run.receiver, MpFail), level=SHOULD)


@case(
    "mapping.{}-with-checksums",
    requires="RFC8684-3.7/checksum-finds-changes",
    directions=BOTH_WAYS,
    checksums=(True,),
    waits=5,
    each={
        "length-grown": ("length", 1),
        "subflow-sequence-ahead": ("subflow_sequence", 8),
        "subflow-sequence-behind": ("subflow_sequence", -8),
        "subflow-sequence-far": ("subflow_sequence", 1 << 30),
    },
)
def test_a_mapping_is_of_other_octets(run: RunFixture) -> None:
    """One mapping has its {}: with checksums what it says is not believed, and no false octet is read."""
    recovered(request(run, MoveNumbers(*run.value, aim=at(run, PLACE))), MoveNumbers)


@case(
    "mapping.first-length-{}",
    requires=("RFC8684-3.7/checksum-finds-changes", *UNMAPPED),
    checksums=(False, True),
    waits=5,
    each={"shrunk": 1 << 3, "grown": 1},
)
def test_the_length_beside_mp_capable_is_altered(run: RunFixture) -> None:
    """The data-level length of the first mapping, in MP_CAPABLE, is {}: no octet is lost or misplaced."""
    recovered(request(run, FlipBits("data_length", run.value, MpCapable, aim=at(run, 0)), 0), FlipBits)


# -- Without: what shows -----------------------------------


@case(
    "mapping.dsn-far-{}",
    requires=OUTSIDE,
    directions=BOTH_WAYS,
    waits=2,
    each={"ahead": FAR, "behind": -FAR},
)
def test_a_mapping_points_out_of_the_window(run: RunFixture) -> None:
    """A mapping's DSN is far {}, out of all windows: that data is not delivered, and comes again."""
    recovered(request(run, MoveNumbers("dsn", run.value, aim=at(run, PLACE))), MoveNumbers)


@case(
    "mapping.dsn-of-old-data",
    requires=(WHOLE, "RFC8684-3.3.1/first-copy-delivered", "RFC8684-3.3.6/data-level-timer"),
    directions=BOTH_WAYS,
    waits=2,
)
def test_a_mapping_is_of_data_that_was_acknowledged(run: RunFixture) -> None:
    """A mapping says that its data is what was Data ACKed before: it is ignored, and comes again."""
    recovered(request(run, MoveNumbers("dsn", -5_000, aim=at(run, PLACE))), MoveNumbers)


@case(
    "mapping.{}",
    requires=UNMAPPED,
    directions=BOTH_WAYS,
    waits=5,
    each={
        "subflow-sequence-far": ("subflow_sequence", 1 << 30),
        "subflow-sequence-old": ("subflow_sequence", -5_000),
        "length-shrunk": ("length", -8),
    },
)
def test_data_is_left_without_a_mapping(run: RunFixture) -> None:
    """The mapping beside data has its {}: data is left without one, and no octet is misplaced."""
    recovered(request(run, MoveNumbers(*run.value, aim=at(run, PLACE))), MoveNumbers)


@case(
    "mapping.length-grown",
    requires=(FIXED, "RFC8684-6/unmapped-data"),
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=5,
)
def test_a_mapping_reaches_into_the_next(run: RunFixture) -> None:
    """A mapping is longer than its data, and the next one says the same of those octets: all is well."""
    session = request(run, MoveNumbers("length", 1, aim=at(run, PLACE)))

    session.expect(NoFalseData(), level=MUST)
    unmoved(session, MoveNumbers)


# -- Without: what does not -----------------------------------


@case(
    "mapping.{}-a-little",
    requires=NOT_FOUND,
    level=MAY,
    directions=BOTH_WAYS,
    waits=3,
    each={
        "dsn-ahead": ("dsn", 200),
        "dsn-behind": ("dsn", -200),
        "subflow-sequence-ahead": ("subflow_sequence", 8),
        "subflow-sequence-behind": ("subflow_sequence", -8),
    },
)
def test_a_mapping_is_wrong_within_the_window(run: RunFixture) -> None:
    """Without checksums a mapping has its {} a little: nothing shows it, and false octets may be read."""
    session = request(run, MoveNumbers(*run.value, aim=at(run, PLACE)))

    session.require(Interfered(MoveNumbers))


@case(
    "mapping.length-zero",
    requires=("RFC8684-3.3.1/infinite-length-zero", NOT_FOUND),
    level=MAY,
    directions=BOTH_WAYS,
    waits=3,
)
def test_a_length_becomes_that_of_an_infinite_mapping(run: RunFixture) -> None:
    """A box makes a mapping's length 0: its receiver has to take that for an infinite mapping."""
    session = request(run, MoveNumbers("length", -1_000, aim=at(run, PLACE)))

    session.require(Interfered(MoveNumbers))


# -- Declared twice -----------------------------------


@case(
    "mapping.repeated-with-another-{}",
    requires=FIXED,
    directions=BOTH_WAYS,
    waits=5,
    each={
        "dsn": ("dsn", FAR),
        "near-dsn": ("dsn", 200),
        "length": ("length", -8),
        "subflow-sequence": ("subflow_sequence", 8),
    },
)
def test_a_mapping_contradicts_itself(run: RunFixture) -> None:
    """A mapping covers many segments, one of which repeats it with another {}: the first one counts."""
    box = MoveNumbers(*run.value, aim=at(run, SECOND))
    recovered(blocks(run, box), MoveNumbers)


@case(
    "mapping.copy-with-another-{}",
    requires=(FIXED, "RFC9293-3.10.7.4/unacceptable-acknowledged"),
    directions=BOTH_WAYS,
    checksums=(False, True),
    each={"dsn": ("dsn", 200), "length": ("length", -8), "subflow-sequence": ("subflow_sequence", 8)},
)
def test_a_copy_has_another_mapping(run: RunFixture) -> None:
    """A segment comes twice, the second time with another {} in its mapping: the copy is ignored."""
    twice = DuplicateSegments(aim=at(run, PLACE))
    boxes = along(run, twice, MoveNumbers(*run.value, aim=at(run, PLACE, again=True)))
    unmoved(run(boxes, workload=REQUESTS), MoveNumbers)


# -- Apart from its data -----------------------------------


@case(
    "mapping.on-one-segment",
    requires=(WHOLE, COVERS, "RFC8684-3.7/fewer-dss-afterwards"),
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_only_the_first_segment_has_the_mapping(run: RunFixture) -> None:
    """A mapping of many segments is on the first, and the next have none: they are covered all the same."""
    box = StripOptions(Dss, aim=at(run, SECOND, NINTH))
    unmoved(blocks(run, box), StripOptions)


@case(
    "mapping.overtaken-by-data",
    requires=(WHOLE, COVERS),
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_data_overtakes_its_mapping(run: RunFixture) -> None:
    """The one segment with the mapping comes after the others that it covers: nothing is lost by it."""
    bare = StripOptions(Dss, aim=at(run, SECOND, NINTH))
    late = DelaySegments(250 * MILLISECOND, overtaking=True, aim=at(run, BLOCK))
    unmoved(blocks(run, *along(run, bare, late)), DelaySegments)


@case(
    "mapping.behind-its-data",
    requires=("RFC8684-3.3.1/mapping-after-data", *UNMAPPED),
    level=SHOULD,
    directions=BOTH_WAYS,
    waits=5,
)
def test_a_mapping_comes_with_later_data(run: RunFixture) -> None:
    """Data comes without a mapping, which the next segment has: it may wait; no octet is misplaced."""
    box = StripOptions(Dss, aim=at(run, BLOCK))
    recovered(blocks(run, box), StripOptions)


# -- Numbers that wrap, or are short -----------------------------------


@case(
    "mapping.dsn-of-32-bits",
    requires=("RFC8684-3.3.1/both-sizes-received", "RFC8684-3.3.2/short-dsn-any-data-ack"),
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_data_sequence_numbers_are_short(run: RunFixture) -> None:
    """All DSNs come in 32 bits: the receiver extends them, and the checksum is still of 64."""
    unmoved(run(NarrowNumbers("dsn", aim=Aim(direction=run.direction)), sends=96 * KIB), NarrowNumbers)


@case(
    "mapping.dsn-now-short-now-long",
    requires=("RFC8684-3.3.1/both-sizes-received", "RFC8684-3.3.1/short-dsn-sent"),
    directions=BOTH_WAYS,
)
def test_some_data_sequence_numbers_are_short(run: RunFixture) -> None:
    """The choice of 32 or 64 bits is made packet by packet: DSNs in mid-transfer alone are short."""
    box = NarrowNumbers("dsn", aim=at(run, PLACE, 4 * PLACE))
    unmoved(run(box, sends=96 * KIB), NarrowNumbers)


@case(
    "mapping.dsn-wraps-{}",
    requires=(
        "RFC8684-3.3.1/dsn-kept-in-64-bits",
        "RFC8684-3.3.1/short-dsn-promoted",
        "RFC8684-3.3.1/wrap-checked",
    ),
    directions=BOTH_WAYS,
    checksums=(False, True),
    sender_needs=(Capability.KEY,),
    each={
        "in-64-bits": (),
        "in-32-bits": (NarrowNumbers,),
        "out-of-order": (ReorderSegments,),
        "in-32-bits-out-of-order": (NarrowNumbers, ReorderSegments),
    },
)
def test_data_sequence_numbers_wrap(run: RunFixture) -> None:
    """The lower half of DSNs wraps in mid-stream, {}: data before and behind it is in its place."""
    boxes = [box(aim=Aim(direction=run.direction)) for box in run.value]
    session = run(boxes, sends=96 * KIB, endpoint={run.sender: {"key": WRAPPING}})

    for box in run.value:
        session.require(Interfered(box))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


WRAP = 2**32 - 20_000
RELATIVE = "RFC8684-3.3.1/relative-subflow-sequence"


@case("mapping.wire-numbers-wrap", requires=RELATIVE, directions=BOTH_WAYS, checksums=(False, True))
def test_sequence_numbers_wrap(run: RunFixture) -> None:
    """TCP's sequence numbers wrap in mid-stream, and those of mappings, which count from the SYN, do not."""
    unmoved(run(RewriteSequence(start_at=WRAP), sends=96 * KIB, answers=96 * KIB), RewriteSequence)


@case(
    "mapping.wire-numbers-wrap-on-all", requires=RELATIVE, directions=BOTH_WAYS, topology="dual-homed-client"
)
def test_sequence_numbers_wrap_on_each_subflow(run: RunFixture) -> None:
    """TCP's sequence numbers wrap in mid-stream on two subflows: both are used to the end."""
    unmoved(run(RewriteSequence(start_at=WRAP), sends=256 * KIB), RewriteSequence)
