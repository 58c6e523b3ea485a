"""The kernel's path manager, as the kernel itself tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from pyroute2 import MPTCP

from mbtest import content
from mbtest.errors import HarnessError
from mbtest.harness.topologies import topology
from mbtest.network.host import Host
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.stacks.path_manager import BACKUP, SIGNAL, SUBFLOW, PathManager

content.use()

FIRST, SECOND, THIRD = (ip_address(text) for text in ("198.18.1.2", "198.18.2.2", "2001:db8:c2::2"))


@pytest.fixture
def host() -> Iterator[Host]:
    with NamespaceNetwork(topology("dual-homed-client"), "mixed", {}, 1) as network:
        yield network.hosts["client"]


def endpoints(host: Host) -> dict[str, tuple[int, int, int]]:
    """Return ID, flags and port, 0 where it has none, of each endpoint, as the kernel tells them."""
    with host.entered(), MPTCP() as manager:
        found = [message.get_attr("MPTCP_PM_ATTR_ADDR") for message in manager.endpoint("show")]
    told = {}
    for one in found:
        address = one.get_attr("MPTCP_PM_ADDR_ATTR_ADDR4") or one.get_attr("MPTCP_PM_ADDR_ATTR_ADDR6")
        names = ("MPTCP_PM_ADDR_ATTR_ID", "MPTCP_PM_ADDR_ATTR_FLAGS", "MPTCP_PM_ADDR_ATTR_PORT")
        told[address] = tuple(one.get_attr(name) for name in names)
    return told


def test_endpoints_come_and_go(host: Host) -> None:
    paths = PathManager(host)
    paths.limit(2, 1)
    paths.add(SECOND, SUBFLOW)
    paths.add(THIRD, SIGNAL, 8080)
    assert endpoints(host) == {str(SECOND): (1, SUBFLOW, 0), str(THIRD): (2, SIGNAL, 8080)}
    paths.remove(SECOND)
    paths.add(FIRST, SIGNAL)
    assert endpoints(host) == {str(THIRD): (2, SIGNAL, 8080), str(FIRST): (3, SIGNAL, 0)}


def test_priorities_are_flags_of_endpoints(host: Host) -> None:
    paths = PathManager(host)
    paths.add(SECOND, SUBFLOW)
    paths.set_backup(SECOND, True)
    paths.set_backup(FIRST, True)
    assert endpoints(host) == {str(SECOND): (1, SUBFLOW | BACKUP, 0), str(FIRST): (2, BACKUP, 0)}
    paths.set_backup(SECOND, False)
    assert endpoints(host)[str(SECOND)] == (1, SUBFLOW, 0)


def test_an_address_without_an_endpoint_is_that_of_initial_subflows(host: Host) -> None:
    PathManager(host).remove(FIRST)
    assert endpoints(host) == {}


def test_what_the_kernel_refuses_is_told(host: Host) -> None:
    paths = PathManager(host)
    paths.add(SECOND, SUBFLOW)
    with pytest.raises(HarnessError, match=f"path manager: endpoint {SECOND}: "):
        paths.add(SECOND, SUBFLOW)
