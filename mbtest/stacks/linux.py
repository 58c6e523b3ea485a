"""The Linux kernel of this machine as a stack under test: MPTCP sockets, and plain TCP ones."""

from __future__ import annotations

import contextlib
import errno
import platform
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import ClassVar

from mbtest.errors import HarnessError
from mbtest.network.contract import Backend, Network
from mbtest.network.host import Host as NetworkHost
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import Role
from mbtest.results import StackState
from mbtest.stacks.contract import Capability, Connection, ConnectionLost, Settings
from mbtest.stacks.path_manager import BACKUP, SIGNAL, SUBFLOW, PathManager

IPPROTO_MPTCP = 262
SOL_MPTCP, MPTCP_INFO = 284, 1
TCP_IS_MPTCP = 43
# struct mptcp_info of include/uapi/linux/mptcp.h. The first part stands since Linux 5.14; what follows is
# younger, and left out where the kernel's structure ends before it.
_INFO = struct.Struct("=BBBBBBxxIIQQQBBB")
_INFO_FIELDS = (
    "subflows", "add_addr_signal", "add_addr_accepted", "subflows_max", "add_addr_signal_max",
    "add_addr_accepted_max", "flags", "token", "write_seq", "snd_una", "rcv_nxt", "local_addr_used",
    "local_addr_max", "csum_enabled",
)  # fmt: skip
_INFO_MORE = struct.Struct("=xIQQQQB")
_INFO_MORE_FIELDS = (
    "retransmits", "bytes_retrans", "bytes_sent", "bytes_received", "bytes_acked", "subflows_total",
)  # fmt: skip
_INFO_FALLBACK = 0x1
MPTCP_COUNTERS = "MPTcpExt"
"""How the names of the kernel's counters of MPTCP begin: their group in /proc/net/netstat."""


def write_sysctl(name: str, value: str) -> None:
    """Set `net.…` in the namespace that the thread is in. Raises HarnessError."""
    path = Path("/proc/sys", *name.split("."))
    try:
        path.write_text(value)
    except OSError as error:
        raise HarnessError(f"sysctl {name}={value}: {error.strerror}") from error


def read_sysctls(prefix: str) -> dict[str, str]:
    """Return the settings below `prefix`, as `net.mptcp`, in the namespace that the thread is in."""
    folder = Path("/proc/sys", *prefix.split("."))
    if not folder.is_dir():
        return {}
    return {f"{prefix}.{path.name}": path.read_text().strip() for path in sorted(folder.iterdir())}


def read_counters() -> dict[str, int]:
    """Return the counters of the thread's namespace, as `MPTcpExtMPFailTx`: netstat, snmp and snmp6."""
    counters: dict[str, int] = {}
    for source in ("netstat", "snmp"):
        lines = Path("/proc/thread-self/net", source).read_text().splitlines()
        for heading, values in zip(lines[::2], lines[1::2], strict=True):
            group, _, names = heading.partition(":")
            pairs = zip(names.split(), values.partition(":")[2].split(), strict=True)
            counters |= {group + name: int(value) for name, value in pairs}
    for line in Path("/proc/thread-self/net/snmp6").read_text().splitlines():
        name, value = line.split()
        counters[name] = int(value)
    return counters


class SocketConnection:
    """A connection through a socket of the kernel, without blocking."""

    def __init__(self, network: NamespaceNetwork, sock: socket.socket) -> None:
        """Take over `sock`."""
        self._loop = network.loop
        self._socket = sock
        self._established = False
        self._watching: tuple[bool, bool] = (False, False)

    def watch(self, readable: Callable[[], None] | None, writable: Callable[[], None] | None) -> None:
        """Call these when the socket can be read or written; None stops that."""
        reading, writing = self._watching
        if readable is not None:
            self._loop.add_reader(self._socket, readable)
        elif reading:
            self._loop.remove_reader(self._socket)
        if writable is not None:
            self._loop.add_writer(self._socket, writable)
        elif writing:
            self._loop.remove_writer(self._socket)
        self._watching = (readable is not None, writable is not None)

    def connected(self) -> bool:
        """Whether the handshake is over. Raises ConnectionLost."""
        if not self._established:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise ConnectionLost(errno.errorcode.get(code, str(code)))
            try:
                self._socket.getpeername()
            except OSError:
                return False
            self._established = True
        return True

    def send(self, data: bytes | memoryview) -> int:
        """Take octets; 0 where the send buffer is full. Raises ConnectionLost."""
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _lost(error) from None

    def receive(self, limit: int) -> bytes | None:
        """Return octets, none at the end of the stream, None for nothing yet. Raises ConnectionLost."""
        try:
            return self._socket.recv(limit)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _lost(error) from None

    def shutdown(self) -> None:
        """Close the sending direction. Raises ConnectionLost."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise _lost(error) from None

    def close(self) -> None:
        """Close the socket."""
        self.watch(None, None)
        self._socket.close()

    def abort(self) -> None:
        """Close the socket with a reset: SO_LINGER of no time."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def state(self) -> dict[str, str | int]:
        """Return MPTCP_INFO and TCP_IS_MPTCP, whichever the kernel gives."""
        found: dict[str, str | int] = {}
        # Kernels before Linux 6.10 do not know the option; MPTCP_INFO has to do there.
        with contextlib.suppress(OSError):
            found["mptcp"] = self._socket.getsockopt(socket.IPPROTO_TCP, TCP_IS_MPTCP)
        try:
            info = self._socket.getsockopt(SOL_MPTCP, MPTCP_INFO, 256)
        except OSError as error:
            # A socket that fell back answers as the TCP socket that it is.
            found["mptcp_info"] = errno.errorcode.get(error.errno or 0, "?")
            return found
        if len(info) >= _INFO.size:
            found |= dict(zip(_INFO_FIELDS, _INFO.unpack_from(info), strict=True))
            if len(info) >= _INFO.size + _INFO_MORE.size:
                found |= dict(zip(_INFO_MORE_FIELDS, _INFO_MORE.unpack_from(info, _INFO.size), strict=True))
            found.setdefault("mptcp", int(not int(found["flags"]) & _INFO_FALLBACK))
        return found


def _lost(error: OSError) -> ConnectionLost:
    return ConnectionLost(errno.errorcode.get(error.errno or 0, str(error)))


class LinuxHost:
    """The kernel at work on one host."""

    def __init__(self, stack: Linux, network: NamespaceNetwork, role: Role, settings: Settings) -> None:
        """Apply the settings in the host's namespace. Raises HarnessError."""
        self._stack = stack
        self._network = network
        self._host: NetworkHost = network.hosts[role]
        self._listeners: list[socket.socket] = []
        self._connections: list[SocketConnection] = []
        self._paths = PathManager(self._host)
        self._join_flags = SUBFLOW | (BACKUP if settings.backup else 0)
        with self._host.entered():
            for name, value in stack.sysctls(settings).items():
                write_sysctl(name, value)
        if stack.protocol == IPPROTO_MPTCP and (settings.subflows or settings.join_from or settings.signal):
            self._paths.limit(settings.subflows, settings.accept_signals)
            for address in settings.join_from:
                self.join_from(address)
            for address in settings.signal:
                self.announce(address)
        self.begin()

    def listen(self, port: int, accepted: Callable[[Connection], None]) -> None:
        """Take connections to `port` on any address of either family."""
        family = socket.AF_INET if self._network.family == "v4" else socket.AF_INET6
        listener = self._host.socket(family, socket.SOCK_STREAM, self._stack.protocol)
        self._listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("" if family == socket.AF_INET else "::", port))
        listener.listen(16)

        def accept() -> None:
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            connection = self._connection(sock)
            sock.setblocking(False)
            accepted(connection)

        self._network.loop.add_reader(listener, accept)

    def connect(
        self, address: IPv4Address | IPv6Address, port: int, own_port: int | None = None
    ) -> Connection:
        """Open a connection to `address`."""
        # Linux gives IPv6 subflows to IPv6 sockets only; those reach IPv4 by mapped addresses.
        mapped = self._network.family == "mixed" and address.version == 4
        family = socket.AF_INET if address.version == 4 and not mapped else socket.AF_INET6
        sock = self._host.socket(family, socket.SOCK_STREAM, self._stack.protocol)
        connection = self._connection(sock)
        if own_port is not None:
            sock.bind(("" if family == socket.AF_INET else "::", own_port))
        code = sock.connect_ex((f"::ffff:{address}" if mapped else str(address), port))
        if code not in (0, errno.EINPROGRESS):
            raise HarnessError(f"connect to {address}: {errno.errorcode.get(code, code)}")
        return connection

    def announce(self, address: IPv4Address | IPv6Address, port: int | None = None) -> None:
        """Make an endpoint that is announced; with a port, the kernel itself listens there."""
        self._paths.add(address, SIGNAL, port)

    def join_from(self, address: IPv4Address | IPv6Address) -> None:
        """Make an endpoint that subflows are opened from."""
        self._paths.add(address, self._join_flags)

    def remove(self, address: IPv4Address | IPv6Address) -> None:
        """Remove an endpoint, or the address of initial subflows."""
        self._paths.remove(address)

    def set_backup(self, address: IPv4Address | IPv6Address, backup: bool) -> None:
        """Set the flags of an endpoint."""
        self._paths.set_backup(address, backup)

    def lose(self, address: IPv4Address | IPv6Address) -> None:
        """Take an address from its interface; the path manager is not told."""
        self._host.lose(address)

    def state(self) -> StackState:
        """Return the counters that moved since the host was set up, and those of MPTCP that there are."""
        with self._host.entered():
            after = read_counters()
        moved = {name: value - self._before.get(name, 0) for name, value in after.items()}
        return StackState(
            name=self._stack.name,
            counters={name: by for name, by in moved.items() if by},
            knows=tuple(name for name in after if name.startswith(MPTCP_COUNTERS)),
        )

    def begin(self) -> None:
        """Count from now on."""
        with self._host.entered():
            self._before = read_counters()

    def close(self) -> None:
        """Stop listening, and close the connections that nobody closed."""
        for listener in self._listeners:
            self._network.loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _connection(self, sock: socket.socket) -> SocketConnection:
        """Return a connection of this host, which closes it in the end."""
        connection = SocketConnection(self._network, sock)
        self._connections.append(connection)
        return connection


class Linux:
    """Multipath TCP of the running kernel."""

    name: ClassVar[str] = "linux"
    summary: ClassVar[str] = "The running Linux kernel, sockets of protocol IPPROTO_MPTCP"
    protocol: ClassVar[int] = IPPROTO_MPTCP
    backends: ClassVar[frozenset[Backend]] = frozenset({"namespaces"})
    attached: ClassVar[bool] = False

    def lacks(self) -> str | None:
        """Return why MPTCP sockets cannot be had; None where they can."""
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, self.protocol).close()
        except OSError as error:
            release = platform.release()
            rest = "`--client tcp --server tcp` and `--network simulated` still run"
            if error.errno == errno.EPROTONOSUPPORT:
                return f"linux: kernel {release} has no MPTCP (CONFIG_MPTCP); boot one that has; {rest}"
            if error.errno == errno.ENOPROTOOPT:
                return f"linux: MPTCP is disabled; `sysctl net.mptcp.enabled=1` enables it; {rest}"
            return f"linux: an MPTCP socket cannot be made: {error.strerror}; {rest}"
        return None

    def capabilities(self) -> frozenset[Capability]:
        """Return all that the harness knows of, but that the kernel draws its keys itself."""
        return frozenset(Capability) - {Capability.KEY}

    def sysctls(self, settings: Settings) -> dict[str, str]:
        """Return the kernel settings that a run's settings come to."""
        return {"net.mptcp.checksum_enabled": str(int(settings.checksum))} | dict(settings.sysctls)

    def start(self, network: Network, role: Role, settings: Settings) -> LinuxHost:
        """Set the kernel up on a host. Raises HarnessError."""
        if not isinstance(network, NamespaceNetwork):
            raise HarnessError(f"{self.name}: a kernel needs a host in a namespace")
        return LinuxHost(self, network, role, settings)


class LinuxTcp(Linux):
    """Regular TCP of the running kernel."""

    name: ClassVar[str] = "tcp"
    summary: ClassVar[str] = "The running Linux kernel, regular TCP sockets: what a box does to TCP itself"
    protocol: ClassVar[int] = socket.IPPROTO_TCP

    def lacks(self) -> str | None:
        """Return None: every kernel has TCP."""
        return None

    def capabilities(self) -> frozenset[Capability]:
        """Return nothing: TCP has no MPTCP capabilities."""
        return frozenset()

    def sysctls(self, settings: Settings) -> dict[str, str]:
        """Return the settings that a case asks for; MPTCP's own do not matter."""
        return {name: value for name, value in settings.sysctls.items() if not name.startswith("net.mptcp")}
