"""Expectations: small questions about a run, each answered with what was expected, seen, and where."""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

from mbtest.harness.judge import Judged, arrival, difference, way
from mbtest.harness.near import how_near
from mbtest.middlebox import Direction, Middlebox
from mbtest.network.topology import ROLES
from mbtest.observe import Stage
from mbtest.results import Evidence, Fallback, Outcome, Stream
from mbtest.wire import Dss, MpCapable, MpFail, MptcpOption, MpTcprst, TcpOption
from mbtest.wire.describe import one_line, option_words
from mbtest.wire.mptcp import RESET_REASONS

Role = Literal["client", "server"]
HANDSHAKE = Stage.HANDSHAKE_ACK


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of an expectation."""

    met: bool
    expected: str
    actual: str
    evidence: tuple[Evidence, ...] = ()
    who: str = ""
    """The host that it is about; empty where it is about both."""
    is_delivery: bool = False
    """Whether it is about what applications got, which boxes alone can spoil."""


class Expectation(Protocol):
    """A question about a run."""

    def ask(self, run: Judged) -> Answer:
        """Return the answer."""


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The outcome is one of these."""

    outcomes: tuple[Outcome, ...]

    def __init__(self, *outcomes: Outcome) -> None:
        """Take one outcome or several."""
        object.__setattr__(self, "outcomes", outcomes)

    def ask(self, run: Judged) -> Answer:
        """Compare with the judgement."""
        expected = " or ".join(outcome.value for outcome in self.outcomes)
        met = run.judgement.outcome in self.outcomes
        actual = f"{run.judgement.outcome.value}: {run.judgement.reason}"
        judged = run.judgement
        return Answer(met, f"outcome {expected}", actual, judged.evidence, judged.who, is_delivery=True)


@dataclasses.dataclass(frozen=True)
class FellBack:
    """The connection became regular TCP in this manner."""

    how: Fallback

    def ask(self, run: Judged) -> Answer:
        """Compare with the judgement."""
        words = self.how.value.replace("_", " ")
        return Answer(
            run.judgement.fallback is self.how,
            f"fallback {words}",
            run.judgement.reason,
            run.judgement.evidence,
            is_delivery=True,
        )


@dataclasses.dataclass(frozen=True)
class Interfered:
    """A box of this class changed, split, withheld or sent at least so many packets."""

    box: type[Middlebox]
    at_least: int = 1

    def ask(self, run: Judged) -> Answer:
        """Count the deeds on all paths; where they are too few, look what the box waited for."""
        deeds = sum(chain.deeds(self.box) for chain in run.session.chains.values())
        name, least = self.box.__name__, f"{self.at_least} packet{'s' * (self.at_least > 1)}"
        expected, actual = f"{name} interferes with {least} at least", f"it interfered with {deeds}"
        if deeds >= self.at_least:
            return Answer(True, expected, actual)
        return Answer(False, expected, f"{actual}: {how_near(run.session, self.box)}")


@dataclasses.dataclass(frozen=True)
class Did:
    """A box of this class did what it is there for, in its own words, at least so many times.

    For boxes that touch packets besides, as a translator does that forgets.
    """

    box: type[Middlebox]
    what: str
    at_least: int = 1

    def ask(self, run: Judged) -> Answer:
        """Count on all paths."""
        times = sum(chain.did(self.box, self.what) for chain in run.session.chains.values())
        expected = f"{self.box.__name__} {self.what}, {self.at_least} times at least"
        return Answer(times >= self.at_least, expected, f"it did {times} times")


@dataclasses.dataclass(frozen=True)
class NoMptcpOptions:
    """A host sends no MPTCP option after a stage of the handshake (RFC 8684 §3.7)."""

    sender: Role
    after: Stage = HANDSHAKE
    forms: tuple[type[MptcpOption], ...] = (MptcpOption,)

    def ask(self, run: Judged) -> Answer:
        """Look at what the host sent, before any box touched it."""
        host = run.session.observation.hosts[self.sender]
        found = [
            pair for form in self.forms for pair in host.sent(form, Stage(min(self.after + 1, Stage.AFTER)))
        ]
        expected = f"{self.sender} sends no {_names(self.forms)} after the handshake"
        evidence = tuple(Evidence(seen.frame, option_words(option)) for seen, option in found[:5])
        return Answer(not found, expected, f"it sent {len(found)}", evidence, self.sender)


@dataclasses.dataclass(frozen=True)
class Sends:
    """A host sends options of this form, at least and at most so many."""

    sender: Role
    form: type[MptcpOption]
    at_least: int = 1
    at_most: int | None = None

    def ask(self, run: Judged) -> Answer:
        """Count in what the host sent, before any box touched it."""
        found = run.session.observation.hosts[self.sender].sent(self.form)
        most = "" if self.at_most is None else f" and at most {self.at_most}"
        expected = f"{self.sender} sends at least {self.at_least}{most} of {_names((self.form,))}"
        met = self.at_least <= len(found) and (self.at_most is None or len(found) <= self.at_most)
        evidence = tuple(Evidence(seen.frame, option_words(option)) for seen, option in found[:5])
        return Answer(met, expected, f"it sent {len(found)}", evidence, self.sender)


@dataclasses.dataclass(frozen=True)
class ResetsWith:
    """A host, or either, gives this reason on a RST, in MP_TCPRST (RFC 8684 §3.6).

    path: on a subflow of this path. Other resets of the host may give another reason, or none.
    """

    host: Role | Literal["either host"]
    reason: int
    path: str = ""

    def ask(self, run: Judged) -> Answer:
        """Look at every RST that the host sent, before any box touched it."""
        resets = [
            seen
            for role, host in run.session.observation.hosts.items()
            if self.host in (role, "either host")
            for flow in host.flows.values()
            if self.path in ("", flow.path)
            for seen in flow.sent.segments
            if seen.segment.rst
        ]
        options = [seen.segment.option(MpTcprst) for seen in resets]
        given = [option.reason for option in options if option is not None]
        on = f" on {self.path}" if self.path else ""
        name = f"the {self.host}" if self.host in ROLES else self.host
        expected = f"{name} resets{on} with reason {reason_words(self.reason)}"
        words = " and ".join(reason_words(reason) for reason in sorted(set(given)))
        if not resets:
            actual = "it sent no RST"
        else:
            actual = (
                f"it sent {len(resets)}, with reason {words}"
                if given
                else f"it sent {len(resets)}, none with a reason"
            )
        evidence = tuple(Evidence(seen.frame, one_line(seen.segment)) for seen in resets[:5])
        who = self.host if self.host in ROLES else ""
        return Answer(self.reason in given, expected, actual, evidence, who)


@dataclasses.dataclass(frozen=True)
class AnswersMpFail:
    """A host that receives MP_FAIL on its only subflow sends one itself (RFC 8684 §3.7)."""

    host: Role

    def ask(self, run: Judged) -> Answer:
        """Look for an MP_FAIL that the host sent where one reached it."""
        view = run.session.observation.hosts[self.host]
        reached = view.received(MpFail)
        expected = f"{self.host} answers MP_FAIL with MP_FAIL"
        if not reached:
            return Answer(True, expected, "none reached it")
        evidence = (Evidence(reached[0][0].frame, f"{option_words(reached[0][1])} reaches the {self.host}"),)
        sent = view.sent(MpFail)
        return Answer(bool(sent), expected, f"it sent {len(sent)}", evidence, self.host)


@dataclasses.dataclass(frozen=True)
class Unharmed:
    """Every octet of both streams, or of one, arrived, in order, as regular TCP would have delivered it."""

    direction: Direction | None = None

    def ask(self, run: Judged) -> Answer:
        """Look at the streams."""
        words, wrong = [], []
        session, which = run.session, "both streams arrive whole"
        streams: tuple[Stream, ...] = session.streams
        if self.direction is not None:
            streams = (session.stream(self.direction),)
            which = f"the stream {way(streams[0])} arrives whole"
        for stream in streams:
            if stream.wrong_at is not None:
                wrong.append(f"{way(stream)}, {difference(stream)}")
            elif stream.received != stream.intended and not stream.expected_difference:
                words.append(f"{way(stream)}, {stream.received} of {stream.intended} octets")
            elif not stream.end_seen:
                words.append(f"{way(stream)}, its end never came")
        # Once an octet was wrong, the run went on for a moment only: what did not come then says nothing.
        words = wrong or words
        actual = "; ".join(words) or "nothing is missing"
        judged = run.judgement
        return Answer(not words, which, actual, judged.evidence, judged.who, is_delivery=True)


@dataclasses.dataclass(frozen=True)
class Told:
    """The application of a host was told that its connection is lost."""

    host: Role

    def ask(self, run: Judged) -> Answer:
        """Look at what it was told."""
        error = run.session.errors[self.host]
        actual = f"it was told {error}" if error else "it was told nothing"
        expected = f"the {self.host}'s application is told that the connection is lost"
        return Answer(bool(error), expected, actual, run.judgement.evidence)


@dataclasses.dataclass(frozen=True)
class NoFalseData:
    """No application reads an octet that its peer did not write, checksums being in use."""

    def ask(self, run: Judged) -> Answer:
        """Look at both streams, whatever a box put into them."""
        words, evidence = [], run.judgement.evidence
        for stream in run.session.streams:
            at = stream.first_difference
            if at is not None:
                words.append(f"{way(stream)}, {difference(stream) if at == stream.wrong_at else _alien(at)}")
                evidence = arrival(run.session, stream.direction, at) or evidence
        expected = "no application reads an octet that its peer did not write"
        actual = "; ".join(words) or "every octet read is as written"
        return Answer(not words, expected, actual, evidence, run.judgement.who, is_delivery=True)


@dataclasses.dataclass(frozen=True)
class Checksums:
    """Both hosts put a DSS checksum on every mapping, or neither does (RFC 8684 §3.3.1)."""

    used: bool

    def ask(self, run: Judged) -> Answer:
        """Look at every mapping that either host sent, infinite ones aside."""
        wrong = []
        for host in run.session.observation.hosts.values():
            for seen, dss in host.sent(Dss):
                if dss.has_mapping and not dss.infinite and (dss.checksum is not None) is not self.used:
                    wrong.append(Evidence(seen.frame, f"{host.role}: {option_words(dss)}"))
        expected = f"every mapping {'has a' if self.used else 'is without'} checksum"
        return Answer(not wrong, expected, f"{len(wrong)} mappings differ", tuple(wrong[:5]))


@dataclasses.dataclass(frozen=True)
class Counted:
    """A counter of a host's kernel moved by at least, and at most, so much; not asked of a stack without."""

    host: Role
    counter: str
    at_least: int = 1
    at_most: int | None = None

    def ask(self, run: Judged) -> Answer:
        """Look at what the stack handed over."""
        state = run.session.stacks[self.host]
        value = state.counters.get(self.counter, 0)
        most = "" if self.at_most is None else f" and at most {self.at_most}"
        expected = f"{self.counter} of the {self.host} moves by at least {self.at_least}{most}"
        if self.counter not in state.knows:
            return Answer(True, expected, f"{state.name} has no such counter")
        met = self.at_least <= value and (self.at_most is None or value <= self.at_most)
        return Answer(met, expected, f"it moved by {value}")


@dataclasses.dataclass(frozen=True)
class CapableAgain:
    """The client sends MP_CAPABLE on a SYN again, or no more, after so many transmissions of the SYN."""

    at_most: int

    def ask(self, run: Judged) -> Answer:
        """Count the SYNs with MP_CAPABLE that the client sent."""
        flow = run.session.observation.client.initial
        syns = [] if flow is None else [seen for seen in flow.sent.segments if seen.segment.syn]
        capable = [seen for seen in syns if seen.segment.option(MpCapable)]
        evidence = tuple(Evidence(seen.frame, one_line(seen.segment)) for seen in syns)
        expected = f"the client gives up MP_CAPABLE after at most {self.at_most} SYNs"
        actual = f"{len(capable)} of {len(syns)} SYNs had MP_CAPABLE"
        return Answer(len(capable) <= self.at_most and len(syns) > len(capable), expected, actual, evidence)


def _alien(at: int) -> str:
    return f"octet {at + 1} is not what was sent"


def sender_of(direction: Direction) -> Role:
    """Return the host that sends the data of a direction."""
    return "client" if direction is Direction.TO_SERVER else "server"


def receiver_of(direction: Direction) -> Role:
    """Return the host that receives the data of a direction."""
    return sender_of(direction.reverse)


def reason_words(reason: int) -> str:
    """Return a reason of MP_TCPRST with its name."""
    return f"{reason}, {RESET_REASONS.get(reason, 'unknown')}"


def _names(forms: tuple[type[TcpOption], ...]) -> str:
    return " or ".join("MPTCP option" if form is MptcpOption else form.__name__ for form in forms)
