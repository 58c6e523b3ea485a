"""Which stacks speak to each other: pairs of client and server, and whether they can on a kind of network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from mbtest.errors import UsageError
from mbtest.harness.case import Case, Variant
from mbtest.middlebox import Direction
from mbtest.network.contract import Backend
from mbtest.network.topology import Role
from mbtest.stacks import Capability, Stack, stack

Pair = tuple[str, str]

OWN = "reference"
"""The stack that runs on every kind of network."""
_ALL: dict[Backend, tuple[Pair, ...]] = {
    "namespaces": (("linux", "linux"), ("linux", OWN), (OWN, "linux")),
    "simulated": ((OWN, OWN),),
}
"""What is run where no stack is named: the kernel as both hosts, and as each beside another stack."""
_OTHER: dict[Backend, str] = {"namespaces": "linux", "simulated": OWN}
"""The stack of a host that is not named where the other's is."""


def pairs_of(backend: Backend, client: str | None, server: str | None) -> tuple[Pair, ...]:
    """Return the pairs that the choice of a client's and a server's stack comes to; None is no choice."""
    if client is None and server is None:
        return _ALL[backend]
    other = _OTHER[backend]
    return ((client or other, server or other),)


def require(backend: Backend, pairs: Iterable[Pair]) -> None:
    """Raise UsageError for a stack that is not there, or cannot be put on this kind of network."""
    for name in names(pairs):
        found = stack(name)
        if backend not in found.backends:
            able = ", ".join(sorted(found.backends))
            raise UsageError(
                f"stack {name} runs on --network {able} only; name --client {OWN} --server {OWN}, "
                f"or leave out --network {backend}"
            )


def uses_kernel(pairs: Iterable[Pair]) -> bool:
    """Whether a stack of these pairs is a kernel, and so lives in a namespace."""
    return not all(stack(name).attached for name in names(pairs))


def names(pairs: Iterable[Pair]) -> list[str]:
    """Return the stacks of these pairs, each once."""
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def is_control(variant: Variant) -> bool:
    """Whether a host is not even asked for MPTCP: the run tells what boxes do to regular TCP."""
    return any(
        Capability.MPTCP not in stack(name).capabilities() for name in (variant.client, variant.server)
    )


def lacking(
    case: Case, variant: Variant, besides: Mapping[Role, frozenset[Capability]] = MappingProxyType({})
) -> str:
    """Return in words what a run needs and a stack cannot; nothing where both can, or it is a control.

    besides: what a host needs that the case does not say.
    """
    if is_control(variant):
        return ""
    needs = case.needs | ({Capability.CHECKSUM} if variant.checksum else set())
    roles: dict[Role, str] = {"client": variant.client, "server": variant.server}
    found = dict.fromkeys(roles.values(), needs)
    for role, more in besides.items():
        found[roles[role]] |= more
    found[variant.client if variant.direction is Direction.TO_SERVER else variant.server] |= case.sender_needs
    return "; ".join(filter(None, (unmet(needs, [stack(name)]) for name, needs in found.items())))


def unmet(needs: frozenset[Capability], stacks: Iterable[Stack]) -> str:
    """Return in words which of these stacks lacks what; nothing where none lacks anything."""
    return "; ".join(
        f"stack {found.name} lacks {', '.join(sorted(missing))}, which the case needs"
        for found in stacks
        if (missing := needs - found.capabilities())
    )
