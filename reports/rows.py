"""Rows of the ladder: each packet as its sender had it, what boxes made of it, and what came out.

Numbers are relative here, and options have short words with the long ones behind them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from mbtest.wire import (
    Dss,
    MpCapable,
    MpFail,
    MptcpOption,
    NoOperation,
    Sack,
    Segment,
    TcpOption,
    Timestamps,
)  # fmt: skip
from mbtest.wire.describe import flag_names, one_line, option_words
from reports.packets import TO_CLIENT, TO_SERVER, Frame, Numbers, Passage

HELD = 20_000
"""Microseconds beyond the path's usual delay from which a packet that comes out counts as held."""


class Label(msgspec.Struct, omit_defaults=True):
    """An option on a row. words: in full, with absolute numbers. change: `removed`, `added` or neither."""

    name: str
    detail: str = ""
    words: str = ""
    mptcp: bool = False
    change: str = ""


class View(msgspec.Struct, omit_defaults=True):
    """A packet as one capture point saw it. Numbers are relative; `line` has the absolute ones."""

    frame: int
    time: int
    flags: str = ""
    seq: int | None = None
    ack: int | None = None
    length: int = 0
    options: list[Label] = []
    line: str = ""


class Row(msgspec.Struct, omit_defaults=True):
    """A packet on its way, drawn on one line, or on several where it was split.

    fate: `through`, `changed`, `split`, `withheld`, `dropped`, `lost` (no box says why), `held` (comes
    out later, on a row of its own), `sent` (begins at the boxes).
    """

    direction: str
    fate: str
    entry: View | None = None
    exits: list[View] = []
    path: str = ""
    subflow: int = 0
    deeds: list[str] = []
    remarks: list[str] = []
    """What is to be noticed about the packet itself, as `retransmission`."""
    failures: list[str] = []
    origins: list[int] = []

    @property
    def views(self) -> list[View]:
        """All sights of it, the first first."""
        return ([self.entry] if self.entry is not None else []) + self.exits


def rows_of(passages: Sequence[Passage]) -> tuple[list[Row], Numbers]:
    """Return the rows of a run's passages in the order of their frames, and the numbers behind them."""
    numbers = Numbers(passages)
    maker = _Rows(numbers, _usual_delays(passages))
    rows = [row for passage in passages for row in maker.of(passage)]
    rows.sort(key=lambda row: row.views[0].frame)
    _follow_held(rows)
    return rows, numbers


def _usual_delays(passages: Sequence[Passage]) -> dict[tuple[str, str], int]:
    """Return the shortest time through each path, each way, in microseconds."""
    delays: dict[tuple[str, str], int] = {}
    for passage in passages:
        if passage.entry is not None and passage.exits:
            key = passage.entry.path, passage.entry.direction
            delay = passage.exits[0].time - passage.entry.time
            delays[key] = min(delay, delays.get(key, delay))
    return delays


class _Repetitions:
    """Notices what was sent before. Must be shown every segment once, in the order of sending."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._ends: dict[tuple[int, str], int] = {}
        self._data: dict[tuple[int, str], int] = {}

    def remarks(self, frame: Frame) -> list[str]:
        """Return what is to be said of a segment: that all of it, or all of its data, was sent before."""
        segment = frame.segment
        if segment is None or not segment.sequence_length:
            return []
        flow, connection = (
            (frame.subflow, frame.direction),
            (self._numbers.connection(frame), frame.direction),
        )
        seq = self._numbers.seq(frame, segment)
        end, sent = seq + segment.sequence_length, self._ends.get(flow, 0)
        self._ends[flow] = max(end, sent)
        option = segment.option(Dss)
        found = ["retransmission"] if end <= sent else []
        if option is None or option.dsn is None or option.infinite or not segment.payload_length:
            return found
        # A mapping may span several segments; the segment's own data is somewhere within it.
        dsn = self._numbers.data(frame, frame.direction, option.dsn, option.dsn_64)
        if dsn is not None:
            end = dsn + seq - option.subflow_sequence + segment.payload_length
            if end <= self._data.get(connection, 0) and not found:
                found.append("reinjection: data that was sent before")
            self._data[connection] = max(end, self._data.get(connection, 0))
        return found


class _Rows:
    """Makes rows of passages."""

    def __init__(self, numbers: Numbers, delays: dict[tuple[str, str], int]) -> None:
        self._numbers = numbers
        self._delays = delays
        self._repetitions = _Repetitions(numbers)

    def of(self, passage: Passage) -> list[Row]:
        """Return the row of a passage, or two where what entered was held for a while."""
        entry, exits = passage.entry, passage.exits
        deeds = list(
            dict.fromkeys(words for frame in (entry, *exits) if frame is not None for words in frame.words)
        )
        if entry is None:
            return [self._row("sent", exits[0], None, exits, deeds)]
        if not exits:
            return [self._row(_fate_of_none(deeds), entry, entry, [], deeds)]
        usual = self._delays[entry.path, entry.direction]
        if exits[0].time - entry.time > usual + HELD:
            held = self._row("held", entry, entry, [], list(dict.fromkeys(entry.words)))
            after = (exits[0].time - entry.time - usual) // 1000
            out = [words for frame in exits for words in frame.words if words not in entry.words]
            released = self._row(
                "sent", exits[0], None, exits, out or [f"held for {after} ms"], (entry.number,)
            )
            return [held, released]
        if len(exits) > 1:
            return [self._row("split", entry, entry, exits, deeds)]
        same = entry.packet is not None and exits[0].packet == entry.packet
        return [self._row("through" if same else "changed", entry, entry, exits, deeds)]

    def _row(
        self,
        fate: str,
        first: Frame,
        entry: Frame | None,
        exits: Sequence[Frame],
        deeds: list[str],
        origins: Sequence[int] = (),
    ) -> Row:
        before = self._view(entry) if entry is not None else None
        if fate == "through":
            # What came out is what went in: only where and when is new.
            after = [View(out.number, out.time) for out in exits]
        else:
            after = [self._view(out) for out in exits]
        if fate == "changed" and before is not None and entry is not None:
            _mark_changes(before, after[0], entry.segment, exits[0].segment)
        remarks = self._repetitions.remarks(entry) if entry is not None else []
        views = ([before] if before is not None else []) + after
        deeds = [_shortened(words, views) for words in deeds]
        return Row(
            first.direction, fate, before, after, first.path, first.subflow, deeds, remarks,
            [failure for frame in (entry, *exits) if frame is not None for failure in frame.failures],
            list(origins),
        )  # fmt: skip

    def _view(self, frame: Frame) -> View:
        if frame.packet is None:
            return View(frame.number, frame.time, "no IP packet", line=frame.problem)
        segment = frame.segment
        if segment is None:
            return View(
                frame.number, frame.time, _protocol(frame.packet.protocol), length=len(frame.packet.content),
                line=one_line(frame.packet),
            )  # fmt: skip
        return View(
            frame.number,
            frame.time,
            flag_names(segment.flags),
            self._numbers.seq(frame, segment),
            self._numbers.ack(frame, segment) if segment.has_ack else None,
            segment.payload_length,
            [
                self._label(frame, segment, option)
                for option in segment.options
                if not isinstance(option, NoOperation)
            ],
            f"{one_line(segment)} window {segment.window}",
        )

    def _label(self, frame: Frame, segment: Segment, option: TcpOption) -> Label:
        """Return an option with relative numbers."""
        words = option_words(option)
        if isinstance(option, Dss):
            return Label("DSS", self._dss(frame, option), words, mptcp=True)
        if isinstance(option, MptcpOption):
            return Label(option.name, self._mptcp(frame, option, words), words, mptcp=True)
        if isinstance(option, Sack):
            edges = [[self._numbers.edge(frame, segment, edge) for edge in block] for block in option.blocks]
            return Label("SACK", " ".join(f"{left}–{right}" for left, right in edges), words)
        return Label("timestamps" if isinstance(option, Timestamps) else words, "", words)

    def _dss(self, frame: Frame, option: Dss) -> str:
        words = ["DATA_FIN"] if option.data_fin else []
        if option.dsn is not None:
            dsn = self._data(frame, frame.direction, option.dsn, option.dsn_64)
            words.append(
                f"infinite mapping DSN {dsn} SSN {option.subflow_sequence}"
                if option.infinite
                else f"DSN {dsn} length {option.length}"
            )
        if option.checksum is not None:
            words.append("checksum")
        if option.data_ack is not None:
            back = TO_CLIENT if frame.direction == TO_SERVER else TO_SERVER
            words.append(f"Data ACK {self._data(frame, back, option.data_ack, option.data_ack_64)}")
        return " ".join(words)

    def _mptcp(self, frame: Frame, option: MptcpOption, words: str) -> str:
        if isinstance(option, MpFail):
            # The DSN of the data that failed: what the other side sent (RFC 8684 §3.7).
            back = TO_CLIENT if frame.direction == TO_SERVER else TO_SERVER
            return f"DSN {self._data(frame, back, option.dsn, wide=True)}"
        if isinstance(option, MpCapable):
            parts = [f"v{option.version}"]
            parts += ["checksum"] if option.checksum_required else []
            keys = sum(key is not None for key in (option.sender_key, option.receiver_key))
            parts += [("no key", "key", "both keys")[keys]] if keys else []
            parts += [f"length {option.data_length}"] if option.data_length is not None else []
            return " ".join(parts)
        return words.removeprefix(option.name).strip()

    def _data(self, frame: Frame, direction: str, number: int, wide: bool) -> int:
        relative = self._numbers.data(frame, direction, number, wide)
        return number if relative is None else relative


def _fate_of_none(deeds: Sequence[str]) -> str:
    """Return what happened to a packet of which nothing came out."""
    words = " ".join(deeds)
    if "drop" in words or "lost" in words:
        return "dropped"
    if "held" in words or "kept" in words:
        return "held"
    return "withheld" if deeds else "lost"


def _follow_held(rows: Sequence[Row]) -> None:
    """Say of segments that boxes held where their data went on, merged with other segments."""
    waiting: list[tuple[Row, View]] = []
    for row in rows:
        for out in row.exits:
            for held, view in waiting[:]:
                same = (held.subflow, held.direction) == (row.subflow, row.direction)
                if same and _covers(out, view) and out.frame > view.frame:
                    held.deeds = [*held.deeds, f"goes on in frame {out.frame}"]
                    waiting.remove((held, view))
        if row.fate == "held" and row.entry is not None and row.entry.length:
            waiting.append((row, row.entry))


def _covers(out: View, view: View) -> bool:
    if out.seq is None or view.seq is None:
        return False
    return out.seq <= view.seq and view.seq + view.length <= out.seq + out.length


def _protocol(number: int) -> str:
    return {1: "ICMP", 17: "UDP", 58: "ICMPv6"}.get(number, f"protocol {number}")


def _mark_changes(before: View, after: View, entered: Segment | None, left: Segment | None) -> None:
    """Mark the options that boxes took away and those that they put in."""
    if entered is None or left is None:
        return
    old, new = Counter(_encoded(entered)), Counter(_encoded(left))
    for view, octets, others, change in (
        (before, _encoded(entered), new, "removed"),
        (after, _encoded(left), old, "added"),
    ):
        remaining = others.copy()
        for label, key in zip(view.options, octets, strict=True):
            if remaining[key]:
                remaining[key] -= 1
            else:
                label.change = change


def _shortened(deed: str, views: Sequence[View]) -> str:
    """Return a deed without the absolute numbers of options that the row shows anyway."""
    for view in views:
        for label in view.options:
            if label.change:
                deed = deed.replace(label.words, label.name)
    return deed


def _encoded(segment: Segment) -> list[bytes]:
    return [option.encode() for option in segment.options if not isinstance(option, NoOperation)]
