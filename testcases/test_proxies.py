"""Proxies that answer in a host's name: what they know nothing of is gone, and must be seen to be gone."""

from __future__ import annotations

from mbtest.testing import (
    BOTH_WAYS,
    CLIENT,
    KIB,
    SERVER,
    TO_CLIENT,
    Aim,
    Fallback,
    FellBack,
    Interfered,
    NoMptcpOptions,
    NoSubflowOn,
    Outcome,
    RunFixture,
    Trial,
    Unharmed,
    Workload,
    case,
)
from mbtest.wire import Segment
from middleboxes.nat import TranslateAddresses
from middleboxes.portal import PAGE, CaptivePortal
from middleboxes.proxy import TerminateConnections
from middleboxes.syn_proxy import ProxySyns

ANSWERED = ("RFC8684-3.1/syn-ack-without-capable", "RFC8684-3.7/syn-option-lost")
REFUSED = ("RFC8684-3.2/syn-ack-without-join", "RFC8684-6/join-option-stripped")
NAMES = {"syn": "a SYN proxy", "transparent": "a transparent proxy"}
BOXES = {"syn": ProxySyns, "transparent": TerminateConnections}


def is_web(segment: Segment) -> bool:
    """Whether a segment is of a connection to port 80."""
    return 80 in (segment.source_port, segment.destination_port)


def became_regular(session: Trial, box: type[ProxySyns | TerminateConnections]) -> None:
    """Regular TCP from the SYN/ACK on, at both hosts, and every octet in its place."""
    session.require(Interfered(box))
    session.expect(Unharmed())
    session.expect(FellBack(Fallback.IN_HANDSHAKE))
    session.expect(NoMptcpOptions(sender=CLIENT))
    session.expect(NoMptcpOptions(sender=SERVER))


@case("proxy.{}", each=BOXES, reads=NAMES, requires=ANSWERED, directions=BOTH_WAYS, checksums=(False, True))
def test_proxy_on_the_only_path(run: RunFixture) -> None:
    """{} answers the SYN without MP_CAPABLE: both hosts go on as regular TCP."""
    became_regular(run(run.value(), sends=256 * KIB), run.value)


@case("proxy.{}-requests", each=BOXES, reads=NAMES, requires=ANSWERED)
def test_requests_through_a_proxy(run: RunFixture) -> None:
    """Requests and answers alternate through {}: each one arrives."""
    workload = Workload(shape="rounds", rounds=20, client_sends=20 * 200, server_sends=20 * 4 * KIB)
    became_regular(run(run.value(), workload=workload), run.value)


@case("proxy.{}-half-close", each=BOXES, reads=NAMES, requires=ANSWERED)
def test_half_close_through_a_proxy(run: RunFixture) -> None:
    """The client ends its direction before the server sends, through {}: both streams are whole."""
    workload = Workload(shape="half_close", client_sends=48 * KIB, server_sends=48 * KIB)
    became_regular(run(run.value(), workload=workload), run.value)


@case("proxy.{}-behind-translator", each=BOXES, reads=NAMES, requires=ANSWERED, directions=BOTH_WAYS)
def test_proxy_behind_a_translator(run: RunFixture) -> None:
    """A home router translates, and the operator behind it has {}: regular TCP, and all arrives."""
    became_regular(run([TranslateAddresses(), run.value()], sends=64 * KIB), run.value)


@case(
    "proxy.{}-first-path",
    each=BOXES,
    reads=NAMES,
    requires=ANSWERED,
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_proxy_on_the_first_path(run: RunFixture) -> None:
    """The first path has {} for port 80: regular TCP, and no subflow joins by the other path."""
    session = run(run.value(aim=Aim(path=0, where=is_web)), sends=64 * KIB)

    became_regular(session, run.value)
    session.expect(NoSubflowOn("c2-s1"))


@case(
    "proxy.{}-second-path",
    each=BOXES,
    reads=NAMES,
    requires=REFUSED,
    directions=BOTH_WAYS,
    topology="dual-homed-client",
)
def test_proxy_on_the_second_path(run: RunFixture) -> None:
    """The second path has {}: its SYN/ACK has no MP_JOIN, so the client must reset that subflow."""
    session = run(run.value(aim=Aim(path=1)), sends=256 * KIB)

    session.require(Interfered(run.value))
    session.expect(Unharmed())
    session.expect(Outcome.FEWER_SUBFLOWS)


@case("proxy.portal-takes-the-connection", requires=ANSWERED)
def test_portal_that_takes_the_connection(run: RunFixture) -> None:
    """A captive portal answers in the server's name: regular TCP, and the client reads its redirect."""
    workload = Workload(shape="rounds", client_sends=200, server_sends=len(PAGE))
    session = run(CaptivePortal(), workload=workload, patience=1)

    session.require(Interfered(CaptivePortal))
    session.expect(NoMptcpOptions(sender=CLIENT))
    session.expect(Unharmed(TO_CLIENT))


@case("proxy.portal-takes-the-request", requires="RFC8684-3.7/first-data-without-dss", waits=1)
def test_portal_that_takes_the_request(run: RunFixture) -> None:
    """A captive portal answers the first request, without a DSS: the client falls back and reads it."""
    workload = Workload(shape="rounds", client_sends=200, server_sends=len(PAGE))
    # The server's only subflow is reset; Linux would wait a minute for another one.
    session = run(CaptivePortal("request"), workload=workload, sysctls={"net.mptcp.close_timeout": "1"})

    session.require(Interfered(CaptivePortal))
    session.expect(Unharmed(TO_CLIENT))
