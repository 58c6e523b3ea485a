"""The `run` fixture: carries out the run that a case describes and gathers what it expects of it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mbtest.errors import HarnessError, UsageError
from mbtest.harness.actions import Action, needed
from mbtest.harness.case import Case, Variant
from mbtest.harness.controls import excuses, pass_through, regular_tcp
from mbtest.harness.expect import Expectation, NoFalseData, OneOf, Role, Unharmed, receiver_of, sender_of
from mbtest.harness.grading import Grade, broken_rules, contradicting, grade, kept_back, missed
from mbtest.harness.judge import Judged
from mbtest.harness.misfits import is_misfit, place_of
from mbtest.harness.pairs import is_control, lacking
from mbtest.harness.plan import Plan, boxes_of, intended_subflows, run_seed
from mbtest.harness.requirements import check_ids
from mbtest.harness.requirements import requirements as known_requirements
from mbtest.harness.session import Session, carry_out
from mbtest.harness.witness import contradictions
from mbtest.harness.workload import Workload
from mbtest.middlebox import Direction, Middlebox
from mbtest.middlebox.arguments import checked
from mbtest.network.contract import Backend
from mbtest.network.topology import Topology
from mbtest.results import Control, Finding, Level, Outcome, Run, Verdict

NEVER = "the interference never happened: "
"""How the reason of a run begins whose own condition was not met."""
THROUGH = "through further boxes: "
"""How the reason of a run begins that further boxes were put into, which the case does not reckon with."""
USAGE = "the case asks for what cannot be: "
"""How the reason of a run begins that a user's own mistake ended; `mbtest run` then ends with status 4."""


_LOST_IN_SILENCE = (Outcome.STALLED, Outcome.CORRUPTED)
"""Outcomes that no box makes right: data was corrupted, or lost without an error."""


class Inconclusive(Exception):  # noqa: N818 - a verdict, not a mistake
    """A case's own condition was not met: the interference never happened."""


class Unsupported(Exception):  # noqa: N818 - a verdict, not a mistake
    """A stack said that it lacks what the run needs; nothing was carried out."""


class KernelFault(Exception):  # noqa: N818 - a verdict, not a mistake
    """The kernel under test ended or holds the process of a run, which cannot tell of itself any more."""

    def __init__(self, finding: Finding) -> None:
        """Say what it should have done and did."""
        super().__init__(finding.actual)
        self.finding = finding


class Trial(Judged):
    """A judged run, to be held against what the case expects."""

    def __init__(
        self,
        session: Session,
        level: Level,
        requirements: Sequence[str],
        findings: list[Finding],
        further: bool = False,
    ) -> None:
        """Judge a session.

        findings: where what comes of each expectation is gathered. further: whether boxes stand on the way
        that the case does not reckon with: what it expects besides whole streams is told as a note then.
        """
        super().__init__(session)
        self._further = further
        self._level = level
        self._is_control = is_control(session.plan.variant)
        self._findings = findings
        self._clause = _clauses(requirements)
        self.delivery: list[Finding] = []
        """Those on what the applications got, which boxes alone can spoil."""

    def require(self, expectation: Expectation) -> None:
        """End the case as inconclusive unless this holds: the interference must have happened."""
        answer = expectation.ask(self)
        if not answer.met:
            raise Inconclusive(f"wanted that {answer.expected}, but {answer.actual}")

    @partial(checked, name="expect()")
    def expect(
        self,
        expectation: Expectation | Outcome,
        *alternatives: Outcome,
        level: Level | None = None,
        requirement: str = "",
        who: Role | None = None,
    ) -> None:
        """Hold the run against an expectation, or its outcome against one or several.

        level: the case's own where none is given. who: the host that has to bring it about, where it is
        one alone. Of regular TCP nothing is expected.
        Raises UsageError for a requirement that is not known.
        """
        if requirement:
            check_ids((requirement,), "expect()")
        if isinstance(expectation, Outcome):
            expectation = OneOf(expectation, *alternatives)
        answer = expectation.ask(self)
        if self._is_control:
            return
        if self._further and not answer.met and not isinstance(expectation, (Unharmed, NoFalseData)):
            seen = "" if self.judgement.reason in answer.actual else f", where {answer.actual}"
            self.note(f"without them the case expects {answer.expected}{seen}")
            if self.outcome not in _LOST_IN_SILENCE or not isinstance(expectation, OneOf):
                return
            answer = Unharmed().ask(self)
        finding = Finding(
            expected=answer.expected,
            actual=answer.actual,
            met=answer.met,
            level=level or self._level,
            requirement=requirement,
            evidence=answer.evidence,
            clause=_clauses((requirement,)) if requirement else self._clause,
            who=answer.who or who or "",
        )
        self._findings.append(finding)
        if answer.is_delivery:
            self.delivery.append(finding)

    def note(self, words: str) -> None:
        """Say what the stack chose where the RFC leaves it open."""
        self._findings.append(Finding(expected="", actual=words, met=True, level=Level.MAY))


class RunFixture:
    """One variant of one case. Call it to carry it out; it says what was chosen before."""

    def __init__(
        self,
        case: Case,
        variant: Variant,
        seed: int,
        topology: Callable[[str], Topology],
        command: Sequence[str],
        network: Backend = "namespaces",
        through: Sequence[Middlebox] = (),
        directory: Path | None = None,
    ) -> None:
        """Prepare a run.

        command: words that every repetition has, as `--content DIR`. through: boxes at the client's end of
        those of the case. directory: the run directory, below which captures are written.
        """
        self.case = case
        self.variant = variant
        self.network = network
        self._seed = seed
        self._topology = topology
        self._command = command
        self._through = tuple(through)
        self._directory = directory
        self._trial: Trial | None = None
        self._findings: list[Finding] = []
        self._controls: tuple[Control, ...] = ()
        self._started = time.monotonic()

    @property
    def id(self) -> str:
        """The run's id, unique among all runs."""
        return f"{self.case.id}/{self.variant.suffix}"

    @property
    def value(self) -> Any:
        """Of a member of a family of cases: that in which it differs from the others."""
        return self.case.value

    @property
    def direction(self) -> Direction:
        """The way in which the data goes that the case is about."""
        return self.variant.direction

    @property
    def checksum(self) -> bool:
        """Whether DSS checksums are asked for."""
        return self.variant.checksum

    @property
    def sender(self) -> Role:
        """The host that sends the data that the case is about."""
        return sender_of(self.direction)

    @property
    def receiver(self) -> Role:
        """The host that receives it."""
        return receiver_of(self.direction)

    @property
    def topology(self) -> Topology:
        """The topology of this run."""
        return self._topology(self.variant.topology)

    @property
    def session(self) -> Session | None:
        """What was carried out, once it was."""
        return self._trial.session if self._trial else None

    @partial(checked, name="run()")
    def __call__(
        self,
        boxes: Middlebox | Sequence[Middlebox] = (),
        *,
        sends: int = 0,
        answers: int = 0,
        client_sends: int = 0,
        server_sends: int = 0,
        workload: Workload | None = None,
        actions: Sequence[Action] = (),
        subflows: int | None = None,
        patience: float = 5.0,
        limit: float = 40.0,
        sysctls: Mapping[str, str] | None = None,
        endpoint: Mapping[Role, Mapping[str, object]] | None = None,
        grace: float = 1.0,
        backup: bool = False,
    ) -> Trial:
        """Carry the run out, and return it judged.

        sends, answers: octets that the sender and the receiver of the run's direction send; or
        client_sends, server_sends by name, and actions; or a whole workload. subflows: further ones that are
        intended, by default as many as the topology has to give. patience, limit: seconds without
        progress, and in all, after which the run is stuck, on the run's clock. endpoint: settings of the
        reference endpoint by host, as `{"client": {"scheduler": "round-robin"}}`. grace: seconds without
        progress, after one application was told of an error, that the other has to be told in.
        Raises HarnessError.
        """
        if self._trial is not None:
            raise HarnessError(f"{self.case.id}: a case calls run() once")
        to_server = self.direction is Direction.TO_SERVER
        workload = workload or Workload(
            client_sends=client_sends + (sends if to_server else answers),
            server_sends=server_sends + (answers if to_server else sends),
            actions=tuple(actions),
        )
        if missing := lacking(self.case, self.variant, needed(workload.actions)):
            raise Unsupported(missing)
        topology = self.topology
        plan = Plan(
            variant=self.variant,
            topology=topology,
            boxes=(*self._through, *boxes_of(boxes)),
            workload=workload,
            seed=run_seed(self._seed, self.id),
            subflows=intended_subflows(topology, self.variant) if subflows is None else subflows,
            patience=patience,
            limit=limit,
            sysctls=dict(sysctls or {}),
            endpoint=dict(endpoint or {}),
            grace=grace,
            backup=backup,
            network=self.network,
            keep=None if self._directory is None else self._directory / self._capture,
        )
        session = carry_out(plan)
        case = self.case
        further = bool(self._through)
        self._trial = Trial(session, case.level, case.requirements, self._findings, further)
        return self._trial

    @property
    def _capture(self) -> str:
        """Where the run directory has the run's capture."""
        return f"captures/{self.id.replace('/', '__')}.pcapng"

    def result(self, failure: BaseException | None) -> Run:
        """Return the run's entry, and write its capture. failure: what the case raised."""
        directory = self._directory
        graded = self._grade(failure, directory)
        if self._through and self._trial is not None:
            graded = graded._replace(reason=f"{THROUGH}{graded.reason}")
        artifacts: dict[str, str] = {}
        session = self.session
        if session is not None and directory is not None:
            for finding in self._findings:
                if not finding.met:
                    for evidence in finding.evidence:
                        if evidence.frame:
                            what = (
                                f"{finding.clause} {finding.rule}".strip()
                                if finding.rule
                                else "expectation failed"
                            )
                            session.capture.annotate(evidence.frame, f"{what}: {finding.expected}")
            session.capture.write(directory / self._capture)
        if directory is not None and (directory / self._capture).exists():
            artifacts["capture"] = self._capture
        return Run(
            id=self.id,
            case=self.case.id,
            topic=self.case.topic,
            title=self.case.title,
            client=self.variant.client,
            server=self.variant.server,
            family=self.variant.family,
            direction=self.direction.value,
            checksum=self.checksum,
            seed=self._seed,
            topology=self.variant.topology,
            network=self.network,
            verdict=graded.verdict,
            outcome=self._trial.judgement.outcome if self._trial else None,
            fallback=self._trial.judgement.fallback if self._trial else None,
            reason=graded.reason,
            interference=str(failure) if isinstance(failure, Inconclusive) else "",
            level=self.case.level,
            requirements=self.case.requirements,
            seconds=round(time.monotonic() - self._started, 3),
            findings=tuple(self._findings),
            blame=graded.blame,
            controls=self._controls,
            boxes=session.boxes if session else (),
            streams=session.streams if session else (),
            stacks=dict(session.stacks) if session else {},
            artifacts=artifacts,
            repeat=self.repeat(),
        )

    def repeat(self) -> str:
        """Return the command that repeats this run."""
        variant = self.variant
        words = ["mbtest", "run", self.case.id, "--client", variant.client, "--server", variant.server]
        words += ["--family", variant.family, "--direction", variant.direction.value]
        words += ["--checksum" if variant.checksum else "--no-checksum"]
        if variant.topology != self.case.topology:
            words += ["--topology", variant.topology]
        if self.network != "namespaces":
            words += ["--network", self.network]
        return shlex.join([*words, "--seed", str(self._seed), *self._command])

    def _grade(self, failure: BaseException | None, directory: Path | None) -> Grade:
        trial = self._trial
        if isinstance(failure, Unsupported):
            return Grade(Verdict.UNSUPPORTED, str(failure))
        if isinstance(failure, KernelFault):
            self._findings.append(failure.finding)
            return Grade(Verdict.FAIL, str(failure))
        if isinstance(failure, UsageError) or is_misfit(failure):
            return Grade(Verdict.HARNESS_ERROR, f"{USAGE}{place_of(failure)}{failure}")
        if failure is not None and not isinstance(failure, Inconclusive):
            return Grade(Verdict.HARNESS_ERROR, f"{type(failure).__name__}: {failure}")
        if trial is None:
            return Grade(Verdict.HARNESS_ERROR, "the case never called run()")
        happened = trial.judgement.reason
        observation = trial.session.observation
        broken = broken_rules(observation.book, self.case.requirements)
        self._findings += kept_back(broken, trial.session.stacks)
        self._findings += contradicting(contradictions(observation, trial.session.stacks))
        # A rule that is broken, and a signal that was not sent, are the stack's whatever a control shows.
        if any(finding.level is not Level.MAY for finding in missed(trial.delivery)):
            self._controls = self._run_controls(trial, directory)
        sharing = [one for one in self._controls if excuses(trial.session.plan, trial.outcome, one)]
        excused = [finding for finding in trial.delivery if not finding.met] if sharing else []
        graded = grade(self._findings, excused, sharing, happened, trial.delivery)
        if isinstance(failure, Inconclusive):
            if graded is None or graded.verdict is not Verdict.FAIL:
                return Grade(Verdict.INCONCLUSIVE, f"{NEVER}{failure}")
            # A MUST holds in every run of every case, whatever its boxes did.
            return graded._replace(reason=f"{NEVER}{failure}; yet {graded.reason}")
        if graded is not None:
            return graded
        return self._unspoilt(happened, trial.outcome)

    def _unspoilt(self, happened: str, outcome: Outcome) -> Grade:
        """Return the verdict on a run in which nothing was missed."""
        if is_control(self.variant):
            verdict = Verdict.FAIL if outcome is Outcome.CORRUPTED else Verdict.INFORMATIONAL
            return Grade(verdict, f"regular TCP through these boxes: {happened}")
        notes = [finding.actual for finding in self._findings if not finding.expected]
        if self._through and notes:
            return Grade(Verdict.INFORMATIONAL, "; ".join([happened, *notes]))
        if self.case.level is Level.MAY:
            return Grade(Verdict.INFORMATIONAL, "; ".join(notes or [happened]))
        return Grade(Verdict.PASS, happened)

    def _run_controls(self, trial: Trial, directory: Path | None) -> tuple[Control, ...]:
        plan = trial.session.plan
        if is_control(self.variant):
            return ()
        # Without boxes the run itself is what there is without them.
        bare = pass_through(plan, directory) if plan.boxes else None
        found = (bare, regular_tcp(plan, self.case.id, directory))
        return tuple(control for control in found if control is not None)


def _clauses(requirements: Sequence[str]) -> str:
    """Return the sections that requirements stand in, each once, as `RFC 8684 §3.7, §6`."""
    known = known_requirements()
    sections = dict.fromkeys(known[name].section for name in requirements if name in known)
    return ", ".join(sections)
