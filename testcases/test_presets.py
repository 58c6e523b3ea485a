"""Chains of boxes from the field: several at once, as a real path has them."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MUST,
    SHOULD,
    Interfered,
    Outcome,
    RunFixture,
    Subflows,
    Trial,
    Unharmed,
    Workload,
    case,
    preset,
)
from middleboxes.firewall import FilterByState
from middleboxes.ftp import TranslateFtp

TWO_PATHS = "dual-homed-client"


def same(*names: str) -> dict[str, str]:
    """Return the names as members of a family whose values are the names."""
    return {name: name for name in names}


def each_interfered(session: Trial) -> None:
    """Every box of the chain did something; a firewall that knows every flow lets all pass."""
    kinds = {type(box): None for chain in session.session.chains.values() for box in chain.boxes}
    for kind in kinds:
        if kind is not FilterByState:
            session.require(Interfered(kind))


@case(
    "field.{}",
    reads={"home-router": "a home router", "carrier-grade-nat": "a carrier-grade NAT"},
    each=same("home-router", "carrier-grade-nat"),
    requires="RFC8684-6/nat",
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_translators_let_mptcp_pass(run: RunFixture) -> None:
    """{} lets MPTCP pass: it goes on to the end."""
    session = run(preset(run.value), sends=64 * KIB)

    each_interfered(session)
    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "field.{}-on-both-paths",
    reads={"home-router": "a home router", "carrier-grade-nat": "a carrier-grade NAT"},
    each=same("home-router", "carrier-grade-nat"),
    requires="RFC8684-6/nat",
    directions=BOTH_WAYS,
    topology=TWO_PATHS,
)
def test_translators_on_both_paths_let_joins_pass(run: RunFixture) -> None:
    """{} stands on each of two paths: both subflows are used to the end."""
    session = run(preset(run.value), sends=256 * KIB)

    each_interfered(session)
    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())


@case(
    "field.{}",
    reads={
        "enterprise-firewall": "an enterprise firewall",
        "mobile-carrier": "a mobile carrier's proxy",
        "end-of-option-list": "a box that ends option lists early",
    },
    level=SHOULD,
    each=same("enterprise-firewall", "mobile-carrier", "end-of-option-list"),
    requires="RFC8684-3.7/syn-option-lost",
    directions=BOTH_WAYS,
    checksums=(False, True),
)
def test_mptcp_is_lost_in_the_handshake(run: RunFixture) -> None:
    """{} lets no MPTCP pass: regular TCP, and nothing is lost."""
    session = run(preset(run.value), sends=64 * KIB)

    each_interfered(session)
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed(), level=MUST)


@case(
    "field.server-farm",
    requires="RFC8684-6/misdirected-join",
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology=TWO_PATHS,
)
def test_joins_reach_another_server_of_a_farm(run: RunFixture) -> None:
    """The balancer of a server farm sends the join to another server: one subflow, and nothing is lost."""
    session = run(preset("server-farm"), sends=256 * KIB)

    each_interfered(session)
    session.expect(Outcome.FEWER_SUBFLOWS)
    session.expect(Unharmed())


@case(
    "field.ftp-gateway",
    requires=("RFC8684-3.7/mp-fail", "RFC8684-3.7/fallback-keeps-data"),
    checksums=(True,),
    waits=5,
)
def test_the_address_in_an_ftp_dialogue_is_translated(run: RunFixture) -> None:
    """A gateway on a NAT writes another address into an FTP dialogue: regular TCP, and it goes on."""
    dialogue = b"NOOP  \r\n" * 128 + b"PORT 192,0,2,1,19,137\r\nRETR a\r\n"
    workload = Workload(
        shape="rounds", rounds=4, client_sends=4 * KIB, client_begins=dialogue, server_sends=4 * KIB
    )
    session = run(preset("ftp-gateway"), workload=workload)

    session.require(Interfered(TranslateFtp))
    session.expect(Outcome.FELL_BACK)
    session.expect(Unharmed())


@case("field.satellite-link", requires="RFC8684-6/early-acks", directions=BOTH_WAYS, waits=6)
def test_an_accelerator_acknowledges_early(run: RunFixture) -> None:
    """Accelerators at both ends of a satellite link acknowledge early: the stream arrives whole."""
    session = run(preset("satellite-link"), sends=64 * KIB, patience=10)

    each_interfered(session)
    session.expect(Unharmed())
