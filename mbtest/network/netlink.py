"""rtnetlink in batches: pyroute2's message classes, one socket for a namespace, one system call for many.

pyroute2's own IPRoute starts an asyncio loop and waits for each answer; a run's networks are built with a
few dozen messages, and how long that takes is on the path of every run. Hosts of one topology are built with
the same messages again and again, so that those are kept, encoded but for their number.
"""

import os
import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from types import TracebackType
from typing import Any, NamedTuple, Self

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
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
_IN6_ADDR_GEN_MODE_NONE = 1
_NUD_PERMANENT = 0x80
_RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _FR_ACT_TO_TBL = 4, 0, 1
_RTN_UNICAST, _RTN_LOCAL, _WHOLE_IPV6 = 1, 2, 128
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _RTNLGRP_IPV6_ROUTE = 270, 1, 11
_PATIENCE_S = 10
_IFLA_STATS_LINK_64 = 1
_CREATE = NLM_F_CREATE | NLM_F_EXCL
_HEADER = struct.Struct("=IHHII")
_FLAGS, _FLAGS_AT = struct.Struct("=H"), 6
_NUMBER, _NUMBER_AT = struct.Struct("=I"), 8
_REMEMBERED = 512
"""Requests of one kind that are kept: those of a dozen topologies."""
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
        try:
            self._socket.bind((0, 0))
            self._socket.settimeout(_PATIENCE_S)
        except BaseException:
            self._socket.close()
            raise
        self._pending = bytearray()
        self._last_at = 0
        """Where the last request of those that gathered begins."""
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
        self._queue(_veth(end, peer, peer_namespace, mtu), f"veth pair {end.name}")

    def set_up(self, index: int, flags: int = 0) -> None:
        """Set an interface up, with these IFF_ flags besides."""
        self._queue(_up(index, flags), f"interface {index} up")

    def without_link_local(self, index: int) -> None:
        """Have an interface make itself no link-local address when it is set up."""
        self._queue(_without_link_local(index), f"interface {index} without a link-local address")

    def add_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Give an interface an address; an IPv6 one is used at once, without detection of duplicates."""
        self._queue(_address(index, address), f"address {address}")

    def remove_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Take an address from an interface."""
        message = ifaddrmsg()
        message["family"] = _family(address)
        message["prefixlen"] = address.network.prefixlen
        message["index"] = index
        message["attrs"] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
        self._queue(_encoded(message, RTM_DELADDR), f"removal of address {address}")

    def add_neighbour(self, index: int, address: IPv4Address | IPv6Address, link_address: str) -> None:
        """Say for good which link address a neighbour has."""
        self._queue(_neighbour(index, address, link_address), f"neighbour {address}")

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
        self._queue(_default_route(index, gateway, mtu, table, metric), f"default route via {gateway}")

    def add_source_rule(self, source: IPv4Address | IPv6Address, table: int) -> None:
        """Let what leaves from this address be routed by a table of its own."""
        self._queue(_source_rule(source, table), f"rule for {source}")

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
        (flags,) = _FLAGS.unpack_from(self._pending, self._last_at + _FLAGS_AT)
        _FLAGS.pack_into(self._pending, self._last_at + _FLAGS_AT, flags | NLM_F_ACK)
        self._ask()

    def dropped(self, index: int) -> tuple[int, int]:
        """Return how many packets an interface dropped on reception and on transmission."""
        self._queue(_statistics_of(index), f"statistics of interface {index}")
        answer = ifstatsmsg(self._ask())
        answer.decode()
        statistics = answer.get_attr("IFLA_STATS_LINK_64")
        return int(statistics["rx_dropped"]), int(statistics["tx_dropped"])

    def _queue(self, request: bytes, subject: str) -> None:
        self._sequence += 1
        self._last_at = len(self._pending)
        self._pending += request
        _NUMBER.pack_into(self._pending, self._last_at + _NUMBER_AT, self._sequence)
        self._subjects[self._sequence] = subject

    def _ask(self) -> bytes:
        """Send what gathered, and return the answer to the last of it. Raises HarnessError."""
        self._failure = None
        request, self._pending = self._pending, bytearray()
        self._socket.send(request)
        while self._sequence not in (answers := self._receive()):
            pass
        self._subjects.clear()
        if self._failure is not None:
            raise HarnessError(self._failure)
        return answers[self._sequence]

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


def _veth(end: LinkEnd, peer: LinkEnd, peer_namespace: int, mtu: int) -> bytes:
    there = ifinfmsg()
    there["index"] = peer.ifindex
    there["attrs"] = [*_link_attributes(peer, mtu), ("IFLA_NET_NS_FD", peer_namespace)]
    here = ifinfmsg()
    here["index"] = end.ifindex
    pair = {"attrs": [("VETH_INFO_PEER", there)]}
    kind = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", pair)]}
    here["attrs"] = [*_link_attributes(end, mtu), ("IFLA_LINKINFO", kind)]
    return _encoded(here, RTM_NEWLINK, _CREATE)


@lru_cache(_REMEMBERED)
def _up(index: int, flags: int) -> bytes:
    link = ifinfmsg()
    link["index"] = index
    link["flags"] = link["change"] = IFF_UP | flags
    return _encoded(link, RTM_SETLINK)


@lru_cache(_REMEMBERED)
def _without_link_local(index: int) -> bytes:
    link = ifinfmsg()
    link["index"] = index
    none = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _IN6_ADDR_GEN_MODE_NONE)]}
    link["attrs"] = [("IFLA_AF_SPEC", {"attrs": [("AF_INET6", none)]})]
    return _encoded(link, RTM_SETLINK)


@lru_cache(_REMEMBERED)
def _address(index: int, address: IPv4Interface | IPv6Interface) -> bytes:
    message = ifaddrmsg()
    message["family"] = _family(address)
    message["prefixlen"] = address.network.prefixlen
    message["index"] = index
    message["flags"] = _IFA_F_NODAD
    message["attrs"] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
    return _encoded(message, RTM_NEWADDR, _CREATE)


@lru_cache(_REMEMBERED)
def _neighbour(index: int, address: IPv4Address | IPv6Address, link_address: str) -> bytes:
    message = ndmsg()
    message["family"] = _family(address)
    message["ifindex"] = index
    message["state"] = _NUD_PERMANENT
    message["attrs"] = [("NDA_DST", str(address)), ("NDA_LLADDR", link_address)]
    return _encoded(message, RTM_NEWNEIGH, _CREATE)


@lru_cache(_REMEMBERED)
def _default_route(
    index: int, gateway: IPv4Address | IPv6Address, mtu: int, table: int, metric: int
) -> bytes:
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
    return _encoded(message, RTM_NEWROUTE, _CREATE)


@lru_cache(_REMEMBERED)
def _source_rule(source: IPv4Address | IPv6Address, table: int) -> bytes:
    message = fibmsg()
    message["family"] = _family(source)
    message["src_len"] = source.max_prefixlen
    message["table"] = table
    message["action"] = _FR_ACT_TO_TBL
    message["attrs"] = [("FRA_SRC", str(source)), ("FRA_PRIORITY", table)]
    return _encoded(message, RTM_NEWRULE, _CREATE)


@lru_cache(_REMEMBERED)
def _statistics_of(index: int) -> bytes:
    message = ifstatsmsg()
    message["ifindex"] = index
    message["filter_mask"] = 1 << (_IFLA_STATS_LINK_64 - 1)
    return _encoded(message, RTM_GETSTATS)


def _encoded(message: Any, kind: int, flags: int = 0) -> bytes:
    """Return a request without its number."""
    message["header"]["type"] = kind
    message["header"]["flags"] = NLM_F_REQUEST | flags
    message.encode()
    return bytes(message.data)


def _link_attributes(end: LinkEnd, mtu: int) -> list[tuple[str, object]]:
    return [("IFLA_IFNAME", end.name), ("IFLA_ADDRESS", end.address), ("IFLA_MTU", mtu)]


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
