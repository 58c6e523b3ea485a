"""Anonymous network namespaces: nothing but a descriptor holds them, so they go when the process goes."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import netns

from mbtest.errors import UsageError

_THIS = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace of its own, empty but for a loopback interface that is down."""

    def __init__(self) -> None:
        """Make it; the calling thread stays where it is. Raises OSError without the privileges."""
        home = os.open(_THIS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.unshare(netns.CLONE_NEWNET) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code), "unshare(CLONE_NEWNET)")
            try:
                self._descriptor = os.open(_THIS, os.O_RDONLY | os.O_CLOEXEC)
            finally:
                netns.setns(home, netns.CLONE_NEWNET)
        finally:
            os.close(home)

    def fileno(self) -> int:
        """Return the descriptor that holds the namespace, fit for setns(2)."""
        return self._descriptor

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run a block of code in the namespace, and come back."""
        with netns.NetNS(nspath=f"/proc/self/fd/{self._descriptor}"):
            yield

    def close(self) -> None:
        """Let go of the namespace; the kernel takes it down when no socket is left in it."""
        os.close(self._descriptor)


@cache
def has_ipv6() -> bool:
    """Return whether the running kernel speaks IPv6."""
    return Path("/proc/sys/net/ipv6").exists()


def set_sysctl(name: str, value: object) -> None:
    """Set a parameter of the network namespace that the thread is in. Raises UsageError.

    name: as in `net.ipv4.tcp_sack`, its parts separated by '.'; an interface's name may hold none.
    """
    try:
        # A file object takes longer than the kernel does, and every run sets a dozen.
        file = os.open(f"/proc/sys/{name.replace('.', '/')}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, f"{value}\n".encode("ascii"))
        finally:
            os.close(file)
    except FileNotFoundError:
        raise UsageError(f"sysctl {name}: this kernel does not have it; build it with the feature") from None
    except OSError as error:
        remedy = "give a value that it takes"
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            remedy = "/proc/sys must be writable (in a container: docker run --privileged)"
        raise UsageError(f"sysctl {name} = {value}: {error.strerror}; {remedy}") from None
