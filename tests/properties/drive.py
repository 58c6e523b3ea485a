"""Carries a run out as `mbtest run` does, and keeps what both endpoints took, sent and told, in order."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any
from unittest import mock

import msgspec

from mbtest.endpoint import Configuration, Endpoint, Event, Kind, Subflow
from mbtest.harness import session
from mbtest.harness.found import Found
from mbtest.harness.plan import Plan
from mbtest.harness.session import Session
from mbtest.harness.workload import Application, content
from mbtest.middlebox import Chain, Direction
from mbtest.network.topology import ROLES, Role
from mbtest.stacks import reference
from mbtest.wire import Packet, Segment, WireError, decode


class Broken(AssertionError):  # noqa: N818 - a law is broken
    """A law does not hold of a run."""


class Sent(msgspec.Struct, frozen=True):
    """A segment that an endpoint sent."""

    time: int
    segment: Segment


class Taken(msgspec.Struct, frozen=True):
    """A packet that reached an endpoint."""

    time: int
    packet: Packet


class Opened(msgspec.Struct, frozen=True):
    """A subflow that an endpoint made: its ends, own first, and the number of its connection."""

    time: int
    flow: tuple[bytes, bytes]
    connection: int


Entry = Sent | Taken | Opened | Event


class Recorder(Endpoint):
    """An endpoint that keeps a log of its life, in order."""

    def __init__(
        self, configuration: Configuration, addresses: tuple[IPv4Address | IPv6Address, ...], random: Random
    ) -> None:
        self.log: list[Entry] = []
        super().__init__(configuration, addresses, random)
        self.clock = 0

    def receive(self, raw: bytes, now: int) -> None:
        self.clock = now
        with contextlib.suppress(WireError):
            self.log.append(Taken(now, decode(raw)))
        super().receive(raw, now)

    def packets_to_send(self, now: int) -> list[Segment]:
        self.clock = now
        return super().packets_to_send(now)

    def handle_timer(self, now: int) -> None:
        self.clock = now
        super().handle_timer(now)

    def emit(self, segment: Segment) -> None:
        self.log.append(Sent(self.clock, segment))
        super().emit(segment)

    def new_subflow(self, connection: Any, *args: Any, **options: Any) -> Subflow | None:
        subflow = super().new_subflow(connection, *args, **options)
        if subflow is not None:
            flow = tuple(
                address.packed + port.to_bytes(2, "big")
                for address, port in (
                    (subflow.local, subflow.local_port),
                    (subflow.remote, subflow.remote_port),
                )
            )
            self.log.append(Opened(self.clock, flow, connection.number))  # type: ignore[arg-type]
        return subflow

    def tell(self, kind: Kind, words: str, clause: str, connection: int | None, subflow: int | None) -> None:
        self.log.append(Event(self.clock, kind, words, clause, connection, subflow))
        super().tell(kind, words, clause, connection, subflow)


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was carried out."""

    session: Session
    applications: dict[Role, Application]
    endpoints: dict[Role, Recorder]

    @property
    def plan(self) -> Plan:
        """All that the run is made of."""
        return self.session.plan

    def written(self, role: Role) -> bytes:
        """Return the octets that an application was to send."""
        return content(self.plan.seed, way_of(role), self.plan.workload.sends(role))

    def events(self, role: Role, kind: Kind) -> list[Event]:
        """Return what an endpoint told of one kind, in order."""
        return [
            entry for entry in self.endpoints[role].log if isinstance(entry, Event) and entry.kind is kind
        ]


def drive(found: Found) -> Witness:
    """Carry a run out."""
    endpoints: list[Recorder] = []
    applications: dict[Role, Application] = {}

    def endpoint(configuration: Configuration, addresses: Any, random: Random) -> Recorder:
        endpoints.append(Recorder(configuration, addresses, random))
        return endpoints[-1]

    def application(role: Role, *arguments: Any) -> Application:
        applications[role] = Application(role, *arguments)
        return applications[role]

    with (
        mock.patch.object(reference, "Endpoint", endpoint),
        mock.patch.object(session, "Application", application),
    ):
        carried = session.carry_out(found.plan())
    # The one that listens is there before the one that connects.
    recorded = dict(zip(reversed(ROLES), endpoints, strict=True))
    return Witness(session=carried, applications=applications, endpoints=recorded)


def other(role: Role) -> Role:
    """Return the other host."""
    return "server" if role == "client" else "client"


def way_of(sender: Role) -> Direction:
    """Return the direction of what a host sends."""
    return Direction.TO_SERVER if sender == "client" else Direction.TO_CLIENT


def delivered(chain: Chain, stream: bytes, direction: Direction) -> bytes:
    """Return what regular TCP would deliver of a stream through one path's boxes."""
    for box in chain.boxes if direction is Direction.TO_SERVER else chain.boxes[::-1]:
        stream = box.delivers(stream, direction)
    return stream
