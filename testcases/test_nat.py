"""Network address and port translation: MPTCP is made to survive it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MAY,
    MIB,
    MILLISECOND,
    MUST,
    Aim,
    Did,
    Interfered,
    NoFalseData,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    case,
)
from middleboxes.forget_mappings import FORGOT, ForgetMappings
from middleboxes.nat import TranslateAddresses

SURVIVES = "RFC8684-6/nat"
TAKES_OVER = ("RFC8684-3.3.8/backup-takes-over", "RFC8684-3.3.6/moved-off-failed-subflow")
ROUND_ROBIN = {"scheduler": "round-robin"}
"""A server that opens no subflows may ask for no backup: its client uses both subflows then."""
FORGETFUL: dict[str, dict[str, Any]] = {
    "rebinds": {"ports": "sequential"},
    "forgets": {"unbound": "drop"},
    "forgets-and-resets": {"unbound": "reset"},
}


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


def carrier_grade(path: int) -> list[TranslateAddresses]:
    """Return a home's translator and its operator's on a path, each with addresses of its own."""
    aim = Aim(path=path)
    home = TranslateAddresses(
        external_v4=IPv4Address(f"100.64.{path}.7"),
        external_v6=IPv6Address(f"2001:db8:64:{path}::7"),
        aim=aim,
    )
    return [home, TranslateAddresses(ports="random", aim=aim)]


@case("nat.carrier-grade", requires=SURVIVES, directions=BOTH_WAYS)
def test_translators_in_a_row(run: RunFixture) -> None:
    """A home router and the operator behind it both translate: MPTCP to the end."""
    survived(run(carrier_grade(0), sends=64 * KIB))


@case("nat.carrier-grade-both-paths", requires=SURVIVES, directions=BOTH_WAYS, topology="dual-homed-client")
def test_translators_in_a_row_on_both_paths(run: RunFixture) -> None:
    """Each path has two translators in a row: both subflows are used to the end."""
    session = run([*carrier_grade(0), *carrier_grade(1)], sends=256 * KIB)

    survived(session)
    session.expect(Subflows(at_least=1))


@case("bulk.nat", requires=SURVIVES, families=("v4",), directions=BOTH_WAYS, checksums=(False, True), waits=3)
def test_ten_mebibytes_behind_a_translator(run: RunFixture) -> None:
    """Ten MiB pass a translator: MPTCP to the end, octet by octet."""
    survived(run(TranslateAddresses(ports="random"), sends=10 * MIB, limit=120))


@case(
    "nat.{}",
    each=FORGETFUL,
    requires=("RFC8684-3.3.3/all-subflows-gone", "RFC8684-3.3/one-stream"),
    level=MAY,
    directions=BOTH_WAYS,
    waits=3,
)
def test_translator_forgets_the_only_subflow(run: RunFixture) -> None:
    """The translator {} in mid-transfer, on the only subflow: join anew, or lose the connection."""
    box = ForgetMappings(**run.value, aim=Aim(direction=run.direction, from_byte=64 * KIB))
    session = run(box, sends=256 * KIB, patience=3)

    session.require(Did(ForgetMappings, FORGOT))
    session.expect(NoFalseData(), level=MUST)
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS, Outcome.RESET, Outcome.STALLED, level=MUST)


@case(
    "nat.{}-of-two",
    each=FORGETFUL,
    requires=("RFC8684-3.3.6/moved-off-failed-subflow", "RFC8684-3.3/one-stream"),
    directions=BOTH_WAYS,
    topology="slow-first-path",
    waits=3,
)
def test_translator_forgets_one_of_two_subflows(run: RunFixture) -> None:
    """The translator of the joined subflow {} in mid-transfer: its data goes by the other one."""
    aim = Aim(path=1, direction=run.direction, from_byte=64 * KIB)
    session = run(ForgetMappings(**run.value, aim=aim), sends=384 * KIB)

    session.require(Did(ForgetMappings, FORGOT))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case("nat.{}-the-initial", each=FORGETFUL, requires=TAKES_OVER, topology="dual-homed-client", waits=3)
def test_translator_forgets_the_initial_subflow(run: RunFixture) -> None:
    """The translator of the initial subflow {} in mid-transfer: the backup takes over."""
    box = ForgetMappings(**run.value, aim=Aim(path=0, direction=run.direction, from_byte=16 * KIB))
    session = run(box, sends=96 * KIB, backup=True, patience=15, endpoint={"client": ROUND_ROBIN})

    session.require(Did(ForgetMappings, FORGOT))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)


@case("nat.idle-backup", requires="RFC8684-3.3/one-stream", directions=BOTH_WAYS, topology="slow-first-path")
def test_translator_forgets_an_idle_backup(run: RunFixture) -> None:
    """The translator forgets the backup while it is idle: all data goes by the other one, and arrives."""
    box = ForgetMappings(idle=50 * MILLISECOND, unbound="drop", aim=Aim(path=1))
    session = run(box, sends=512 * KIB, backup=True)

    session.require(Did(ForgetMappings, FORGOT))
    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FEWER_SUBFLOWS)
