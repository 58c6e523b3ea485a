"""Priorities changed in mid-connection: what becomes of MP_PRIO, and where data goes (RFC 8684 §3.3.8)."""

from __future__ import annotations

from mbtest.testing import (
    KIB,
    MAY,
    MUST,
    SHOULD,
    TO_CLIENT,
    Aim,
    DataOn,
    Interfered,
    Outcome,
    Prioritise,
    Remove,
    RunFixture,
    Unharmed,
    case,
)
from mbtest.wire import MpPrio, Segment
from middleboxes.drop import DropSegments
from middleboxes.duplicate import DuplicateSegments
from middleboxes.flip_bits import FlipBits
from middleboxes.strip import StripOptions

BOTH_HOMED, TWO_PATHS = "dual-homed-both", "dual-homed-client"
FURTHER = {"client": "c2-s1", "server": "c1-s2"}
"""The path that a host's further interface is used on."""
FIRST, THEN, LAST = 64 * KIB, 128 * KIB, 256 * KIB
"""Where in the stream priorities change, and its end."""
CHANGED, RESPECTED = "RFC8684-3.3.8/priority-changed", "RFC8684-3.3.8/priority-respected"


def has_priority(segment: Segment) -> bool:
    """Whether a segment has an MP_PRIO."""
    return segment.option(MpPrio) is not None


def rests(run: RunFixture, since: int = FIRST) -> DataOn:
    """What is sent first behind a change has room on the other subflow, and so none goes on the further one.

    Later the other may seem to be at fault for a while, where the machine is busy; a rule knows of that.
    """
    return DataOn(FURTHER[run.receiver], run.sender, at_most=0, of=(since, since + 8 * KIB))


def moves_off_and_back(run: RunFixture) -> None:
    """The reader makes its further subflow a backup, and takes that back."""
    actions = (Prioritise(run.receiver, after=FIRST), Prioritise(run.receiver, after=THEN, backup=False))
    session = run(sends=LAST, actions=actions)

    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH)
    session.expect(rests(run))
    session.expect(DataOn(FURTHER[run.receiver], run.sender, at_least=1, of=(THEN, LAST)))


@case(
    "priority.moved-off-and-back",
    requires=(CHANGED, RESPECTED),
    level=SHOULD,
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_the_client_has_data_move(run: RunFixture) -> None:
    """The client makes a subflow a backup in mid-connection and takes that back: data leaves and returns."""
    moves_off_and_back(run)


@case("priority.moved-by-the-server", requires=(CHANGED, RESPECTED), level=SHOULD, topology=BOTH_HOMED)
def test_the_server_has_data_move(run: RunFixture) -> None:
    """The server makes a subflow a backup in mid-connection and takes that back: data leaves and returns."""
    moves_off_and_back(run)


@case(
    "priority.request-{}",
    each={
        "lost": DropSegments(aim=Aim(where=has_priority, nth=1)),
        "stripped": StripOptions(MpPrio),
        "cleared": FlipBits("flags", forms=MpPrio),
    },
    requires=CHANGED,
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
    waits=4,
)
def test_a_request_for_a_backup_does_not_arrive(run: RunFixture) -> None:
    """The MP_PRIO that asks for a backup is {}: the subflow stays, and so does the stream."""
    session = run(run.value, sends=LAST, actions=[Prioritise("client", after=FIRST)])

    session.require(Interfered(type(run.value)))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "priority.request-duplicated",
    requires=(CHANGED, RESPECTED),
    level=SHOULD,
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_a_request_for_a_backup_arrives_twice(run: RunFixture) -> None:
    """The MP_PRIO that asks for a backup is duplicated: data leaves the subflow."""
    box = DuplicateSegments(aim=Aim(where=has_priority))
    session = run(box, sends=LAST, actions=[Prioritise("client", after=FIRST)])

    session.require(Interfered(DuplicateSegments))
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH)
    session.expect(rests(run))


@case(
    "priority.request-set",
    requires=(CHANGED, RESPECTED),
    level=SHOULD,
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_the_end_of_a_backup_is_altered(run: RunFixture) -> None:
    """The MP_PRIO that ends a backup has its flag set on the way: what arrives counts, and it rests on."""
    actions = (Prioritise("client", after=FIRST), Prioritise("client", after=THEN, backup=False))
    box = FlipBits("flags", forms=MpPrio, aim=Aim(where=has_priority, from_nth=2))
    session = run(box, sends=LAST, actions=actions)

    session.require(Interfered(FlipBits))
    session.expect(Unharmed(), level=MUST)
    session.expect(Outcome.MULTIPATH)
    session.expect(rests(run, THEN))


@case("priority.one-way", requires="RFC8684-3.3.8/priority-one-way", level=MAY, topology=TWO_PATHS)
def test_who_asked_for_a_backup_sends(run: RunFixture) -> None:
    """The writer itself makes a subflow a backup: whether it goes on to send there is its own affair."""
    session = run(sends=LAST, actions=[Prioritise("client", after=FIRST)])

    session.expect(Unharmed(), level=MUST)
    sent = DataOn("c2-s1", "client", at_least=1, of=(FIRST, LAST)).ask(session)
    session.note(f"who asked for a backup {'sends there' if sent.met else 'does not send there either'}")


@case(
    "priority.all-rest",
    requires="RFC8684-3.3.8/backup-takes-over",
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_every_subflow_becomes_a_backup(run: RunFixture) -> None:
    """The client makes one subflow a backup after the other: where all are, they carry the data."""
    session = run(sends=LAST, actions=[Prioritise("client", number, after=FIRST) for number in (0, 1)])

    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "priority.rests-then-removed",
    requires=(
        "RFC8684-3.3/one-stream",
        "RFC8684-3.4.2/backup-before-removal",
        "RFC8684-3.4.2/valid-address-removed",
    ),
    directions=(TO_CLIENT,),
    topology=TWO_PATHS,
)
def test_an_address_is_removed_that_rested_before(run: RunFixture) -> None:
    """The reader makes a subflow a backup, then removes its address: no octet is lost, others go on."""
    session = run(sends=LAST, actions=[Prioritise("client", after=FIRST), Remove("client", after=THEN)])

    session.expect(Outcome.FEWER_SUBFLOWS, Outcome.MULTIPATH)
    session.expect(Unharmed())
    session.expect(rests(run), level=SHOULD)
