"""How a connection ends: DATA_FIN (RFC 8684 §3.3.3), fast close (§3.5), or the loss of all its subflows.

After a fallback, and for regular TCP, the FIN of the one subflow ends a stream, and a RST aborts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.events import Kind
from mbtest.endpoint.fallback import REGULAR
from mbtest.endpoint.mappings import Mapping
from mbtest.endpoint.states import Closing, ClosingEvent, Mode, Tcp
from mbtest.endpoint.subflow import CAN_SEND
from mbtest.wire.mptcp import MpFastclose, MpTcprst, Reason

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection
    from mbtest.endpoint.subflow import Subflow

FASTCLOSE_ATTEMPTS = 3
"""RFC 8684 §3.5 recommends this limit."""
DATA_FIN_PENDING = frozenset({Closing.M_FIN_WAIT_1, Closing.M_CLOSING, Closing.M_LAST_ACK})
CAN_WRITE = frozenset({Closing.M_ESTAB, Closing.M_CLOSE_WAIT})
DONE = frozenset({Closing.M_TIME_WAIT, Closing.M_CLOSED})


class Ending:
    """The end of one connection."""

    def __init__(self, connection: Connection) -> None:
        """Begin with both streams open."""
        self._connection = connection
        self._fastclose_at: int | None = None
        self._attempts = 0
        self.linger_at: int | None = None
        """When a connection without subflows, or without a DATA_FIN, is given up (§3.3.3)."""

    # -- Our stream ends -----------------------------------

    def send_fin(self, now: int) -> None:
        """Send the DATA_FIN, once all data has been sent and none waits to be sent again."""
        connection = self._connection
        stream = connection.outgoing
        if not stream.ended or stream.nxt < stream.end:
            return
        if connection.mode.state in REGULAR:
            # A DATA_FIN that was not acknowledged before the fallback has become the subflow's FIN.
            for subflow in connection.subflows:
                if subflow.tcp.state in CAN_SEND and subflow.fin_chunk is None:
                    connection.closing.fire_if_possible(ClosingEvent.DATA_FIN_SENT)
                    subflow.finish(now, connection.take_infinite())
            return
        if not connection.closing.may(ClosingEvent.DATA_FIN_SENT):
            return
        if connection.mode.state in (Mode.NEGOTIATING, Mode.CHECKSUM_FAILED):
            return
        subflows = connection.usable()
        if subflows:
            connection.closing.fire(ClosingEvent.DATA_FIN_SENT)
            connection.set_data_timer(now)
            # Every ACK carries it from now on until it is Data ACKed.
            subflows[0].acknowledge(now)

    def acknowledged(self, now: int) -> None:
        """Our DATA_FIN was acknowledged."""
        connection = self._connection
        if connection.closing.fire_if_possible(ClosingEvent.DATA_FIN_ACKED):
            self._close_subflows(now)
            self.orphaned(now)

    def orphaned(self, now: int) -> None:
        """See that a connection nobody reads any more does not wait for its peer's end for ever."""
        connection = self._connection
        waiting = connection.closing.state is Closing.M_FIN_WAIT_2
        if connection.is_released and waiting and self.linger_at is None:
            self.linger_at = now + connection.configuration.fin_timeout

    # -- The peer's stream ends -----------------------------------

    def fin_taken(self, now: int) -> None:
        """The peer's DATA_FIN is in order, so that the Data ACK counts it."""
        connection = self._connection
        if connection.closing.fire_if_possible(ClosingEvent.DATA_FIN):
            self._close_subflows(now)

    def subflow_fin(self, subflow: Subflow, now: int) -> None:
        """A subflow's FIN came: the end of the peer's stream after a fallback, else of the subflow alone."""
        connection = self._connection
        if connection.mode.state is Mode.CONFIRMING and not subflow.joins and not connection.dss_seen:
            # A peer that speaks MPTCP ends with a DATA_FIN; this one's options do not get here.
            connection.fallback.unmapped(subflow, now)
            if connection.mode.state is Mode.CONFIRMING:
                connection.fallback.no_capable("FIN, and no DSS ever came", now)
        if connection.mode.state in REGULAR:
            connection.incoming.end_at(connection.incoming.next)
            if connection.incoming.take_fin():
                self.fin_taken(now)
            return
        if subflow.inbox and connection.closing.state not in DONE:
            # No mapping can come any more for octets that wait for one (§3.7, eighth paragraph).
            connection.fallback.reset(subflow, "the subflow ended, and octets have no mapping", now)
            return
        if connection.closing.state in DONE or any(other is not subflow for other in connection.usable()):
            subflow.finish(now)
        elif not connection.incoming.ended and self.linger_at is None:
            self.linger_at = now + connection.configuration.linger

    def _close_subflows(self, now: int) -> None:
        """RFC 8684 §3.3.3: once both DATA_FINs are acknowledged, all subflows are closed with FINs."""
        connection = self._connection
        if connection.closing.state not in DONE:
            return
        # A subflow whose peer does not answer its FIN, or is gone, is not kept for ever.
        configuration = connection.configuration
        self.linger_at = now + max(configuration.fin_timeout, configuration.time_wait)
        connection.stop_data_timer()
        left_behind = [subflow for subflow in connection.subflows if self._is_left_behind(subflow)]
        for subflow in list(connection.subflows):
            if subflow.tcp.state in (Tcp.SYN_SENT, Tcp.SYN_RECEIVED):
                subflow.abort(now)
            elif subflow in left_behind:
                # It would keep the connection for data that has long arrived another way.
                subflow.abort(now, MpTcprst(Reason.OUTSTANDING))
            else:
                # The Data ACK of the DATA_FIN goes out with the FIN, and is repeated with it.
                subflow.finish(now)
        self.subflow_over(now)

    def _is_left_behind(self, subflow: Subflow) -> bool:
        """Whether a subflow owes data to its peer, and another one is fit to end the connection (§3.3.3)."""
        return (
            self._connection.mode.state not in REGULAR
            and subflow.timeouts > 0
            and bool(subflow.out.under_way)
            and any(other.is_usable and not other.timeouts for other in self._connection.subflows)
        )

    # -- Abort -----------------------------------

    def abort(self, now: int) -> None:
        """End the connection at once: MP_FASTCLOSE (§3.5), or a RST where it is regular TCP."""
        connection = self._connection
        if connection.closing.state in (Closing.M_CLOSED, Closing.FASTCLOSE_WAIT):
            return
        # In TIME-WAIT nothing is left to be aborted: both streams are complete.
        if connection.closing.state is Closing.M_TIME_WAIT:
            return
        subflows = [subflow for subflow in connection.subflows if subflow.tcp.state is not Tcp.SYN_SENT]
        fast = connection.mode.state not in REGULAR and connection.peer_key is not None and subflows
        if not fast:
            self._tear_down(now)
            return
        option = MpFastclose(connection.peer_key or 0)
        if connection.configuration.fastclose_with_reset:
            connection.tell(Kind.FASTCLOSE, "sent on RSTs", "RFC 8684 §3.5")
            for subflow in list(connection.subflows):
                subflow.abort(now, option)
            self._end(now)
            return
        chosen = (connection.usable() or subflows)[0]
        connection.closing.fire(ClosingEvent.FASTCLOSE_SENT)
        connection.tell(Kind.FASTCLOSE, "sent on an ACK", "RFC 8684 §3.5", chosen)
        for subflow in list(connection.subflows):
            if subflow is not chosen:
                subflow.abort(now)
        self._repeat_fastclose(now)

    def _repeat_fastclose(self, now: int) -> None:
        connection = self._connection
        if not connection.subflows:
            self._end(now)
            return
        subflow = connection.subflows[0]
        option = MpFastclose(connection.peer_key or 0)
        if self._attempts > FASTCLOSE_ATTEMPTS:
            subflow.abort(now, option)
            self._end(now)
            return
        if self._attempts:
            subflow.rtt.back_off()
        self._attempts += 1
        self._fastclose_at = now + subflow.rtt.rto
        subflow.retransmit_at = None
        subflow.acknowledge(now, option)

    def fastclose_arrived(self, subflow: Subflow, option: MpFastclose, now: int) -> bool:
        """Act on MP_FASTCLOSE; return whether the connection is over."""
        connection = self._connection
        if option.receiver_key != connection.own_key:
            connection.tell(Kind.IGNORED, "MP_FASTCLOSE with a wrong key", "RFC 8684 §3.5", subflow)
            return False
        connection.tell(Kind.FASTCLOSE, "received", "RFC 8684 §3.5", subflow)
        if connection.closing.state is not Closing.FASTCLOSE_WAIT:
            connection.fail("ECONNRESET")
        self._tear_down(now)
        return True

    def became_regular(self, now: int) -> None:
        """A fallback: MP_FASTCLOSE means nothing any more, and a RST takes its place (§3.7, §3.5)."""
        if self._connection.closing.state is Closing.FASTCLOSE_WAIT:
            self._tear_down(now)

    def _tear_down(self, now: int) -> None:
        for subflow in list(self._connection.subflows):
            subflow.abort(now)
        self._end(now)

    def _end(self, now: int) -> None:
        connection = self._connection
        self._fastclose_at = self.linger_at = None
        connection.stop_data_timer()
        connection.closing.fire_if_possible(ClosingEvent.ABORTED)
        connection.forget(now)

    # -- Subflows end -----------------------------------

    def subflow_over(self, now: int, why: str = "") -> None:
        """A subflow is gone; see whether the connection is. why: an errno name, for an error."""
        connection = self._connection
        if connection.subflows or connection.closing.state is Closing.M_CLOSED:
            return
        state = connection.closing.state
        if state is Closing.M_TIME_WAIT:
            connection.closing.fire(ClosingEvent.SUBFLOWS_CLOSED)
            connection.forget(now)
        elif state is Closing.FASTCLOSE_WAIT:
            self._end(now)
        elif connection.mode.state in REGULAR or not connection.established:
            connection.fail(why or "ECONNRESET")
            self._end(now)
        else:
            # RFC 8684 §3.3.3: without a DATA_FIN the connection lives on for a while: break before make.
            connection.stop_data_timer()
            self.linger_at = now + connection.configuration.linger
            connection.last_error = why or "ETIMEDOUT"

    def progressed(self, now: int) -> None:
        """A Data ACK came: while our stream goes on, so may the peer's, on a new subflow (§3.3.3)."""
        if self.linger_at is not None and self._connection.closing.state not in DONE:
            self.linger_at = max(self.linger_at, now + self._connection.configuration.linger)

    def made_whole(self, now: int) -> None:
        """A subflow came where there was none (RFC 8684 §3.3.3, "break before make")."""
        self.linger_at = None
        connection = self._connection
        if connection.outgoing.una < connection.sent_end:
            connection.set_data_timer(now)

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when something is due, run clock, or None."""
        times = [at for at in (self._fastclose_at, self.linger_at) if at is not None]
        return min(times) if times else None

    def handle_timer(self, now: int) -> None:
        """Repeat MP_FASTCLOSE; give a connection up that has lost all its subflows."""
        if self._fastclose_at is not None and now >= self._fastclose_at:
            self._repeat_fastclose(now)
        if self.linger_at is not None and now >= self.linger_at:
            self.linger_at = None
            connection = self._connection
            if connection.closing.state not in DONE:
                connection.fail(connection.last_error or "ETIMEDOUT")
            self._tear_down(now)


def data_fin_mapping(connection: Connection) -> Mapping:
    """Return the mapping of a DATA_FIN that goes without data (RFC 8684 §3.3.3)."""
    mapping = Mapping(0, connection.outgoing.end, 0, data_fin=True)
    if connection.checksum:
        mapping.checksum = mapping.expected_checksum(connection.own_idsn, b"")
    return mapping
