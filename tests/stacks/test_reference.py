"""The reference endpoint as a stack, on both kinds of network, with itself and with the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise

import msgspec
import pytest

from mbtest import content
from mbtest.errors import HarnessError, UsageError
from mbtest.harness.topologies import topology
from mbtest.middlebox import Aim, Chain, Direction, Kind, Middlebox
from mbtest.network.backends import make_network
from mbtest.network.contract import Backend, Network
from mbtest.network.topology import ROLES, Family, Role
from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.stacks import Capability, Connection, ConnectionLost, Host, Settings, stack
from mbtest.stacks.reference import Reference, profiles
from mbtest.wire import AddAddr, MpPrio, RemoveAddr
from middleboxes.drop import DropSegments
from middleboxes.strip import StripOptions

content.use()

SECOND = 1_000_000
KIB = 1024
PORT = 80


class Ends:
    """Both hosts of a network, and both ends of a connection."""

    def __init__(self, network: Network, client: str, server: str, asked: Settings) -> None:
        self.network, self.loop = network, network.loop
        plain = msgspec.structs.replace(asked, join_from=())
        self.hosts: dict[Role, Host] = {
            "server": stack(server).start(network, "server", plain),
            "client": stack(client).start(network, "client", asked),
        }
        self.accepted: list[Connection] = []
        self.hosts["server"].listen(PORT, self.accepted.append)
        self.near = self.hosts["client"].connect(self.address, PORT)

    @property
    def address(self):
        return self.network.topology.server[0].addresses(self.network.family)[0].ip

    @property
    def far(self) -> Connection:
        return self.accepted[0]

    def until(self, condition: Callable[[], bool], seconds: float = 10) -> bool:
        return self.loop.run(condition, self.loop.now + int(seconds * SECOND))

    def establish(self) -> None:
        assert self.until(lambda: bool(self.accepted) and self.near.connected())

    def close(self) -> None:
        for connection in (self.near, *self.accepted):
            connection.close()
        for host in self.hosts.values():
            host.close()

    def carry(self, sender: Connection, receiver: Connection, data: bytes) -> bytes:
        """Send octets and the end of the stream, and return what arrives before its end."""
        received, left = bytearray(), memoryview(data)
        ended = False

        def write() -> None:
            nonlocal left
            while left and (taken := sender.send(left)):
                left = left[taken:]
            if not left:
                sender.shutdown()
                sender.watch(None, None)

        def read() -> None:
            nonlocal ended
            octets = receiver.receive(64 * KIB)
            if octets is not None:
                received.extend(octets)
                ended = not octets
            if ended:
                receiver.watch(None, None)

        sender.watch(None, write)
        receiver.watch(read, None)
        assert self.until(lambda: ended)
        return bytes(received)


Open = Callable[..., Ends]


@pytest.fixture
def ends() -> Iterator[Open]:
    """Return what makes a network with two stacks; it is taken down at the end."""
    with ExitStack() as cleanup:

        def make(
            client: str = "reference",
            server: str = "reference",
            backend: Backend = "simulated",
            family: Family = "v4",
            boxes: tuple[Middlebox, ...] = (),
            on: str = "one-path",
            **settings: object,
        ) -> Ends:
            names = {"client": client, "server": server}
            attached = [role for role in ROLES if stack(names[role]).attached]
            where = topology(on)
            chains = {path.name: Chain(boxes, path.name, at) for at, path in enumerate(where.paths)}
            network = cleanup.enter_context(make_network(backend, where, family, chains, 1, attached))
            made = Ends(network, client, server, Settings(**settings))  # type: ignore[arg-type]
            cleanup.callback(made.close)
            return made

        yield make


def observed(network: Network) -> Observation:
    found = Observation()
    assert network.capture is not None
    for number, time, point, outbound, raw in network.capture.since(0):
        path, _, side = point.rpartition("/")
        sender = (CLIENT if side == SERVER else SERVER) if outbound else side
        found.add(number, time, path, side, sender, raw)
    return found


PAIRS = [
    ("reference", "reference", "simulated"),
    ("reference", "reference", "namespaces"),
    ("linux", "reference", "namespaces"),
    ("reference", "linux", "namespaces"),
]


@pytest.mark.parametrize("family", ["v4", "v6", "mixed"])
@pytest.mark.parametrize(("client", "server", "backend"), PAIRS)
def test_streams_pass_both_ways_as_mptcp(
    ends: Open, client: str, server: str, backend: str, family: str
) -> None:
    made = ends(client, server, backend, family)
    made.establish()
    there, back = bytes(range(256)) * 400, b"answer" * 9_999
    assert made.carry(made.near, made.far, there) == there
    assert made.carry(made.far, made.near, back) == back
    assert made.near.state()["mptcp"] == made.far.state()["mptcp"] == 1
    assert made.network.losses() == []
    made.near.close()
    made.far.close()
    assert made.until(lambda: observed(made.network).closed(), 2)


@pytest.mark.parametrize(("client", "server", "backend"), PAIRS)
def test_further_subflows_are_opened(ends: Open, client: str, server: str, backend: str) -> None:
    further = topology("dual-homed-client").client[1].v4
    assert further is not None
    made = ends(
        client, server, backend, on="dual-homed-client", subflows=1, join_from=(further.ip,), checksum=True
    )
    made.establish()
    assert made.near.send(b"x") == 1

    def joined() -> bool:
        return observed(made.network).settled_joins() >= 1

    assert made.until(joined, 5)


def test_regular_tcp_is_spoken_to_who_knows_no_more(ends: Open) -> None:
    made = ends(server="tcp", backend="namespaces")
    made.establish()
    assert made.carry(made.near, made.far, b"plain") == b"plain"
    assert made.near.state()["mptcp"] == 0


def test_nothing_is_there_before_it_came(ends: Open) -> None:
    made = ends()
    assert not made.near.connected()
    made.establish()
    assert made.near.receive(10) is None


def lost(connection: Connection) -> str:
    try:
        connection.receive(1)
    except ConnectionLost as error:
        return error.reason
    return ""


@pytest.mark.parametrize(("client", "server", "backend"), PAIRS)
def test_an_abort_is_told_to_the_peer(ends: Open, client: str, server: str, backend: str) -> None:
    made = ends(client, server, backend)
    made.establish()
    made.near.send(b"x")
    assert made.until(lambda: made.far.receive(10) == b"x")
    told: list[str] = []
    made.far.watch(lambda: told.append(lost(made.far)), None)
    made.near.abort()
    assert made.until(lambda: "ECONNRESET" in told, 5)
    with pytest.raises(ConnectionLost):
        made.far.send(b"x")


def test_a_port_that_nobody_listens_to(ends: Open) -> None:
    made = ends()
    other = made.hosts["client"].connect(made.address, PORT + 1)
    told: list[str] = []
    other.watch(lambda: told.append(lost(other)), None)
    assert made.until(lambda: bool(told))
    assert told[0] == "ECONNREFUSED"


def test_a_peer_that_never_answers(ends: Open) -> None:
    made = ends(boxes=(DropSegments(),))
    told: list[str] = []
    made.near.watch(None, lambda: told.append(lost(made.near)))
    assert made.until(lambda: bool(told), 600)
    assert told == ["ETIMEDOUT"]


def test_what_is_lost_is_sent_again(ends: Open) -> None:
    box = DropSegments(aim=Aim(kinds=Kind.DATA, direction=Direction.TO_SERVER, nth=3))
    made = ends(boxes=(box,))
    made.establish()
    data = bytes(range(256)) * 200
    assert made.carry(made.near, made.far, data) == data


def test_watches_are_asked_while_there_is_something_and_no_longer(ends: Open) -> None:
    made = ends()
    made.establish()
    calls: list[bytes | None] = []
    made.far.watch(lambda: calls.append(made.far.receive(10)), None)
    made.near.send(b"0123456789" * 3)
    assert made.until(lambda: b"".join(filter(None, calls)) == b"0123456789" * 3)
    seen = len(calls)
    made.until(lambda: False, 5)
    # Level-triggered: asked as long as something was there; a reader that finds nothing is not asked again.
    assert len(calls) == seen == 3


def test_a_reader_that_does_not_read_holds_nothing_up(ends: Open) -> None:
    made = ends()
    made.establish()
    calls: list[int] = []
    made.far.watch(lambda: calls.append(made.loop.now), lambda: calls.append(-1))
    made.near.send(b"x")
    made.until(lambda: False, 5)
    assert 0 < len(calls) < 50


def test_an_application_may_act_between_rounds(ends: Open) -> None:
    made = ends()
    made.establish()
    made.until(lambda: False, 5)
    began = made.loop.now
    # Nothing else is under way that could wake the loop.
    made.near.send(b"x")
    assert made.until(lambda: made.far.receive(1) == b"x")
    assert made.loop.now - began < SECOND


def test_the_same_seed_gives_the_same_packets(ends: Open) -> None:
    captures = []
    for _ in range(2):
        made = ends(on="dual-homed-client")
        made.establish()
        made.carry(made.near, made.far, bytes(50_000))
        assert made.network.capture is not None
        captures.append(list(made.network.capture))
    assert captures[0] == captures[1]


def test_the_endpoint_tells_what_it_counted(ends: Open) -> None:
    made = ends()
    made.establish()
    state = made.hosts["client"].state()
    assert state.name == "reference"
    assert all(number for number in state.counters.values())
    assert any("connected" in event for event in state.events)


def test_what_the_endpoint_notes_again_and_again_is_one_line(ends: Open) -> None:
    box = StripOptions(aim=Aim(kinds=Kind.DATA, from_byte=20_000, until_byte=20_001))
    made = ends(boxes=(box,))
    made.establish()
    made.near.send(bytes(100_000))
    made.until(lambda: False, 5)
    events = made.hosts["client"].state().events
    assert any(event.endswith(" times") for event in events)
    without_time = [event.split(" ", 1)[1].split(", ")[0] for event in events]
    assert all(one != next_one for one, next_one in pairwise(without_time))


def test_a_kernels_settings_are_no_concern_of_it(ends: Open) -> None:
    made = ends(sysctls={"net.ipv4.tcp_sack": "0"})
    made.establish()


def test_a_kernel_cannot_be_simulated() -> None:
    with (
        make_network("simulated", topology("one-path"), "v4", {}, 1) as network,
        pytest.raises(HarnessError, match="linux: a kernel needs a host in a namespace"),
    ):
        stack("linux").start(network, "client", Settings())


# -- what it says of itself -----------------------------------------------------------------------


def test_what_the_stack_is() -> None:
    reference = stack("reference")
    assert reference.name == "reference"
    assert reference.capabilities() == frozenset(Capability) - {Capability.LOSE}
    assert reference.lacks() is None
    assert reference.attached
    assert reference.backends == {"namespaces", "simulated"}


def test_it_has_no_interface_to_lose(ends: Open) -> None:
    made = ends()
    with pytest.raises(HarnessError, match="cannot lose"):
        made.hosts["client"].lose(topology("one-path").client[0].v4.ip)


@pytest.mark.parametrize(("client", "server", "backend"), PAIRS)
def test_hosts_announce_join_rank_and_remove(ends: Open, client: str, server: str, backend: str) -> None:
    further = topology("dual-homed-client").client[1].v4
    assert further is not None
    made = ends(client, server, backend, on="dual-homed-client", subflows=1)
    made.establish()
    host, seen = made.hosts["client"], lambda: observed(made.network)

    def exchange() -> None:
        """Have both hosts hear of all that went before."""
        for sender, receiver in ((made.near, made.far), (made.far, made.near)):
            assert sender.send(b"x") == 1
            assert made.until(lambda receiver=receiver: receiver.receive(1) == b"x", 5)

    exchange()
    host.join_from(further.ip)
    assert made.until(lambda: seen().settled_joins() == 1, 5)
    exchange()
    host.set_backup(further.ip, True)
    assert made.until(lambda: bool(seen().server.received(MpPrio)), 5)
    host.remove(further.ip)
    assert made.until(lambda: bool(seen().server.received(RemoveAddr)), 5)
    host.announce(further.ip, 8080)
    assert made.until(lambda: any(not one.echo for _, one in seen().server.received(AddAddr)), 5)


@pytest.mark.parametrize("name", profiles())
def test_a_profile_is_a_stack_of_its_own(ends: Open, name: str) -> None:
    ordered = stack(f"reference+{name}")
    assert ordered.name == f"reference+{name}"
    assert profiles()[name]
    assert isinstance(ordered, Reference)
    made = ends(client=ordered.name)
    made.establish()


def test_an_unknown_profile_lists_those_there_are() -> None:
    for wrong in ("reference+nothing", "reference+"):
        with pytest.raises(UsageError) as refused:
            stack(wrong)
        assert "there are " in str(refused.value)
        assert all(name in str(refused.value) for name in profiles())
    with pytest.raises(UsageError, match="stack linux has no profiles; `reference"):
        stack("linux+nothing")


def test_settings_of_the_endpoint_alone() -> None:
    """They win over what every stack is asked for."""
    settings = Settings(checksum=True, endpoint={"checksum": False, "mtu": 1280})
    configuration = Reference().configuration(settings)
    assert (configuration.checksum, configuration.mtu) == (False, 1280)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [({"colour": 1}, "no setting colour; there are"), ({"mtu": 10}, "mtu=10; 576 to 65535")],
)
def test_a_wrong_setting_of_the_endpoint_is_named(endpoint: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Reference().configuration(Settings(endpoint=endpoint))
