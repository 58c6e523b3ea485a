"""The stacks under test, by name."""

from __future__ import annotations

from mbtest.errors import UsageError
from mbtest.stacks.contract import Capability, Connection, ConnectionLost, Host, Settings, Stack
from mbtest.stacks.linux import Linux, LinuxTcp

STACKS: dict[str, Stack] = {stack.name: stack for stack in (Linux(), LinuxTcp())}


def stack(name: str) -> Stack:
    """Return the stack of this name. Raises UsageError that lists those there are."""
    try:
        return STACKS[name]
    except KeyError:
        raise UsageError(f"no stack {name!r}; there are {', '.join(STACKS)}") from None


__all__ = [
    "STACKS", "Capability", "Connection", "ConnectionLost", "Host", "Settings", "Stack", "stack",
]  # fmt: skip
