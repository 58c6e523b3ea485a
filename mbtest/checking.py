"""`mbtest check CAPTURE...`: what happened in a capture, and which clauses its hosts did not follow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from mbtest.console import Screen
from mbtest.observe.reader import Frame, Reader
from mbtest.observe.rules import MUST, Rulebook
from mbtest.observe.story import Story, stories
from mbtest.observe.trace import CLIENT, SERVER, Trace

LINES = 200
"""Lines of a timeline that are shown."""
BROKEN, FOLLOWED = 1, 0


class Checked:
    """A capture that was read from end to end."""

    def __init__(self, file: Path) -> None:
        """Read it, and apply all rules. Raises UsageError for what is no capture."""
        self.file = file
        self.reader = Reader(file)
        self.book = Rulebook()
        self.trace = Trace(self.book)
        add = self.trace.add
        for frame in self.reader.frames():
            path, side, sender = whereabouts(frame)
            add(frame.number, frame.time, path, side, sender, frame.raw)
        self.trace.finish()
        self.stories = stories(self.trace)

    @property
    def musts(self) -> int:
        """How often a MUST was broken."""
        return sum(breach.level == MUST for breach in self.book.breaches)

    @property
    def shoulds(self) -> int:
        """How often a SHOULD was not followed."""
        return len(self.book.breaches) - self.musts

    def remarks(self) -> list[str]:
        """Return what has to be known of the file itself, a line each."""
        reader, trace = self.reader, self.trace
        words = []
        if reader.broken:
            words.append(f"the file breaks off {reader.broken}")
        for link, count in reader.skipped.items():
            what = f"on links of type {link}" if link >= 0 else "of no interface"
            words.append(f"{count} packets {what} were passed over")
        if reader.truncated:
            words.append(f"{reader.truncated} packets were not captured whole")
        if reader.not_ip or trace.others:
            words.append(f"{reader.not_ip + trace.others} packets are no TCP")
        if trace.undecodable:
            words.append(f"{trace.undecodable} packets could not be read")
        if not self.stories:
            words.append("no TCP connection is in it")
        return words


def whereabouts(frame: Frame) -> tuple[str, str | None, str | None]:
    """Return path, side and sender of a packet; side and sender are None where its file tells neither.

    Files of mbtest name interfaces `<path>/client` and `<path>/server`; outbound is what leaves the boxes.
    """
    path, _, side = frame.point.rpartition("/")
    if side not in (CLIENT, SERVER) or frame.outbound is None:
        return frame.point, None, None
    if frame.outbound:
        return path, side, SERVER if side == CLIENT else CLIENT
    return path, side, side


def check(files: list[Path], as_json: bool, strict: bool) -> int:
    """Print what is found in captures; return 1 where a MUST is broken, 0 otherwise.

    strict: whether a SHOULD counts as well. Raises UsageError for what is no capture.
    """
    console = Screen(highlight=False)
    status = FOLLOWED
    told = []
    for file in files:
        checked = Checked(file)
        if checked.musts or (strict and checked.shoulds):
            status = BROKEN
        if as_json:
            told.append(_as_data(checked))
        else:
            for line in words(checked):
                console.print(Text(line), soft_wrap=True)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    return status


def words(checked: Checked) -> list[str]:
    """Return the text on a capture, line by line."""
    trace = checked.trace
    seconds = (trace.now - (trace.began or 0)) / 1e6
    points = "both sides of the boxes" if trace.two_points else "one capture point"
    lines = [f"{checked.file}: {trace.frames} packets in {seconds:.3f} s, {points}"]
    lines += [f"  note: {remark}" for remark in checked.remarks()]
    for story in checked.stories:
        lines += ["", *_story_lines(story)]
    lines += ["", *_transit_lines(trace), *_breach_lines(checked)]
    return lines


def _story_lines(story: Story) -> list[str]:
    facts = story.facts
    said = [str(facts["mode"])]
    if facts["version"] is not None:
        said.append(f"version {facts['version']}")
    if facts["checksums"] is not None:
        said.append("with checksums" if facts["checksums"] else "without checksums")
    lines = [f"connection {story.number}: {story.title}: {', '.join(said)}"]
    for line in story.lines[:LINES]:
        frame = f"{line.frame:>7}" if line.frame else " " * 7
        lines.append(f"  {line.time / 1e6:>10.6f} {frame}  {line.who}: {line.words}")
    if len(story.lines) > LINES:
        lines.append(f"  and {len(story.lines) - LINES} more")
    for who in (CLIENT, SERVER):
        one = facts.get(who)
        if isinstance(one, dict) and one["octets_sent"]:
            again = one["reinjections"]
            more = f", {again} mappings sent on another subflow too" if again else ""
            lines.append(f"  {who}: {one['octets_sent']} octets{more}")
    return lines


def _transit_lines(trace: Trace) -> list[str]:
    lines = []
    for number, passage in enumerate(trace.transit.passages, 1):
        for sender, one in passage.items():
            found = [
                f"{count} octets {what}"
                for count, what in (
                    (one.lost, "lost"), (one.altered, "altered"), (one.twice, "came twice"),
                    (one.inserted, "inserted"),
                )
                if count
            ]  # fmt: skip
            if found:
                lines.append(f"on the way, subflow {number}, from the {sender}: {', '.join(found)}")
    return [*lines, ""] if lines else []


def _breach_lines(checked: Checked) -> list[str]:
    book = checked.book
    lines = [
        f"{one.level} {one.clause} {one.rule}: frame {one.frame}, {one.who}: {one.words}"
        for one in book.breaches
    ]
    kept = len(book.breaches)
    total = sum(book.more.values())
    if total > kept:
        lines.append(f"and {total - kept} more of the same rules")
    rules = len({breach.rule for breach in book.breaches})
    if not kept:
        return ["no rule is broken"]
    return [*lines, f"{total} breaches of {rules} rules"]


def _as_data(checked: Checked) -> dict[str, Any]:
    trace = checked.trace
    return {
        "file": str(checked.file),
        "packets": trace.frames,
        "seconds": (trace.now - (trace.began or 0)) / 1e6,
        "points": 2 if trace.two_points else 1,
        "notes": checked.remarks(),
        "connections": [
            {
                "number": story.number,
                "title": story.title,
                **story.facts,
                "timeline": [line._asdict() for line in story.lines],
            }
            for story in checked.stories
        ],
        "transit": [
            {
                sender: {
                    "lost": one.lost,
                    "altered": one.altered,
                    "twice": one.twice,
                    "inserted": one.inserted,
                }
                for sender, one in passage.items()
            }
            for passage in trace.transit.passages
        ],
        "breaches": [breach._asdict() for breach in checked.book.breaches],
        "breaches_in_all": sum(checked.book.more.values()),
    }
