"""`mbtest check CAPTURE...`: what happened in a capture, and which clauses its hosts did not follow."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from mbtest.console import Screen
from mbtest.errors import UsageError
from mbtest.observe.clocks import LOOKED_AT, Shift, Sighting, shift_of
from mbtest.observe.reader import Frame, Reader
from mbtest.observe.rules import MUST, Rulebook
from mbtest.observe.story import Story, stories
from mbtest.observe.trace import CLIENT, SERVER, Trace
from mbtest.wire import Segment, WireError, decode

LINES = 200
"""Lines of a timeline that are shown."""
BROKEN, FOLLOWED = 1, 0


class Checked:
    """Captures that were read from end to end, of one point or of two."""

    def __init__(self, name: str, readers: tuple[Reader, ...], taken_at: str | None = None) -> None:
        """Prepare to read. taken_at: the host at which one capture point is, None for one in between."""
        self.name = name
        self.readers = readers
        self.book = Rulebook()
        self.trace = Trace(self.book, taken_at)
        self.stories: list[Story] = []
        self.told: list[str] = []
        """What has to be known besides what the readers say, a line each."""

    def finish(self) -> Checked:
        """Judge, once all packets were taken in. Raises UsageError for a file none of which could be read."""
        for reader in self.readers:
            if reader.skipped and not self.trace.frames:
                links = ", ".join(str(link) for link in reader.skipped)
                raise UsageError(
                    f"{reader.file}: all packets are on links of type {links}; what can be read is Ethernet, "
                    "raw IP, Linux cooked capture and loopback"
                )
        self.trace.finish()
        self.stories = stories(self.trace)
        return self

    @property
    def musts(self) -> int:
        """How often a MUST was broken."""
        return sum(breach.level == MUST for breach in self.book.breaches)

    @property
    def shoulds(self) -> int:
        """How often a SHOULD was not followed."""
        return len(self.book.breaches) - self.musts

    def remarks(self) -> list[str]:
        """Return what has to be known of the files themselves, a line each."""
        trace = self.trace
        words = list(self.told)
        for reader in self.readers:
            which = f"{reader.file}: " if len(self.readers) > 1 else ""
            words += [which + remark for remark in _of_reader(reader)]
        strangers = sum(reader.not_ip for reader in self.readers) + trace.others
        if strangers:
            words.append(f"{strangers} packets are no TCP")
        if trace.undecodable:
            words.append(f"{trace.undecodable} packets could not be read")
        if not self.stories:
            words.append("no TCP connection is in it")
        return words


def _of_reader(reader: Reader) -> list[str]:
    words = []
    if reader.broken:
        words.append(f"the file breaks off {reader.broken}")
    for link, count in reader.skipped.items():
        what = f"on links of type {link}" if link >= 0 else "of no interface"
        words.append(f"{count} packets {what} were passed over")
    if reader.truncated:
        words.append(f"{reader.truncated} packets were not captured whole")
    return words


def read_one(file: Path, taken_at: str | None = None) -> Checked:
    """Read a capture, and apply all rules.

    taken_at: the host at which it was taken, `client` or `server`; None for in between. Raises UsageError for
    what is no capture, and where the file itself says that it was taken elsewhere.
    """
    reader = Reader(file)
    checked = Checked(str(file), (reader,), taken_at)
    add = checked.trace.add
    for frame in reader.frames():
        path, side, sender = whereabouts(frame)
        add(frame.number, frame.time, path, side, sender, frame.raw)
    if taken_at is not None and checked.trace.two_points:
        raise UsageError(f"{file}: it shows both sides of the boxes; leave --taken-at out")
    return checked.finish()


def read_two(client: Path, server: Path) -> Checked:
    """Read two captures of the same time, one at each host, and apply all rules.

    Which packets a host sent is told by who opened their flow: the client opens the connection. Raises
    UsageError for what is no capture.
    """
    shift = shift_of(_sightings(client), _sightings(server))
    readers = {CLIENT: Reader(client), SERVER: Reader(server)}
    checked = Checked(f"{client}, {server}", tuple(readers.values()))
    add = checked.trace.add
    for time, side, frame in heapq.merge(
        *(_timed(reader, side, shift.shift if side == SERVER else 0) for side, reader in readers.items()),
        key=itemgetter(0),
    ):
        add(frame.number, time, "", side, None, frame.raw)
    checked.told = [f"frames of the client are counted in {client}, those of the server in {server}"]
    checked.told += _clock_words(shift)
    return checked.finish()


def _timed(reader: Reader, side: str, shift: int) -> Iterator[tuple[int, str, Frame]]:
    for frame in reader.frames():
        yield frame.time + shift, side, frame


def _sightings(file: Path) -> Iterator[Sighting]:
    """Give the first segments of a file, with who sent them."""
    trace = Trace()
    for frame in islice(Reader(file).frames(), LOOKED_AT):
        try:
            packet = decode(frame.raw)
        except WireError:
            continue
        if isinstance(packet, Segment):
            # Who opens a join is told by the keys that were exchanged before.
            trace.take(frame.number, frame.time, "", None, None, packet)
            yield Sighting(frame.time, trace.sender(packet), packet)


def _clock_words(shift: Shift) -> list[str]:
    if not shift.matched:
        return ["no packet is in both files: their clocks are taken to be the same"]
    words = f"{shift.shift / 1e6:+.6f} s were added to the server's times, by {shift.matched} packets in both"
    if shift.least is None or shift.most is None:
        return [f"{words}, all of one host: times on the way are unknown"]
    if shift.least > shift.most:
        return [f"{words}; the clocks are {(shift.least - shift.most) / 1e6:.6f} s short of any order"]
    return [f"{words}; it could be {(shift.most - shift.least) / 2e6:.6f} s more or less"]


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


def check(sources: Iterable[Callable[[], Checked]], as_json: bool, strict: bool) -> int:
    """Print what is found in captures; return 1 where a MUST is broken, 0 otherwise.

    sources: each reads one. strict: whether a SHOULD counts as well. Raises UsageError for what is none.
    """
    console = Screen(highlight=False)
    status = FOLLOWED
    told = []
    for read in sources:
        checked = read()
        if checked.musts or (strict and checked.shoulds):
            status = BROKEN
        if as_json:
            told.append(_as_data(checked))
        else:
            # At once: rich takes half a millisecond a line, and a capture can have thousands of connections.
            console.print(Text("\n".join(words(checked))), soft_wrap=True)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    return status


def words(checked: Checked) -> list[str]:
    """Return the text on a capture, line by line."""
    trace = checked.trace
    seconds = (trace.now - (trace.began or 0)) / 1e6
    lines = [f"{checked.name}: {trace.frames} packets in {seconds:.3f} s, {_points(checked)}"]
    lines += [f"  note: {remark}" for remark in checked.remarks()]
    for story in checked.stories:
        lines += ["", *_story_lines(story)]
    lines += ["", *_transit_lines(trace), *_breach_lines(checked)]
    return lines


def _points(checked: Checked) -> str:
    if len(checked.readers) > 1:
        return "one capture point at each host"
    if checked.trace.two_points:
        return "both sides of the boxes"
    where = checked.trace.taken_at
    return f"one capture point, at the {where}" if where else "one capture point between the hosts"


def _story_lines(story: Story) -> list[str]:
    facts = story.facts
    said = [str(facts["mode"])]
    if facts["version"] is not None:
        said.append(f"version {facts['version']}")
    if facts["checksums"] is not None:
        said.append("with checksums" if facts["checksums"] else "without checksums")
    if not facts["from_its_start"]:
        said.append("begun before the capture, and who opened it is a guess from the ports")
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
            more = f", {again} mappings of them sent again, under other numbers of a subflow" if again else ""
            lines.append(f"  {who}: {one['octets_sent']} octets{more}")
    return lines


def _transit_lines(trace: Trace) -> list[str]:
    lines = []
    for number, passage in enumerate(trace.transit.passages if trace.transit else (), 1):
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
    lines.append(f"{total} breach{'' if total == 1 else 'es'} of {rules} rule{'' if rules == 1 else 's'}")
    far = [who for who in (CLIENT, SERVER) if who != checked.trace.taken_at]
    far = [who for who in far if any(breach.who == who for breach in book.breaches)]
    if far and not checked.trace.two_points:
        hosts = " and the ".join(far)
        lines.append(f"of the {hosts} only this is seen; what boxes did before is taken for theirs")
    return lines


def _as_data(checked: Checked) -> dict[str, Any]:
    trace = checked.trace
    return {
        "file": checked.name,
        "packets": trace.frames,
        "seconds": (trace.now - (trace.began or 0)) / 1e6,
        "points": 2 if trace.two_points else 1,
        "taken_at": trace.taken_at,
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
            for passage in (trace.transit.passages if trace.transit else ())
        ],
        "breaches": [breach._asdict() for breach in checked.book.breaches],
        "breaches_in_all": sum(checked.book.more.values()),
    }
