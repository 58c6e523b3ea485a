"""ADD_ADDR and REMOVE_ADDR, from either side (RFC 8684 §3.4)."""

import pytest

from mbtest.endpoint import Kind
from mbtest.wire import AddAddr, RemoveAddr
from tests.interop.kernel import SIGNAL, SUBFLOW, KernelEndpoint
from tests.interop.scene import OTHER_PORT, mesh
from tests.interop.talker import octets
from tests.interop.verify import OTHER

FAMILIES = pytest.mark.parametrize("family", ["v4", "v6"])
PORTS = pytest.mark.parametrize("port", [None, OTHER_PORT], ids=["no-port", "port"])


def announcing(by_us, family="v4", port=None, number=1):
    """What has one side announce its further addresses, and the other join them."""
    which = range(1, number + 1)
    settings = {"subflows": number, "limits": (number, number if by_us else 0)}
    if by_us:
        settings |= {"signal": which, "signal_port": port}
        # Linux takes one announcement at a time; what it drops is announced again, as it was not echoed.
        settings |= {"may_count": ("AddAddrDrop",)} if number > 1 else {}
    else:
        settings |= {
            "endpoints": [KernelEndpoint(at, SIGNAL, port) for at in which],
            "accept_signals": number,
        }
    if family == "v6" and port is not None:
        # An IPv6 address, a port and an HMAC leave no room for timestamps: see the last test.
        settings |= {"timestamps": False, "sysctls": {"net.ipv4.tcp_timestamps": "0"}}
    return settings


def announcements(scene, sender, echo=False):
    return [
        option
        for sent, option in scene.verified.options
        if isinstance(option, AddAddr) and sent.sender == sender and option.echo == echo
    ]


@FAMILIES
@PORTS
@pytest.mark.parametrize("number", [1, 3])
def test_the_server_announces_and_the_client_joins(play, ours, family, port, number):
    with play(family, mesh(1, number + 1), **announcing(ours == "server", family, port, number)) as scene:
        scene.exchange()
        scene.await_joined(number)
        scene.exchange()
    said = announcements(scene, "server")
    assert {(str(option.address), option.port) for option in said} == {
        (str(scene.address("server", at)), port) for at in range(1, number + 1)
    }
    assert len(announcements(scene, "client", echo=True)) >= number
    assert all(subflow.opener == "client" for subflow in scene.verified.subflows.values())


# Linux takes joins where somebody listens, as it does itself at a port that it announces: see the next test.
@pytest.mark.parametrize(
    ("ours", "port"), [("client", None), ("client", OTHER_PORT), ("server", OTHER_PORT)], indirect=["ours"]
)
@FAMILIES
def test_the_client_announces_and_the_server_joins(play, ours, family, port):
    with play(family, mesh(2, 1), **announcing(ours == "client", family, port)) as scene:
        scene.exchange()
        scene.await_joined(1)
        scene.exchange()
    assert announcements(scene, "client")
    assert announcements(scene, "server", echo=True)
    assert [subflow.opener for subflow in scene.verified.subflows.values()] == ["client", "server"]


@pytest.mark.parametrize("ours", ["server"], indirect=True)
@FAMILIES
def test_a_kernels_client_announces_what_it_refuses(play, family):
    """Linux takes a join at the port of the connection only where somebody listens on it."""
    with play(family, mesh(2, 1), resets=True, **announcing(False)) as scene:
        scene.exchange()
        scene.until(lambda: bool(scene.wire().resets), "the join was refused")
        scene.exchange()
    assert scene.joined() == 0


@FAMILIES
@pytest.mark.parametrize("by_us", [True, False], ids=["by-us", "by-kernel"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_an_address_is_removed(play, ours, family, by_us, busy):
    """Joined from where it is the client's, announced where it is the server's; nothing under way is lost."""
    who = ours if by_us else OTHER[ours]
    if who == "server":
        topology, further = mesh(1, 2, delay_us=500), announcing(by_us)
    else:
        topology, further = mesh(2, 1, delay_us=500), {"limits": (1, 0), "subflows": 1}
        further |= {"join_from": (1,)} if by_us else {"endpoints": [KernelEndpoint(1, SUBFLOW)]}
    with play(family, topology, resets=True, may_count=("MPRstRx", "MPRstTx", "reset"), **further) as scene:
        scene.exchange()
        scene.await_joined(1)
        scene.exchange(100)
        if busy:
            for role, talker in scene.talkers.items():
                talker.say(octets(600_000, role))
            second = list(scene.wire().subflows.values())[1]
            scene.until(
                lambda: scene.wire() and all(second.octets[role].pieces for role in scene.talkers),
                "both sides use the second subflow",
            )
        if by_us:
            scene.engine.remove(scene.address(ours, 1), scene.network.loop.now)
            scene.host.touch()
        else:
            scene.paths.remove(1)
        scene.until(lambda: len(scene.engine.subflows) == 1, "the subflow is gone")
        scene.until(lambda: scene.its.connection.state()["subflows"] == 0, "the kernel's subflow is gone")
        scene.deliver()
        scene.exchange(20_000)
        assert [str(subflow.local) for subflow in scene.engine.subflows] == [str(scene.address(ours))]
        told = [event.words for event in scene.endpoint.events() if event.kind is Kind.ADDRESS]
        assert sum("withdrawn" in words for words in told) == 1
    removed = [
        (sent.sender, option) for sent, option in scene.verified.options if isinstance(option, RemoveAddr)
    ]
    assert {sender for sender, _ in removed} == {who}
    assert {len(option.address_ids) for _, option in removed} == {1}


def test_an_address_of_the_other_family_is_announced_and_joined(play, ours):
    """The connection begins on IPv4; its second subflow runs on IPv6, between the same interfaces."""
    topology = mesh()
    settings = (
        {"signal": (topology.server[0].v6.ip,), "limits": (1, 1)}
        if ours == "server"
        else {"endpoints": [KernelEndpoint(0, SIGNAL, second=True)], "limits": (1, 0), "accept_signals": 1}
    )
    with play("mixed", topology, subflows=1, **settings) as scene:
        scene.exchange()
        scene.await_joined(1)
        scene.exchange(50_000)
    first, second = scene.verified.subflows.values()
    assert all(":" not in address for address in first.addresses)
    assert all(":" in address for address in second.addresses)


def test_what_does_not_fit_is_not_announced(play, ours):
    """ADD_ADDR takes 30 octets for IPv6 with a port, timestamps 12: together more than the 40 there are."""
    settings = announcing(ours == "server", "v6", OTHER_PORT) | {"timestamps": True, "sysctls": {}}
    counts = ("AddAddrTxDrop",) if ours == "client" else ()
    with play("v6", mesh(1, 2), counts=counts, may_count=("refused",), **settings) as scene:
        scene.exchange()
        scene.exchange()
    assert announcements(scene, "server") == []
