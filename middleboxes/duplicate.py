"""A box that sends segments twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment


@dataclasses.dataclass(eq=False)
class _Copy:
    segment: Segment
    direction: Direction
    passed: int = 0


class DuplicateSegments(Middlebox):
    """Sends segments twice, as link layers do that miss an acknowledgment and send again.

    The copy is the segment itself, at once or some time later. Nothing is lost or held back.
    """

    share: Annotated[float, Parameter("segments that are sent twice, of all", low=0, high=1)] = 1.0
    later: Annotated[int, Parameter("how long after the first the copy goes", "microseconds", 0)] = 0
    behind: Annotated[
        int, Parameter("segments of its direction that the copy goes behind instead; 0: none", low=0)
    ] = 0

    def start(self) -> None:
        self._copies: list[_Copy] = []

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.random.random() >= self.share:
            return self.pass_by(segment, direction)
        if self.behind:
            passed = self.pass_by(segment, direction)
            self._copies.append(_Copy(segment, direction))
            return passed
        if not self.later:
            self.note(segment, "sent it twice")
            return (segment, segment)
        self.call_later(self.later, partial(self.send, segment, direction, f"again, {self.later} us later"))
        return (segment,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Send the copies whose turn it is behind a segment."""
        for copy in self._copies:
            copy.passed += copy.direction is direction
        due = [copy for copy in self._copies if copy.passed >= self.behind]
        if not due:
            return (segment,)
        self._copies = [copy for copy in self._copies if copy.passed < self.behind]
        self.note(segment, "sent a copy of an earlier one behind it")
        self.release(segment, direction)
        for copy in due:
            self.send(copy.segment, direction, f"again, behind the next {self.behind}")
        return ()
