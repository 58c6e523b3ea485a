"""A box that changes data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, Edit, Middlebox, MovedHalf, Parameter, StreamGateway, StreamMap
from mbtest.middlebox.overlay import Overlay, Places
from mbtest.wire import Segment


class RewritePayload(Middlebox):
    """Changes octets at given places of the stream, as an application gateway (FTP, SIP, HTTP) does.

    Where lengths change, sequence and acknowledgment numbers and SACK blocks are carried on behind the
    place, and segments that grow above `mtu` are cut. Options, MPTCP's included, are not touched; nor
    are segments whose checksum is wrong. Aim it at a direction; without an aim it changes both.

    Changes of the same length are made in every segment that the aim hits, as a device makes them that
    knows what it does; `copies` is for accidents. Others are made where the aim hits the first segment
    that reaches the place, and then in every segment.
    """

    at: Annotated[int | tuple[int, ...], Parameter("stream offsets of the changes", "octets", 0)] = 0
    put: Annotated[bytes | None, Parameter("octets put there; none flips those that are there")] = None
    cut: Annotated[int | None, Parameter("octets removed; none: as many as are put", "octets", 0)] = None
    xor: Annotated[bytes, Parameter("mask for the octets to flip, from the place on")] = b"\xff"
    every: Annotated[int | None, Parameter("repeat the last change at this distance", "octets", 1)] = None
    copies: Annotated[
        Literal["every", "first", "later", "resent"],
        Parameter(
            "of an octet that passes several times, those changed, as a memory error may: the first, and "
            "the next heals; later ones; or later ones, the first being lost"
        ),
    ] = "every"
    mtu: Annotated[int, Parameter("largest IP packet made", "octets", 576, 65535)] = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        places = (self.at,) if isinstance(self.at, int) else self.at
        flips = self.put is None and self.cut is None
        inserted = self.put or b""
        self._edit = Edit(0, len(inserted) if self.cut is None else self.cut, inserted)
        self._span = len(self.xor) if flips else self._edit.removed
        self._places = Places(places, self.every)
        self._overlay = Overlay(self._places, self.xor if flips else inserted, flips)
        gaps = [later - place for place, later in pairwise(places)]
        if not self._span and not inserted:
            told = f"put={self.put!r}, cut={self.cut}, xor={self.xor!r}"
            raise UsageError(f"RewritePayload: {told}: no change at all")
        if self.copies != "every" and self._edit.growth:
            told = f"copies={self.copies!r}, {self._edit.growth:+d} octets"
            raise UsageError(f"RewritePayload: {told}: a length cannot change in some copies alone")
        if not places or min([*gaps, self.every or self._span or 1]) < (self._span or 1):
            told = f"at={self.at}, every={self.every}"
            raise UsageError(
                f"RewritePayload: {told}: places are in order, {self._span or 1} octets apart or more"
            )

    def start(self) -> None:
        self._gateway = StreamGateway(self.mtu, self.send)
        self._loses = False

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        self._loses = False
        changed = self._gateway.carry(segment, direction, self._change)
        if self._loses:
            self.note(segment, "dropped it: what comes again will be changed")
            return ()
        return changed

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Carry on numbers, and make the changes that were begun."""
        return self._gateway.carry(segment, direction)

    def delivers(self, stream: bytes, direction: Direction) -> bytes:
        """Return the stream with its changes; an aim counts as far as it names a direction."""
        if self.aim is not None and self.aim.direction not in (None, direction):
            return stream
        if self.copies == "later":
            # Who has an octet does not look at it again.
            return stream
        if not self._edit.growth:
            return self._overlay.over(0, stream, range(len(stream)))
        places = self._places.met(0, len(stream), 1)
        return StreamMap(self._edit._replace(at=place) for place in places).rewrite(0, stream)

    def _change(self, moved: MovedHalf, start: int, data: bytes) -> bytes:
        """Return `data` with its changes of the same length; have others made from here on."""
        if not self._edit.growth:
            return self._overlay.over(start, data, self._now(moved.settled, start, start + len(data)))
        for place in self._places.met(moved.settled, start + len(data), 1):
            moved.edits.add(self._edit._replace(at=place))
        return data

    def _now(self, settled: int, start: int, end: int) -> range:
        """Return the octets from `start` to `end` that are changed this time. settled: passed before."""
        new = range(max(start, settled), end)
        if self.copies == "resent" and new:
            self._loses = next(self._places.met(new.start, end, self._span), None) is not None
        if self.copies == "first":
            return new
        return range(start, end if self.copies == "every" else min(end, settled))
