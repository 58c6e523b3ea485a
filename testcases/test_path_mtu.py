"""Paths that take smaller packets only, tell so or do not, or cut what is too large."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    Aim,
    Interfered,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.fragment import FragmentPackets
from middleboxes.path_mtu import LimitMtu

FOLLOWED = ("RFC9293-3.7.2/path-mtu-followed", "RFC8684-3.3.1/mapping-covers-segments")
FOUND = "RFC9293-3.7.2/black-hole-found"
MOVED = "RFC8684-3.3.6/moved-off-failed-subflow"
TWO_PATHS = "dual-homed-client"
CHECKSUMS = (False, True)
PROBING = {"net.ipv4.tcp_mtu_probing": "1", "net.ipv4.tcp_base_mss": "1000"}


def survived(session: Trial) -> None:
    """MPTCP to the end, and every octet in its place."""
    session.require(Interfered(LimitMtu))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed(), level=MUST)


# -- A router that tells ------------------------------------------------------------------------------------


@case(
    "mtu.told-{}",
    level=SHOULD,
    each={"1280": 1280, "1492": 1492},
    requires=FOLLOWED,
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_path_mtu_is_told(run: RunFixture) -> None:
    """A router says by ICMP that {} octets fit: mappings go on in smaller segments."""
    survived(run(LimitMtu(run.value), sends=128 * KIB))


@case(
    "mtu.told-576",
    level=SHOULD,
    requires=FOLLOWED,
    families=("v4",),
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_least_path_mtu_is_told(run: RunFixture) -> None:
    """A router says by ICMP that 576 octets fit: mappings go on in smaller segments."""
    survived(run(LimitMtu(576), sends=128 * KIB))


@case("mtu.told-no-size", level=SHOULD, requires=FOLLOWED, families=("v4",), directions=BOTH_WAYS)
def test_an_old_router_names_no_size(run: RunFixture) -> None:
    """A router from before RFC 1191 says that the packet is too big, and not what would fit."""
    survived(run(LimitMtu(1200, names=0), sends=128 * KIB))


@case("mtu.told-later", level=SHOULD, requires=FOLLOWED, directions=BOTH_WAYS, checksums=CHECKSUMS)
def test_path_mtu_shrinks_in_mid_connection(run: RunFixture) -> None:
    """From 32 KiB on the path takes 1300 octets, and says so: mappings that are under way still hold."""
    survived(run(LimitMtu(1300, aim=Aim(direction=run.direction, from_byte=32 * KIB)), sends=128 * KIB))


@case(
    "mtu.told-on-the-{}",
    level=SHOULD,
    each={"first-path": 0, "second-path": 1},
    requires=FOLLOWED,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_path_mtu_is_told_on_one_of_two_paths(run: RunFixture) -> None:
    """The {} takes 1280 octets, and says so: both subflows stay, each with segments that fit."""
    session = run(LimitMtu(1280, aim=Aim(path=run.value)), sends=384 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))


# -- A black hole -------------------------------------------------------------------------------------------


@case("mtu.black-hole", requires=FOUND, level=SHOULD, waits=8)
def test_black_hole_on_the_only_path(run: RunFixture) -> None:
    """Large segments vanish on the only path, and nobody tells: hosts that probe find out what passes."""
    session = run(LimitMtu(1300, tells=False), sends=64 * KIB, sysctls=PROBING, patience=15, limit=60)

    session.require(Interfered(LimitMtu))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH)


@case(
    "mtu.black-hole-on-the-{}",
    each={"first-path": 0, "second-path": 1},
    requires=MOVED,
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=3,
)
def test_black_hole_on_one_of_two_paths(run: RunFixture) -> None:
    """Large segments vanish on the {}, and nobody tells: their data moves to the other path."""
    session = run(
        LimitMtu(1300, tells=False, aim=Aim(path=run.value)), sends=384 * KIB, patience=15, limit=60
    )

    session.require(Interfered(LimitMtu))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case(
    "mtu.black-hole-later",
    requires=MOVED,
    level=SHOULD,
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
    waits=3,
)
def test_a_path_turns_into_a_black_hole(run: RunFixture) -> None:
    """The first path is rerouted in mid-connection, and large segments vanish there: their data moves."""
    aim = Aim(path=0, direction=run.direction, from_byte=64 * KIB)
    session = run(LimitMtu(1300, tells=False, aim=aim), sends=512 * KIB, patience=15, limit=60)

    session.require(Interfered(LimitMtu))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


# -- Fragments ----------------------------------------------------------------------------------------------


@case(
    "fragments.{}",
    reads={
        "in-order": "IP fragments, which come in order",
        "reversed": "IP fragments, which come in reverse",
        "tiny": "tiny IP fragments",
    },
    each={
        "in-order": FragmentPackets(),
        "reversed": FragmentPackets(order="reversed"),
        "tiny": FragmentPackets(256),
    },
    requires="RFC8684-6/headers-rewritten",
    directions=BOTH_WAYS,
    checksums=CHECKSUMS,
)
def test_fragments(run: RunFixture) -> None:
    """A tunnel cuts packets to {}: hosts put them together, and MPTCP never knows."""
    session = run(run.value, sends=96 * KIB)

    session.require(Interfered(FragmentPackets))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "fragments.joined-subflow",
    requires="RFC8684-6/headers-rewritten",
    directions=BOTH_WAYS,
    topology="slow-first-path",
)
def test_fragments_on_the_joined_subflow(run: RunFixture) -> None:
    """Packets of the joined subflow alone come in fragments: both subflows are used to the end."""
    session = run(FragmentPackets(aim=Aim(path=1)), sends=384 * KIB)

    session.require(Interfered(FragmentPackets))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())
    session.expect(Subflows(at_least=1))
