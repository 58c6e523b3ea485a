"""The stacks under test, by name; a stack is imported when it is asked for."""

from __future__ import annotations

from functools import cache

from mbtest.errors import UsageError
from mbtest.stacks.contract import Capability, Connection, ConnectionLost, Host, Settings, Stack

STACKS = ("linux", "tcp", "reference")
"""The names that there are, without profiles."""


@cache
def stack(name: str) -> Stack:
    """Return the stack of this name, as `linux`; `reference+PROFILE` departs from the RFCs in one way.

    Raises UsageError that lists those there are.
    """
    plain, departs, profile = name.partition("+")
    if plain == "reference":
        from mbtest.stacks.reference import Reference  # noqa: PLC0415 - not needed between kernels

        return Reference(profile if departs else None)
    if plain not in STACKS:
        raise UsageError(f"no stack {plain!r}; there are {', '.join(STACKS)}")
    if departs:
        raise UsageError(f"stack {plain} has no profiles; `reference+PROFILE` does: `mbtest list profiles`")
    from mbtest.stacks.linux import Linux, LinuxTcp  # noqa: PLC0415 - netlink may not be there, nor be needed

    return Linux() if plain == "linux" else LinuxTcp()


__all__ = [
    "STACKS", "Capability", "Connection", "ConnectionLost", "Host", "Settings", "Stack", "stack",
]  # fmt: skip
