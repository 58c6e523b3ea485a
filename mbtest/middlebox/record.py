"""What each box did to which packet: the record that makes evidence of a run."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from mbtest.middlebox.direction import Direction
from mbtest.wire import Packet, Segment
from mbtest.wire.describe import changes, one_line


class Deed(enum.Enum):
    """The kinds of thing that a box can do to a packet."""

    CHANGED = "changed"
    SPLIT = "split"
    WITHHELD = "withheld"
    """Dropped, or kept for later; what comes of it is an entry of its own."""
    SENT = "sent"
    """Sent beside the passing of a packet: flushed, forged, answered."""
    RELEASED = "released"
    """Sent on as it came, after it was withheld for something that did not happen."""


class Action(NamedTuple):
    """One deed of one box."""

    time: int
    """Run clock, microseconds."""
    box: str
    position: int
    """The box's number in the chain, from 0 at the client's end."""
    direction: Direction
    deed: Deed
    before: Packet | None
    after: tuple[Packet, ...]
    why: str = ""

    def words(self) -> str:
        """Return the deed in words, the box's name first."""
        return f"{self.box} {self._deed_words()}"

    def _deed_words(self) -> str:
        if self.deed is Deed.WITHHELD:
            return self.why or "let nothing pass"
        if self.deed is Deed.SENT:
            return self.why
        if self.deed is Deed.RELEASED:
            return "let it go on as it came"
        if self.deed is Deed.SPLIT:
            return f"made {len(self.after)} segments of it" + (f": {self.why}" if self.why else "")
        if self.why:
            return self.why
        before, after = self.before, self.after[0]
        if isinstance(before, Segment) and isinstance(after, Segment):
            return changes(before, after) or "rebuilt it"
        return f"changed {one_line(before)}" if before is not None else "changed it"


class Record:
    """The deeds of a chain, in the order in which they were done."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.actions: list[Action] = []
        self._of: dict[int, list[Action]] = {}

    def add(self, action: Action) -> None:
        """Add a deed."""
        self.actions.append(action)
        # Packets are kept alive by the action, so that an id stands for one packet only.
        # One that was held and let go is both what was taken and what was given.
        packets = dict.fromkeys(id(packet) for packet in (action.before, *action.after) if packet is not None)
        for packet in packets:
            self._of.setdefault(packet, []).append(action)

    def of(self, packet: Packet) -> Sequence[Action]:
        """Return the deeds that took or gave this very packet."""
        return self._of.get(id(packet), ())

    def history(self, packet: Packet) -> list[Action]:
        """Return the deeds that led to an outgoing packet, the first deed first."""
        story: list[Action] = []
        wanted: Packet | None = packet
        while wanted is not None:
            made = next((action for action in self.of(wanted) if action.before is not wanted), None)
            if made is None or made in story:
                break
            story.append(made)
            wanted = made.before
        return story[::-1]
