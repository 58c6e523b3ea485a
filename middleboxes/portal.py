"""A box that lets nobody out before he has logged in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, FlowKey, FlowTable, Middlebox, Parameter
from mbtest.middlebox.forged import Onlooker
from mbtest.middlebox.pages import PageServer
from mbtest.wire import ACK, FIN, PSH, RST, Segment

PAGE = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class CaptivePortal(Middlebox):
    """Answers the client's first request with a redirect of its own, as the portal of a hotel's network does.

    Some take the whole connection: the SYN/ACK is theirs, knows no MPTCP, and the server never hears of it.
    Others let it come about, take the first data, answer it and end the connection, with a RST to the
    server. Flows that the server opens pass, and other protocols do.
    """

    takes: Annotated[Literal["connection", "request"], Parameter("what the portal takes for itself")] = (
        "connection"
    )

    def start(self) -> None:
        self._flows = FlowTable()
        self._seen = Onlooker()
        self._servers: dict[FlowKey, PageServer] = {}
        self._answers: dict[FlowKey, Segment] = {}

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        flow = self._flows.key(segment, direction)
        to_server = direction is Direction.TO_SERVER
        is_syn = segment.syn and not segment.has_ack
        if to_server and is_syn and self.takes == "connection" and flow not in self._servers:
            self._servers[flow] = PageServer(self, segment, Direction.TO_CLIENT, PAGE)
        if to_server and segment.payload_length and self.takes == "request" and flow not in self._answers:
            self._take_over(flow, segment)
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Go on with the flows that were taken."""
        flow = self._flows.key(segment, direction)
        to_server = direction is Direction.TO_SERVER
        if to_server and flow in self._servers:
            self._servers[flow].take(segment)
        elif flow in self._answers:
            if to_server and segment.sequence_length and not segment.rst:
                self._answer(self._answers[flow], segment)
        else:
            self._seen.see(flow, segment, direction)
            return (segment,)
        self.note(segment, "took it in")
        return ()

    def delivers(self, stream: bytes, direction: Direction) -> bytes:
        """Return the redirect to the client, and nothing to the server."""
        return PAGE if direction is Direction.TO_CLIENT else b""

    def _take_over(self, flow: FlowKey, request: Segment) -> None:
        answer = self._seen.speak(flow, Direction.TO_CLIENT, FIN | PSH)
        reset = self._seen.speak(flow, Direction.TO_SERVER, RST)
        if answer is not None and reset is not None:
            self._answers[flow] = answer.replace(ack=request.next_seq, payload=PAGE)
            self.send(reset, Direction.TO_SERVER, "forged a RST in the client's name")

    def _answer(self, answer: Segment, segment: Segment) -> None:
        """Answer a request, again if need be, and acknowledge the client's end."""
        if segment.ack <= answer.seq:
            self.send(answer.replace(ack=segment.next_seq), Direction.TO_CLIENT, "answered with a redirect")
        else:
            end = answer.replace(
                seq=answer.next_seq, ack=segment.next_seq, flags=ACK, options=(), payload=b""
            )
            self.send(end, Direction.TO_CLIENT, "acknowledged it in the server's name")
