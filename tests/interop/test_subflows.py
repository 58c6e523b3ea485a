"""Further subflows: joined by the client, by the server, between all addresses (RFC 8684 §3.2)."""

import pytest

from tests.interop.kernel import FULLMESH, SIGNAL, SUBFLOW, KernelEndpoint
from tests.interop.scene import mesh
from tests.interop.talker import octets

FAMILIES = pytest.mark.parametrize("family", ["v4", "v6"])


def use_all(scene, size=400_000):
    """Carry enough both ways for more than one subflow to be of use."""
    for role, talker in scene.talkers.items():
        talker.say(octets(size, f"{role}/all"))
    scene.deliver()
    for role in scene.talkers:
        used = [subflow.name for subflow in scene.wire().subflows.values() if subflow.carried(role)]
        assert len(used) > 1, f"subflows that carried data of the {role}"


@pytest.mark.parametrize(
    ("number", "family"),
    [(2, "v4"), (2, "v6"), (3, "v4"), (4, "v6"), (5, "v4"), (6, "v6"), (7, "v4"), (8, "v4"), (8, "v6")],
)
def test_joined_by_the_client(play, ours, family, number):
    further = range(1, number)
    settings = (
        {"join_from": further}
        if ours == "client"
        else {"endpoints": [KernelEndpoint(at, SUBFLOW) for at in further]}
    )
    with play(
        family, mesh(number, 1, delay_us=200), limits=(number - 1, 0), subflows=number - 1, **settings
    ) as scene:
        scene.exchange()
        scene.await_joined(number - 1)
        use_all(scene)
    assert len(scene.verified.subflows) == number


@pytest.mark.parametrize("ours", ["client"], indirect=True)
@FAMILIES
@pytest.mark.parametrize("number", [2, 8])
def test_joined_by_the_kernels_server(play, family, number):
    """The client takes a join by its token, at a port that nobody listens on (§3.2).

    The kernel is told of its addresses late: it opens no subflow for a connection that is not accepted yet.
    """
    with play(family, mesh(1, number), limits=(number - 1, 0), subflows=number - 1) as scene:
        scene.exchange()
        for at in range(1, number):
            scene.paths.add(KernelEndpoint(at, SUBFLOW))
        scene.await_joined(number - 1)
        use_all(scene)
    assert len(scene.verified.subflows) == number
    openers = [subflow.opener for subflow in scene.verified.subflows.values()]
    assert openers == ["client"] + (number - 1) * ["server"]


@pytest.mark.parametrize("ours", ["server"], indirect=True)
@FAMILIES
def test_a_kernels_client_takes_no_join(play, family):
    """Linux looks for a listener before it looks at the token; the connection goes on without."""
    with play(family, mesh(1, 2), limits=(1, 0), subflows=1, join_from=(1,), resets=True) as scene:
        scene.exchange()
        scene.until(lambda: bool(scene.wire().resets), "the join was refused")
        scene.exchange()
    (refusal,) = scene.verified.resets
    assert refusal.sender == "client"
    assert refusal.segment.destination == scene.address("server", 1)
    assert scene.joined() == 0


@FAMILIES
@pytest.mark.parametrize(("clients", "servers"), [(2, 2), (2, 4), (4, 2)])
def test_a_full_mesh(play, ours, family, clients, servers):
    signalled, further = range(1, servers), clients * servers - 1
    settings = (
        {
            "path_manager": "full-mesh", "join_from": range(1, clients), "accept_signals": len(signalled),
            "limits": (further, 0), "endpoints": [KernelEndpoint(at, SIGNAL) for at in signalled],
        }
        if ours == "client"
        else {
            "signal": signalled, "limits": (further, len(signalled)),
            "endpoints": [KernelEndpoint(at, SUBFLOW | FULLMESH) for at in range(clients)],
        }
    )  # fmt: skip
    # Linux takes one announcement at a time; what it drops is announced again, as it was not echoed.
    may_count = ("AddAddrDrop",) if ours == "server" and servers > 2 else ()
    with play(family, mesh(clients, servers), subflows=further, may_count=may_count, **settings) as scene:
        scene.exchange()
        scene.await_joined(further)
        use_all(scene)
    pairs = {(near, far) for near in range(clients) for far in range(servers)}
    ends = {
        frozenset((str(scene.address("client", near)), str(scene.address("server", far))))
        for near, far in pairs
    }
    assert {subflow.addresses for subflow in scene.verified.subflows.values()} == ends
