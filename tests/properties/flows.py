"""The octets of each flow as they were sent, or as they reached a host, put together from segments."""

from __future__ import annotations

from mbtest.network.topology import Role
from mbtest.wire import Segment
from tests.properties.drive import Sent, Taken, Witness

Flow = tuple[bytes, bytes]


class Octets:
    """One direction of a flow, put together in order of sequence numbers; what came first counts."""

    def __init__(self) -> None:
        self.isn: int | None = None
        self.fin_seen = False
        self._pieces: dict[int, bytes] = {}

    def add(self, segment: Segment) -> None:
        """Take a segment in."""
        if segment.syn:
            self.isn = int(segment.seq)
        self.fin_seen = self.fin_seen or segment.fin
        if self.isn is None or not segment.payload_length:
            return
        at = self.offset(int(segment.seq) + segment.syn)
        if len(segment.payload) > len(self._pieces.get(at, b"")):
            self._pieces[at] = segment.payload

    def offset(self, sequence: int) -> int:
        """Return a sequence number as the relative one: 1 for the first octet of data."""
        # No flow here carries more than 2 GiB.
        return (sequence - (self.isn or 0) + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000

    def octets(self) -> bytes:
        """Return the octets from the first one on, up to the first that is missing."""
        whole = bytearray()
        for at in sorted(self._pieces):
            piece = self._pieces[at]
            begin = at - 1
            if begin > len(whole):
                break
            if begin + len(piece) > len(whole):
                whole += piece[len(whole) - begin :]
        return bytes(whole)


def gathered(run: Witness, role: Role, *, taken: bool) -> dict[Flow, Octets]:
    """Return what is known of each flow that a host sent, or that reached it, by (sender, receiver)."""
    flows: dict[Flow, Octets] = {}
    for entry in run.endpoints[role].log:
        segment = None
        if isinstance(entry, Taken) and taken and isinstance(entry.packet, Segment):
            segment = entry.packet
        elif isinstance(entry, Sent) and not taken:
            segment = entry.segment
        if segment is not None:
            flows.setdefault(segment.flow, Octets()).add(segment)
    return flows


def streams(run: Witness, role: Role, *, taken: bool) -> dict[Flow, bytes]:
    """Return the octets of each flow that a host sent, or that reached it."""
    return {flow: half.octets() for flow, half in gathered(run, role, taken=taken).items()}
