"""A segment as it passes a host, in terms of what the host knew before it.

Offsets do not wrap: see `mappings`. What a capture does not show is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from mbtest.observe.directions import Half
from mbtest.observe.mappings import Mapping
from mbtest.observe.state import PATIENCE, Subflow
from mbtest.wire import Dss, MpCapable, MptcpOption, Sack, Segment, TcpOption, Timestamps


class Moment:
    """A segment at the host's side, with what it says in terms of the state before it."""

    # One is made for each segment: what most of them lack is found in the class.
    ack: int | None = None
    """What it acknowledges, as an offset of the other direction; None without the control bit."""
    window = 0
    """In octets."""
    late = False
    """Whether TCP drops it: what it has came before, or is beyond the window, or its timestamp is old.

    RFC 9293 §3.10.7.4, RFC 7323 §5. Stacks differ in how strict they are: it may be acted upon, and need not.
    """
    options: Sequence[MptcpOption] = ()
    dss: Dss | None = None
    capable: MpCapable | None = None
    mapping: Mapping | None = None
    data_ack: int | None = None
    """As an offset in the other direction's stream."""
    stamps: Timestamps | None = None
    sack: Sack | None = None
    syn_option: TcpOption | None = None
    """An option that only SYNs have."""

    def __init__(
        self, frame: int, time: int, segment: Segment, sent: bool, subflow: Subflow, flags: int
    ) -> None:
        """Begin without options."""
        self.frame = frame
        self.time = time
        self.segment = segment
        self.sent = sent
        self.subflow = subflow
        self.connection = subflow.connection
        self.flags = flags
        self.start = 0
        """The offset of the first octet on the subflow."""
        self.size = segment.end - segment.payload_offset

    @property
    def own(self) -> Half:
        """The direction of the segment."""
        return self.subflow.own if self.sent else self.subflow.peer

    @property
    def other(self) -> Half:
        """The other direction."""
        return self.subflow.peer if self.sent else self.subflow.own


class Arrival(NamedTuple):
    """A segment that reached a host, of which it is asked later whether the host has taken it in."""

    frame: int
    time: int
    subflow: Subflow
    top: int
    """One past the last octet of the subflow that had come then."""
    stamp: int | None
    """The value of its timestamps."""

    @classmethod
    def of(cls, moment: Moment) -> Self:
        """Take note of a segment that is being taken in."""
        stamp = None if moment.stamps is None else moment.stamps.value
        top = max(moment.subflow.peer.top, moment.start + moment.size)
        return cls(moment.frame, moment.time, moment.subflow, top, stamp)

    def is_known(self, moment: Moment) -> bool:
        """Whether a segment that the host sends shows that it has.

        It acknowledges data that came later, or echoes a later timestamp; else the time tells.
        """
        if moment.subflow is self.subflow:
            if moment.ack is not None and moment.ack > self.top:
                return True
            if self.stamp is not None and moment.stamps is not None:
                later = (moment.stamps.echo - self.stamp) & 0xFFFF_FFFF
                if 0 < later < 0x8000_0000:
                    return True
        return moment.time - self.time >= PATIENCE
