"""Lists of options in another order, with doubles and padding, and with lengths that are wrong.

What happens does not depend on the family of addresses: most cases take one, now this, now that.
"""

from __future__ import annotations

from mbtest.middlebox import Middlebox
from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MUST,
    SHOULD,
    Aim,
    Interfered,
    Kind,
    NoFalseData,
    OneOf,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    case,
)
from mbtest.wire import MpCapable, Timestamps
from middleboxes.flip_bits import FlipBits
from middleboxes.rearrange_options import RearrangeOptions
from middleboxes.strip import StripOptions

WITHOUT_STAMPS = StripOptions(Timestamps, aim=Aim(kinds=Kind.SYN))
"""Leaves room for more options, on both directions."""
SYNS = {"syn": Kind.SYN, "syn-ack": Kind.SYN_ACK}
STAGES = SYNS | {"third-ack": Kind.THIRD_ACK | Kind.DATA}
TAMPERED = "RFC8684-3.1/compromised-handshake"
FIRST_DATA = "RFC8684-3.7/first-data-without-dss"
UNALIGNED = "RFC9293-3.2/unaligned-options"
LENGTH = "RFC9293-3.1/illegal-option-length"


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(RearrangeOptions))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


def became_tcp(session: Trial, box: type[Middlebox] = RearrangeOptions) -> None:
    """Both hosts go on as regular TCP, and every octet is in its place."""
    session.require(Interfered(box))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


def went_on(session: Trial) -> None:
    """MPTCP or regular TCP, and every octet in its place."""
    session.require(Interfered(RearrangeOptions))
    session.expect(OneOf(Outcome.MULTIPATH, Outcome.FELL_BACK))
    session.expect(Unharmed())


@case(
    "options.reordered-{}",
    reads={
        "first": "MPTCP's options first",
        "last": "MPTCP's options last",
        "reversed": "all options in reverse",
    },
    requires=("RFC8684-3.1/capable-handshake", "RFC8684-3.3.1/mapping"),
    families=("v6",),
    directions=BOTH_WAYS,
    checksums=(False, True),
    each={"first": "first", "last": "last", "reversed": "reverse"},
)
def test_options_are_put_in_another_order(run: RunFixture) -> None:
    """A normaliser writes {} in every header: the order has no meaning."""
    survived(run(RearrangeOptions(run.value), sends=64 * KIB))


@case(
    "options.padded-with-{}",
    reads={"1": "one NOP", "2": "two NOPs", "3": "three NOPs"},
    requires=UNALIGNED,
    families=("v4",),
    directions=BOTH_WAYS,
    each={"1": 1, "2": 2, "3": 3},
)
def test_options_are_padded(run: RunFixture) -> None:
    """MPTCP's options stand behind {}, off a word boundary: MPTCP to the end."""
    survived(run([WITHOUT_STAMPS, RearrangeOptions("pad", octets=run.value)], sends=48 * KIB))


@case(
    "options.duplicated-on-{}",
    reads={"syn": "the SYN", "syn-ack": "the SYN/ACK", "third-ack": "the third ACK", "acks": "ACKs"},
    requires=(TAMPERED, "RFC8684-3.3.2/data-ack"),
    families=("v6",),
    each=SYNS | {"third-ack": Kind.THIRD_ACK, "acks": Kind.PURE_ACK},
)
def test_options_stand_twice(run: RunFixture) -> None:
    """MPTCP's option stands twice on {}: MPTCP or regular TCP, and nothing is lost."""
    box = RearrangeOptions("duplicate", aim=Aim(kinds=run.value))
    went_on(run([WITHOUT_STAMPS, box], sends=48 * KIB))


@case("options.shortened-on-{}", requires=TAMPERED, families=("v4",), directions=BOTH_WAYS, each=STAGES)
def test_mp_capable_is_shortened(run: RunFixture) -> None:
    """MP_CAPABLE on the {} lacks its last octet, and says so: it counts for nothing, so this is TCP."""
    became_tcp(run(RearrangeOptions("shorten", MpCapable, aim=Aim(kinds=run.value)), sends=48 * KIB))


@case("options.lengthened-on-{}", requires=TAMPERED, families=("v6",), each=STAGES)
def test_mp_capable_is_lengthened(run: RunFixture) -> None:
    """MP_CAPABLE on the {} has an octet more than is defined: MPTCP or regular TCP, and nothing is lost."""
    box = RearrangeOptions("lengthen", MpCapable, aim=Aim(kinds=run.value))
    went_on(run([WITHOUT_STAMPS, box], sends=48 * KIB))


@case(
    "options.dss-{}",
    requires=FIRST_DATA,
    families=("v4",),
    directions=BOTH_WAYS,
    waits=3,
    each={"shortened": "shorten", "lengthened": "lengthen"},
)
def test_mappings_have_another_size(run: RunFixture) -> None:
    """Mappings are {} by an octet from the first data on: no host can read them, and it is regular TCP."""
    box = RearrangeOptions(run.value, aim=Aim(kinds=Kind.DATA, direction=run.direction))
    became_tcp(run([WITHOUT_STAMPS, box], sends=48 * KIB))


@case(
    "options.length-{}-on-syn",
    requires=(LENGTH, "RFC8684-6/syn-with-capable-dropped"),
    level=SHOULD,
    waits=3,
    each={"0": 4, "3": 4 ^ 3, "252": 4 ^ 252},
    families=("v6",),
)
def test_a_syn_says_a_wrong_length(run: RunFixture) -> None:
    """MP_CAPABLE on the SYN says length {}: it comes to regular TCP, after a few SYNs at the latest."""
    box = FlipBits("option_length", run.value, MpCapable, aim=Aim(kinds=Kind.SYN))
    became_tcp(run(box, sends=48 * KIB, patience=20), FlipBits)


@case(
    "options.length-wrong-on-{}",
    reads={"syn-ack": "the SYN/ACK", "third-ack": "the third ACK", "data": "data"},
    requires=LENGTH,
    level=MAY,
    families=("v4",),
    directions=BOTH_WAYS,
    waits=3,
    each={"syn-ack": Kind.SYN_ACK, "third-ack": Kind.THIRD_ACK | Kind.DATA, "data": Kind.DATA},
)
def test_options_reach_beyond_the_header(run: RunFixture) -> None:
    """Options on {} say lengths beyond the header: whatever comes of it, nothing false is read."""
    box = FlipBits("option_length", 0x80, aim=Aim(kinds=run.value))
    session = run(box, sends=48 * KIB, patience=3)

    session.require(Interfered(FlipBits))
    session.expect(NoFalseData(), level=MUST)
