"""The running kernel and the reference endpoint on a network of namespaces, one of them on each side.

A scene is set up, played and checked: whatever a test is about, the streams are whole, what both sides put on
the wire is right, and neither counts anything that the test did not ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any

import msgspec

from mbtest.endpoint import Configuration, Endpoint
from mbtest.endpoint import Connection as EndpointConnection
from mbtest.network.capture import Capture
from mbtest.network.contract import Network
from mbtest.network.namespaces import NamespaceNetwork
from mbtest.network.topology import Family, Interface, NetworkPath, Role, Topology
from mbtest.stacks import Connection, Settings, stack
from mbtest.stacks.contract import Host
from mbtest.stacks.reference import Reference, ReferenceHost
from tests.interop import wireshark
from tests.interop.kernel import KERNEL_ERRORS, KernelEndpoint, PathManager
from tests.interop.talker import Talker, octets
from tests.interop.verify import OTHER, Verifier

SECOND, MILLISECOND = 1_000_000, 1_000
PORT = 80
OTHER_PORT = 8181
"""A port that ADD_ADDR names."""
_PATIENCE = 20

OUR_ERRORS = frozenset(
    ("fallback", "MP_FAIL", "infinite mapping", "checksum", "fast close", "reset", "refused", "ignored",
     "malformed", "lost")
)  # fmt: skip
"""Kinds of the endpoint's events that do not happen unless a test has it otherwise."""


def mesh(clients: int = 1, servers: int = 1, **path: Any) -> Topology:
    """Return a topology with a path between each of the client's interfaces and each of the server's.

    path: further fields of every path.
    """
    hosts = {
        role: tuple(
            Interface(
                f"{role[0]}{number}",
                IPv4Interface(f"198.{octet}.{number}.2/24"),
                IPv6Interface(f"2001:db8:{octet}:{number}::2/64"),
            )
            for number in range(1, count + 1)
        )
        for role, count, octet in (("client", clients, 18), ("server", servers, 19))
    }
    paths = tuple(
        NetworkPath(f"{near.name}-{far.name}", near.name, far.name, **path)
        for far in hosts["server"]
        for near in hosts["client"]
    )
    return Topology(f"mesh-{clients}-{servers}", "", hosts["client"], hosts["server"], paths)


class _Host(ReferenceHost):
    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint


class _Reference(Reference):
    """The reference endpoint with any configuration, and with a way to it."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self._configuration = configuration

    def configuration(self, settings: Settings) -> Configuration:
        return self._configuration

    def start(self, network: Network, role: Role, settings: Settings) -> _Host:
        return _Host(self, network, role, settings)


class Scene:
    """Both hosts, both ends of a connection, and what happened on the wire."""

    network: NamespaceNetwork
    engine: EndpointConnection

    def __init__(
        self,
        ours: Role,
        topology: Topology,
        family: Family,
        configuration: Configuration,
        checksum: bool,
        sysctls: dict[str, str],
    ) -> None:
        self.ours: Role = ours
        self.kernels: Role = OTHER[ours]
        self.family = family
        self.topology = topology
        self.network = NamespaceNetwork(topology, family, {}, 1, attached=frozenset((ours,)))
        self._configuration = msgspec.structs.replace(configuration, time_wait=20 * MILLISECOND)
        self._settings = Settings(checksum=checksum, sysctls=sysctls)
        self._followed = 0
        self.verified = Verifier()
        self.talkers: dict[Role, Talker] = {}
        self.is_aborted = False

    # -- Setting up ----------------------------------------------------------------------------------------

    def address(self, role: Role, interface: int = 0, *, second: bool = False) -> Any:
        """Return the address of the nth interface of a host, from 0; second: the other one that it has."""
        return self.topology.interfaces(role)[interface].addresses(self.family)[second].ip

    def start(self, limits: tuple[int, int] | None, endpoints: Sequence[KernelEndpoint]) -> None:
        """Start both stacks. limits: the kernel's further subflows and announced addresses to accept."""
        if limits is not None:
            self.paths.limit(*limits)
        for endpoint in endpoints:
            self.paths.add(endpoint)
        self.host = _Reference(self._configuration).start(self.network, self.ours, self._settings)
        self.kernel: Host = stack("linux").start(self.network, self.kernels, self._settings)

    @property
    def paths(self) -> PathManager:
        """The kernel's path manager."""
        return PathManager(self.network.hosts[self.kernels])

    @property
    def endpoint(self) -> Endpoint:
        return self.host.endpoint

    def connect(self) -> None:
        """Open the connection, and wait until both sides have it."""
        hosts: dict[Role, Host] = {self.ours: self.host, self.kernels: self.kernel}
        accepted: list[Connection] = []
        hosts["server"].listen(PORT, accepted.append)
        near = hosts["client"].connect(self.address("server"), PORT)
        self.until(lambda: bool(accepted) and near.connected(), "the connection is established")
        self.engine = self.endpoint.connections[0]
        self.talkers = {"client": Talker(near), "server": Talker(accepted[0])}

    # -- The applications ----------------------------------------------------------------------------------

    @property
    def client(self) -> Talker:
        return self.talkers["client"]

    @property
    def server(self) -> Talker:
        return self.talkers["server"]

    @property
    def our(self) -> Talker:
        """The application on the reference endpoint."""
        return self.talkers[self.ours]

    @property
    def its(self) -> Talker:
        """The application on the kernel."""
        return self.talkers[self.kernels]

    def until(self, condition: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
        """Run until something holds; `what` it is stands in the failure."""
        loop = self.network.loop
        if not loop.run(condition, loop.now + round(seconds * SECOND)):
            where = "; ".join(f"{role} {talker.where()}" for role, talker in self.talkers.items())
            events = "\n".join(event.describe() for event in self.endpoint.events()[-60:])
            raise AssertionError(f"it never came true that {what}; {where}\n{events}\n{self.moved()}")

    def deliver(self) -> None:
        """Run until everything that was said was heard."""
        pairs = [(self.client, self.server), (self.server, self.client)]
        self.until(
            lambda: all(near.written and len(far.heard) >= len(near.said) for near, far in pairs),
            "everything was heard",
        )

    def exchange(self, size: int = 3000) -> None:
        """Carry octets both ways, from the client first: only then are further subflows possible."""
        for role in ("client", "server"):
            self.talkers[role].say(octets(size, f"{role}/{len(self.talkers[role].said)}"))
            self.deliver()

    # -- The wire ------------------------------------------------------------------------------------------

    @property
    def capture(self) -> Capture:
        assert self.network.capture is not None
        return self.network.capture

    def packets(self, since: int = 0) -> Iterator[tuple[Role, bytes]]:
        """Give sender and octets of what both sides sent, before any link could lose it."""
        for _, _, point, outbound, raw in self.capture.since(since):
            if not outbound:
                yield "client" if point.endswith("client") else "server", raw

    def wire(self) -> Verifier:
        """Return what was on the wire so far: options, subflows, resets. Streams only at the end."""
        for sender, raw in self.packets(self._followed):
            self.verified.add(sender, raw)
        self._followed = len(self.capture)
        return self.verified

    def joined(self) -> int:
        """Return how many further subflows both sides have agreed on."""
        return sum(subflow.is_joined and subflow.answered for subflow in self.wire().subflows.values())

    def await_joined(self, number: int) -> None:
        self.until(lambda: self.joined() >= number, f"{number} further subflows are established")
        self.until(
            lambda: len(self.engine.usable()) >= number + 1, f"the endpoint has {number + 1} usable subflows"
        )

    # -- The end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """End both streams in good order, and wait until nothing is left of the connection."""
        for talker in self.talkers.values():
            talker.end()
        self.deliver()
        self.until(lambda: self.client.end_heard and self.server.end_heard, "both ends were heard")
        self.hang_up()

    def hang_up(self) -> None:
        """Close both ends, and wait until the subflows are gone."""
        for talker in self.talkers.values():
            talker.close()
        self.await_end()

    def await_end(self) -> None:
        self.until(lambda: self.engine not in self.endpoint.connections, "the endpoint's connection is over")
        self.until(
            lambda: all(subflow.is_closed for subflow in self.wire().subflows.values()),
            "all subflows are closed on the wire",
        )

    def moved(self) -> dict[str, int]:
        """Return what both sides counted that is a mistake, or may be one."""
        found = {
            name.removeprefix("MPTcpExt"): by
            for name, by in self.kernel.state().counters.items()
            if name in KERNEL_ERRORS
        }
        return found | {name: by for name, by in self.endpoint.counters.items() if name in OUR_ERRORS and by}

    def check(self, file: Path, counts: frozenset[str], may_count: frozenset[str], resets: bool) -> None:
        """Hold against each other what was sent, what arrived, and what is right."""
        self._write(file)
        found = self.wire()
        found.finish()
        assert found.breaches == []
        assert [mapping.frame for sender, mapping in found.probes if sender == self.ours] == []
        assert self.network.losses() == []
        assert not self.network.fabric.unroutable
        for role, talker in self.talkers.items():
            other = self.talkers[OTHER[role]]
            stream = found.stream(role)
            assert bytes(other.heard) == talker.said[: len(other.heard)], f"what the {role} said, as heard"
            assert stream == talker.said[: len(stream)], f"what the {role} said, as sent"
            if not self.is_aborted:
                assert len(other.heard) == len(stream) == len(talker.said)
                assert found.ends.get(role) == len(talker.said) + 1, f"DATA_FIN of the {role}"
        assert found.checksum == bool(found.checked)
        noted = [event.describe() for event in self.endpoint.events() if event.kind in OUR_ERRORS]
        assert set(self.moved()) - may_count == counts, f"mistakes counted, and noted: {noted}"
        if not resets:
            assert [sent.frame for sent in found.resets] == []
        wireshark.ask(file, len(found.subflows), (PORT, OTHER_PORT))

    def _write(self, file: Path) -> None:
        """Write what both sides sent; what reached them is the same again, as far as it did."""
        only = Capture(self.capture.points)
        numbers = {point: at for at, point in enumerate(self.capture.points)}
        for _, time, point, outbound, raw in self.capture.since(0):
            if not outbound:
                only.record(time, numbers[point], False, raw)
        only.write(file)


@contextmanager
def playing(
    file: Path,
    ours: Role,
    family: Family = "v4",
    topology: Topology | None = None,
    *,
    checksum: bool | tuple[bool, bool] = False,
    limits: tuple[int, int] | None = None,
    endpoints: Sequence[KernelEndpoint] = (),
    counts: Sequence[str] = (),
    may_count: Sequence[str] = (),
    resets: bool = False,
    sysctls: dict[str, str] | None = None,
    **configuration: Any,
) -> Iterator[Scene]:
    """Have a connection between the endpoint and the kernel, and check it at the end.

    file: where the capture goes, of what both sides sent. checksum: ours, and the kernel's. counts: what
    is counted among `KERNEL_ERRORS` (without their prefix) and `OUR_ERRORS`; may_count: what may be.
    resets: whether there may be any. configuration: of the endpoint; addresses as numbers of interfaces.
    """
    mine, its = checksum if isinstance(checksum, tuple) else (checksum, checksum)
    where = topology or mesh()
    for name in ("join_from", "signal"):
        if name in configuration:
            hosts = where.interfaces(ours)
            configuration[name] = tuple(
                hosts[number].addresses(family)[0].ip if isinstance(number, int) else number
                for number in configuration[name]
            )
    scene = Scene(ours, where, family, Configuration(checksum=mine, **configuration), its, sysctls or {})
    with ExitStack() as cleanup:
        cleanup.enter_context(scene.network)
        scene.start(limits, endpoints)
        cleanup.callback(scene.kernel.close)
        cleanup.callback(scene.host.close)
        cleanup.callback(lambda: [talker.close() for talker in scene.talkers.values()])
        try:
            scene.connect()
            yield scene
            if scene.talkers and not all(talker.is_over for talker in scene.talkers.values()):
                scene.finish()
        except BaseException:
            scene.capture.write(file)
            raise
        scene.check(file, frozenset(counts), frozenset(may_count), resets)
