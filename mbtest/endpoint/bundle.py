"""What the subflows of a connection ask it and tell it: `subflow.Owner`, passed on to the parts concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint import delivery, signalling
from mbtest.endpoint.events import Kind
from mbtest.endpoint.profiles import Carrier, Profile
from mbtest.endpoint.states import Mode
from mbtest.endpoint.subflow import Subflow
from mbtest.endpoint.transmission import Acknowledged, Chunk
from mbtest.wire.mptcp import MptcpOption, MpTcprst, Reason
from mbtest.wire.packet import Segment

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection


TRANSIENT = 1
"""Flag T of MP_TCPRST: the path may work again (RFC 8684 §3.6)."""


class Bundle:
    """The subflows of one connection, seen from below."""

    def __init__(self, connection: Connection) -> None:
        """Stand between a connection and its subflows."""
        self._connection = connection
        self.configuration = connection.configuration

    def emit(self, segment: Segment) -> None:
        """Send a segment."""
        self._connection.home.emit(segment)

    def window_field(self, shift: int, segment: int) -> int:
        """Return the window field to be sent."""
        return self._connection.incoming.window_field(shift, segment)

    def signals(self, subflow: Subflow, carrier: Carrier, chunk: Chunk | None) -> list[MptcpOption]:
        """Return a segment's MPTCP options."""
        profile = self._connection.profile
        options = signalling.compose(self._connection, subflow, carrier, chunk)
        if type(profile) is not Profile:
            options = [out for option in options if (out := profile.outgoing(option, carrier)) is not None]
        if self._connection.peer_is_wide:
            return options
        return [signalling.narrowed(option) for option in options]

    def depart(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Return what the profile makes of an option."""
        return self._connection.profile.outgoing(option, carrier)

    def signals_arrived(self, subflow: Subflow, segment: Segment, now: int) -> bool:
        """Act on a segment's options."""
        return signalling.take(self._connection, subflow, segment, now)

    def acknowledged(self, subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
        """Take notice that the subflow's peer acknowledged something."""
        self._connection.sending.acknowledged(subflow, result, segment, now)

    def octets_arrived(self, subflow: Subflow, start: int, octets: bytes, now: int) -> None:
        """Find the place of octets in the peer's stream."""
        delivery.take(self._connection, subflow, start, octets, now)

    def fin_arrived(self, subflow: Subflow, now: int) -> None:
        """The peer's direction of a subflow is over."""
        self._connection.ending.subflow_fin(subflow, now)

    def handshake_over(self, subflow: Subflow) -> None:
        """The three-way handshake of a subflow is over."""
        if not subflow.joins:
            self._connection.begin(subflow)
        elif not subflow.active:
            self._connection.joined(subflow)

    def farewell(self) -> tuple[MptcpOption, ...]:
        """Return what says that a subflow is given up for its performance (RFC 8684 §3.3.6)."""
        if self._connection.mode.state in (Mode.CONFIRMING, Mode.MULTIPATH):
            return (MpTcprst(Reason.PERFORMANCE, TRANSIENT),)
        return ()

    def timed_out(self, subflow: Subflow) -> None:
        """A subflow's timer expired: what it has under way goes another way as well (RFC 8684 §3.3.6)."""
        self._connection.sending.reinject(subflow)

    def closed(self, subflow: Subflow, why: str, now: int) -> None:
        """A subflow is over."""
        self._connection.subflow_closed(subflow, why, now)

    def moved(self, subflow: Subflow, words: str) -> None:
        """Note that a subflow's state moved."""
        self._connection.tell(Kind.STATE, words, "", subflow)
