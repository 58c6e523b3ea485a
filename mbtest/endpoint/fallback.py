"""Fallback: RFC 8684 §3.7 from its first paragraph to its last, in its order.

"The path" is that of one subflow. What the text calls "the sender" and "the receiver" are two directions
of one connection, so that a host is both. Every way out of Multipath TCP in this endpoint leads through here;
what each does to the mode of the connection is in `states.MODE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.events import Kind
from mbtest.endpoint.mappings import MASK_64, Mapping
from mbtest.endpoint.states import Mode, ModeEvent
from mbtest.wire.mptcp import MpFail, MpTcprst

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection
    from mbtest.endpoint.subflow import Subflow

CLAUSE = "RFC 8684 §3.7"
MIDDLEBOX = 6
"""MP_TCPRST's reason "middlebox interference" (§3.6)."""
STALE_LIMIT = 2
"""Data-level timeouts in a row after which a subflow counts as broken that acknowledges, but not its data."""
SILENCE_LIMIT = 5
"""Data-level timeouts in a row after which the only subflow counts as broken, as no option comes on it."""

REGULAR = frozenset({Mode.INFINITE, Mode.REGULAR})
"""Modes in which new data is sent as regular TCP would, and arriving data needs no mapping."""


class Fallback:
    """The rules of §3.7 for one connection."""

    def __init__(self, connection: Connection) -> None:
        """Begin with nothing lost."""
        self._connection = connection
        self.failed_at: int | None = None
        """The offset in the peer's stream where a checksum failed: MP_FAIL names it until it is answered."""
        self.infinite: Mapping | None = None
        """The infinite mapping that the next new segment declares."""
        self.answer_at: int | None = None
        """When MP_FAIL is answered: at once, unless the profile has it late."""
        self.give_up_at: int | None = None
        """When an unanswered MP_FAIL ends the subflow."""
        self.again_at: int | None = None
        """When MP_FAIL is sent again, if there is no other ACK for it to go on before."""

    # -- Second paragraph: options lost in the handshake -----------------------------------

    def no_capable(self, why: str, now: int) -> None:
        """MP_CAPABLE is missing or invalid where it has to be: be regular TCP from here on.

        §3.7, second paragraph; §3.1 says where. A joining subflow is closed instead: `handshake`.
        """
        self._fall_back(ModeEvent.NO_CAPABLE, why, now, clause="RFC 8684 §3.1, §3.7")

    # -- Third to sixth: options pass on SYNs, and not on regular segments ----------------------------
    # A mapping goes on every segment until the first Data ACK: `signalling.data_options`.

    def data_ack_missing(self, subflow: Subflow, now: int) -> None:
        """Our data was acknowledged, and no Data ACK ever came on this subflow.

        Fifth paragraph: a subflow that joined is reset. Sixth: the first one, as long as it is alone, falls
        back; one final mapping, an infinite one, tells the peer in case options still pass that way.
        """
        connection = self._connection
        if subflow.joins or len(connection.subflows) > 1:
            self.reset(subflow, "data acknowledged without a Data ACK", now)
            return
        if not self._owe_infinite_mapping(subflow):
            self.reset(subflow, "data acknowledged without a Data ACK, and what is in flight has gaps", now)
            return
        self._fall_back(ModeEvent.DATA_ACK_MISSING, "data acknowledged without a Data ACK", now)
        connection.release(subflow, now)

    def unmapped(self, subflow: Subflow, now: int) -> None:
        """Data is in order on the subflow, and nothing maps it.

        The peer has to map every segment until its first Data ACK (fourth paragraph). So if no mapping ever
        came on this subflow, its path takes options away: fall back, or reset a subflow that joined (eighth
        paragraph). If mappings came before, one may yet come; if a window of data has come without, the
        subflow broke in mid-connection (seventh paragraph).
        """
        connection = self._connection
        if not subflow.mapping_seen:
            if subflow.joins or len(connection.subflows) > 1:
                self.reset(subflow, "data without a mapping", now)
            elif connection.dss_sent and connection.mode.may(ModeEvent.FIRST_DATA_UNMAPPED_LATE):
                # The peer has seen that options pass our way: it learns of this by a mapping (sixth).
                if self._owe_infinite_mapping(subflow):
                    self._fall_back(ModeEvent.FIRST_DATA_UNMAPPED_LATE, "the first data has no mapping", now)
                    connection.release(subflow, now)
                else:
                    self.reset(subflow, "the first data has no mapping, and what is in flight has gaps", now)
            elif connection.mode.may(ModeEvent.FIRST_DATA_UNMAPPED):
                self._fall_back(ModeEvent.FIRST_DATA_UNMAPPED, "the first data has no mapping", now)
                connection.release(subflow, now)
            elif len(subflow.inbox) >= connection.configuration.unmapped_limit:
                self.reset(subflow, "a receive window of data without a mapping", now)
        elif len(subflow.inbox) >= connection.configuration.unmapped_limit:
            self.reset(subflow, "a receive window of data without a mapping", now)

    def not_data_acked(self, subflow: Subflow, now: int) -> None:
        """Data that the subflow's peer acknowledged was sent again, and still has no Data ACK.

        Eighth paragraph: options are lost on the path, and the subflow can be closed.
        """
        subflow.stale += 1
        if subflow.stale >= STALE_LIMIT:
            self.reset(subflow, "data acknowledged again and again without a Data ACK", now)

    def not_heard(self, subflow: Subflow, now: int) -> None:
        """Data that the only subflow's peer acknowledged has no Data ACK, and its ACKs have no options.

        Seventh paragraph: no fallback signal can be reliably sent, nor heard.
        """
        subflow.stale += 1
        if subflow.stale >= SILENCE_LIMIT:
            self.reset(subflow, "data acknowledged, and no option comes any more", now)
        else:
            subflow.keep_alive(now)

    def reset(self, subflow: Subflow, why: str, now: int) -> None:
        """Close a broken subflow with a RST, reason "middlebox interference" (fifth, seventh, eighth)."""
        self._connection.tell(Kind.RESET, f"{why}: MP_TCPRST, middlebox interference", CLAUSE, subflow)
        subflow.abort(now, MpTcprst(MIDDLEBOX), why="EPROTO")

    # -- Ninth to eleventh: a checksum fails -----------------------------------

    def checksum_failed(self, subflow: Subflow, mapping: Mapping, now: int) -> None:
        """The data of a mapping was changed on the way: nothing from its start on can be trusted.

        Eleventh paragraph, with several subflows: RST with MP_FAIL; the data is not Data ACKed, and so comes
        again on another subflow. Twelfth, with one: MP_FAIL on an ACK, if what was received is contiguous.
        Thirteenth: otherwise RST with MP_FAIL as well.
        """
        connection = self._connection
        where = mapping.data_start
        several = len(connection.subflows) > 1
        connection.tell(
            Kind.CHECKSUM,
            f"wrong for {mapping.length} octets at data sequence number {connection.peer_dsn(where)}",
            CLAUSE,
            subflow,
        )
        contiguous = connection.incoming.is_contiguous and where == connection.incoming.next
        if several or not contiguous:
            why = "with other subflows" if several else "and data is missing before it"
            connection.tell(Kind.MP_FAIL, f"sent on a RST: checksum failed {why}", CLAUSE, subflow)
            subflow.abort(now, MpFail(connection.peer_dsn(where)), MpTcprst(MIDDLEBOX), why="EPROTO")
            return
        self.failed_at = where
        self.give_up_at = now + connection.configuration.fail_answer
        self.again_at = now + subflow.rtt.rto
        connection.mode.fire(ModeEvent.CHECKSUM_WRONG)
        connection.tell(Kind.MP_FAIL, "sent on ACKs until it is answered", CLAUSE, subflow)
        subflow.acknowledge(now)

    def fail_arrived(self, subflow: Subflow, option: MpFail, now: int) -> None:
        """The peer found a wrong checksum in our data, or answers our MP_FAIL.

        Twelfth paragraph: if all unacknowledged data is contiguous, an infinite mapping, from the last octets
        known to be intact; MP_FAIL in answer, and regular TCP in both directions. Thirteenth: RST otherwise.
        """
        connection = self._connection
        connection.tell(Kind.MP_FAIL, f"received, data sequence number {option.dsn}", CLAUSE, subflow)
        if not connection.mode.may(ModeEvent.MP_FAIL):
            # The answer was lost: answer again, as long as the infinite mapping is not known to be there.
            if connection.mode.state is Mode.INFINITE and self.failed_at is None:
                self._answer(subflow, now)
            return
        if len(connection.subflows) > 1:
            self.reset(subflow, "MP_FAIL without RST while there are other subflows", now)
            return
        if not self._owe_infinite_mapping(subflow):
            connection.tell(Kind.MP_FAIL, "sent on a RST: the data in flight has gaps", CLAUSE, subflow)
            subflow.abort(now, MpFail(connection.peer_dsn(connection.incoming.next)), why="EPROTO")
            return
        answers = self.failed_at is not None
        self._fall_back(ModeEvent.MP_FAIL, "MP_FAIL answered" if answers else "MP_FAIL received", now)
        if answers:
            # The infinite mapping of our own direction, for a peer to which we have no data to send.
            subflow.acknowledge(now)
        else:
            self._answer(subflow, now)
        connection.release(subflow, now)

    def _answer(self, subflow: Subflow, now: int) -> None:
        """Send MP_FAIL in the reverse direction (twelfth paragraph), at once or when the profile has it."""
        connection = self._connection
        delay = connection.profile.fail_answer_after
        if delay:
            self.answer_at = now + delay
            return
        subflow.acknowledge(now, MpFail(connection.peer_dsn(connection.incoming.next)))

    def _owe_infinite_mapping(self, subflow: Subflow) -> bool:
        """Prepare an infinite mapping; return whether what is unacknowledged is contiguous, as it has to be.

        It acts from the start of the last segment that was Data ACKed, or from the first octet. Both
        directions turn at once, so that nothing may be missing in what was received either.
        """
        connection = self._connection
        if not connection.incoming.is_contiguous:
            return False
        distance = connection.outgoing.nxt - subflow.out.end
        if any(
            mapping.data_start - mapping.start != distance for mapping in subflow.declared if mapping.length
        ):
            return False
        intact = subflow.last_intact
        start, data_start = (intact.start, intact.data_start) if intact is not None else (1, 1 + distance)
        checksum = 0 if connection.checksum else None
        self.infinite = Mapping(start, data_start, 0, checksum)
        return True

    # -- After it -----------------------------------

    def infinite_mapping_arrived(self, subflow: Subflow, mapping: Mapping, now: int) -> None:
        """The peer's data needs no mappings from here on, and no Data ACKs (fourteenth paragraph)."""
        connection = self._connection
        connection.tell(
            Kind.INFINITE_MAPPING,
            f"received: subflow sequence number {mapping.start} is {connection.peer_dsn(mapping.data_start)}",
            CLAUSE,
            subflow,
        )
        if not connection.mode.may(ModeEvent.INFINITE_MAPPING):
            return
        if len(connection.subflows) > 1:
            # Fifteenth paragraph: only one subflow can send data after a fallback.
            self.reset(subflow, "infinite mapping while there are other subflows", now)
            return
        if not connection.incoming.is_contiguous:
            # What was passed over for want of a mapping is part of what this one maps, and is gone.
            self.reset(subflow, "infinite mapping while octets are missing", now)
            return
        if connection.mode.state is Mode.CHECKSUM_FAILED and not self._owe_infinite_mapping(subflow):
            self.reset(subflow, "the data in flight has gaps", now)
            return
        self._fall_back(ModeEvent.INFINITE_MAPPING, "infinite mapping received", now)
        connection.release(subflow, now, mapping)

    def infinite_acknowledged(self) -> None:
        """The infinite mapping has arrived: no option is sent any more."""
        self._connection.mode.fire_if_possible(ModeEvent.INFINITE_ACKED)

    def _fall_back(self, event: ModeEvent, why: str, now: int, clause: str = CLAUSE) -> None:
        """Turn to regular TCP, never to return (fifteenth paragraph)."""
        connection = self._connection
        self.give_up_at = self.again_at = None
        connection.mode.fire(event)
        connection.tell(Kind.FALLBACK, why, clause)
        connection.became_regular(now)

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when something is due, run clock, or None."""
        times = [at for at in (self.answer_at, self.again_at, self.give_up_at) if at is not None]
        return min(times) if times else None

    def handle_timer(self, now: int) -> None:
        """Answer late where the profile says so; give up on a peer that does not answer MP_FAIL."""
        subflows = self._connection.subflows
        if self.answer_at is not None and now >= self.answer_at:
            self.answer_at = None
            if subflows:
                subflows[0].acknowledge(
                    now, MpFail(self._connection.peer_dsn(self._connection.incoming.next))
                )
        if self.again_at is not None and now >= self.again_at:
            self.again_at = None
            for subflow in subflows[:1]:
                subflow.rtt.back_off()
                self.again_at = now + subflow.rtt.rto
                subflow.acknowledge(now)
        if self.give_up_at is not None and now >= self.give_up_at:
            self.give_up_at = self.again_at = None
            for subflow in list(subflows):
                self.reset(subflow, "MP_FAIL was not answered", now)

    def failed_dsn(self) -> int | None:
        """Return the data sequence number that MP_FAIL names on every ACK now, or None."""
        if self._connection.mode.state is not Mode.CHECKSUM_FAILED or self.failed_at is None:
            return None
        return self._connection.peer_dsn(self.failed_at) & MASK_64
