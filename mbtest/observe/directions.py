"""One direction of a connection, and one of a subflow: how far it has come.

Offsets do not wrap: see `mappings`. What a capture does not show is None.
"""

from __future__ import annotations

from collections import deque

from mbtest.observe.mappings import Mapped
from mbtest.observe.ranges import Ranges

HELD = 4 << 20
"""Octets held of one direction of a subflow. Few windows are wider, and a file may lack all ACKs."""


class Stream:
    """One direction of a connection's data."""

    __slots__ = (
        "acked",
        "arrived",
        "base",
        "fin",
        "fin_acked",
        "fin_frame",
        "known",
        "top",
        "uncertain",
        "waiting",
        "wide",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self.base: int | None = None
        """What has offset 0: the IDSN, or any number before what was seen."""
        self.known = False
        """Whether `base` is the IDSN."""
        self.wide = False
        """Whether `base` has all of its 64 bits."""
        self.top = 1
        """One past the highest offset that a mapping was declared for, DATA_FIN included."""
        self.acked: int | None = None
        """The highest Data ACK."""
        self.waiting = 0
        """Since when nothing more was Data ACKed of what is under way."""
        self.fin: int | None = None
        """The offset of the DATA_FIN."""
        self.fin_frame = 0
        self.fin_acked = False
        """Whether a Data ACK of the DATA_FIN was sent, or came in time."""
        self.uncertain = False
        """Whether anything came that its receiver may have dropped.

        That is data beyond the window (RFC 8684 §3.8), or with a checksum too many or too few (§3.3).
        """
        self.arrived = Ranges(1)
        """What arrived and was mapped, and had a right checksum; of its own stream what a host sent."""

    def begin(self, idsn: int) -> int:
        """Take in the IDSN; return by how much offsets grow that were counted from something else."""
        if self.known:
            return 0
        shift = 0
        if self.base is not None:
            half = 1 << (63 if self.wide else 31)
            shift = (self.base - idsn + half) % (2 * half) - half
            old = self.arrived
            self.arrived = Ranges(1)
            for left, right in ((1, old.front), *old.ahead):
                if left < right:
                    self.arrived.add(left + shift, right + shift)
            self.top = max(1, self.top + shift)
            self.acked = None if self.acked is None else self.acked + shift
            self.fin = None if self.fin is None else self.fin + shift
        self.base = idsn
        self.known = self.wide = True
        return shift


class Skip:
    """Octets that a host had not sent when it sent what follows them."""

    __slots__ = ("end", "frame", "identification", "left", "stamp", "start", "time")

    def __init__(
        self, frame: int, time: int, start: int, end: int, identification: int, stamp: int | None
    ) -> None:
        """Take note of octets from `start` up to `end`, that one excluded.

        identification, stamp: of the segment behind them, 0 and None where it has none.
        """
        self.frame = frame
        self.time = time
        self.start = start
        self.end = end
        self.identification = identification
        self.stamp = stamp
        self.left = Ranges(start)
        """Those of them that came later, and had been sent before."""

    def fill(self, start: int, end: int, identification: int, stamp: int | None) -> None:
        """Take in a later segment: one that is older only changed places with the one behind the octets."""
        if self.identification and identification:
            is_older = (self.identification - identification) & 0x8000 == 0
        else:
            is_older = (
                self.stamp is not None and stamp is not None and (self.stamp - stamp) & 0x8000_0000 == 0
            )
        if is_older and start < self.end and end > self.start:
            self.left.add(max(start, self.start), end)

    @property
    def is_filled(self) -> bool:
        """Whether all of them came."""
        return self.left.front >= self.end


class Half:
    """One direction of a subflow."""

    __slots__ = (
        "acked",
        "anchor",
        "backup",
        "backup_at",
        "bare",
        "data_acked",
        "edge",
        "fin",
        "fin_frame",
        "held",
        "isn",
        "last_ack",
        "last_window",
        "lone_acks",
        "lone_at",
        "lone_number",
        "mapped",
        "mptcp",
        "mss",
        "nonce",
        "plain",
        "rst",
        "sack",
        "scale",
        "segments",
        "skips",
        "stamp",
        "syns",
        "timestamps",
        "top",
        "waiting",
    )  # fmt: skip

    def __init__(self) -> None:  # noqa: PLR0915 - one line a field
        """Begin with nothing."""
        self.isn: int | None = None
        self.anchor: int | None = None
        """The sequence number of offset 0; that of the SYN where it was seen."""
        self.top = 0
        """One past the highest offset that came, SYN and FIN included."""
        self.acked = 0
        """The highest acknowledgement by the other direction."""
        self.waiting = 0
        """Since when nothing more was acknowledged of what is under way."""
        self.edge: int | None = None
        """The highest right edge of the window that the other direction granted."""
        self.fin: int | None = None
        self.fin_frame = 0
        self.rst: int | None = None
        """The frame of the first RST."""
        self.scale: int | None = None
        """Window scale of the SYN; None where it had none."""
        self.mss: int | None = None
        self.timestamps = False
        self.sack = False
        self.stamp: int | None = None
        """The latest timestamp that reached the host in order (RFC 7323 §4.3)."""
        self.skips: list[Skip] = []
        """Octets that its sender skipped, or seems to have."""
        self.syns = 0
        self.segments = 0
        """Segments that are no SYN."""
        self.last_ack: int | None = None
        self.last_window = -1
        self.lone_acks = 0
        """Duplicate ACKs in a row that carry an MPTCP option and no DSS."""
        self.lone_at = 0
        """When the last of them was sent."""
        self.lone_number = 0
        """Which of the segments it was; 0 where none can be next to it."""
        self.bare = False
        """Whether the last segment had no option of MPTCP."""
        self.nonce: int | None = None
        self.backup = False
        """Whether its sender wants the other direction to be a backup."""
        self.backup_at = 0
        """When it last said so, or the contrary."""
        self.data_acked = False
        """Whether a Data ACK came with an acknowledgement of data in this direction."""
        self.mptcp = False
        """Whether anything with an MPTCP option came, SYNs apart."""
        self.plain: int | None = None
        """The frame of the first data without a mapping."""
        self.mapped = Mapped()
        self.held: deque[tuple[int, int, bytes]] = deque()
        """Octets that were sent and not acknowledged, to be compared with what is sent again."""

    def hold(self, start: int, octets: bytes) -> None:
        """Keep octets that are new, up to `HELD` of them: the last."""
        end = start + len(octets)
        self.held.append((start, end, octets))
        while end - self.held[0][0] > HELD:
            self.held.popleft()

    def differs(self, start: int, octets: bytes) -> bool:
        """Whether any octets that are held from `start` on are other ones than these."""
        end = start + len(octets)
        for left, right, held in self.held:
            if left >= end:
                break
            if right > start:
                low, high = max(left, start), min(right, end)
                if held[low - left : high - left] != octets[low - start : high - start]:
                    return True
        return False
