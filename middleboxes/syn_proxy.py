"""A box that answers SYNs itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox
from mbtest.middlebox.forged import reply
from mbtest.wire import ACK, SYN, MaximumSegmentSize, Segment, Seq32


@dataclasses.dataclass
class _Opening:
    """A flow that the box answered."""

    client_isn: Seq32
    own_isn: Seq32
    options: tuple[MaximumSegmentSize, ...]
    """The client's, as far as a SYN cookie holds them."""
    window: int = 0
    """The client's, of its third ACK; what came before that is not passed on."""
    moved: int | None = None
    """How far the server's numbers lie above the box's own; None until the server answered."""


class ProxySyns(Middlebox):
    """Answers the client's SYN itself and opens to the server only then, as a shield against SYN floods does.

    Both handshakes have the MSS and no other option, MPTCP's least of all, and the client gets a window
    only once the server has answered. From then on the server's numbers are moved by the difference to the
    box's own; all else of those flows passes, and flows that the server opens, or whose SYN was not seen.
    """

    def start(self) -> None:
        self._flows = FlowTable()
        self._openings: dict[FlowKey, _Opening] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        if direction is Direction.TO_SERVER and segment.syn and not segment.has_ack:
            return self._answer(flow, segment)
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Go on with what was begun."""
        flow = self._flows.key(segment, direction)
        opening = self._openings.get(flow)
        if opening is None:
            return (segment,)
        if direction is Direction.TO_CLIENT:
            return self._from_server(opening, segment)
        if opening.moved is None:
            return self._open(flow, opening, segment)
        return (segment.replace(ack=segment.ack + opening.moved) if segment.has_ack else segment,)

    def _answer(self, flow: FlowKey, syn: Segment) -> Sequence[Segment]:
        opening = self._openings.get(flow)
        if opening is None or opening.client_isn != syn.seq:
            size = syn.option(MaximumSegmentSize)
            own = Seq32(self.random.getrandbits(32))
            opening = self._openings[flow] = _Opening(syn.seq, own, (size,) if size else ())
        answer = reply(syn, SYN | ACK, seq=opening.own_isn, ack=syn.seq + 1, window=0)
        self.send(answer.with_options(opening.options), Direction.TO_CLIENT, "answered the SYN itself")
        self.note(syn, "kept it")
        return ()

    def _open(self, flow: FlowKey, opening: _Opening, segment: Segment) -> Sequence[Segment]:
        """Open to the server at an ACK of the client; at each further one again, should a SYN be lost."""
        self.note(segment, "kept it: the server has not answered")
        if segment.rst:
            del self._openings[flow]
        elif segment.has_ack and segment.ack == opening.own_isn + 1:
            opening.window = segment.window
            syn = segment.replace(seq=opening.client_isn, ack=0, flags=SYN, urgent=0, payload=b"")
            self.send(syn.with_options(opening.options), Direction.TO_SERVER, "opened to the server")
        return ()

    def _from_server(self, opening: _Opening, segment: Segment) -> Sequence[Segment]:
        if segment.syn and segment.has_ack:
            opening.moved = segment.seq - opening.own_isn
            third = reply(segment, ACK, seq=segment.ack, ack=segment.seq + 1, window=opening.window)
            self.send(third, Direction.TO_SERVER, "acknowledged the SYN/ACK")
            # With this the client learns the server's window.
            return (segment.replace(seq=opening.own_isn + 1, flags=ACK, options=()),)
        # A refusal: its number follows on the SYN/ACK that the client has.
        seq = opening.own_isn + 1 if opening.moved is None else segment.seq - opening.moved
        return (segment.replace(seq=seq),)
