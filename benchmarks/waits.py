"""What a run waited for: the silences in its capture, by the timer that ended each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mbtest.network.capture import read_capture
from mbtest.results import Outcome, Run
from mbtest.wire import AddAddr, Dss, MpFail, MpFastclose, Segment
from reports.packets import TO_SERVER, Numbers, frames_of, passages_of
from reports.steps import Step, steps_of

SECOND = 1_000_000
LEAST = 0.01
"""Seconds between packets that count as a silence; links take their time, and so does Python."""


class Silence(NamedTuple):
    """A time without packets. frame: what ended it; 0 for the end of the run."""

    seconds: float
    frame: int
    timer: str
    detail: str = ""


def wait_of(run: Run, capture: Path) -> str:
    """Return in words which timer a run waited for longest, all its silences together."""
    by_timer: dict[str, list[Silence]] = {}
    for silence in silences_of(run, capture):
        by_timer.setdefault(silence.timer, []).append(silence)
    if not by_timer:
        return "no silence: packets all the time"
    same = max(by_timer.values(), key=_total)
    longest = max(same)
    words = f"{_total(same):.2f} s for {longest.timer}"
    if len(same) > 1:
        words += f", in {len(same)} silences, the longest {longest.seconds:.2f} s"
    place = f"before frame {longest.frame}" if longest.frame else ""
    return ", ".join(part for part in (words, longest.detail, place) if part)


def _total(silences: Sequence[Silence]) -> float:
    return sum(silence.seconds for silence in silences)


def silences_of(run: Run, capture: Path) -> list[Silence]:
    """Return the silences of a run in real time; the last is what it took besides its packets."""
    passages = passages_of(frames_of(read_capture(capture)))
    numbers = Numbers(passages)
    steps = steps_of(passages, numbers)
    found = []
    for at, (earlier, later) in enumerate(pairwise(steps), 1):
        seconds = (later.first.time - earlier.first.time) / SECOND
        if seconds >= LEAST:
            found.append(Silence(seconds, later.first.number, *timer_of(steps, at, numbers)))
    last = max((frame.time for step in steps[-1:] for frame in step.frames), default=0)
    rest = Silence(run.seconds - last / SECOND, 0, _at_the_end(run))
    return [*found, rest] if rest.seconds >= LEAST else found


def _at_the_end(run: Run) -> str:
    """Return what a run did before its first packet and after its last."""
    if run.outcome is Outcome.STALLED:
        return f"the harness's patience{', and controls' if run.controls else ''}"
    return f"no timer, but building the network, judging{', and controls' if run.controls else ''}"


def timer_of(steps: Sequence[Step], at: int, numbers: Numbers) -> tuple[str, str]:
    """Return what the silence before a step waited for: a timer, and how often it had expired."""
    step = steps[at]
    segment = step.first.segment
    if step.fate == "sent":
        return "a box", "; ".join(step.deeds)
    who = "the client's" if step.first.direction == TO_SERVER else "the server's"
    if segment is None:
        return f"{who} packet that is not TCP", ""
    own = [earlier.first for earlier in steps[:at] if earlier.fate != "sent" and _is_of(earlier, step)]
    sent = [frame.segment for frame in own if frame.segment is not None]
    again = sum(known.seq == segment.seq and known.sequence_length > 0 for known in sent)
    detail = f"retransmission {again} of this segment" if again and segment.sequence_length else ""
    return f"{who} {_kind(steps[:at], step, segment, sent, numbers)}", detail


def _kind(
    before: Sequence[Step], step: Step, segment: Segment, sent: Sequence[Segment], numbers: Numbers
) -> str:
    if segment.rst:
        return "fast close" if segment.option(MpFastclose) else "reset: a timeout, or the end of its socket"
    if segment.syn:
        what = "SYN/ACK" if segment.has_ack else "SYN"
        return f"{what} retransmission" if "retransmission" in step.remarks else f"first {what} of a subflow"
    if _is_probe(before, step, segment, numbers):
        return "probe of a closed window"
    if "retransmission" in step.remarks:
        return "retransmission timeout"
    if "reinjection" in step.remarks:
        return "retransmission at the level of the connection"
    if segment.payload_length:
        return "new data: its application, or a window that opened"
    if segment.fin:
        return "FIN: its close"
    return _acknowledgment(segment, sent)


def _acknowledgment(segment: Segment, sent: Sequence[Segment]) -> str:
    """Return what a segment without data is there for. sent: what its sender sent before on the subflow."""
    for kind, name in ((AddAddr, "ADD_ADDR"), (MpFail, "MP_FAIL")):
        if (option := segment.option(kind)) is not None:
            return f"{name} retransmission" if any(option in known.options for known in sent) else name
    if _ends_data(segment):
        return "DATA_FIN retransmission" if any(map(_ends_data, sent)) else "DATA_FIN: its close"
    return "delayed ACK, or probe with nothing in it"


def _ends_data(segment: Segment) -> bool:
    mapping = segment.option(Dss)
    return mapping is not None and mapping.data_fin


def _is_probe(before: Sequence[Step], step: Step, segment: Segment, numbers: Numbers) -> bool:
    """Whether a segment asks for a window: at the last octet acknowledged, or the next, with none open."""
    for earlier in reversed(before):
        back = earlier.first
        if back.subflow != step.first.subflow or back.direction == step.first.direction:
            continue
        if back.segment is not None and back.segment.has_ack:
            beyond = numbers.seq(step.first, segment) - numbers.ack(back, back.segment)
            return not back.segment.window and beyond in (-1, 0)
    return False


def _is_of(earlier: Step, later: Step) -> bool:
    one, other = earlier.first, later.first
    return (one.subflow, one.direction) == (other.subflow, other.direction)
