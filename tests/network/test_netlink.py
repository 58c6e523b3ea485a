from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_interface

import pytest

from mbtest.errors import HarnessError
from mbtest.network.namespace import Namespace
from mbtest.network.netlink import LinkEnd, RouteSocket

HERE, THERE = LinkEnd("c1", 5, "02:00:00:00:01:01"), LinkEnd("port7", 7, "02:00:00:00:01:02")


@pytest.fixture
def namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    pair = Namespace(), Namespace()
    yield pair
    for namespace in pair:
        namespace.close()


@pytest.fixture
def route(namespaces: tuple[Namespace, Namespace]) -> Iterator[RouteSocket]:
    with namespaces[0].entered():
        route = RouteSocket()
    with route:
        yield route


def test_a_pair_has_the_names_and_numbers_that_were_asked_for(
    namespaces: tuple[Namespace, Namespace], route: RouteSocket
) -> None:
    near, far = namespaces
    route.add_veth(HERE, THERE, far.fileno(), mtu=1500)
    route.flush()
    with near.entered():
        assert (5, "c1") in socket.if_nameindex()
    with far.entered():
        assert (7, "port7") in socket.if_nameindex()


def test_a_batch_that_fails_names_the_first_failure_and_does_the_rest(
    namespaces: tuple[Namespace, Namespace], route: RouteSocket
) -> None:
    near, far = namespaces
    route.set_up(99)
    route.add_address(98, ip_interface("198.18.1.2/24"))
    route.add_veth(HERE, THERE, far.fileno(), mtu=1500)
    with pytest.raises(HarnessError, match="netlink: interface 99 up: No such device"):
        route.flush()
    with near.entered():
        assert (5, "c1") in socket.if_nameindex()


def test_a_failure_does_not_stick(namespaces: tuple[Namespace, Namespace], route: RouteSocket) -> None:
    route.set_up(99)
    with pytest.raises(HarnessError):
        route.flush()
    route.set_up(1)
    route.flush()
    route.flush()


def test_an_ipv6_address_can_be_used_once_its_route_is_there(
    namespaces: tuple[Namespace, Namespace], route: RouteSocket
) -> None:
    near, far = namespaces
    address = ip_interface("2001:db8:c1::2/64")
    with far.entered(), RouteSocket() as there:
        route.add_veth(HERE, THERE, far.fileno(), mtu=1500)
        route.flush()
        there.set_up(THERE.ifindex)
        there.flush()
    route.watch_ipv6_routes()
    route.set_up(1)
    route.set_up(HERE.ifindex)
    route.add_address(HERE.ifindex, address)
    route.add_neighbour(HERE.ifindex, ip_address("2001:db8:c1::1"), "02:00:00:00:01:03")
    route.add_default_route(HERE.ifindex, ip_address("2001:db8:c1::1"), mtu=1500, metric=1)
    route.flush()
    assert isinstance(address.ip, IPv6Address)
    route.await_local_routes({address.ip})
    with near.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(("::", 9))
            receiver.settimeout(5)
            sender.sendto(b"to myself", (str(address.ip), 9))
            assert receiver.recv(100) == b"to myself"


def test_what_an_interface_dropped_is_counted(
    namespaces: tuple[Namespace, Namespace], route: RouteSocket
) -> None:
    route.add_veth(HERE, THERE, namespaces[1].fileno(), mtu=1500)
    route.set_up(HERE.ifindex)
    route.add_address(HERE.ifindex, ip_interface("198.18.1.2/24"))
    route.flush()
    assert route.dropped(HERE.ifindex) == (0, 0)


def test_statistics_of_an_interface_that_is_not_there_are_our_fault(route: RouteSocket) -> None:
    with pytest.raises(HarnessError, match="statistics of interface 99: No such device"):
        route.dropped(99)
