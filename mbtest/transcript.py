"""One run packet by packet, for `mbtest show --packets`: from `result.json` and the capture alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mbtest.network.capture import CapturedFrame
from mbtest.results import Finding, Run, Stream
from mbtest.wire import (
    FIN,
    RST,
    SYN,
    Dss,
    MpCapable,
    MptcpOption,
    NoOperation,
    Segment,
    Seq32,
    WindowScale,
    WireError,
    decode,
)
from mbtest.wire.describe import flag_names, option_words

QUIET = 8
"""Packets in a row without anything to tell that are shown before the rest is summed up."""
MOST_SHIFT = 14
"""The largest window scale that counts (RFC 7323 §2.3)."""
_BESIDE_MPTCP = ("Icmp", "Ip", "Tcp", "Udp")
"""How the names of a kernel's other counters begin."""
Flow = tuple[str, bytes, bytes]
"""The side that saw it, source, destination: subflows may share one of their ends."""


def transcript(run: Run, frames: Sequence[CapturedFrame] | None, directory: Path) -> list[str]:
    """Return a run packet by packet, line by line. frames: of its capture, None where there is none."""
    if frames is None:
        return [*head(run), "no packets were captured"]
    marked = {e.frame for finding in run.findings if not finding.met for e in finding.evidence}
    return [
        *head(run), "", *packets(frames, marked), "",
        f"capture: {directory / run.artifacts['capture']}", f"repeat:  {run.repeat}",
    ]  # fmt: skip


def head(run: Run) -> list[str]:
    """Return what was run, what was expected and seen."""
    outcome = f"{run.outcome.value}" if run.outcome else "no outcome"
    if run.fallback:
        outcome += f" ({run.fallback.value.replace('_', ' ')})"
    lines = [
        run.id,
        run.title,
        f"verdict {run.verdict.value.upper()}, outcome {outcome}: {run.reason}",
    ]
    lines += [f"box on {use.path}: {use.box}, {use.deeds} packets" for use in run.boxes]
    for stream in run.streams:
        if stream.intended:
            what = f"{stream.received} of {stream.intended} octets read"
            what += "".join(f", {one}" for one in differences(stream))
            what += f", told {stream.error}" if stream.error else ""
            lines.append(f"stream {stream.direction}: {what}")
    lines += [_finding(finding) for finding in run.findings]
    for role, state in run.stacks.items():
        # Of a kernel's counters, those of MPTCP; an endpoint of MPTCP alone counts nothing else.
        moved = {name: value for name, value in state.counters.items() if not name.startswith(_BESIDE_MPTCP)}
        words = ", ".join(f"{name.removeprefix('MPTcpExt')} {value}" for name, value in moved.items())
        lines.append(f"{role} ({state.name}): {words or 'no MPTCP counter moved'}")
        lines += [f"  {event}" for event in state.events]
    return lines


def differences(stream: Stream) -> list[str]:
    """Return in words where a stream is not what was sent; people count octets from 1."""
    at, wrong = stream.first_difference, stream.wrong_at
    if at is None:
        return []
    if wrong is not None and wrong > at:
        return [f"first wrong: octet {wrong + 1}, the box's: octet {at + 1}"]
    return [f"first difference: octet {at + 1}" + (" (the box's)" if stream.expected_difference else "")]


def _finding(finding: Finding) -> str:
    if not finding.expected:
        return f"  noted: {finding.actual}"
    frames = ", ".join(str(evidence.frame) for evidence in finding.evidence if evidence.frame)
    where = f" (frames {frames})" if frames else ""
    if finding.met:
        return f"  met: {finding.expected}"
    level = finding.level.value + (", by chance" if finding.by_chance else "")
    return f"  NOT MET, {level}: expected {finding.expected}; seen: {finding.actual}{where}"


def packets(frames: Sequence[CapturedFrame], marked: set[int]) -> list[str]:
    """Return the packets, a line each, runs of uneventful ones summed up. marked: frames to point at."""
    bases: dict[Flow, Seq32] = {}
    shifts: dict[Flow, int | None] = {}
    lines: list[str] = []
    quiet: list[str] = []

    def flush() -> None:
        if len(quiet) > QUIET:
            lines.extend(quiet[: QUIET // 2])
            lines.append(f"         ... {len(quiet) - QUIET} packets more of the same kind ...")
            lines.extend(quiet[-QUIET // 2 :])
        else:
            lines.extend(quiet)
        quiet.clear()

    for frame in frames:
        line, eventful = _packet(frame, bases, shifts)
        pointer = ">>" if frame.number in marked else "  "
        text = f"{pointer}{line}"
        if eventful or frame.number in marked:
            flush()
            lines.append(text)
        else:
            quiet.append(text)
    flush()
    return lines


def _packet(
    frame: CapturedFrame, bases: dict[Flow, Seq32], shifts: dict[Flow, int | None]
) -> tuple[str, bool]:
    """Return a packet in one line, and whether it tells something.

    bases, shifts: the first sequence number of each flow, and the window scale of its SYN.
    """
    side = frame.side
    arrow = "->" if frame.to_server else "<-"
    passed = "out" if frame.outbound else "in "
    where = f"{frame.number:>5} {frame.time_us / 1e6:9.6f} {frame.point:>14} {passed} {arrow}"
    said = "".join(f"\n{'':>24}# {comment}" for comment in frame.comments)
    try:
        packet = decode(frame.raw)
    except WireError as error:
        return f"{where} undecodable: {error}{said}", True
    if not isinstance(packet, Segment):
        return f"{where} IP protocol {packet.protocol}, {len(packet)} octets{said}", True
    source, destination = packet.flow
    if packet.syn:
        bases[side, source, destination] = packet.seq
        scale = packet.option(WindowScale)
        shifts[side, source, destination] = None if scale is None else scale.shift
    seq = packet.seq - bases.setdefault((side, source, destination), packet.seq)
    base = bases.get((side, destination, source))
    ack = ""
    if packet.has_ack:
        ack = f" ack {packet.ack - base if base is not None else int(packet.ack)}"
    words = [option_words(option) for option in packet.options if not isinstance(option, NoOperation)]
    words = [word for word in words if packet.syn or not word.startswith("timestamps")]
    text = f"{where} {flag_names(packet.flags)} seq {seq}{ack}{_window(packet, side, shifts)}"
    text += f" length {packet.payload_length}"
    text += f" [{', '.join(words)}]" if words else ""
    return text + said, bool(frame.comments) or packet.flags & (SYN | FIN | RST) != 0 or _is_signal(packet)


def _window(segment: Segment, side: str, shifts: dict[Flow, int | None]) -> str:
    """Return the window in octets, behind it the field as it is where it is scaled (RFC 7323 §2.2)."""
    if segment.flags & RST:
        return ""
    source, destination = segment.flow
    own, peer = shifts.get((side, source, destination)), shifts.get((side, destination, source))
    if segment.syn or own is None or peer is None:
        return f" window {segment.window}"
    return f" window {segment.window << min(own, MOST_SHIFT)} ({segment.window})"


def _is_signal(segment: Segment) -> bool:
    """Whether a segment has an MPTCP option beyond the plain mappings and Data ACKs of a transfer."""
    for option in segment.options:
        if isinstance(option, Dss):
            if option.infinite or option.data_fin:
                return True
        elif isinstance(option, MptcpOption) and not isinstance(option, MpCapable):
            return True
    return False
