"""A box that ends flows in the name of their hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.forged import Onlooker
from mbtest.wire import FIN, RST, Segment

_WAYS = {
    "both": (Direction.TO_CLIENT, Direction.TO_SERVER),
    "client": (Direction.TO_CLIENT,),
    "server": (Direction.TO_SERVER,),
}


class ForgeEnd(Middlebox):
    """Forges a RST, or a FIN, in each flow behind the first segment that its aim hits.

    Censors and intrusion prevention do so, and operators with flows that they are tired of. The numbers
    are those that the receiver expects, or `shift` away from them; there is no MPTCP option. The segments
    themselves pass, unless told otherwise behind the forgery.
    """

    control: Annotated[Literal["rst", "fin"], Parameter("what is forged")] = "rst"
    to: Annotated[Literal["both", "client", "server"], Parameter("who gets one, in the other's name")] = (
        "both"
    )
    shift: Annotated[int, Parameter("added to the right sequence number", "octets", -(2**31), 2**31 - 1)] = 0
    delay: Annotated[int, Parameter("how long after that segment", "microseconds", 0)] = 0
    later: Annotated[Literal["pass", "drop"], Parameter("what becomes of the flow's later segments")] = "pass"

    def start(self) -> None:
        self._flows = FlowTable()
        self._seen = Onlooker()
        self._hit: set[FlowKey] = set()
        self._ended: set[FlowKey] = set()

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        if flow not in self._hit:
            self._hit.add(flow)
            # Never now: what is sent now goes before the segment itself.
            self.call_later(self.delay, lambda: self._forge(flow))
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Remember where the hosts stand; drop what comes behind the forgery, if that is wanted."""
        flow = self._flows.key(segment, direction)
        if flow in self._ended and self.later == "drop":
            self.note(segment, "dropped it: the flow was ended")
            return ()
        self._seen.see(flow, segment, direction)
        return (segment,)

    def _forge(self, flow: FlowKey) -> None:
        self._ended.add(flow)
        for way in _WAYS[self.to]:
            forged = self._seen.speak(flow, way, RST if self.control == "rst" else FIN, self.shift)
            if forged is not None:
                self.send(forged, way, f"forged a {self.control.upper()}")
