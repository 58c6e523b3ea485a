"""A box that lets only some of the pure ACKs pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import MILLISECOND, Direction, FlowKey, FlowTable, Kind, Middlebox, Parameter, Timer
from mbtest.wire import Segment

_Flow = tuple[FlowKey, Direction]


@dataclasses.dataclass
class _Withheld:
    """The pure ACKs of one flow and direction that have not gone on."""

    latest: Segment
    timer: Timer | None
    count: int = 1


class ThinAcks(Middlebox):
    """Of so many pure ACKs lets only the latest pass, as modems of links with a narrow return way do.

    What an earlier one says besides, MPTCP options included, is lost with it. The handshake's ACKs and all
    that carries data, SYN, FIN or RST pass, and take the place of what is withheld.
    """

    every: Annotated[int, Parameter("pure ACKs of which one passes", low=2)] = 2
    delay: Annotated[
        int | None, Parameter("after which the latest passes at any rate; none: never", "microseconds", 1)
    ] = 10 * MILLISECOND

    def start(self) -> None:
        self._flows = FlowTable()
        self._withheld: dict[_Flow, _Withheld] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction), direction
        if self._flows.sight(segment, direction).kinds != Kind.PURE_ACK:
            self._forget(flow)
            return (segment,)
        withheld = self._withheld.get(flow)
        if withheld is None:
            timer = self.call_later(self.delay, lambda: self._release(flow)) if self.delay else None
            withheld = self._withheld[flow] = _Withheld(segment, timer)
        else:
            withheld.latest, withheld.count = segment, withheld.count + 1
        if withheld.count < self.every:
            self.note(segment, "withheld it: a later ACK says more")
            return ()
        self._forget(flow)
        return (segment,)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """See what passes, to know the handshake from the rest."""
        self._flows.sight(segment, direction)
        return (segment,)

    def _forget(self, flow: _Flow) -> None:
        withheld = self._withheld.pop(flow, None)
        if withheld is not None and withheld.timer is not None:
            withheld.timer.cancel()

    def _release(self, flow: _Flow) -> None:
        withheld = self._withheld.pop(flow)
        self.release(withheld.latest, flow[1])
