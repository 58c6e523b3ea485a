"""What holds of every run, however bad the network and whatever the boxes: each law takes one and raises."""

from __future__ import annotations

from mbtest.endpoint import Kind
from mbtest.endpoint.states import CLOSING, JOIN, MODE, TCP, Closing, Join, JoinEvent, Mode, Tcp, TcpEvent
from mbtest.network.topology import ROLES, Role
from mbtest.wire import MpCapable, MpJoin, MptcpOption, Segment
from tests.properties.drive import Broken, Event, Opened, Sent, Taken, Witness, delivered, other, way_of
from tests.properties.flows import gathered, streams
from tests.properties.packets import segments_keep_their_word
from tests.properties.strategies import (
    ClampMss,
    CoalesceSegments,
    DropSegments,
    RewritePayload,
    RewriteSequence,
    SplitSegments,
    StripOptions,
    TranslateAddresses,
)

# -- What applications see ---------------------------------------------------------------------------


def everything_or_an_error(run: Witness) -> None:
    """Either both streams arrive whole, or an application is told an error, and the other one as well.

    A host that only waits learns nothing of a peer that is gone if the RST does not reach it: TCP has no
    other word for that, and no keep-alive of its own (RFC 9293 §3.8.4).
    """
    if any(application.is_wrong for application in run.applications.values()):
        return  # Such a run is ended early: see `no_false_data`.
    for role in ROLES:
        application, peer = run.applications[role], run.applications[other(role)]
        if application.done or (application.connection is None and peer.error):
            continue
        # Its endpoint may know of an error of which an application that is done is not told any more.
        told = peer.error or peer.connection is None or run.events(other(role), Kind.LOST)
        if told and _waits_unknowing(run, role):
            continue
        raise Broken(
            f"stalled: {application.where()}; {peer.where()} "
            f"(at {run.session.elapsed / 1e6:.3f} s, {len(run.session.capture)} packets)"
        )
    for role in ROLES:
        reader, length = run.applications[role], len(run.written(other(role)))
        if reader.end_seen and not _is_changed(run) and len(reader.received) != length:
            raise Broken(
                f"the {role} was told the end of the stream after {len(reader.received)} of {length} octets"
            )


def _waits_unknowing(run: Witness, role: Role) -> bool:
    """Whether a host has nothing under way that would bring an answer, and a subflow that no RST has ended.

    Only a RST at exactly the next number ends one (RFC 9293 §3.10.7.4).
    """
    if run.applications[role].state.get("unacknowledged", 0):
        return False
    ended = set()
    halves = gathered(run, role, taken=True)
    for entry in run.endpoints[role].log:
        if isinstance(entry, Taken) and isinstance(entry.packet, Segment) and entry.packet.rst:
            half = halves[entry.packet.flow]
            if half.offset(int(entry.packet.seq)) == 1 + len(half.octets()) + half.fin_seen:
                ended.add(entry.packet.flow)
    return bool(halves.keys() - ended)


def no_false_data(run: Witness) -> None:
    """With checksums, one reads what the peer wrote; after a fallback also what boxes made of it."""
    for role in ROLES:
        _no_false_data(run, role)


def _no_false_data(run: Witness, role: Role) -> None:
    written, read = run.written(other(role)), bytes(run.applications[role].received)
    if written[: len(read)] == read:
        return
    at = next(
        (at for at, (one, two) in enumerate(zip(read, written, strict=False)) if one != two), len(written)
    )
    where = f"the {role} read {len(read)} octets of {len(written)}; number {at} is not what was written"
    if not _is_changed(run):
        raise Broken(f"{where}, and no box rewrites any")
    fell_back = bool(run.events(role, Kind.FALLBACK))
    if not fell_back and uses_checksums(run):
        raise Broken(f"{where}, with checksums and without a fallback")
    if _resizes(run):
        # What is where is no longer said by numbers: only one path can be compared as a whole.
        if not run.plan.subflows and fell_back and not _is_lossy(run):
            expected = delivered(next(iter(run.session.chains.values())), written, way_of(other(role)))
            if expected[: len(read)] != read:
                raise Broken(f"{where}, nor what the boxes make of it")
        return
    # A box that keeps lengths: the rest is what a subflow brought, of the octets that were written there.
    if not fell_back:
        for number, (one, two) in enumerate(zip(read, written, strict=False)):
            if one != two and not any(_brought(run, role, number, read[number : number + 1], written)):
                raise Broken(f"{where}, and no subflow brought it")
        return
    rest = read[at:]
    if not any(_brought(run, role, at, rest, written)):
        raise Broken(f"{where}, and what follows is not what one subflow brought in its place")


def _brought(run: Witness, role: Role, at: int, octets: bytes, written: bytes) -> list[bool]:
    """Return, for each place of a subflow where these octets came, whether those at `at` were sent there."""
    found = []
    for flow, arrived in streams(run, role, taken=True).items():
        sent = streams(run, other(role), taken=False)
        # A translator has changed addresses: what was sent is then any of the sender's.
        candidates = [stream for key, stream in sent.items() if key == flow[::-1]] or list(sent.values())
        place = arrived.find(octets)
        while place >= 0:
            found += [
                stream[place : place + len(octets)] == written[at : at + len(octets)] for stream in candidates
            ]
            place = arrived.find(octets, place + 1)
    return found


def _is_changed(run: Witness) -> bool:
    """Whether any box changes what hosts send."""
    return any(isinstance(box, RewritePayload) for box in run.plan.boxes)


def _resizes(run: Witness) -> bool:
    """Whether a box makes streams longer or shorter."""
    return any(
        isinstance(box, RewritePayload) and box.cut is not None and len(box.put or b"") != box.cut
        for box in run.plan.boxes
    )


def _is_lossy(run: Witness) -> bool:
    """Whether boxes beside the rewriting ones take anything away."""
    return any(
        isinstance(box, StripOptions | SplitSegments | CoalesceSegments | DropSegments)
        for box in run.plan.boxes
    )


def uses_checksums(run: Witness) -> bool:
    """Whether a host asked for them; the other then has to use them too (RFC 8684 §3.1)."""
    return any(bool(run.endpoints[role].configuration.checksum) for role in ROLES)


# -- States -------------------------------------------------------------------------------------------

TABLES = {
    "subflow": (Tcp, TcpEvent, TCP),
    "join": (Join, JoinEvent, JOIN),
    "mode": (Mode, None, MODE),
    "closing": (Closing, None, CLOSING),
}


def states_move_along_the_tables(run: Witness) -> None:
    """Each move of a machine is in its table, and begins where the last one ended."""
    for role in ROLES:
        present: dict[tuple[str, int | None, int | None], str] = {}
        for event in run.events(role, Kind.STATE):
            before, _, rest = event.words.partition(" -> ")
            after, _, why = rest.partition(": ")
            machine = _machine(event, before, why)
            table = TABLES[machine][2]
            row = {str(state): moves for state, moves in table.items()}.get(before, {})
            if {str(cause): str(state) for cause, state in row.items()}.get(why) != after:
                raise Broken(f"{role}: {machine} moved {event.words}, which is not in its table")
            key = (machine, event.connection, event.subflow)
            begin = {"subflow": "CLOSED", "join": "UNVERIFIED", "mode": "NEGOTIATING", "closing": "M_ESTAB"}
            if present.get(key, begin[machine]) != before:
                raise Broken(f"{role}: {machine} moved {event.words}, and was in {present.get(key)}")
            present[key] = after


def _machine(event: Event, before: str, why: str) -> str:
    if event.subflow is not None:
        return "subflow" if why in {str(cause) for cause in TcpEvent} else "join"
    return "mode" if before in {str(state) for state in Mode} else "closing"


def silent_after_fallback(run: Witness) -> None:
    """Once a connection is regular TCP, none of its segments has an option of Multipath TCP (RFC 8684 §3.7).

    Until then, in the mode INFINITE, infinite mappings and the answer to MP_FAIL still go out.
    """
    for role in ROLES:
        modes: dict[int | None, str] = {}
        owners: dict[tuple[bytes, bytes], int] = {}
        for entry in run.endpoints[role].log:
            if isinstance(entry, Opened):
                owners[entry.flow] = entry.connection
            elif isinstance(entry, Sent):
                # A segment that belongs nowhere, such as the RST that refuses a join, is of no connection.
                mode = modes.get(owners.get(entry.segment.flow, -1), "")
                options = [option for option in entry.segment.options if isinstance(option, MptcpOption)]
                if mode == Mode.REGULAR and options:
                    raise Broken(f"{role}, {entry.time} us: regular TCP, and sends {options}")
                if mode == Mode.INFINITE and (bad := [option for option in options if not _may_end(option)]):
                    raise Broken(f"{role}, {entry.time} us: owes an infinite mapping, and sends {bad}")
            elif isinstance(entry, Event) and entry.kind is Kind.STATE and entry.subflow is None:
                after = entry.words.partition(" -> ")[2].partition(": ")[0]
                if after in {str(state) for state in Mode}:
                    modes[entry.connection] = after


def _may_end(option: MptcpOption) -> bool:
    return option.name == "MP_FAIL" or bool(getattr(option, "infinite", False)) or option.name == "MP_TCPRST"


def no_needless_fallback(run: Witness) -> None:
    """Where no box touches an option or a segment, a connection stays Multipath TCP, whatever gets lost.

    But SYNs that go unanswered are sent without MP_CAPABLE in the end (RFC 8684 §3.1).
    """
    if not all(isinstance(box, ClampMss | RewriteSequence | TranslateAddresses) for box in run.plan.boxes):
        return
    syns = [
        entry.segment
        for entry in run.endpoints["client"].log
        if isinstance(entry, Sent) and entry.segment.syn and entry.segment.option(MpJoin) is None
    ]
    if not all(syn.option(MpCapable) for syn in syns):
        return
    for role in ROLES:
        for event in run.events(role, Kind.FALLBACK):
            if event.connection == 0:
                raise Broken(f"{role} fell back with nothing in the way: {event.describe()}")


LAWS = (
    everything_or_an_error,
    no_false_data,
    states_move_along_the_tables,
    silent_after_fallback,
    no_needless_fallback,
    segments_keep_their_word,
)
