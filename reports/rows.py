"""Rows of the ladder as they are shown: numbers relative, options in short words before the long ones."""

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
    Packet,
    Sack,
    Segment,
    TcpOption,
    Timestamps,
)
from mbtest.wire.describe import flag_names, option_words
from reports.packets import TO_CLIENT, TO_SERVER, Frame, Numbers, end
from reports.steps import Step


class Label(msgspec.Struct, omit_defaults=True):
    """An option on a row. words: in full, with absolute numbers. change: `removed`, `added` or neither."""

    name: str
    detail: str = ""
    words: str = ""
    mptcp: bool = False
    change: str = ""


class View(msgspec.Struct, omit_defaults=True):
    """A packet as one capture point saw it."""

    frame: int
    time: int
    flags: str = ""
    """The control bits, or what the packet is if it is no TCP segment."""
    seq: int | None = None
    ack: int | None = None
    length: int = 0
    options: list[Label] = []
    ends: int | None = None
    """The place of its two ends in the ladder's list."""
    absolute: tuple[int, ...] = ()
    """Sequence number, window, and the acknowledgement number where there is one, as on the wire."""
    problem: str = ""


class Row(msgspec.Struct, omit_defaults=True):
    """A step, drawn on one line, or on several where a segment was split."""

    direction: str
    fate: str
    entry: View | None = None
    exits: list[View] = []
    path: str = ""
    subflow: int = 0
    deeds: list[str] = []
    remarks: list[str] = []
    failures: list[str] = []
    origins: list[int] = []


class Rows:
    """Makes rows of the steps that are to be shown."""

    def __init__(self, numbers: Numbers) -> None:
        """Begin with no row made. numbers: of the same frames."""
        self._numbers = numbers
        self.ends: list[str] = []
        """The ends, source and destination, that views refer to by place."""
        self._places: dict[tuple[bytes, bytes], int] = {}

    def row(self, step: Step) -> Row:
        """Return a step as it is shown."""
        entry = self._view(step.entry) if step.entry is not None else None
        if step.fate == "through":
            # What came out is what went in: only where and when is new.
            exits = [View(out.number, out.time) for out in step.exits]
        else:
            exits = [self._view(out) for out in step.exits]
        if step.fate == "changed" and entry is not None and step.entry is not None:
            _mark_changes(entry, exits[0], step.entry.segment, step.exits[0].segment)
        views = ([entry] if entry is not None else []) + exits
        return Row(
            step.first.direction,
            step.fate,
            entry,
            exits,
            step.first.path,
            step.first.subflow,
            [_shortened(words, views) for words in step.deeds],
            step.remarks,
            [failure for frame in step.frames for failure in frame.failures],
            list(step.origins),
        )

    def _view(self, frame: Frame) -> View:
        packet = frame.packet
        if packet is None:
            return View(frame.number, frame.time, "no IP packet", problem=frame.problem)
        if not isinstance(packet, Segment):
            kind, length = _protocol(packet.protocol), len(packet.content)
            return View(frame.number, frame.time, kind, length=length, ends=self._place(packet))
        absolute = int(packet.seq), packet.window
        return View(
            frame.number,
            frame.time,
            flag_names(packet.flags),
            self._numbers.seq(frame, packet),
            self._numbers.ack(frame, packet) if packet.has_ack else None,
            packet.payload_length,
            [
                self._label(frame, packet, option)
                for option in packet.options
                if not isinstance(option, NoOperation)
            ],
            self._place(packet),
            (*absolute, int(packet.ack)) if packet.has_ack else absolute,
        )

    def _place(self, packet: Packet) -> int:
        """Return the number of a packet's ends."""
        segment = packet if isinstance(packet, Segment) else None
        key = segment.flow if segment is not None else (packet.source_octets, packet.destination_octets)
        if key not in self._places:
            ports = (segment.source_port, segment.destination_port) if segment is not None else (None, None)
            self._places[key] = len(self.ends)
            self.ends.append(f"{end(packet.source, ports[0])} > {end(packet.destination, ports[1])}")
        return self._places[key]

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


def _protocol(number: int) -> str:
    return {1: "ICMP", 17: "UDP", 58: "ICMPv6"}.get(number, f"protocol {number}")


def _mark_changes(before: View, after: View, entered: Segment | None, left: Segment | None) -> None:
    """Mark the options that boxes took away and those that they put in."""
    if entered is None or left is None:
        return
    octets = _octets(entered), _octets(left)
    for view, own, others, change in (
        (before, octets[0], octets[1], "removed"),
        (after, octets[1], octets[0], "added"),
    ):
        remaining = Counter(others)
        for label, key in zip(view.options, own, strict=True):
            if remaining[key]:
                remaining[key] -= 1
            else:
                label.change = change


def _octets(segment: Segment) -> list[bytes]:
    """Return the options as octets; of timestamps, only that they are there."""
    return [
        b"" if isinstance(option, Timestamps) else option.encode()
        for option in segment.options
        if not isinstance(option, NoOperation)
    ]


def _shortened(deed: str, views: Sequence[View]) -> str:
    """Return a deed without the absolute numbers of options that the row shows anyway."""
    for view in views:
        for label in view.options:
            if label.change:
                deed = deed.replace(label.words, label.name)
    return deed
