"""rtnetlink in batches: pyroute2's message classes, one socket for a namespace, one system call for many.

pyroute2's own IPRoute starts an asyncio loop and waits for each answer; a run's networks are built with a
few dozen messages, and how long that takes is on the path of every run.
"""

import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from types import TracebackType
from typing import Any, NamedTuple, Self

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.rtnl import (
    RTM_GETSTATS,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ifstatsmsg import ifstatsmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mbtest.errors import HarnessError

MAIN_TABLE = 254
IFF_UP, IFF_NOARP = 0x1, 0x80

_IFA_F_NODAD = 0x02
_NUD_PERMANENT = 0x80
_RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _FR_ACT_TO_TBL = 4, 0, 1
_RTN_UNICAST, _RTN_LOCAL, _WHOLE_IPV6 = 1, 2, 128
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _RTNLGRP_IPV6_ROUTE = 270, 1, 11
_PATIENCE_S = 10
_IFLA_STATS_LINK_64 = 1
_CREATE = NLM_F_CREATE | NLM_F_EXCL
_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")
_RECEIVE = 1 << 16


class LinkEnd(NamedTuple):
    """One interface of a pair."""

    name: str
    ifindex: int
    """Its number in its namespace."""
    address: str
    """Its link address."""


class RouteSocket:
    """An rtnetlink socket in the namespace of the calling thread. Requests gather until `flush`."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))
        self._socket.settimeout(_PATIENCE_S)
        self._pending: list[Any] = []
        self._subjects: dict[int, str] = {}
        self._sequence = 0
        self._failure: str | None = None
        self._local: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def add_veth(self, end: LinkEnd, peer: LinkEnd, peer_namespace: int, mtu: int) -> None:
        """Make a pair of interfaces, both down: one here, and its peer in another namespace.

        peer_namespace: its descriptor. mtu: octets, up to 65535.
        """
        there = ifinfmsg()
        there["index"] = peer.ifindex
        there["attrs"] = [*_link_attributes(peer, mtu), ("IFLA_NET_NS_FD", peer_namespace)]
        here = ifinfmsg()
        here["index"] = end.ifindex
        pair = {"attrs": [("VETH_INFO_PEER", there)]}
        kind = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", pair)]}
        here["attrs"] = [*_link_attributes(end, mtu), ("IFLA_LINKINFO", kind)]
        self._queue(here, RTM_NEWLINK, _CREATE, f"veth pair {end.name}")

    def set_up(self, index: int, flags: int = 0) -> None:
        """Set an interface up, with these IFF_ flags besides."""
        link = ifinfmsg()
        link["index"] = index
        link["flags"] = link["change"] = IFF_UP | flags
        self._queue(link, RTM_SETLINK, 0, f"interface {index} up")

    def add_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Give an interface an address; an IPv6 one is used at once, without detection of duplicates."""
        message = ifaddrmsg()
        message["family"] = _family(address)
        message["prefixlen"] = address.network.prefixlen
        message["index"] = index
        message["flags"] = _IFA_F_NODAD
        message["attrs"] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
        self._queue(message, RTM_NEWADDR, _CREATE, f"address {address}")

    def add_neighbour(self, index: int, address: IPv4Address | IPv6Address, link_address: str) -> None:
        """Say for good which link address a neighbour has."""
        message = ndmsg()
        message["family"] = _family(address)
        message["ifindex"] = index
        message["state"] = _NUD_PERMANENT
        message["attrs"] = [("NDA_DST", str(address)), ("NDA_LLADDR", link_address)]
        self._queue(message, RTM_NEWNEIGH, _CREATE, f"neighbour {address}")

    def add_default_route(
        self,
        index: int,
        gateway: IPv4Address | IPv6Address,
        mtu: int,
        table: int = MAIN_TABLE,
        metric: int = 0,
    ) -> None:
        """Send what a table knows no better way for to a gateway.

        mtu: octets, of packets that take this route. metric: the least is preferred; 0 is the kernel's own.
        """
        message = rtmsg()
        message["family"] = _family(gateway)
        message["table"] = table
        message["proto"] = _RTPROT_STATIC
        message["scope"] = _RT_SCOPE_UNIVERSE
        message["type"] = _RTN_UNICAST
        message["attrs"] = [
            ("RTA_GATEWAY", str(gateway)),
            ("RTA_OIF", index),
            ("RTA_METRICS", {"attrs": [("RTAX_MTU", mtu)]}),
        ]
        if metric:
            message["attrs"].append(("RTA_PRIORITY", metric))
        self._queue(message, RTM_NEWROUTE, _CREATE, f"default route via {gateway}")

    def add_source_rule(self, source: IPv4Address | IPv6Address, table: int) -> None:
        """Let what leaves from this address be routed by a table of its own."""
        message = fibmsg()
        message["family"] = _family(source)
        message["src_len"] = source.max_prefixlen
        message["table"] = table
        message["action"] = _FR_ACT_TO_TBL
        message["attrs"] = [("FRA_SRC", str(source)), ("FRA_PRIORITY", table)]
        self._queue(message, RTM_NEWRULE, _CREATE, f"rule for {source}")

    def watch_ipv6_routes(self) -> None:
        """Begin to notice local IPv6 addresses that come into use, for `await_local_routes`."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _RTNLGRP_IPV6_ROUTE)

    def await_local_routes(self, addresses: set[IPv6Address]) -> None:
        """Wait until the kernel delivers what is sent to these addresses. Raises HarnessError.

        It gives an address out as added before it has, in a work queue, made the route to it.
        """
        missing = {address.packed for address in addresses} - self._local
        while missing:
            self._receive()
            missing -= self._local

    def flush(self) -> None:
        """Send what gathered and wait until it took effect. Raises HarnessError for the first failure."""
        if not self._pending:
            return
        # Only the last is acknowledged; one that fails is reported in any case.
        last = self._pending[-1]
        last["header"]["flags"] |= NLM_F_ACK
        request = bytearray()
        for message in self._pending:
            message.encode()
            request += message.data
        self._pending.clear()
        self._failure = None
        self._socket.send(request)
        sequence = last["header"]["sequence_number"]
        while sequence not in self._receive():
            pass
        self._subjects.clear()
        if self._failure is not None:
            raise HarnessError(self._failure)

    def dropped(self, index: int) -> tuple[int, int]:
        """Return how many packets an interface dropped on reception and on transmission."""
        message = ifstatsmsg()
        message["ifindex"] = index
        message["filter_mask"] = 1 << (_IFLA_STATS_LINK_64 - 1)
        self._queue(message, RTM_GETSTATS, 0, f"statistics of interface {index}")
        self._pending.clear()
        self._failure = None
        message.encode()
        self._socket.send(message.data)
        sequence = message["header"]["sequence_number"]
        replies = self._receive()
        while sequence not in replies:
            replies = self._receive()
        if self._failure is not None:
            raise HarnessError(self._failure)
        answer = ifstatsmsg(replies[sequence])
        answer.decode()
        statistics = answer.get_attr("IFLA_STATS_LINK_64")
        return int(statistics["rx_dropped"]), int(statistics["tx_dropped"])

    def _queue(self, message: Any, kind: int, flags: int, subject: str) -> None:
        self._sequence += 1
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = self._sequence
        self._subjects[self._sequence] = subject
        self._pending.append(message)

    def _receive(self) -> dict[int, bytes]:
        """Return the messages of one reading by the number of the request that they answer."""
        try:
            octets = self._socket.recv(_RECEIVE)
        except TimeoutError:
            raise HarnessError(f"netlink: no answer within {_PATIENCE_S} s") from None
        messages: dict[int, bytes] = {}
        at = 0
        while at + _HEADER.size <= len(octets):
            length, kind, _, sequence, _ = _HEADER.unpack_from(octets, at)
            message = octets[at : at + length]
            messages[sequence] = message
            if kind == NLMSG_ERROR:
                self._note_error(message, sequence)
            elif kind == RTM_NEWROUTE:
                self._note_route(message)
            at += (length + 3) & ~3
        return messages

    def _note_error(self, message: bytes, sequence: int) -> None:
        (code,) = _ERROR.unpack_from(message, _HEADER.size)
        if code and self._failure is None:
            self._failure = f"netlink: {self._subjects.get(sequence, 'request')}: {os.strerror(-code)}"

    def _note_route(self, message: bytes) -> None:
        route = rtmsg(message)
        route.decode()
        if route["type"] == _RTN_LOCAL and route["dst_len"] == _WHOLE_IPV6:
            self._local.add(IPv6Address(route.get_attr("RTA_DST")).packed)


def _link_attributes(end: LinkEnd, mtu: int) -> list[tuple[str, object]]:
    return [("IFLA_IFNAME", end.name), ("IFLA_ADDRESS", end.address), ("IFLA_MTU", mtu)]


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
