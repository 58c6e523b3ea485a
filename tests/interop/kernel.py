"""The kernel's path manager, and which of its counters tell of mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pyroute2 import MPTCP
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.generic.mptcp import MPTCP_PM_CMD_SET_FLAGS, mptcp_msg

from mbtest.network.host import Host

SIGNAL, SUBFLOW, BACKUP, FULLMESH = 0x1, 0x2, 0x4, 0x8
KERNEL_ERRORS = frozenset(
    f"MPTcpExt{name}"
    for name in (
        "MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPCapableSYNTXDrop", "MPCapableSYNTXDisabled",
        "MPFallbackTokenInit", "MPJoinNoTokenFound", "MPJoinSynAckHMacFailure", "MPJoinAckHMacFailure",
        "MPJoinRejected", "MPJoinSynTxCreatSkErr", "MPJoinSynTxBindErr", "MPJoinSynTxConnectErr",
        "DSSNotMatching", "DSSCorruptionFallback", "DSSCorruptionReset", "InfiniteMapTx", "InfiniteMapRx",
        "DSSNoMatchTCP", "DataCsumErr", "AddAddrTxDrop", "EchoAddTxDrop", "AddAddrDrop", "MismatchPortSynRx",
        "MismatchPortAckRx", "RmAddrDrop", "RmAddrTxDrop", "MPFailTx", "MPFailRx", "MPFastcloseTx",
        "MPFastcloseRx", "MPRstTx", "MPRstRx", "Blackhole", "MPCapableDataFallback", "MD5SigFallback",
        "DssFallback", "SimultConnectFallback", "FallbackFailed",
    )
)  # fmt: skip
"""Counters of the kernel that stay at 0 unless a test has it otherwise."""


class KernelEndpoint(NamedTuple):
    """An endpoint of the kernel's path manager: an address of the nth interface, from 0.

    second: the second address of an interface that has two, the IPv6 one in a mixed network.
    """

    interface: int
    flags: int
    port: int | None = None
    second: bool = False


class PathManager:
    """The path manager of a kernel's namespace. An endpoint's ID is its interface's number, from 1."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @contextmanager
    def _manager(self) -> Iterator[MPTCP]:
        with self._host.entered(), MPTCP() as manager:
            yield manager

    def limit(self, subflows: int, add_addr_accepted: int) -> None:
        with self._manager() as manager:
            manager.limits("set", subflows=subflows, add_addr_accepted=add_addr_accepted)

    def add(self, endpoint: KernelEndpoint) -> None:
        interface = self._host.interfaces[endpoint.interface]
        address = interface.v6 if endpoint.second or interface.v4 is None else interface.v4
        assert address is not None
        about: dict[str, Any] = {f"addr{address.version}": str(address), "flags": endpoint.flags}
        if endpoint.port is not None:
            about["port"] = endpoint.port
        with self._manager() as manager:
            manager.endpoint("add", id=endpoint.interface + 1, **about)

    def remove(self, interface: int) -> None:
        with self._manager() as manager:
            manager.endpoint("del", id=interface + 1)

    def set_backup(self, interface: int, backup: bool) -> None:
        """Have the kernel ask for its subflows from an address to be backups, or no more: MP_PRIO."""
        message = mptcp_msg()
        message["cmd"], message["version"] = MPTCP_PM_CMD_SET_FLAGS, 1
        about = {"id": interface + 1, "flags": BACKUP if backup else 0}
        attributes = [(mptcp_msg.pm_addr.name2nla(name), value) for name, value in about.items()]
        message["attrs"] = [("MPTCP_PM_ATTR_ADDR", {"attrs": attributes}, 0x8000)]
        with self._manager() as manager:
            tuple(manager.nlm_request(message, msg_type=manager.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))
