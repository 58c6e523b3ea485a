"""Addresses announced, and priorities asked for: what becomes of the options, and of what they invite."""

from __future__ import annotations

from collections.abc import Callable

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MILLISECOND,
    SHOULD,
    TO_CLIENT,
    Aim,
    DataOn,
    Interfered,
    Kind,
    Outcome,
    RunFixture,
    Subflows,
    Unharmed,
    case,
)
from mbtest.wire import AddAddr, Segment
from middleboxes.delay import DelaySegments
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.nat import TranslateAddresses
from middleboxes.strip import StripOptions

BOTH_HOMED, TWO_PATHS = "dual-homed-both", "dual-homed-client"
ANNOUNCED = "RFC8684-3.4.1/add-addr"


def add_addr(echo: bool) -> Callable[[Segment], bool]:
    """Return a condition: the segment has an ADD_ADDR, or an echo of one."""
    return lambda segment: (found := segment.option(AddAddr)) is not None and found.echo is echo


@case(
    "address.announcement-{}",
    each={
        "lost-once": DropSegments(aim=Aim(where=add_addr(echo=False), nth=1)),
        "delayed": DelaySegments(100 * MILLISECOND, aim=Aim(where=add_addr(echo=False))),
        "duplicated": DuplicateSegments(aim=Aim(where=add_addr(echo=False))),
    },
    requires=ANNOUNCED,
    topology=BOTH_HOMED,
    waits=2,
)
def test_an_announcement_is_disturbed(run: RunFixture) -> None:
    """The ADD_ADDR of the server is {}: the connection goes on with the subflows that it can have."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(type(run.value)))
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())


@case("address.announcement-stripped", requires=ANNOUNCED, topology=BOTH_HOMED, waits=2)
def test_announcements_are_stripped(run: RunFixture) -> None:
    """Every ADD_ADDR is stripped: the announced address is not joined, and the stream is whole.

    Where ADD_ADDR was alone on an ACK of the first data, what is left tells of a path that drops options.
    """
    session = run(StripOptions(AddAddr), sends=256 * KIB)

    session.require(Interfered(StripOptions))
    session.expect(Outcome.FEWER_SUBFLOWS, Outcome.FELL_BACK)
    session.expect(Unharmed())


@case(
    "address.echo-{}",
    each={
        "lost-once": DropSegments(aim=Aim(where=add_addr(echo=True), nth=1)),
        "stripped": StripOptions(AddAddr, aim=Aim(where=add_addr(echo=True))),
        "duplicated": DuplicateSegments(aim=Aim(where=add_addr(echo=True))),
    },
    requires="RFC8684-3.4.1/add-addr-echoed",
    topology=BOTH_HOMED,
    waits=2,
)
def test_an_echo_is_disturbed(run: RunFixture) -> None:
    """The echo of the ADD_ADDR is {}: the announced address is joined all the same."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(type(run.value)))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "address.{}-altered",
    each={
        "hmac": FlipBits("hmac", forms=AddAddr),
        "identifier": FlipBits("address_id", forms=AddAddr, aim=Aim(where=add_addr(echo=False))),
    },
    requires="RFC8684-3.4.1/add-addr-wrong-hmac",
    level=SHOULD,
    topology=BOTH_HOMED,
    waits=2,
)
def test_an_announcement_that_is_not_authentic(run: RunFixture) -> None:
    """The {} of the ADD_ADDR is altered: the announced address is not joined."""
    session = run(run.value, sends=256 * KIB)

    session.require(Interfered(FlipBits))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "address.announced-unreachable",
    requires=("RFC8684-3.4.1/add-addr", "RFC8684-3.4.1/failed-address-left-alone"),
    topology=BOTH_HOMED,
    waits=3,
)
def test_the_announced_address_cannot_be_reached(run: RunFixture) -> None:
    """SYNs to the announced address are dropped: the connection goes on with the other subflows."""
    boxes = [DropSegments(aim=Aim(path=path, kinds=Kind.SYN)) for path in (1, 2)]
    session = run(boxes, sends=256 * KIB)

    session.require(Interfered(DropSegments))
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case("address.before-any-dss", requires="RFC8684-3.1/no-join-before-dss", topology=BOTH_HOMED, waits=1)
def test_an_address_is_announced_before_any_dss(run: RunFixture) -> None:
    """ADD_ADDR arrives, and all data 200 ms later: there is no join before a DSS came."""
    box = DelaySegments(200 * MILLISECOND, aim=Aim(direction=TO_CLIENT, kinds=Kind.DATA))
    session = run(box, server_sends=256 * KIB)

    session.require(Interfered(DelaySegments))
    session.expect(Unharmed())


@case("address.refused-from-outside", requires="RFC8684-6/unsolicited-refused", topology=BOTH_HOMED)
def test_a_translator_refuses_what_comes_in_unasked(run: RunFixture) -> None:
    """A client behind a translator announces nothing and is not joined: it joins by itself."""
    session = run(TranslateAddresses(filtering="address-and-port-dependent"), sends=256 * KIB)

    session.require(Interfered(TranslateAddresses))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "priority.backup-rests",
    requires="RFC8684-3.3.8/backup-respected",
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_a_backup_rests_while_the_other_works(run: RunFixture) -> None:
    """The client joins with the backup flag: no data goes on that subflow while the first one works."""
    session = run(sends=256 * KIB, backup=True)

    session.expect(Unharmed())
    session.expect(Subflows(at_least=1))
    session.expect(DataOn("c2-s1", run.sender, at_most=0))


@case(
    "priority.flag-{}",
    each={"set": False, "cleared": True},
    requires="RFC8684-3.3.8/backup-respected",
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_the_backup_flag_is_altered(run: RunFixture) -> None:
    """The backup flag of a join is {} on the way: both hosts see a flag, and the stream is whole."""
    session = run(FlipBits("flags", aim=Aim(path=1, kinds=Kind.SYN)), sends=256 * KIB, backup=run.value)

    session.require(Interfered(FlipBits))
    session.expect(Unharmed())
