"""Controls: what must hold when no box interferes."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    KIB,
    MIB,
    Checksums,
    Outcome,
    RunFixture,
    Subflows,
    Unharmed,
    Workload,
    case,
)

HANDSHAKE = ("RFC8684-3.1/capable-handshake", "RFC8684-3.3.1/checksum-when-negotiated")


def transfer(run: RunFixture) -> None:
    """Hold a transfer with nothing in the way to what it has to be."""
    session = run(sends=64 * KIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())
    session.expect(Checksums(used=run.checksum))


@case("sanity.transfer", requires=HANDSHAKE, directions=BOTH_WAYS, checksums=(False, True), place="first")
def test_transfer_is_mptcp_to_the_end(run: RunFixture) -> None:
    """With nothing in the way a connection is MPTCP from the first segment to the last."""
    transfer(run)


@case(
    "sanity.transfer-again", requires=HANDSHAKE, directions=BOTH_WAYS, checksums=(False, True), place="last"
)
def test_transfer_is_still_mptcp_to_the_end(run: RunFixture) -> None:
    """When all other runs have begun, a connection with nothing in the way is as it was before them.

    Those that wait longest may still go on in other processes; each run has a network of its own.
    """
    transfer(run)


@case("sanity.nothing-sent", requires="RFC8684-3.3.3/data-fin")
def test_connection_without_data_closes(run: RunFixture) -> None:
    """A connection on which nobody sends anything opens and closes."""
    session = run()

    session.expect(Unharmed())
    session.expect(Outcome.MULTIPATH, Outcome.FELL_BACK)


@case("sanity.one-octet", requires="RFC8684-3.3.3/data-fin", directions=BOTH_WAYS)
def test_one_octet(run: RunFixture) -> None:
    """A single octet arrives, and the connection closes with a DATA_FIN each way."""
    session = run(sends=1)

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "sanity.both-at-once",
    lesson="mptcp_net-next#255",
    requires="RFC8684-3.1/capable-handshake",
    checksums=(False, True),
)
def test_both_send_at_once(run: RunFixture) -> None:
    """Both hosts send from the start, and both streams arrive whole."""
    session = run(client_sends=256 * KIB, server_sends=256 * KIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("sanity.request-response", requires="RFC8684-3.3.2/data-ack")
def test_requests_and_responses(run: RunFixture) -> None:
    """Twenty requests are answered one after the other."""
    session = run(
        workload=Workload(shape="rounds", rounds=20, client_sends=20 * 200, server_sends=20 * 4 * KIB)
    )

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("sanity.half-close", requires="RFC8684-3.3.3/data-fin")
def test_server_answers_after_the_client_ended(run: RunFixture) -> None:
    """A DATA_FIN ends one direction only: the server still sends once the client has ended its own."""
    session = run(workload=Workload(shape="half_close", client_sends=32 * KIB, server_sends=32 * KIB))

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case("sanity.bulk", requires="RFC8684-3.3.1/mapping", directions=BOTH_WAYS)
def test_bulk_transfer(run: RunFixture) -> None:
    """A MiB arrives octet by octet as it was sent."""
    session = run(sends=1 * MIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Unharmed())


@case(
    "sanity.second-path",
    lesson="mptcp_net-next#275",
    requires="RFC8684-3.2/join",
    directions=BOTH_WAYS,
    checksums=(False, True),
    topology="dual-homed-client",
)
def test_client_joins_on_its_second_interface(run: RunFixture) -> None:
    """A client with two interfaces joins on the second, and data flows on."""
    session = run(sends=256 * KIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())


@case("sanity.announced-path", requires="RFC8684-3.4.1/add-addr", topology="dual-homed-both")
def test_client_joins_the_announced_address(run: RunFixture) -> None:
    """Two interfaces on each side: the client joins from its second and to the server's announced one."""
    session = run(sends=256 * KIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=2))
    session.expect(Unharmed())


@case(
    "sanity.other-family",
    requires="RFC8684-3.4.1/add-addr",
    families=("mixed",),
    topology="dual-homed-client",
)
def test_connection_over_ipv4_is_joined_over_ipv6(run: RunFixture) -> None:
    """A connection that began over IPv4 is joined over IPv6, after the server announced its address."""
    session = run(sends=256 * KIB)

    session.expect(Outcome.MULTIPATH)
    session.expect(Subflows(at_least=1))
    session.expect(Unharmed())
