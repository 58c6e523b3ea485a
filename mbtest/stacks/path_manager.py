"""The kernel's path manager: limits, endpoints and their flags, over generic netlink."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from pyroute2 import MPTCP
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic.mptcp import MPTCP_PM_CMD_SET_FLAGS, mptcp_msg

from mbtest.errors import HarnessError
from mbtest.network.host import Host

Address = IPv4Address | IPv6Address

SIGNAL, SUBFLOW, BACKUP = 0x1, 0x2, 0x4
_NESTED = 0x8000


class PathManager:
    """The path manager of a host's namespace. Raises HarnessError for what the kernel refuses."""

    def __init__(self, host: Host) -> None:
        """Begin without endpoints."""
        self._host = host
        self._ids: dict[Address, int] = {}
        """Chosen here: an endpoint is removed by its ID alone."""

    @contextmanager
    def _manager(self, subject: str) -> Iterator[MPTCP]:
        try:
            with self._host.entered(), MPTCP() as manager:
                yield manager
        except NetlinkError as error:
            raise HarnessError(f"path manager: {subject}: {error.args[-1]}") from error

    def limit(self, subflows: int, accept_signals: int) -> None:
        """Allow so many further subflows, and so many announced addresses to be used."""
        with self._manager("limits") as manager:
            manager.limits("set", subflows=subflows, add_addr_accepted=accept_signals)

    def add(self, address: Address, flags: int, port: int | None = None) -> None:
        """Make an endpoint of an address; the connections that there are hear of it at once."""
        identifier = self._ids.setdefault(address, max(self._ids.values(), default=0) + 1)
        about: dict[str, object] = {**_named(address), "id": identifier, "flags": flags}
        if port is not None:
            about["port"] = port
        with self._manager(f"endpoint {address}") as manager:
            manager.endpoint("add", **about)

    def remove(self, address: Address) -> None:
        """Remove the endpoint of an address; where it has none it is that of an initial subflow, ID 0."""
        about: Mapping[str, object] = {"id": self._ids.pop(address, 0)}
        if not about["id"]:
            about = {**_named(address), "id": 0}
        with self._manager(f"removal of {address}") as manager:
            manager.endpoint("del", **about)

    def set_backup(self, address: Address, backup: bool) -> None:
        """Ask for the first subflow from an address to be a backup, or no more."""
        if address not in self._ids:
            # The kernel finds flags by endpoint; one without flags of its own opens and announces nothing.
            self.add(address, 0)
        message = mptcp_msg()
        message["cmd"], message["version"] = MPTCP_PM_CMD_SET_FLAGS, 1
        about = {"id": self._ids[address], "flags": BACKUP if backup else 0}
        attributes = [(mptcp_msg.pm_addr.name2nla(name), value) for name, value in about.items()]
        message["attrs"] = [("MPTCP_PM_ATTR_ADDR", {"attrs": attributes}, _NESTED)]
        with self._manager(f"flags of {address}") as manager:
            tuple(manager.nlm_request(message, msg_type=manager.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))


def _named(address: Address) -> dict[str, object]:
    return {f"addr{address.version}": str(address)}
