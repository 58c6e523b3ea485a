"""A box that says something to a host in the other's name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.forged import Onlooker
from mbtest.wire import ACK, RST, MpPrio, MptcpOption, Segment


class ForgeOption(Middlebox):
    """Sends an MPTCP option on a segment of its own in each flow, behind the first segment its aim hits.

    Who can see a path, or guess its numbers, can do so: what there is against it are keys, HMACs and TCP's
    own numbers. These are what the receiver expects, or `shift` away from it. It goes the way of the segment
    that is hit; that one passes as it is, and all others.
    """

    option: Annotated[MptcpOption, Parameter("the option, as mbtest.wire has it")] = MpPrio(1)
    control: Annotated[Literal["ack", "rst"], Parameter("the segment that it goes on")] = "ack"
    shift: Annotated[int, Parameter("added to the right sequence number", "octets", -(2**31), 2**31 - 1)] = 0

    def start(self) -> None:
        self._flows = FlowTable()
        self._seen = Onlooker()
        self._hit: set[FlowKey] = set()

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        if flow not in self._hit:
            self._hit.add(flow)
            # Never now: what is sent now goes before the segment itself.
            self.call_later(0, lambda: self._forge(flow, direction))
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Remember where the hosts stand."""
        self._seen.see(self._flows.key(segment, direction), segment, direction)
        return (segment,)

    def _forge(self, flow: FlowKey, way: Direction) -> None:
        forged = self._seen.speak(flow, way, RST if self.control == "rst" else ACK, self.shift)
        if forged is not None:
            forged = forged.with_options((*forged.options, self.option))
            self.send(forged, way, f"forged {self.option.name}")
