"""Outcomes: what happened in a run, worked out from packets and streams; no stack is asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mbtest.harness.session import Session
from mbtest.observe import FlowView, HostView, Observation, Seen, Stage
from mbtest.results import Evidence, Fallback, Outcome, Stream
from mbtest.wire import Dss


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome with its reason and the packets that show it."""

    outcome: Outcome
    fallback: Fallback | None = None
    reason: str
    evidence: tuple[Evidence, ...] = ()


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
        if stream.first_difference is not None and not stream.expected_difference:
            return Judgement(
                outcome=Outcome.CORRUPTED,
                reason=_difference(stream),
            )
    errors = [stream.error for stream in session.streams if stream.error]
    if errors:
        return _reset(session, errors)
    if session.stuck:
        return Judgement(outcome=Outcome.STALLED, reason=session.stuck)
    short = [stream for stream in session.streams if not _is_whole(stream)]
    if short:
        return Judgement(
            outcome=Outcome.CORRUPTED,
            reason=f"{_words(short[0])}, the stream ended at {short[0].received} of {short[0].intended}",
        )
    observation = session.observation
    return _fallback(observation) or _subflows(session)


def _is_whole(stream: Stream) -> bool:
    """Whether all of a stream arrived; a box that changes its length on purpose decides what all is."""
    return stream.received == stream.intended or stream.expected_difference


def _words(stream: Stream) -> str:
    return stream.direction.replace("_", " ")


def _difference(stream: Stream) -> str:
    """Return in words where a stream is not what was sent."""
    if stream.first_difference == stream.intended:
        return f"{_words(stream)}, more octets were read than the {stream.intended} that were sent"
    return f"{_words(stream)}, octet {stream.first_difference} is not what was sent"


def _reset(session: Session, errors: Sequence[str]) -> Judgement:
    observation = session.observation
    evidence = [
        Evidence(frame=flow.sent.rst.frame, words=f"{host.role} sends RST")
        for host in observation.hosts.values()
        for flow in host.flows.values()
        if flow.sent.rst is not None
    ]
    told = " and ".join(sorted(set(errors)))
    return Judgement(
        outcome=Outcome.RESET, reason=f"an application was told {told}", evidence=tuple(evidence)
    )


def _fallback(observation: Observation) -> Judgement | None:
    """Return how the connection came to be regular TCP, or None where both hosts spoke MPTCP to the end.

    A host spoke MPTCP to the end if it negotiated MPTCP, sent no infinite mapping and got none, and
    ended its stream with a DATA_FIN (RFC 8684 §3.3.3), where it ended it at all.
    """
    hosts = (observation.client, observation.server)
    mappings = [host.infinite_mapping for host in hosts]
    if any(mappings):
        shown = tuple(
            Evidence(frame=seen.frame, words=f"{host.role} sends an infinite mapping")
            for host, seen in zip(hosts, mappings, strict=True)
            if seen is not None
        )
        who = " and ".join(host.role for host, seen in zip(hosts, mappings, strict=True) if seen)
        return Judgement(
            outcome=Outcome.FELL_BACK,
            fallback=Fallback.INFINITE_MAPPING,
            reason=f"{who} fell back with an infinite mapping",
            evidence=shown,
        )
    without = [host for host in hosts if not _spoke_to_the_end(host)]
    if not without:
        return None
    signalled = any(host.sent(Dss, Stage.HANDSHAKE_ACK) for host in hosts)
    manner = Fallback.WITHOUT_SIGNAL if signalled else Fallback.IN_HANDSHAKE
    who = " and ".join(host.role for host in without)
    how = "in the handshake" if manner is Fallback.IN_HANDSHAKE else "without a signal"
    return Judgement(
        outcome=Outcome.FELL_BACK,
        fallback=manner,
        reason=f"{who} went on as regular TCP, {how}",
        evidence=tuple(_evidence_of_tcp(host) for host in without),
    )


def _spoke_to_the_end(host: HostView) -> bool:
    if not host.negotiated:
        return False
    ended = any(flow.sent.fin is not None for flow in host.flows.values())
    return host.data_fin is not None or not ended


def _evidence_of_tcp(host: HostView) -> Evidence:
    flow = host.initial
    if flow is None:
        return Evidence(frame=0, words=f"{host.role} saw no connection")
    if flow.opening.syn is not None and flow.offered is None:
        return Evidence(frame=flow.opening.syn.frame, words=f"no MP_CAPABLE on the SYN that {host.role} saw")
    if flow.answering.syn is not None and flow.accepted is None:
        return Evidence(
            frame=flow.answering.syn.frame, words=f"no MP_CAPABLE on the SYN/ACK that {host.role} saw"
        )
    data = host.last_unmapped_data
    if data is not None:
        return Evidence(frame=data.frame, words=f"{host.role} sends data without a mapping")
    if flow.sent.fin is not None:
        return Evidence(frame=flow.sent.fin.frame, words=f"{host.role} ends its stream without a DATA_FIN")
    return Evidence(frame=0, words=f"{host.role} saw no MPTCP from its peer")


def _subflows(session: Session) -> Judgement:
    hosts = (session.observation.client, session.observation.server)
    number = min(len(_lasting(host)) for host in hosts)
    intended = 1 + session.plan.subflows
    if number >= intended:
        words = "on its one subflow" if number == 1 else f"on {number} subflows"
        return Judgement(outcome=Outcome.MULTIPATH, reason=f"MPTCP to the end, {words}")
    resets = [
        (host, flow.sent.rst) for host in hosts for flow in host.flows.values() if flow.sent.rst is not None
    ]
    return Judgement(
        outcome=Outcome.FEWER_SUBFLOWS,
        reason=f"MPTCP to the end; {number} of {intended} subflows came to be and stayed",
        evidence=tuple(
            Evidence(frame=rst.frame, words=f"{host.role} resets a subflow") for host, rst in resets
        ),
    )


def _lasting(host: HostView) -> list[FlowView]:
    """Return the subflows that a host had, and that were not reset before it ended its stream."""
    return [
        flow
        for flow in host.flows.values()
        if (flow.established if flow.is_join else flow is host.initial) and not _aborted(flow.reset, host)
    ]


def _aborted(reset: Seen | None, host: HostView) -> bool:
    """Whether a subflow was reset while the connection still had something to say."""
    if reset is None:
        return False
    fin = host.data_fin
    return fin is None or reset.frame < fin.frame
