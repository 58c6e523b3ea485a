"""Expectations on subflows and paths: which came to be, which stayed, and what they carried."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mbtest.harness.expect import Answer, Role
from mbtest.harness.judge import ROLES, Judged
from mbtest.observe.flows import FlowView, Seen
from mbtest.observe.state import Subflow
from mbtest.results import Evidence
from mbtest.wire import Dss
from mbtest.wire.describe import one_line


@dataclasses.dataclass(frozen=True)
class Subflows:
    """So many joins were established in the client's view."""

    at_least: int

    def ask(self, run: Judged) -> Answer:
        """Count the established joins."""
        number = sum(subflow.established for subflow in run.session.observation.joins("client"))
        return Answer(
            number >= self.at_least, f"at least {self.at_least} joined subflows", f"{number} joined"
        )


@dataclasses.dataclass(frozen=True)
class DataOn:
    """A host sends at most, and at least, so many octets of data on a path.

    at_most: any number where None is given. of: from one offset of the stream up to another, from 0, and only
    what was not sent before on any path; otherwise retransmissions count.
    """

    path: str
    sender: Role
    at_most: int | None = None
    at_least: int = 0
    of: tuple[int, int] | None = None

    def ask(self, run: Judged) -> Answer:
        """Count what the host sent there, before any box touched it."""
        flows = run.session.observation.hosts[self.sender].flows.values()
        sent = [(flow, seen) for flow in flows for seen in flow.sent.segments if seen.segment.payload_length]
        if self.of is not None:
            connection = run.session.observation.connection(self.sender)
            sent = _first_sent(sent, connection.own.base if connection else None, self.of)
        found = [seen for flow, seen in sent if flow.path == self.path]
        number = sum(seen.segment.payload_length for seen in found)
        evidence = tuple(Evidence(seen.frame, one_line(seen.segment)) for seen in found[:5])
        bounds = [f"at least {self.at_least}"] if self.at_least else []
        bounds += [] if self.at_most is None else [f"at most {self.at_most}"]
        which = "octets" if self.of is None else f"of its octets {self.of[0]} to {self.of[1]}"
        expected = f"the {self.sender} sends {' and '.join(bounds)} {which} on {self.path}"
        met = self.at_least <= number and (self.at_most is None or number <= self.at_most)
        return Answer(met, expected, f"it sent {number}", evidence, self.sender)


def _first_sent(
    sent: Sequence[tuple[FlowView, Seen]], base: int | None, part: tuple[int, int]
) -> list[tuple[FlowView, Seen]]:
    """Return the segments that begin in a part of the stream and were not sent before.

    base: the stream's initial number. Segments without a mapping are left out.
    """
    found, top = [], 0
    for flow, seen in sorted(sent, key=lambda pair: pair[1].frame):
        dss, syn = seen.segment.option(Dss), flow.sent.syn
        if base is None or syn is None or dss is None or dss.dsn is None or dss.subflow_sequence is None:
            continue
        within = int(seen.segment.seq) - int(syn.segment.seq) - dss.subflow_sequence
        start = (dss.dsn - base - 1 + within) % (1 << 32)
        if part[0] <= start < part[1] and start >= top:
            found.append((flow, seen))
        top = max(top, start + seen.segment.payload_length)
    return found


@dataclasses.dataclass(frozen=True)
class Lasts:
    """A subflow came to be on this path, and no host ended it before its stream was over."""

    path: str

    def ask(self, run: Judged) -> Answer:
        """Look for a subflow that both hosts kept."""
        kept, evidence = True, []
        for role in ROLES:
            subflows = _on(run, role, self.path)
            kept = kept and any(one.established and not _ended(one) for one in subflows)
            ends = [frame for one in subflows for frame in (one.own.rst, one.own.fin_frame) if frame]
            evidence += [Evidence(frame, f"{role} ends the subflow") for frame in ends]
        actual = "it stayed" if kept else "none did"
        return Answer(kept, f"a subflow on {self.path} stays to the end", actual, tuple(evidence))


@dataclasses.dataclass(frozen=True)
class Resets:
    """A host sends a RST on this path while its stream goes on."""

    host: Role
    path: str

    def ask(self, run: Judged) -> Answer:
        """Look at its subflows there."""
        found = [one.own.rst for one in _on(run, self.host, self.path) if one.own.rst and _ended(one)]
        evidence = tuple(Evidence(frame, f"{self.host} sends RST") for frame in found)
        expected = f"the {self.host} resets the subflow on {self.path}"
        return Answer(bool(found), expected, "it did" if found else "it did not", evidence, self.host)


def _on(run: Judged, role: str, path: str) -> list[Subflow]:
    """Return a host's subflows on a path."""
    connection = run.session.observation.connection(role)
    return [] if connection is None else [one for one in connection.subflows if one.path == path]


def _ended(subflow: Subflow) -> bool:
    """Whether a RST, or a FIN, ended a subflow before the host's stream was over."""
    over = subflow.connection.own.fin_frame or subflow.connection.peer.fin_frame
    halves = (subflow.own, subflow.peer)
    ends = [frame for half in halves for frame in (half.rst, half.fin_frame) if frame]
    return bool(ends) and (not over or min(ends) < over)


@dataclasses.dataclass(frozen=True)
class NoSubflowOn:
    """No join was established on this path."""

    path: str

    def ask(self, run: Judged) -> Answer:
        """Look at the client's joins on the path."""
        observation = run.session.observation
        found = [one for one in observation.joins("client") if one.path == self.path and one.established]
        syns = [observation.client.flows[one.key].opening.syn for one in found]
        evidence = tuple(Evidence(syn.frame, one_line(syn.segment)) for syn in syns if syn is not None)
        return Answer(not found, f"no subflow joins on {self.path}", f"{len(found)} joined", evidence)
