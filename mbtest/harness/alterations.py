"""Octets that a box altered on their way, on whichever subflow, told from those that a stack got wrong."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe import CLIENT, SERVER, Observation
from mbtest.observe.flows import FlowView, HalfView

CONTEXT = 16
"""Octets beside an octet by which its place on a subflow is found."""


def first_wrong(
    observation: Observation, reader: str, read: bytes, sent: bytes, delivered: bytes, start: int
) -> int | None:
    """Return the offset of the first octet that was read wrongly, from `start` on; None where there is none.

    It is neither the one that was sent there, nor what regular TCP through the boxes delivers, nor one that a
    box put in the place of the one that was sent, as both sides of the boxes show. reader: client or server.
    """
    for at in range(start, len(read)):
        octet = read[at : at + 1]
        if octet in (sent[at : at + 1], delivered[at : at + 1]):
            continue
        if sent[at : at + 1] not in _sent_instead(observation, reader, read, at):
            return at
    return None


def _sent_instead(observation: Observation, reader: str, read: bytes, at: int) -> Iterator[bytes]:
    """Give what the peer sent in the place of an octet that was read, wherever it arrived."""
    writer = CLIENT if reader == SERVER else SERVER
    # A segment may end before it, or begin with it.
    before, behind = read[max(0, at - CONTEXT) : at + 1], read[at : at + 1 + CONTEXT]
    for flow in observation.hosts[reader].flows.values():
        places = [place + len(before) - 1 for place in _places(flow.received, before)]
        places += _places(flow.received, behind)
        for other in observation.hosts[writer].flows.values():
            if _is_same(flow, other):
                for place in places:
                    yield from _at(other.sent, place)


def _is_same(flow: FlowView, other: FlowView) -> bool:
    return flow.path == other.path and flow.is_join == other.is_join


def _places(half: HalfView, octets: bytes) -> Iterator[int]:
    """Give the offsets, on a subflow, at which these octets begin."""
    if half.syn is None:
        return
    for seen in half.segments:
        within = seen.segment.payload.find(octets)
        if within >= 0:
            yield (seen.segment.seq - half.syn.segment.seq) + within


def _at(half: HalfView, place: int) -> Iterator[bytes]:
    """Give the octets that were sent at an offset of a subflow."""
    if half.syn is None:
        return
    for seen in half.segments:
        within = place - (seen.segment.seq - half.syn.segment.seq)
        if 0 <= within < seen.segment.payload_length:
            yield seen.segment.payload[within : within + 1]
