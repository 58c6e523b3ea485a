"""What each host sent on each subflow, summed up: how much, how often again, and what no longer."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

from mbtest.observe.host import HostTrace, Judge
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.wire import ACK, FIN, RST, SYN
from mbtest.wire.describe import flag_names


class Mark(NamedTuple):
    """A packet. time: microseconds."""

    frame: int
    time: int


class Place(NamedTuple):
    """What a packet was, as its sender knew it."""

    who: str
    words: str
    octet: int | None
    """That of the stream which the first of its payload is; None where it has none, or no mapping."""


class Repeats:
    """Octets that were sent more than once."""

    __slots__ = ("first", "high", "last", "low", "number")

    def __init__(self) -> None:
        """Begin with none."""
        self.number = 0
        self.low = self.high = 0
        self.first = self.last = Mark(0, 0)

    def add(self, moment: Moment, low: int, high: int) -> None:
        """Take in a segment that repeats octets `low` up to `high`, that one excluded."""
        mark = Mark(moment.frame, moment.time)
        if not self.number:
            self.low, self.high, self.first = low, high, mark
        self.number += 1
        self.low, self.high, self.last = min(self.low, low), max(self.high, high), mark


class Course:
    """What one host sent on one subflow."""

    __slots__ = (
        "again", "bare", "bare_since", "connection", "data", "finish", "key", "mptcp", "octets", "remapped",
        "start", "syns", "third", "third_words", "who",
    )  # fmt: skip

    def __init__(self, who: str, connection: int, key: tuple[bytes, bytes]) -> None:
        """Begin with nothing. connection, key: as the host has them."""
        self.who = who
        self.connection = connection
        self.key = key
        self.data = 0
        """Segments with data that was not sent before."""
        self.octets = 0
        """Of that data."""
        self.start: Mark | None = None
        """The first data."""
        self.finish: Mark | None = None
        """The last of it that was new."""
        self.syns = 0
        self.again = Repeats()
        """Octets of the subflow that were sent again, under their numbers."""
        self.remapped = Repeats()
        """Octets of the stream that were sent again, under new numbers of the subflow."""
        self.mptcp = False
        """Whether any segment but a SYN had an option of MPTCP."""
        self.bare = 0
        """Segments without any option of MPTCP since the last that had one."""
        self.bare_since: Mark | None = None
        self.third: Mark | None = None
        """What the opener sent first after its SYN."""
        self.third_words = ""

    def take(self, moment: Moment) -> None:
        """Take in a segment before its host's state does."""
        flags = moment.flags
        if flags & SYN:
            self.syns += 1
            return
        if flags & RST:
            return
        if self.third is None and moment.subflow.opened_here:
            self.third = Mark(moment.frame, moment.time)
            self.third_words = " ".join(option.name for option in moment.options)
        if moment.options:
            self.mptcp, self.bare, self.bare_since = True, 0, None
        else:
            self.bare += 1
            if self.bare_since is None:
                self.bare_since = Mark(moment.frame, moment.time)
        if moment.size:
            self._take_data(moment)

    def _take_data(self, moment: Moment) -> None:
        """Tell new octets from those that go again, on the subflow or at the connection level."""
        own, low = moment.own, moment.start
        high = low + moment.size
        if low < own.top:
            self.again.add(moment, low, min(high, own.top))
        if high <= own.top:
            return
        octet = _octet(moment)
        if octet is not None and moment.connection.own.arrived.has(octet, octet + moment.size):
            self.remapped.add(moment, octet, octet + moment.size)
            return
        self.data += 1
        self.octets += high - max(low, own.top)
        self.finish = Mark(moment.frame, moment.time)
        self.start = self.start or self.finish


def _octet(moment: Moment) -> int | None:
    """Return which octet of the stream a segment's first one is; None where no mapping says so."""
    mapping = moment.mapping if moment.mapping is not None and moment.mapping.length else None
    mapping = mapping or moment.own.mapped.at(moment.start)
    return None if mapping is None else moment.start + mapping.data - mapping.start


class Courses:
    """A judge's companion: sums up what it is shown, and passes it on."""

    def __init__(self, judge: Judge | None = None, watch: Container[int] = ()) -> None:
        """Begin with nothing. judge: who is told as well. watch: frames to say of where they belong."""
        self.judge = judge
        self.of: dict[tuple[str, tuple[bytes, bytes]], Course] = {}
        self.places: dict[int, Place] = {}
        self._watch = watch

    def sent(self, host: HostTrace, moment: Moment) -> None:
        """Take in a segment that is about to change its host's state."""
        name = host.role, moment.subflow.key
        course = self.of.get(name)
        if course is None:
            course = self.of[name] = Course(host.role, moment.connection.number, moment.subflow.key)
        if moment.frame in self._watch:
            self.places[moment.frame] = _place(host.role, moment)
        course.take(moment)
        if self.judge is not None:
            self.judge.sent(host, moment)

    def checked(self, host: HostTrace, moment: Moment, mapping: Mapping) -> None:
        """Pass on."""
        if self.judge is not None:
            self.judge.checked(host, moment, mapping)

    def finish(self, host: HostTrace, now: int) -> None:
        """Pass on."""
        finish: Callable[[HostTrace, int], None] | None = getattr(self.judge, "finish", None)
        if finish is not None:
            finish(host, now)


def _place(who: str, moment: Moment) -> Place:
    flags, own = moment.flags, moment.own
    if moment.size and not flags & SYN:
        octet = _octet(moment)
        first = moment.start if octet is None else octet
        words = f"octets {first} to {first + moment.size - 1}"
        if octet is None:
            words += " of the subflow"
        if moment.start < own.top:
            words += ", sent again"
        return Place(who, words, octet)
    if flags & (SYN | RST | FIN):
        return Place(who, flag_names(flags & (SYN | ACK | RST | FIN)).replace(" ", "/"), None)
    is_third = not own.segments and moment.subflow.opened_here
    return Place(who, "third ACK" if is_third else "ACK", None)
