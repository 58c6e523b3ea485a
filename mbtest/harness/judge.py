"""Outcomes: what happened in a run, worked out from packets and streams; no stack is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mbtest.harness.session import Session
from mbtest.observe import CLIENT, SERVER, Observation, Stage
from mbtest.observe.flows import FlowView, Seen
from mbtest.observe.owed import NO_TIMER, owed, owing_hosts
from mbtest.observe.state import Connection, Manner, Mode, Subflow
from mbtest.results import Evidence, Fallback, Outcome, Stream
from mbtest.wire import Dss

ROLES = (CLIENT, SERVER)
MOST_OWED = 4
"""Things owed that are told."""
TELLING = 8
"""Octets by which data is found again among packets; what is sent does not repeat itself."""
FEWEST = 3
"""Of them, those that have to be in one packet."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome with its reason and the packets that show it."""

    outcome: Outcome
    fallback: Fallback | None = None
    reason: str
    evidence: tuple[Evidence, ...] = ()
    who: str = ""
    """The host that the others wait for, or that read what was not there; empty where it is not one alone."""


class Judged:
    """A run that was carried out, with its outcome: what expectations ask."""

    def __init__(self, session: Session) -> None:
        """Judge a session."""
        self.session = session
        self.judgement = judge(session)

    @property
    def outcome(self) -> Outcome:
        """What happened."""
        return self.judgement.outcome


def judge(session: Session) -> Judgement:
    """Return what happened. The worst that applies is the outcome."""
    for stream in session.streams:
        if stream.wrong_at is not None:
            return Judgement(
                outcome=Outcome.CORRUPTED,
                reason=f"{way(stream)}, {difference(stream)}",
                evidence=arrival(session, stream.direction, stream.wrong_at),
                who=_misread(session, stream.direction, stream.wrong_at),
            )
    errors = [stream.error for stream in session.streams if stream.error]
    if errors:
        return _reset(session, errors)
    if session.stuck:
        return _stalled(session)
    short = [stream for stream in session.streams if not _is_whole(stream)]
    if short:
        return Judgement(
            outcome=Outcome.CORRUPTED,
            reason=f"{way(short[0])}, the stream ended at {short[0].received} of {short[0].intended}",
            evidence=_ends(session),
            who=_misread(session, short[0].direction, short[0].received) if short[0].end_seen else "",
        )
    observation = session.observation
    return _fallback(observation) or _subflows(session)


def _stalled(session: Session) -> Judgement:
    """Return what is owed, by whom, and which timer would move it."""
    owing = owed(session.observation.trace, session.elapsed, session.written)
    # What no timer moves is what keeps all else waiting.
    owing.sort(key=lambda one: (one.timer != NO_TIMER, one.since))
    hosts = owing_hosts(owing)
    return Judgement(
        outcome=Outcome.STALLED,
        reason=session.stuck,
        evidence=tuple(
            Evidence(one.frame, f"{one.who} owes {one.words}; moved by {one.timer} ({one.clause})")
            for one in owing[:MOST_OWED]
        ),
        who=hosts.pop() if len(hosts) == 1 else "",
    )


def _is_whole(stream: Stream) -> bool:
    """Whether all of a stream arrived; a box that changes its length on purpose decides what all is."""
    return stream.received == stream.intended or stream.expected_difference


def way(stream: Stream) -> str:
    """Return in words which way a stream goes."""
    return stream.direction.replace("_", " ")


def difference(stream: Stream) -> str:
    """Return in words where a stream is wrong; people count octets from 1."""
    if stream.wrong_at is None:
        return "no octet is wrong"
    if stream.wrong_at == stream.due:
        what = "regular TCP through the boxes delivers" if stream.due != stream.intended else "were sent"
        return f"more octets were read than the {stream.due} that {what}"
    if stream.wrong_at != stream.first_difference:
        return f"octet {stream.wrong_at + 1} is not what regular TCP through the boxes delivers"
    return f"octet {stream.wrong_at + 1} is not what was sent"


def arrival(session: Session, direction: str, at: int) -> tuple[Evidence, ...]:
    """Return the packet that brought its reader the octet at a stream offset.

    What is read wrongly has often come before, where it belongs: that packet is innocent.
    """
    reader = _reader(direction)
    host, octets = session.observation.hosts[reader], session.received[direction]
    read = octets[at : at + TELLING]
    if not read:
        return ()
    frame = _by_position(host.initial, at, read)
    if not frame:
        segments = [seen for flow in host.flows.values() for seen in flow.received.segments]
        front = min(_holding(segments, octets[max(0, at - TELLING) : at]), default=0)
        found = _holding(segments, read)
        frame = min((one for one in found if one >= front), default=min(found, default=0))
    words = f"octet {at + 1} of the stream, as the {reader} read it, arrives"
    return (Evidence(frame=frame, words=words),) if frame else ()


def _reader(direction: str) -> str:
    return SERVER if direction == "to_server" else CLIENT


def _misread(session: Session, direction: str, at: int) -> str:
    """Return the reader where an octet reached it in its place, and no other did there; else nothing.

    It read another one there, or the end of the stream.
    """
    reader = _reader(direction)
    writer = CLIENT if reader == SERVER else SERVER
    flow = session.observation.hosts[reader].initial
    right = session.plan.workload.stream(writer, session.plan.seed)[at : at + TELLING]
    wrong = session.received[direction][at : at + TELLING]
    if not right or not _by_position(flow, at, right):
        return ""
    return "" if wrong and _by_position(flow, at, wrong) else reader


def _by_position(flow: FlowView | None, at: int, read: bytes) -> int:
    """Return the first packet with these octets where they belong to a reader that is regular TCP, or 0."""
    if flow is None or flow.received.syn is None:
        return 0
    first = flow.received.syn.segment.seq + 1
    for seen in flow.received.segments:
        within = at - (seen.segment.seq - first)
        if 0 <= within < seen.segment.payload_length:
            part = seen.segment.payload[within : within + len(read)]
            if read.startswith(part):
                return seen.frame
    return 0


def _holding(segments: Iterable[Seen], octets: bytes) -> list[int]:
    """Return the packets in which octets are, or at whose end they begin."""
    begins = [octets[:length] for length in range(FEWEST, len(octets))]
    return [
        seen.frame
        for seen in segments
        if octets
        and (octets in seen.segment.payload or any(seen.segment.payload.endswith(one) for one in begins))
    ]


def _ends(session: Session) -> tuple[Evidence, ...]:
    """Return the packets with which hosts ended their streams."""
    found = []
    for role in ROLES:
        connection = session.observation.connection(role)
        if connection is None:
            continue
        fin = next((one.own.fin_frame for one in connection.subflows if one.own.fin_frame), 0)
        if connection.own.fin_frame:
            found.append(Evidence(frame=connection.own.fin_frame, words=f"{role} sends DATA_FIN"))
        elif fin:
            found.append(Evidence(frame=fin, words=f"{role} sends FIN"))
    return tuple(found)


def _reset(session: Session, errors: Sequence[str]) -> Judgement:
    evidence = [
        Evidence(frame=subflow.own.rst, words=f"{role} sends RST")
        for role in ROLES
        for subflow in _subflows_of(session.observation.connection(role))
        if subflow.own.rst is not None
    ]
    told = " and ".join(sorted(set(errors)))
    return Judgement(
        outcome=Outcome.RESET, reason=f"an application was told {told}", evidence=tuple(evidence)
    )


def _fallback(observation: Observation) -> Judgement | None:
    """Return how the connection came to be regular TCP, or None where both hosts spoke MPTCP to the end."""
    shown = [
        (role, connection.infinite_sent)
        for role in ROLES
        if (connection := observation.connection(role)) is not None and connection.infinite_sent is not None
    ]
    if shown:
        who = " and ".join(role for role, _ in shown)
        return Judgement(
            outcome=Outcome.FELL_BACK,
            fallback=Fallback.INFINITE_MAPPING,
            reason=f"{who} fell back with an infinite mapping",
            evidence=tuple(Evidence(frame, f"{role} sends an infinite mapping") for role, frame in shown),
        )
    without = [role for role in ROLES if not observation.spoke_to_the_end(role)]
    if not without:
        return None
    signalled = any(observation.hosts[role].sent(Dss, Stage.HANDSHAKE_ACK) for role in ROLES)
    manner = Fallback.WITHOUT_SIGNAL if signalled else Fallback.IN_HANDSHAKE
    how = "in the handshake" if manner is Fallback.IN_HANDSHAKE else "without a signal"
    return Judgement(
        outcome=Outcome.FELL_BACK,
        fallback=manner,
        reason=f"{' and '.join(without)} went on as regular TCP, {how}",
        evidence=tuple(_evidence_of_tcp(observation, role) for role in without),
    )


def _evidence_of_tcp(observation: Observation, role: str) -> Evidence:
    connection = observation.connection(role)
    if connection is None:
        return Evidence(0, f"{role} saw no connection")
    fallback = connection.fallback
    if fallback is not None and fallback.manner is Manner.SILENT:
        return Evidence(fallback.frame, f"{role} sends data without a mapping")
    if fallback is not None:
        return Evidence(fallback.frame, f"{role} saw that {fallback.manner.value}")
    fin = connection.subflows[0].own.fin_frame
    if fin and connection.mode is Mode.MPTCP:
        return Evidence(fin, f"{role} ends its stream without a DATA_FIN")
    return Evidence(0, f"{role} saw no MPTCP from its peer")


def _subflows(session: Session) -> Judgement:
    connections = [(role, session.observation.connection(role)) for role in ROLES]
    number = min(
        sum(_lasted(connection, one) for one in _subflows_of(connection)) for _, connection in connections
    )
    intended = 1 + session.plan.subflows
    if number >= intended:
        words = "on its one subflow" if number == 1 else f"on {number} subflows"
        return Judgement(
            outcome=Outcome.MULTIPATH, reason=f"MPTCP to the end, {words}", evidence=_ends(session)
        )
    return Judgement(
        outcome=Outcome.FEWER_SUBFLOWS,
        reason=f"MPTCP to the end; {number} of {intended} subflows came to be and stayed",
        evidence=tuple(
            Evidence(frame=subflow.own.rst, words=f"{role} resets a subflow")
            for role, connection in connections
            for subflow in _subflows_of(connection)
            if subflow.own.rst is not None
        ),
    )


def _subflows_of(connection: Connection | None) -> Sequence[Subflow]:
    return connection.subflows if connection is not None else ()


def _lasted(connection: Connection | None, subflow: Subflow) -> bool:
    """Whether a host had a subflow, and it was not reset while the connection had still something to say."""
    if connection is None or not subflow.established:
        return False
    resets = [rst for rst in (subflow.own.rst, subflow.peer.rst) if rst is not None]
    fin = connection.own.fin_frame
    return not resets or bool(fin and min(resets) > fin)
