"""Aiming: which segments a box acts on, said beside the box and not inside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mbtest.errors import UsageError
from mbtest.middlebox.arguments import checked
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.flows import FlowTable, Kind, Sighting, Subflow
from mbtest.wire import Segment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Aim:
    """The segments that a box acts on: those that meet every condition given.

    Prefer conditions on stream offsets to counts: a retransmitted or resegmented octet meets them
    again, and a packet count depends on how the sender cut its data.
    """

    path: int | str | None = None
    """A path by name, or by number in the topology's order, from 0."""
    direction: Direction | None = None
    port: int | None = None
    """The server's port."""
    subflow: Subflow | None = None
    kinds: Kind | None = None
    """Any of these kinds."""
    from_byte: int | None = None
    """Data at or after this stream offset (octets, from 0); pure ACKs and the like do not match."""
    until_byte: int | None = None
    """Data before this stream offset."""
    nth: int | None = None
    """Only the nth segment that meets all else, from 1."""
    from_nth: int | None = None
    until_nth: int | None = None
    """Segments from this number on, and before that one, among those that meet all else."""
    from_time: int | None = None
    until_time: int | None = None
    """Run clock, microseconds."""
    retransmissions: bool = False
    """Only segments whose every octet passed this point before."""
    where: Callable[[Segment], bool] | None = None
    """Any further condition on the segment itself."""

    def __post_init__(self) -> None:
        """Refuse conditions that nothing can meet. Raises UsageError."""
        for low, high in (
            ("from_byte", "until_byte"),
            ("from_nth", "until_nth"),
            ("from_time", "until_time"),
        ):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first >= last:
                raise UsageError(f"Aim: {low}={first} is not before {high}={last}; nothing would match")
        for name in ("nth", "from_nth"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"Aim: {name}={value}; segments are counted from 1")

    def describe(self) -> str:
        """Return the conditions in words."""
        words = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None or value is False:
                continue
            if isinstance(value, Kind):
                value = "|".join(str(kind.name) for kind in value)
            elif isinstance(value, (Direction, Subflow)):
                value = value.value
            elif callable(value):
                value = getattr(value, "__name__", "a condition")
            words.append(f"{field.name}={value}")
        return ", ".join(words) or "everything"

    def includes_path(self, name: str, index: int) -> bool:
        """Whether a box so aimed stands on this path at all."""
        return self.path is None or self.path in (name, index)


# What the dataclass made knows nothing of who wrote the call.
Aim.__init__ = checked(Aim.__init__, "Aim")  # type: ignore[method-assign]


class Sight:
    """An aim in use at one place: it remembers the flows that passed and what was hit."""

    def __init__(self, aim: Aim) -> None:
        """Begin with nothing seen."""
        self._aim = aim
        self._flows = FlowTable()
        self._kinds = None if aim.kinds is None else aim.kinds.value
        self._asks_flows = aim.retransmissions or any(
            condition is not None for condition in (aim.kinds, aim.subflow, aim.from_byte, aim.until_byte)
        )
        self.matches = 0
        """Segments that met all but the counting conditions."""

    def hits(self, segment: Segment, direction: Direction, now: int) -> bool:
        """Whether the box acts on `segment`. Must be shown every segment that passes, once."""
        aim = self._aim
        # Flows have two directions: what travels the other way is seen all the same.
        if self._asks_flows and not self._meets(self._flows.sight(segment, direction)):
            return False
        if aim.direction is not None and direction is not aim.direction:
            return False
        if aim.port is not None and aim.port != self._server_port(segment, direction):
            return False
        if aim.from_time is not None and now < aim.from_time:
            return False
        if aim.until_time is not None and now >= aim.until_time:
            return False
        if aim.where is not None and not aim.where(segment):
            return False
        self.matches += 1
        return self._is_counted(self.matches)

    def counted(self) -> tuple[int, int]:
        """Return how many segments met all but the counting conditions, and how many met those, too."""
        aim, last = self._aim, self.matches
        if aim.nth is not None:
            return last, int(last >= aim.nth)
        first = aim.from_nth or 1
        until = last + 1 if aim.until_nth is None else min(last + 1, aim.until_nth)
        return last, max(0, until - first)

    @staticmethod
    def _server_port(segment: Segment, direction: Direction) -> int:
        return segment.destination_port if direction is Direction.TO_SERVER else segment.source_port

    def _meets(self, seen: Sighting) -> bool:
        """Whether a segment meets the conditions on its place in its flow."""
        aim = self._aim
        if self._kinds is not None and not seen.kinds.value & self._kinds:
            return False
        if aim.subflow is not None and seen.subflow is not aim.subflow:
            return False
        if aim.from_byte is not None and not max(seen.start, aim.from_byte) < seen.end:
            return False
        if aim.until_byte is not None and not seen.start < min(seen.end, aim.until_byte):
            return False
        return seen.again or not aim.retransmissions

    def _is_counted(self, number: int) -> bool:
        aim = self._aim
        if aim.nth is not None and number != aim.nth:
            return False
        if aim.from_nth is not None and number < aim.from_nth:
            return False
        return aim.until_nth is None or number < aim.until_nth
