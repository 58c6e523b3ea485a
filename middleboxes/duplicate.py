"""A box that sends segments twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment


class DuplicateSegments(Middlebox):
    """Sends segments twice, as link layers do that miss an acknowledgment and send again.

    The copy is the segment itself, at once or some time later. Nothing is lost or held back.
    """

    share: Annotated[float, Parameter("segments that are sent twice, of all", low=0, high=1)] = 1.0
    later: Annotated[int, Parameter("how long after the first the copy goes", "microseconds", 0)] = 0

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.random.random() >= self.share:
            return (segment,)
        if not self.later:
            self.note(segment, "sent it twice")
            return (segment, segment)
        self.call_later(self.later, partial(self.send, segment, direction, f"again, {self.later} us later"))
        return (segment,)
