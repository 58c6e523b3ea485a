"""The kernel of this machine as a stack."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from mbtest import content
from mbtest.errors import HarnessError
from mbtest.harness.topologies import topology
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.stacks import Capability, ConnectionLost, Settings, stack
from mbtest.stacks.linux import read_counters, read_sysctls

content.use()


@pytest.fixture(params=["v4", "v6", "mixed"])
def network(request):
    with NamespaceNetwork(topology("one-path"), request.param, {}, 1) as made:
        yield made


@pytest.fixture
def start(network):
    """Return what starts a stack on a host; the host lets go of everything at the end."""
    with ExitStack() as cleanup:

        def start(name, role, **settings):
            host = stack(name).start(network, role, Settings(**settings))
            cleanup.callback(host.close)
            return host

        yield start


@pytest.fixture
def connected(network, start):
    """Return what opens a connection and returns both its ends and both hosts; they are closed at the end."""
    with ExitStack() as cleanup:

        def connect(client="linux", server="linux", **settings):
            hosts = {
                "server": start(server, "server", **settings),
                "client": start(client, "client", **settings),
            }
            accepted = []
            hosts["server"].listen(80, accepted.append)
            near = hosts["client"].connect(address(network), 80)
            cleanup.callback(near.close)
            assert network.loop.run(lambda: bool(accepted) and near.connected(), 5_000_000)
            cleanup.callback(accepted[0].close)
            return near, accepted[0], hosts

        yield connect


def address(network):
    server = network.hosts["server"].interfaces[0]
    return server.v6 if network.family == "v6" else server.v4


def receive(network, connection):
    found = []

    def arrived():
        data = connection.receive(1000)
        if data is not None:
            found.append(data)
        return data is not None

    assert network.loop.run(arrived, network.loop.now + 5_000_000)
    return found[0]


def test_data_and_ends_pass_both_ways(network, connected):
    near, far, _ = connected()
    assert near.receive(10) is None
    assert near.send(b"ping") == 4
    assert receive(network, far) == b"ping"
    near.shutdown()
    assert receive(network, far) == b""
    assert far.send(b"pong") == 4
    assert receive(network, near) == b"pong"


def test_an_mptcp_socket_says_what_it_is(network, connected):
    near, far, hosts = connected()
    near.send(b"x")
    receive(network, far)
    state = near.state()
    assert state["mptcp"] == 1
    assert state["token"]
    # Since Linux 6.5.
    assert state.get("bytes_sent", 1) == 1
    assert far.state().get("bytes_received", 1) == 1
    assert hosts["client"].state().counters["MPTcpExtMPCapableSYNTX"] == 1
    assert hosts["server"].state().counters["MPTcpExtMPCapableSYNRX"] == 1


def test_counters_that_exist_are_known_moved_or_not(connected):
    _, _, hosts = connected()
    state = hosts["client"].state()
    assert {"MPTcpExtMPCapableSYNTX", "MPTcpExtMPFailTx"} <= set(state.knows)
    assert "MPTcpExtMPFailTx" not in state.counters
    assert all(name.startswith("MPTcpExt") for name in state.knows)


def test_a_tcp_peer_makes_it_regular_tcp(connected):
    near, _, hosts = connected(server="tcp")
    assert near.state()["mptcp"] == 0
    assert "MPTcpExtMPCapableSYNRX" not in hosts["server"].state().counters


def test_checksums_are_asked_for(network, connected):
    near, far, _ = connected(checksum=True)
    near.send(b"x")
    receive(network, far)
    assert near.state()["csum_enabled"] == 1


def test_an_abort_is_told_to_the_peer(network, connected):
    near, far, _ = connected()
    near.send(b"x")
    receive(network, far)
    near.abort()

    def lost():
        try:
            far.receive(1)
        except ConnectionLost as error:
            return error.reason == "ECONNRESET"
        return False

    assert network.loop.run(lost, network.loop.now + 5_000_000)


def test_hosts_that_connect_to_each_other_are_connected(network, start):
    far = network.hosts["client"].interfaces[0]
    back = far.v6 if network.family == "v6" else far.v4
    # One thread runs both hosts: neither SYN is delivered before the other is sent.
    ends = [
        start("tcp", "server").connect(back, 80, 80),
        start("tcp", "client").connect(address(network), 80, 80),
    ]
    assert network.loop.run(lambda: all(end.connected() for end in ends) and ends[0].send(b"x"), 5_000_000)
    assert receive(network, ends[1]) == b"x"
    for end in ends:
        end.close()


def test_a_host_closes_the_connections_that_nobody_closed(connected):
    near, far, hosts = connected()
    for host in hosts.values():
        host.close()
    for connection in (near, far):
        with pytest.raises(ConnectionLost, match="EBADF"):
            connection.send(b"1")


def test_what_was_counted_before_is_not_told(connected):
    _, _, hosts = connected()
    hosts["client"].begin()
    assert "MPTcpExtMPCapableSYNTX" not in hosts["client"].state().counters


def test_a_port_that_nobody_listens_to(network, start):
    start("linux", "server")
    near = start("linux", "client").connect(address(network), 81)

    def refused():
        try:
            near.connected()
        except ConnectionLost as error:
            return error.reason == "ECONNREFUSED"
        return False

    assert network.loop.run(refused, network.loop.now + 5_000_000)
    near.close()


def test_sysctls_are_of_the_hosts_namespace(network):
    stack("linux").start(network, "client", Settings(sysctls={"net.ipv4.tcp_sack": "0"}))
    with network.hosts["client"].entered():
        assert read_sysctls("net.mptcp")["net.mptcp.enabled"] == "1"
        with open("/proc/sys/net/ipv4/tcp_sack") as file:
            assert file.read().strip() == "0"
    with network.hosts["server"].entered(), open("/proc/sys/net/ipv4/tcp_sack") as file:
        assert file.read().strip() == "1"
    with pytest.raises(HarnessError, match=r"sysctl net\.nothing"):
        stack("linux").start(network, "client", Settings(sysctls={"net.nothing": "0"}))


def test_counters_are_of_both_families(network):
    with network.hosts["client"].entered():
        counters = read_counters()
    assert {"TcpOutSegs", "TcpExtTCPTimeouts", "Ip6InReceives", "MPTcpExtMPFailTx"} <= set(counters)


def test_what_the_stacks_are():
    assert stack("linux").capabilities() == frozenset(Capability) - {Capability.KEY}
    assert stack("tcp").capabilities() == frozenset()
    for name in ("linux", "tcp"):
        assert stack(name).lacks() is None
        assert stack(name).backends == {"namespaces"}
        assert not stack(name).attached


def test_a_kernel_with_mptcp_disabled_says_so_in_one_line():
    # In a process of its own: its namespace is not ours.
    script = (
        "from mbtest.network.namespace import Namespace, set_sysctl\n"
        "from mbtest.network import privileges\n"
        "from mbtest.stacks import stack\n"
        "privileges.enter()\n"
        "with Namespace().entered():\n"
        "    set_sysctl('net.mptcp.enabled', 0)\n"
        "    print(stack('linux').lacks())\n"
        "    print(stack('tcp').lacks())\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    linux, tcp = finished.stdout.splitlines()
    assert "MPTCP is disabled" in linux
    assert "sysctl net.mptcp.enabled=1" in linux
    assert "--client tcp --server tcp" in linux
    assert "--network simulated" in linux
    assert tcp == "None"
