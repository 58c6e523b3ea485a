"""Network address and port translation: MPTCP is made to survive it."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    Aim,
    Interfered,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.nat import TranslateAddresses

SURVIVES = "RFC8684-6/nat"


def survived(session: Trial) -> None:
    """MPTCP to the end, on every intended subflow, and every octet in its place."""
    session.require(Interfered(TranslateAddresses))
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("nat.home-router", requires=SURVIVES, directions=BOTH_WAYS, checksums=(False, True))
def test_home_router(run: RunFixture) -> None:
    """A home router translates the client's address and keeps its port: MPTCP to the end."""
    survived(run(TranslateAddresses(), sends=64 * KIB))


@case("nat.random-ports", requires=SURVIVES)
def test_random_ports(run: RunFixture) -> None:
    """A translator gives each flow a random port: MPTCP to the end."""
    survived(run(TranslateAddresses(ports="random"), sends=64 * KIB))


@case("nat.symmetric", requires=SURVIVES)
def test_symmetric(run: RunFixture) -> None:
    """Mapping and filtering depend on the remote address and port, ports are sequential: MPTCP to the end."""
    box = TranslateAddresses(mapping="address-and-port-dependent", ports="sequential", first_port=40000)
    survived(run(box, sends=64 * KIB))


@case("nat.first-path", requires=SURVIVES, directions=BOTH_WAYS, topology="dual-homed-client")
def test_translator_on_the_first_path(run: RunFixture) -> None:
    """The first path has a translator, the second none: the join works, by address ID and token."""
    session = run(TranslateAddresses(aim=Aim(path=0)), sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))


@case("nat.second-path", requires=SURVIVES, directions=BOTH_WAYS, topology="dual-homed-client")
def test_translator_on_the_second_path(run: RunFixture) -> None:
    """The joining subflow is translated: the server takes it by token and HMAC, whatever its address."""
    session = run(TranslateAddresses(aim=Aim(path=1)), sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))


@case(
    "nat.both-paths",
    requires=SURVIVES,
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology="dual-homed-client",
)
def test_translators_on_both_paths(run: RunFixture) -> None:
    """Each path has a translator of its own: both subflows are used to the end."""
    session = run(TranslateAddresses(ports="random"), sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))


@case("nat.announced-path", requires=SURVIVES, topology="dual-homed-both")
def test_client_behind_translators_joins_the_announced_address(run: RunFixture) -> None:
    """A client behind translators joins the address that the server announced."""
    session = run(TranslateAddresses(), sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=2))
