"""The right to make namespaces: root has it; anyone else gets it in a user namespace of their own."""

import ctypes
import errno
import os
from pathlib import Path

import netns

from mbtest.errors import HarnessError, UsageError
from mbtest.network.namespace import Namespace
from mbtest.network.netlink import RouteSocket

_CLONE_NEWUSER = 0x10000000
_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN = 12, 13, 21
_NEEDED = 1 << _CAP_NET_ADMIN | 1 << _CAP_NET_RAW | 1 << _CAP_SYS_ADMIN
_LOOPBACK = 1

# What turns user namespaces off, the value with which it does, and what turns them on again.
_SWITCHES = (
    ("kernel.unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    ("user.max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)

_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Make sure that this process and its children can make network namespaces.

    Does nothing where they can. Otherwise the process, which must not have started threads, moves into a
    user namespace in which its user is root, and into a network namespace with nothing but a loopback
    interface: one that it owns, since it could not return to the machine's after visiting another.
    Raises UsageError where the machine forbids it, HarnessError where threads do.
    """
    if _suffices():
        return
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | netns.CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        if code == errno.EINVAL:
            raise HarnessError("a user namespace was asked for after threads had been started")
        raise _forbidden(os.strerror(code))
    try:
        # Mapped to 0, so that the capabilities outlive exec, in pytest's workers and in stacks under test.
        _write("setgroups", "deny")
        _write("uid_map", f"0 {uid} 1")
        _write("gid_map", f"0 {gid} 1")
        with RouteSocket() as route:
            route.set_up(_LOOPBACK)
            route.flush()
        Namespace().close()
    except (OSError, HarnessError) as error:
        # AppArmor grants the namespace and withholds its capabilities.
        raise _forbidden(str(error)) from None


def _suffices() -> bool:
    """Return whether the process has the capabilities, and has them over the namespace that it is in."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    if effective & _NEEDED != _NEEDED:
        return False
    try:
        with Path("/proc/thread-self/ns/net").open("rb") as here:
            netns.setns(here, netns.CLONE_NEWNET)
    except PermissionError:
        return False
    return True


def _forbidden(reason: str) -> UsageError:
    """Return the error that says how to allow what was refused for this reason."""
    for name, off, remedy in _SWITCHES:
        switch = Path("/proc/sys", *name.split("."))
        if switch.exists() and switch.read_text(encoding="ascii").strip() == off:
            return UsageError(f"network namespaces: {reason}; run as root, or allow them: {remedy}")
    return UsageError(
        f"network namespaces: {reason}; run as root, and in a container with CAP_SYS_ADMIN and CAP_NET_ADMIN "
        "or without its seccomp profile (docker run --privileged)"
    )


def _write(name: str, text: str) -> None:
    Path("/proc/self", name).write_text(text, encoding="ascii")
