"""The story of a run in ten to thirty lines that can be pasted into a mail.

Made from the run's entry in `result.json` and its capture alone. Lines are ASCII and, but for the words that
nobody can cut, no longer than a mail may have.
"""

from __future__ import annotations

import shlex
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from mbtest.interference import interference
from mbtest.network.capture import CapturedFrame
from mbtest.observe.courses import Courses
from mbtest.observe.owed import NO_TIMER, Owing, Written, owed
from mbtest.observe.rules import Breach, Rulebook
from mbtest.observe.trace import CLIENT, OTHER, SERVER, Trace
from mbtest.results import Finding, Outcome, Provenance, Run, StackState, Stream
from mbtest.timeline import Event, beginning, events
from mbtest.transcript import differences

WIDTH = 100
FEWEST, MOST = 10, 30
"""Lines of a story."""
EVENTS = 8
"""Lines that are kept for what happened, however much there is to be said of the rest."""
STALL = 1_000_000
"""Microseconds after which it is told what is owed, also where a run came to its end."""
FAMILIES = {"v4": "IPv4", "v6": "IPv6", "mixed": "IPv4 and IPv6"}
LEGEND = "since the first SYN; octets from 1, as relative DSN and SSN; by boxes from 0"
_INDENT = 25
"""Columns before the words of an event."""
_ROUTINE = (
    "MPCapableSYNTX", "MPCapableSYNACKRX", "MPCapableSYNRX", "MPCapableACKRX", "SndWndShared",
    "RcvWndShared", "OFOQueue", "OFOQueueTail", "OFOMerge", "MPJoinSynTx", "MPJoinSynRx", "MPJoinSynAckRx",
    "MPJoinAckRx", "state", "connected", "AddAddr", "AddAddrTx", "EchoAdd", "EchoAddTx",
)  # fmt: skip
"""Counters that move when all is well, of the kernel and of the reference endpoint."""
_OTHERS = (
    "IpFragFails", "Ip6FragFails", "TcpRetransSegs", "TcpExtTCPTimeouts", "TcpOutRsts", "TcpEstabResets",
    "TcpExtTCPAbortOnData", "TcpExtTCPAbortOnTimeout", "TcpExtBeyondWindow",
)  # fmt: skip
"""Counters of TCP and IP that say what MPTCP's do not."""


def tell(run: Run, provenance: Provenance, frames: Sequence[CapturedFrame] | None) -> list[str]:
    """Return the story, line by line. frames: of the run's capture, None where there is none."""
    head, tail = _head(run, provenance), [*_streams(run), *_counters(run), *_controls(run), *_repeat(run)]
    if frames is None:
        unmet = _unmet(run, (), MOST - len(head) - len(tail) - 3)
        return _long_enough([*head, "", *unmet, "no packets were captured", ""], tail, run, provenance)
    book = Rulebook()
    acts = interference(frames, [use.box.partition("(")[0] for use in run.boxes])
    courses = Courses(book, {act.origin for act in acts})
    trace = Trace(courses, follows_octets=False)
    for frame in frames:
        sender = OTHER[frame.side] if frame.outbound else frame.side
        trace.add(frame.number, frame.time_us, frame.path, frame.side, sender, frame.raw)
    trace.finish()
    found = events(trace, courses, acts, frames)
    room = MOST - len(head) - len(tail) - 1
    left = max(room - min(len(found), EVENTS), min(room - 4, 5))
    breaches = _breaches(run, book)
    # Room is left for the first clause that was not followed.
    stalls = _stalls(run, trace, min(left - (2 if breaches else 1), 5))
    end = [*stalls, *_unmet(run, breaches, left - len(stalls))]
    story = _timeline(found, beginning(trace), room - len(end))
    legend = f"  time/s  frame  ({LEGEND})"
    parts = [head, [legend, *story], end, tail]
    if len(head) + len(story) + len(end) + len(tail) + 1 > MOST - 3:
        return [line for part in parts for line in part]
    lines = [line for part in parts[:-1] if part for line in (*part, "")]
    return _long_enough(lines, tail, run, provenance)


def _long_enough(lines: list[str], tail: list[str], run: Run, provenance: Provenance) -> list[str]:
    """Return all lines; a run of which there is little to tell has a word on how it was made."""
    if len(lines) + len(tail) < FEWEST:
        lines.append(_plain(f"{run.direction}, seed {run.seed}, {run.seconds:.1f} s"))
        revision = f" of revision {provenance.revision}" if provenance.revision else ""
        lines.append(_plain(f"mbtest {provenance.mbtest}{revision}, {provenance.started}"))
    return [*lines, *tail]


# -- What was run --------------------------------------------------------------------------------------------


def _head(run: Run, provenance: Provenance) -> list[str]:
    outcome = run.outcome.value if run.outcome else "no outcome"
    if run.fallback:
        outcome += f" ({run.fallback.value.replace('_', ' ')})"
    reason = _happened(run)
    if run.outcome is Outcome.STALLED:
        # How far the applications came is told of each stream.
        reason = reason.partition(": ")[0]
    missed = {
        finding.expected: finding for finding in run.findings if not finding.met and _is_outcome(finding)
    }
    if run.outcome is Outcome.CORRUPTED and missed:
        frame = next((one.frame for finding in missed.values() for one in finding.evidence), 0)
        reason += f", frame {frame}" if frame else ""
    if missed:
        words = "; expected " + ", ".join(
            one.removeprefix("outcome ") for one in sorted(missed, reverse=True)
        )
        outcome += words.replace(", fallback ", " by ")
    outcome += f"; to blame: {' and '.join(run.blame)}" if run.blame else ""
    verdict = f"{run.verdict.value.upper()}: {outcome}" + (f"; {reason}" if reason else "")
    lines = [_plain(run.id), _cut(run.title, WIDTH), *_wrapped(verdict, 2)]
    if run.interference:
        words = "the interference never happened, and so the claim was not tested: "
        lines += _wrapped(words + run.interference, 4)
    clauses = _clauses(run.requirements)
    if clauses:
        lines += _wrapped(f"claim ({run.level.value}): {clauses}", 1)
    stacks = {role: _stack(run, role, provenance) for role in (CLIENT, SERVER)}
    if stacks[CLIENT] == stacks[SERVER]:
        words = f"client and server: {stacks[CLIENT]}"
    else:
        words = "; ".join(f"{role}: {stack}" for role, stack in stacks.items())
    words += f"; {FAMILIES[run.family]}, topology {run.topology}, "
    words += "DSS checksums" if run.checksum else "no DSS checksums"
    words += ", simulated" if run.network == "simulated" else ""
    lines += _wrapped(words, 2)
    return [*lines, *_boxes(run)]


def _boxes(run: Run) -> list[str]:
    """Return the boxes, alike ones on several paths together, in at most two lines."""
    paths: dict[str, list[str]] = {}
    deeds: dict[str, int] = {}
    for use in run.boxes:
        paths.setdefault(use.box, []).append(use.path)
        deeds[use.box] = deeds.get(use.box, 0) + use.deeds
    told = [
        _cut(f"box on {' and '.join(on)}: {box}, {_number(deeds[box], 'packet')}", WIDTH)
        for box, on in paths.items()
    ]
    if len(told) <= 2:
        return told
    rest = Counter(box.partition("(")[0] for box in list(paths)[1:])
    words = [name if number == 1 else f"{number} {name}" for name, number in rest.items()]
    return [told[0], _cut(f"further boxes: {', '.join(words)}", WIDTH)]


def _stack(run: Run, role: str, provenance: Provenance) -> str:
    name = run.client if role == CLIENT else run.server
    if name == "linux":
        return provenance.kernel
    if name == "tcp":
        return f"{provenance.kernel}, regular TCP"
    return f"{name} (mbtest {provenance.mbtest})" if name.partition("+")[0] == "reference" else name


def _clauses(requirements: Sequence[str]) -> str:
    """Return requirements as "RFC 8684 section 3.7 mp-fail, infinite-mapping"."""
    sections: dict[str, list[str]] = {}
    for requirement in requirements:
        section, _, name = requirement.partition("/")
        document, _, number = section.partition("-")
        sections.setdefault(f"RFC {document.removeprefix('RFC')} section {number}", []).append(name)
    return "; ".join(f"{section}, {' and '.join(names)}" for section, names in sections.items())


# -- What happened -------------------------------------------------------------------------------------------


def _timeline(found: Sequence[Event], began: int, room: int) -> list[str]:
    """Return events in the order of time, the weightiest where there is no room for all."""
    if not found:
        return ["  no TCP segment was captured"]
    told = [_event(event, began) for event in found]
    if sum(map(len, told)) <= room:
        return [line for lines in told for line in lines]
    kept: set[int] = set()
    left = room - 1
    for at in sorted(range(len(found)), key=lambda at: (-found[at].weight, at)):
        if len(told[at]) <= left:
            left -= len(told[at])
            kept.add(at)
    lines = [line for at in sorted(kept) for line in told[at]]
    rest = _number(len(found) - len(kept), "event")
    return [*lines, f"{'':{_INDENT}}and {rest} of less weight; --packets has all"]


def _event(event: Event, began: int) -> list[str]:
    start = f"{(event.time - began) / 1e6:9.6f} {event.frame:>6}  {event.who:<6} "
    return _wrapped(event.words, 2, start, " " * _INDENT)


def _stalls(run: Run, trace: Trace, room: int) -> list[str]:
    """Return what is owed at the end of a run that got no further, or for long."""
    began = beginning(trace)
    stalled = run.outcome is Outcome.STALLED
    items = [one for one in owed(trace, None, _written(run)) if stalled or one.waited >= STALL]
    # What no timer moves is what keeps all else waiting.
    items.sort(key=lambda one: (one.timer != NO_TIMER, one.since))
    if stalled and not items:
        last = (trace.now - began) / 1e6
        return [f"stall: nothing is owed that packets show; the last of them at {last:.3f} s"]
    told: dict[tuple[str, str, str], list[Owing]] = {}
    for one in items:
        told.setdefault((one.words, one.timer, one.clause), []).append(one)
    shown = list(told.values())[: max(1, room // 2) if stalled else 1]
    rest = len(items) - sum(map(len, shown))
    lines = []
    for number, alike in enumerate(shown, 1):
        more = f"; {rest} more" if rest and number == len(shown) else ""
        lines += _wrapped(f"{'stall' if stalled else 'owed'}: {_owing(alike, began)}{more}", 2)
    return lines


def _owing(alike: Sequence[Owing], began: int) -> str:
    """Return what one host, or each of both, owes."""
    one = alike[0]
    since = f"since {(one.since - began) / 1e6:.3f} s" + (f", frame {one.frame}" if one.frame else "")
    who = f"{one.who} owes" if len(alike) == 1 else f"{' and '.join(other.who for other in alike)} owe"
    return f"{who} {one.words}, {since}; {one.timer} would move it ({one.clause})"


def _written(run: Run) -> dict[str, Written]:
    """Return what each application wrote; one that had nothing to send ended after it read its peer's end."""
    streams: dict[str, Stream] = {stream.direction: stream for stream in run.streams}
    found = {}
    for role, way, back in ((CLIENT, "to_server", "to_client"), (SERVER, "to_client", "to_server")):
        mine, other = streams.get(way), streams.get(back)
        if mine is not None and other is not None:
            ended = mine.sent == mine.intended and (mine.intended > 0 or other.end_seen)
            found[role] = Written(mine.sent, ended)
    return found


# -- What was wrong ------------------------------------------------------------------------------------------


def _breaches(run: Run, book: Rulebook) -> list[str]:
    """Return the rules that were broken and that are no finding of the run, one line for each host."""
    known = {(finding.rule, finding.who) for finding in run.findings if finding.rule}
    first: dict[tuple[str, str], Breach] = {}
    counts: dict[tuple[str, str], int] = {}
    for breach in book.breaches:
        first.setdefault((breach.rule, breach.who), breach)
    for (rule, who, _), count in book.more.items():
        counts[rule, who] = counts.get((rule, who), 0) + count
    return [
        _broken(one.level, one.clause, one.rule, one.who, counts[key], one.frame, one.words)
        for key, one in sorted(first.items(), key=lambda item: (item[1].level, item[1].frame))
        if key not in known
    ]


def _broken(level: str, clause: str, rule: str, who: str, count: int, frame: int, words: str) -> str:
    where = f", frame {frame}" if frame else ""
    if count > 1:
        where = f", {count} times from frame {frame} on"
    return f"{' '.join(word for word in (level, clause, rule) if word)}: {who}{where}: {words}"


def _unmet(run: Run, breaches: Sequence[str], room: int) -> list[str]:
    """Return what was not as the case and the rules have it."""
    missed = [finding for finding in run.findings if not finding.met and not _is_outcome(finding)]
    lines = [_finding(finding, run) for finding in missed if finding.rule] + list(breaches)
    lines += [_finding(finding, run) for finding in missed if not finding.rule]
    lines += [f"noted: {finding.actual}" for finding in run.findings if finding.met and not finding.expected]
    told: list[str] = []
    for at, line in enumerate(lines):
        rest = len(lines) - at
        free = room - len(told) - (rest > 1)
        # The first is told in any case, if need be in one line.
        wrapped = _wrapped(line, 2 if told else max(1, min(2, free)))
        if len(wrapped) > free and (told or room < 1):
            return [*told, f"and {rest} more, of which the report tells"] if room else []
        told += wrapped
    return told


def _happened(run: Run) -> str:
    """Return what happened in words, without what was expected instead, and what did not happen."""
    reason = run.reason
    if run.interference:
        reason = reason.partition(run.interference)[2].removeprefix("; yet ")
    return reason.partition("; expected: ")[0].partition("; broken: ")[0]


def _is_outcome(finding: Finding) -> bool:
    """Whether it is about the outcome alone, which the verdict tells."""
    return not finding.rule and finding.expected.startswith(("outcome ", "fallback "))


def _finding(finding: Finding, run: Run) -> str:
    frame = next((evidence.frame for evidence in finding.evidence if evidence.frame), 0)
    level = finding.level.value
    if finding.rule == "witness":
        return f"witness: {finding.expected.partition(': ')[2] or finding.expected}; {finding.actual}"
    if finding.rule:
        words = finding.actual.removeprefix(f"{finding.who}: ")
        words += "; by chance, and no verdict depends on it" if finding.by_chance else ""
        return _broken(level, finding.clause, finding.rule, finding.who, finding.count, frame, words)
    # What the verdict has said already is not said again.
    seen = finding.actual.removesuffix(_happened(run)).rstrip(":; ")
    where = f", frame {frame}" if frame else ""
    return f"{level} not met: {finding.expected}" + (f": {seen}" if seen else "") + where


# -- What came of it -----------------------------------------------------------------------------------------


def _streams(run: Run) -> list[str]:
    lines = []
    for stream in run.streams:
        if not (stream.intended or stream.received or stream.error):
            continue
        words = [f"stream {stream.direction}: {stream.received} of {stream.intended} octets read"]
        # Soon after an application read what was not sent, a run is ended.
        is_cut = run.outcome is Outcome.CORRUPTED and not stream.error
        words.append("and the end" if stream.end_seen else "then the run ended" if is_cut else "no end")
        words += differences(stream)
        if stream.error:
            words.append(f"told {stream.error}")
        lines.append(_cut(", ".join(words), WIDTH))
    return lines


def _counters(run: Run) -> list[str]:
    """Return the counters that say more than that all is well, a line for each host that has any."""
    lines = []
    for role, state in run.stacks.items():
        words = []
        if state.still_mptcp is not None:
            words.append(f"socket {'MPTCP' if state.still_mptcp else 'regular TCP'}")
        words += [f"{name} {count}" for name, count in _telling(state)]
        if words:
            lines.append(_cut(f"{role} says: {', '.join(words)}", WIDTH))
    return lines


def _telling(state: StackState) -> Iterator[tuple[str, int]]:
    others = ("Icmp", "Ip", "Tcp", "Udp")
    for full, count in state.counters.items():
        name = full.removeprefix("MPTcpExt")
        if full in _OTHERS or (not full.startswith(others) and name not in _ROUTINE):
            yield name.removeprefix("TcpExt"), count


def _controls(run: Run) -> list[str]:
    words = [f"{control.kind}: {control.outcome.value}" for control in run.controls]
    return [_cut(f"controls: {'; '.join(words)}", WIDTH)] if words else []


def _repeat(run: Run) -> list[str]:
    """Return the command, in lines that a shell takes for one."""
    lines = [""]
    for quoted in _with_values([shlex.quote(word) for word in shlex.split(run.repeat)]):
        if len(lines[-1]) + len(quoted) > WIDTH - 3:
            lines[-1] += "\\"
            lines.append("  ")
        lines[-1] += f"{quoted} "
    return [_plain(line.rstrip()) for line in lines]


def _with_values(words: Sequence[str]) -> list[str]:
    """Return the words of a command, each option together with its value."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("--") and " " not in found[-1] and not word.startswith("-"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


# -- Lines ---------------------------------------------------------------------------------------------------


def _number(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _wrapped(text: str, most: int, start: str = "", indent: str = "  ") -> list[str]:
    """Return a text in at most so many lines. start, indent: what the first, and each other, begins with."""
    return textwrap.wrap(
        _plain(text), WIDTH, initial_indent=start, subsequent_indent=indent, max_lines=most,
        placeholder=" ...", break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _cut(text: str, width: int) -> str:
    """Return a text in one line."""
    text = _plain(text)
    return text if len(text) <= width else text[: width - 4].rpartition(" ")[0] + " ..."


def _plain(text: str) -> str:
    """Return a text in ASCII."""
    return text.replace(" §", " ").encode("ascii", "backslashreplace").decode()
