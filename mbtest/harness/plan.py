"""All that one run is made of, and what its stacks are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mbtest.harness.actions import Announce, kept_back
from mbtest.harness.case import Variant
from mbtest.harness.workload import Workload
from mbtest.middlebox import Middlebox
from mbtest.network.contract import Backend
from mbtest.network.topology import Role, Topology
from mbtest.stacks import Settings


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run is made of."""

    variant: Variant
    topology: Topology
    boxes: tuple[Middlebox, ...]
    workload: Workload
    seed: int
    subflows: int
    """Further subflows intended beside the initial one."""
    patience: float
    """Seconds without progress of either application after which the run is stuck."""
    limit: float
    """Seconds after which the run ends in any case."""
    sysctls: Mapping[str, str]
    """By name, of both hosts, or of one with its role before it: `server:net.mptcp.checksum_enabled`."""
    backup: bool
    network: Backend = "namespaces"
    endpoint: Mapping[Role, Mapping[str, object]] = {}
    """Settings of the reference endpoint, by host, beyond those that every stack has."""
    keep: Path | None = None
    """Where the capture of a run that is stuck is written before anything more is asked of its sockets: a
    kernel that is broken may not come back from the next call."""
    grace: float = 1.0
    """Seconds without progress, after one application was told of an error, that the other has to be told."""

    def stack(self, role: Role) -> str:
        """Return the name of a host's stack."""
        return self.variant.client if role == "client" else self.variant.server


def run_seed(seed: int, run_id: str) -> int:
    """Return the seed of one run: the same for the same run, another for each."""
    return zlib.crc32(f"{seed}/{run_id}".encode())


def intended_subflows(topology: Topology, variant: Variant) -> int:
    """Return how many further subflows a topology has to give.

    One from each further interface of the client, one to each further interface of the server. In a
    mixed run the server announces its IPv6 addresses to a connection over IPv4.
    """
    if variant.family == "mixed":
        return len(topology.server)
    return len(topology.client) - 1 + len(topology.server) - 1


def settings(plan: Plan, role: Role) -> Settings:
    """Return what a stack is asked for: a client joins from further addresses, a server announces them."""
    family = "v6" if plan.variant.family in ("v6", "mixed") else "v4"
    # In a mixed run the initial subflow runs over IPv4; every interface offers its IPv6 address besides.
    first = 0 if plan.variant.family == "mixed" else 1
    kept = kept_back(plan.workload.actions, role)
    further = [
        getattr(interface, family)
        for number, interface in enumerate(plan.topology.interfaces(role))
        if number >= first and number not in kept
    ]
    addresses = tuple(address.ip for address in further if address is not None) if plan.subflows else ()
    is_told = any(isinstance(action, Announce) and action.host != role for action in plan.workload.actions)
    return Settings(
        checksum=plan.variant.checksum,
        join_from=addresses if role == "client" else (),
        signal=addresses if role == "server" else (),
        accept_signals=plan.subflows if role == "client" or is_told else 0,
        subflows=plan.subflows,
        backup=plan.backup,
        endpoint=plan.endpoint.get(role, {}),
        sysctls=_sysctls(plan.sysctls, role),
    )


def _sysctls(said: Mapping[str, str], role: Role) -> dict[str, str]:
    """Return the sysctls of a host: those of both, and on top of them its own."""
    own = {
        name.removeprefix(f"{role}:"): value for name, value in said.items() if name.startswith(f"{role}:")
    }
    return {name: value for name, value in said.items() if ":" not in name} | own


def boxes_of(boxes: Middlebox | Sequence[Middlebox]) -> tuple[Middlebox, ...]:
    """Return boxes as a tuple, one alone included."""
    return (boxes,) if isinstance(boxes, Middlebox) else tuple(boxes)
