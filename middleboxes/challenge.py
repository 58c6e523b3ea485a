"""A box that asks about resets and SYNs which do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox
from mbtest.middlebox.forged import Onlooker
from mbtest.wire import ACK, Segment


class ChallengeInexact(Middlebox):
    """Drops a RST whose number is not the very next, and a SYN on an open flow, as RFC 5961 has a host do.

    A firewall that guards its hosts against blind attacks does so in their place. The sender gets a
    challenge ACK; one that really has no connection answers with a RST that fits. What is next is what the
    receiver acknowledged last: data on its way is not counted. MPTCP is not known to the box: its
    challenge has no DSS, and a RST sent again may lack what the first one said. All else passes.
    """

    def start(self) -> None:
        self._flows = FlowTable()
        self._seen = Onlooker()
        self._open: set[FlowKey] = set()

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        expected = self._seen.expected(flow, direction)
        if segment.rst and expected is not None and segment.seq != expected:
            self.note(segment, f"dropped it: the number is {segment.seq - expected:+} from the next")
            return self._challenge(flow, direction)
        if segment.syn and flow in self._open:
            self.note(segment, "dropped it: the flow is open")
            return self._challenge(flow, direction)
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Remember where the hosts stand."""
        flow = self._flows.key(segment, direction)
        self._seen.see(flow, segment, direction)
        if segment.rst or segment.fin:
            self._open.discard(flow)
        elif not segment.syn:
            self._open.add(flow)
        return (segment,)

    def _challenge(self, flow: FlowKey, direction: Direction) -> Sequence[Segment]:
        challenge = self._seen.speak(flow, direction.reverse, ACK)
        if challenge is not None:
            self.send(challenge, direction.reverse, "sent a challenge ACK")
        return ()
