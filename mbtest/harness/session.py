"""One run carried out: network, stacks and applications brought together until all is said or stuck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address

import msgspec

from mbtest.errors import HarnessError, UsageError
from mbtest.harness.actions import Director, kept_back
from mbtest.harness.alterations import first_wrong
from mbtest.harness.plan import Plan, settings
from mbtest.harness.watchdog import Watchdog
from mbtest.harness.workload import PRELUDE, Application
from mbtest.middlebox import SECOND, BoxError, Chain, Direction
from mbtest.middlebox.whereabouts import raised
from mbtest.network.backends import make_network
from mbtest.network.capture import Capture
from mbtest.network.contract import Network
from mbtest.network.topology import ROLES, Role
from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.observe.owed import Written
from mbtest.results import BoxUse, StackState, Stream
from mbtest.stacks import Capability, Connection, ConnectionLost, Host, stack

Address = IPv4Address | IPv6Address
Follow = Callable[[Observation], int]
PORT = 80
REHEARSAL_PORT = 79
DRAIN = 2 * SECOND
"""How long the closing of the flows is followed after both applications are done."""
CORRUPT = 2 * SECOND
"""How long a run goes on after an application read what was not sent, to show what comes of it."""
STORM = 8_000
"""Packets seen at either end of a path since an application last got anywhere, after which a run is stuck."""
STEP = SECOND // 4
"""How long events are waited for before it is looked whether a run is stuck."""
ENDLESS = 1 << 62
"""Beyond every point of a stream."""
SETTLE = 1_500_000
"""How long intended subflows are waited for, microseconds: one retransmission of a SYN, and some."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was carried out: what the packets, the applications and the stacks tell of it."""

    plan: Plan
    observation: Observation
    capture: Capture
    chains: Mapping[str, Chain]
    streams: tuple[Stream, ...]
    received: Mapping[str, bytes]
    """What the reader of each direction read, by the direction's name."""
    errors: Mapping[str, str]
    """What the application of each host was told instead of a good end, by host; empty where nothing."""
    stacks: Mapping[str, StackState]
    written: Mapping[str, Written]
    """What the application of each host wrote, and whether it said that no more come."""
    stuck: str
    """Where the run was stuck, in words; empty where it came to its end."""
    elapsed: int
    """Microseconds, from the first packet to the last event."""

    @property
    def boxes(self) -> tuple[BoxUse, ...]:
        """The boxes that stood on the paths, and how much each did."""
        return tuple(
            BoxUse(path=name, box=box.describe(), deeds=deeds)
            for name, chain in self.chains.items()
            for box, deeds in chain.tally()
        )

    def stream(self, direction: Direction) -> Stream:
        """Return the stream of a direction."""
        return self.streams[0 if direction is Direction.TO_SERVER else 1]


def carry_out(plan: Plan) -> Session:
    """Carry a run out on a network of its own. Raises HarnessError, and UsageError for what cannot be."""
    variant, topology = plan.variant, plan.topology
    topology.require_family(variant.family)
    chains = {path.name: Chain(plan.boxes, path.name, index) for index, path in enumerate(topology.paths)}
    _refuse_unplaced(plan, chains)
    attached = [role for role in ROLES if stack(plan.stack(role)).attached]
    # However the run is left, hosts let go of what they have open before the network does.
    with (
        Watchdog(plan.limit + 5, chains) as watchdog,
        make_network(plan.network, topology, variant.family, chains, plan.seed, attached) as network,
        ExitStack() as hosts_at_work,
    ):
        hosts: dict[Role, Host] = {}
        for role in reversed(ROLES):
            hosts[role] = stack(plan.stack(role)).start(network, role, settings(plan, role))
            hosts_at_work.callback(hosts[role].close)
        return _carry_out(plan, chains, network, hosts, watchdog)


def _carry_out(
    plan: Plan,
    chains: Mapping[str, Chain],
    network: Network,
    hosts: Mapping[Role, Host],
    watchdog: Watchdog,
) -> Session:
    capture = network.capture
    if capture is None:
        raise HarnessError("a run without a capture cannot be judged")
    ends = {role: plan.topology.interfaces(role)[0].addresses(plan.variant.family)[0].ip for role in ROLES}
    if plan.workload.rehearsals:
        _rehearse(plan, network, lambda: _follower(capture, watchdog), hosts, ends["server"])
    observation, follow = Observation(), _follower(capture, watchdog)
    loop = network.loop
    settle_from: int | None = None
    awaited = _awaited(plan)
    is_settled = not awaited
    director = _director(plan, hosts)

    def limit() -> int | None:
        nonlocal settle_from, is_settled
        if not is_settled:
            if settle_from is None and client.opened:
                settle_from = loop.now
            waited = settle_from is not None and loop.now - settle_from > SETTLE
            is_settled = waited or observation.settled_joins() >= awaited
        return director.limit if is_settled else PRELUDE

    client = Application(CLIENT, plan.workload, plan.seed, limit)
    server = Application(SERVER, plan.workload, plan.seed, limit)

    def accepted(connection: Connection) -> None:
        if server.connection is None:
            server.begin(connection)

    def direct() -> int:
        if client.opened and server.opened:
            ends = [end for app in (client, server) if (end := app.read_to) is not None]
            director.direct(min(ends, default=ENDLESS), observation, loop.now)
        return director.taken

    delivered = _delivered(chains)
    for reader, writer in ((client, server), (server, client)):
        octets = plan.workload.stream(writer.role, plan.seed)
        reader.expect(delivered(octets, writer.direction), octets)
    if plan.workload.opened_by == "both":
        # SYNs are on their way at once, and boxes get them in the next round of the loop: they cross.
        server.begin(hosts["server"].connect(ends["client"], PORT, PORT))
        client.begin(hosts["client"].connect(ends["server"], PORT, PORT))
    else:
        hosts["server"].listen(PORT, accepted)
        client.begin(hosts["client"].connect(ends["server"], PORT))
    stuck = _run_applications(plan, network, client, server, lambda: follow(observation), direct)
    if stuck and plan.keep is not None:
        capture.write(plan.keep)
    for application in (client, server):
        application.close()
    director.close()
    loop.run(lambda: follow(observation) > 0 and observation.closed(), loop.now + (0 if stuck else DRAIN))
    observation.finish()
    states: dict[str, StackState] = {
        application.role: _with_connection(hosts[application.role].state(), application.state)
        for application in (client, server)
    }
    elapsed = loop.now
    for host in hosts.values():
        host.close()
    if losses := network.losses():
        raise HarnessError("the fabric lost frames: " + "; ".join(losses))
    return Session(
        plan=plan,
        observation=observation,
        capture=capture,
        chains=chains,
        streams=(
            _stream(plan, observation, client, server, delivered),
            _stream(plan, observation, server, client, delivered),
        ),
        received={"to_server": bytes(server.received), "to_client": bytes(client.received)},
        written={app.role: Written(app.written, app.ended) for app in (client, server)},
        errors={"client": client.error, "server": server.error},
        stacks=states,
        stuck=stuck,
        elapsed=elapsed,
    )


def _stream(
    plan: Plan,
    observation: Observation,
    writer: Application,
    reader: Application,
    delivered: Callable[[bytes, Direction], bytes],
) -> Stream:
    """Return what became of a direction's octets; what a box altered on any subflow is not wrong."""
    stream = writer.stream(reader, delivered)
    if stream.wrong_at is None:
        return stream
    octets = plan.workload.stream(writer.role, plan.seed)
    expected = delivered(octets, writer.direction)
    wrong = first_wrong(observation, reader.role, bytes(reader.received), octets, expected, stream.wrong_at)
    return msgspec.structs.replace(stream, wrong_at=wrong, expected_difference=wrong is None)


def _rehearse(
    plan: Plan,
    network: Network,
    follower: Callable[[], Follow],
    hosts: Mapping[Role, Host],
    target: Address,
) -> None:
    """Open connections and close them, one after the other; what the hosts count begins after that."""
    loop = network.loop
    accepted: list[Connection] = []
    hosts["server"].listen(REHEARSAL_PORT, accepted.append)
    for _ in range(plan.workload.rehearsals):
        observation, follow = Observation(), follower()
        opened = hosts["client"].connect(target, REHEARSAL_PORT)
        loop.run(
            lambda: follow(observation) > 0 and _is_decided(opened, accepted),  # noqa: B023
            loop.now + int(plan.patience * SECOND),
        )
        for connection in (opened, *accepted):
            connection.close()
        accepted.clear()
        loop.run(lambda: follow(observation) > 0 and observation.closed(), loop.now + DRAIN)  # noqa: B023
    for host in hosts.values():
        host.begin()


def _is_decided(connection: Connection, accepted: Sequence[Connection]) -> bool:
    """Whether a connection is established on both sides, or will not be."""
    try:
        return connection.connected() and bool(accepted)
    except ConnectionLost:
        return True


def _run_applications(
    plan: Plan,
    network: Network,
    client: Application,
    server: Application,
    follow: Callable[[], int],
    direct: Callable[[], int],
) -> str:
    """Run until both applications are done, and return where they were stuck if they were not.

    direct: has the hosts act where it is time, and says how often they have.
    """
    loop = network.loop
    patience, limit = int(plan.patience * SECOND), int(plan.limit * SECOND)
    progress, since, frames, frames_then = -1, loop.now, 0, 0
    wrong_since: int | None = None

    def over() -> bool:
        nonlocal progress, since, frames, frames_then, wrong_since
        frames = follow()
        acted = direct()
        client.pace()
        server.pace()
        aborts = plan.workload.aborts
        if aborts and len(client.received) + len(server.received) >= plan.workload.aborts_after:
            (client if aborts == "client" else server).abort()
        made = client.last_progress + server.last_progress + acted
        if made != progress:
            progress, since, frames_then = made, loop.now, frames
        # A connection that one side lost is over once the other side had its chance to notice.
        if (client.done and server.done) or client.excess or server.excess:
            return True
        if wrong_since is None and (client.is_wrong or server.is_wrong):
            wrong_since = loop.now
        if wrong_since is not None and loop.now - wrong_since > CORRUPT:
            return True
        lost = client.error or server.error
        if lost and (server.connection is None or loop.now - since > plan.grace * SECOND):
            return True
        return frames - frames_then > STORM

    waited, waited_since = 0, since
    while not over():
        if since != waited_since:
            waited, waited_since = 0, since
        if waited > patience:
            return _where(client, server, f"neither application got anywhere for {plan.patience:g} s")
        if loop.now > limit:
            return _where(client, server, f"not at its end after {plan.limit:g} s")
        before, wait = loop.now, min(STEP, patience + 1 - waited)
        loop.run(over, before + wait)
        # Where this process comes back far too late, packets lie on the wire, and it is not the stacks that
        # stand still.
        took = loop.now - before
        waited += took if took < wait + STEP else 0
    if frames - frames_then > STORM:
        return _where(client, server, f"{STORM} packets were seen at either end without any progress")
    return ""


def _awaited(plan: Plan) -> int:
    """Return how many further subflows the applications wait for after the prelude."""
    later = sum(len(kept_back(plan.workload.actions, role)) for role in ROLES)
    return max(0, plan.subflows - later) if plan.workload.wait_for_joins else 0


def _director(plan: Plan, hosts: Mapping[Role, Host]) -> Director:
    """Return what has the hosts act that can."""
    able = {
        role: host
        for role, host in hosts.items()
        if Capability.MANAGE in stack(plan.stack(role)).capabilities()
    }
    return Director(plan.workload.actions, able, plan.topology, plan.variant.family)


def _where(client: Application, server: Application, why: str) -> str:
    return f"{why}: {client.where()}; {server.where()}"


def _follower(capture: Capture, watchdog: Watchdog) -> Follow:
    """Return what feeds an observation all that was captured since it was last called, and counts it.

    It is asked after each round of the loop, and so where a run can be interrupted.
    """
    position = len(capture)
    ends = {}
    for point in capture.points:
        path, _, side = point.rpartition("/")
        # What enters the boxes at a host's side was sent by that host.
        ends[point] = path, side, {False: side, True: CLIENT if side == SERVER else SERVER}

    def follow(observation: Observation) -> int:
        nonlocal position
        watchdog.check()
        if len(capture) == position:
            return position
        for number, time, point, outbound, raw in capture.since(position):
            path, side, senders = ends[point]
            observation.add(number, time, path, side, senders[outbound], raw)
        position = len(capture)
        return position

    return follow


def _delivered(chains: Mapping[str, Chain]) -> Callable[[bytes, Direction], bytes]:
    """Return what regular TCP on the first path would deliver of a stream."""
    first = next(iter(chains.values()))

    def delivered(stream: bytes, direction: Direction) -> bytes:
        for box in first.boxes if direction is Direction.TO_SERVER else first.boxes[::-1]:
            try:
                stream = box.delivers(stream, direction)
            except Exception as error:
                raise BoxError(f"{box.name} raised in delivers(): {raised(box, error)}") from error
        return stream

    return delivered


def _with_connection(state: StackState, connection: Mapping[str, str | int]) -> StackState:
    info = dict(connection)
    mptcp = info.pop("mptcp", None)
    return msgspec.structs.replace(state, info=info, still_mptcp=None if mptcp is None else bool(mptcp))


def _refuse_unplaced(plan: Plan, chains: Mapping[str, Chain]) -> None:
    """Raise UsageError for a box whose aim names a path that the topology lacks."""
    for box in plan.boxes:
        if box.aim is not None and not any(
            box.aim.includes_path(chain.path, chain.index) for chain in chains.values()
        ):
            raise UsageError(
                f"{box.describe()}: topology {plan.topology.name} has no such path; "
                f"it has {', '.join(chains)} (0 to {len(chains) - 1})"
            )
