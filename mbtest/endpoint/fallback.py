"""Fallback: RFC 8684 §3.7 from its first paragraph to its last, in its order.

Paragraphs are those of the section, each named here by its number and its first words:

     2  At the start of an MPTCP connection   no_capable
     4  A sender MUST include a DSS option    Sending: a mapping on every segment, always
     5  If, however, an ACK is received       acknowledged, data_ack_missing
     6  In the case of such an ACK            data_ack_missing
     7  If a subflow breaks during operation  unmapped, not_heard; Ending.subflow_fin
     8  These rules should cover all cases    unmapped, not_data_acked
     9  So far this section has discussed     checksum_failed, from delivery.sort
    10  Note that if checksum usage           nothing to do: without checksums nothing fails
    11  When multiple subflows are in use     checksum_failed
    12  The receiver of this option MUST      delivery.sort keeps what follows apart; it is not Data ACKed
    13  A special case is when there is       checksum_failed, fail_arrived; delivery.release
    14  In the rare case that the data        checksum_failed, fail_arrived (a new subflow, a MAY: none)
    15  After a sender signals an infinite    Sending.acknowledged, signalling: subflow ACKs alone free data
    16  When a connection has fallen back     _turn; handshake.join_refusal

"The path" is that of one subflow. What the text calls "the sender" and "the receiver" are two directions of
one connection, so that a host is both. Every way out of Multipath TCP in this endpoint leads through here;
what each does to the mode of the connection is in `states.MODE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.events import Kind
from mbtest.endpoint.mappings import MASK_64, Mapping
from mbtest.endpoint.states import Mode, ModeEvent
from mbtest.wire.mptcp import Dss, MpFail, MptcpOption, MpTcprst, Reason

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection
    from mbtest.endpoint.subflow import Subflow
    from mbtest.endpoint.transmission import Acknowledged
    from mbtest.wire.packet import Segment

CLAUSE = "RFC 8684 §3.7"
STALE_LIMIT = 2
"""Data-level timeouts in a row after which a subflow counts as broken that acknowledges, but not its data."""
MOST_TOLD = 3
"""ACKs that declare an infinite mapping for want of data; after them no option is sent (§3.7)."""
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
        self.told = 0
        """On how many ACKs the infinite mapping went while there was no data for it to go with."""
        self.again_at: int | None = None
        """When MP_FAIL is sent again, if there is no other ACK for it to go on before."""

    # -- 2: options lost in the handshake -----------------------------------

    def no_capable(self, why: str, now: int) -> None:
        """MP_CAPABLE is missing or invalid where it has to be: be regular TCP from here on.

        §3.1 says where. A joining subflow is closed instead: `handshake`.
        """
        self._turn(ModeEvent.NO_CAPABLE, why, self._connection.initial, now, clause="RFC 8684 §3.1, §3.7")

    # -- 3 to 8: options pass on SYNs, and not on regular segments -----------------------------------
    # 4: a mapping goes on every segment, until the first Data ACK and after it: `Sending`, `signalling`.

    def acknowledged(self, subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
        """A segment acknowledged something on a subflow: see whether it had to bring a Data ACK, and did not.

        5: what counts is an ACK for data, not just for the SYN, before the first Data ACK that came with such
        an ACK (`Subflow.data_ack_seen`). An ADD_ADDR that leaves no room for a DSS shows, by itself, that
        options pass.
        """
        if subflow.data_ack_seen or not any(chunk.payload for chunk in result.chunks):
            return
        if segment.option(Dss) is not None or segment.option(MptcpOption) is None:
            self.data_ack_missing(subflow, now)

    def data_ack_missing(self, subflow: Subflow, now: int) -> None:
        """Our data was acknowledged, and no Data ACK ever came with an ACK of data on this subflow.

        5: a subflow that joined is reset. 6: the first one, as long as it is alone, falls back; one final
        mapping, an infinite one, tells the peer in case options still pass that way.
        """
        if not self._connection.mode.may(ModeEvent.DATA_ACK_MISSING):
            return
        why = "data acknowledged without a Data ACK"
        if subflow.joins or not self._is_alone(subflow):
            self.reset(subflow, why, now)
        elif not self._owe_infinite_mapping(subflow):
            self.reset(subflow, f"{why}, and what is in flight has gaps", now)
        else:
            self._turn(ModeEvent.DATA_ACK_MISSING, why, subflow, now)

    def unmapped(self, subflow: Subflow, now: int) -> None:
        """Data is in order on the subflow, and nothing maps it.

        The peer has to map every segment until its first Data ACK (4). So if no mapping ever came on this
        subflow, its path takes options away: fall back, or reset a subflow that joined (8). If mappings came
        before, one may yet come; once a window of data has come without, the subflow broke (7).
        """
        connection = self._connection
        first = not subflow.mapping_seen
        if first and (subflow.joins or not self._is_alone(subflow)):
            self.reset(subflow, "data without a mapping", now)
        elif first and self._turn_on_first_data(subflow, now):
            return
        elif len(subflow.inbox) >= connection.configuration.unmapped_limit:
            self.reset(subflow, "a receive window of data without a mapping", now)
        elif subflow.unmapped_since is None:
            # Where the peer has no more to send, no window of data will ever come: `_end_waiting`.
            subflow.unmapped_since = now

    def _turn_on_first_data(self, subflow: Subflow, now: int) -> bool:
        """Fall back as the first data has no mapping; return whether that was to be done."""
        connection, why = self._connection, "the first data has no mapping"
        if connection.dss_sent and connection.mode.may(ModeEvent.FIRST_DATA_UNMAPPED_DSS_SENT):
            # The peer has seen that options pass our way: it learns of this by an infinite mapping (6).
            if self._owe_infinite_mapping(subflow):
                self._turn(ModeEvent.FIRST_DATA_UNMAPPED_DSS_SENT, why, subflow, now)
            else:
                self.reset(subflow, f"{why}, and what is in flight has gaps", now)
            return True
        if connection.mode.may(ModeEvent.FIRST_DATA_UNMAPPED) and self._is_contiguous(subflow):
            self._turn(ModeEvent.FIRST_DATA_UNMAPPED, why, subflow, now)
            return True
        return False

    def not_data_acked(self, subflow: Subflow, now: int) -> None:
        """Data that the subflow's peer acknowledged was sent again, and still has no Data ACK.

        8: options are lost on the path, and the subflow can be closed.
        """
        subflow.stale += 1
        if subflow.stale >= STALE_LIMIT:
            self.reset(subflow, "data acknowledged again and again without a Data ACK", now)

    def not_heard(self, subflow: Subflow, now: int) -> None:
        """Data that the only subflow's peer acknowledged has no Data ACK, and its ACKs have no options.

        7: no fallback signal can be reliably sent, nor heard.
        """
        subflow.stale += 1
        if subflow.stale >= SILENCE_LIMIT:
            self.reset(subflow, "data acknowledged, and no option comes any more", now)
        else:
            subflow.keep_alive(now)

    def reset(self, subflow: Subflow, why: str, now: int) -> None:
        """Close a broken subflow with a RST, reason "middlebox interference" (5, 7, 8)."""
        self._connection.tell(Kind.RESET, f"{why}: MP_TCPRST, middlebox interference", CLAUSE, subflow)
        subflow.abort(now, MpTcprst(Reason.MIDDLEBOX), why="EPROTO")

    # -- 9 to 14: a checksum fails -----------------------------------

    def checksum_failed(self, subflow: Subflow, mapping: Mapping, now: int) -> None:
        """The data of a mapping was changed on the way: nothing from its start on can be trusted (9).

        11, with several subflows: RST with MP_FAIL; the data is not Data ACKed, and so comes again on another
        subflow. 13, with one: MP_FAIL on an ACK, if what was received is contiguous. 14: otherwise RST with
        MP_FAIL as well.
        """
        connection = self._connection
        where = mapping.data_start
        words = f"wrong for {mapping.length} octets at data sequence number {connection.peer_dsn(where)}"
        connection.tell(Kind.CHECKSUM, words, CLAUSE, subflow)
        alone = self._is_alone(subflow)
        contiguous = connection.incoming.is_contiguous and where == connection.incoming.next
        if not alone or not contiguous or not connection.mode.may(ModeEvent.CHECKSUM_WRONG):
            why = "and data is missing before it" if alone else "with other subflows"
            connection.tell(Kind.MP_FAIL, f"sent on a RST: checksum failed {why}", CLAUSE, subflow)
            subflow.abort(now, MpFail(connection.peer_dsn(where)), MpTcprst(Reason.MIDDLEBOX), why="EPROTO")
            return
        self.failed_at = where
        self.give_up_at = now + connection.configuration.fail_answer
        self.again_at = now + subflow.rtt.rto
        connection.mode.fire(ModeEvent.CHECKSUM_WRONG)
        connection.tell(Kind.MP_FAIL, "sent on ACKs until it is answered", CLAUSE, subflow)
        subflow.acknowledge(now)

    def fail_arrived(self, subflow: Subflow, option: MpFail, now: int) -> None:
        """The peer found a wrong checksum in our data, or answers our MP_FAIL.

        13: if all unacknowledged data is contiguous, an infinite mapping, from the last octets known to be
        intact; MP_FAIL in answer, and regular TCP in both directions. 14: RST with MP_FAIL otherwise. Which
        number the option names does not matter for that.
        """
        connection = self._connection
        connection.tell(Kind.MP_FAIL, f"received, data sequence number {option.dsn}", CLAUSE, subflow)
        if not connection.mode.may(ModeEvent.MP_FAIL):
            # The answer was lost: answer again, as long as the infinite mapping is not known to be there.
            if connection.mode.state is Mode.INFINITE and self.failed_at is None:
                self._answer(subflow, now)
        elif not self._is_alone(subflow):
            self.reset(subflow, "MP_FAIL without RST while there are other subflows", now)
        elif not self._owe_infinite_mapping(subflow):
            connection.tell(Kind.MP_FAIL, "sent on a RST: the data in flight has gaps", CLAUSE, subflow)
            subflow.abort(now, self._own_fail(), why="EPROTO")
        elif self.failed_at is not None:
            self._turn(ModeEvent.MP_FAIL, "MP_FAIL answered", subflow, now)
            # The infinite mapping of our own direction, for a peer to which we have no data to send.
            subflow.acknowledge(now)
        else:
            self._turn(ModeEvent.MP_FAIL, "MP_FAIL received", subflow, now)
            self._answer(subflow, now)

    def _answer(self, subflow: Subflow, now: int) -> None:
        """Send MP_FAIL in the reverse direction (13), at once or when the profile has it."""
        delay = self._connection.profile.fail_answer_after
        if delay:
            self.answer_at = now + delay
        else:
            subflow.acknowledge(now, self._own_fail())

    def _own_fail(self) -> MpFail:
        return MpFail(self._connection.peer_dsn(self._connection.incoming.next))

    def _is_alone(self, subflow: Subflow) -> bool:
        """Whether no other subflow is in use: those still in the making, or at their end, carry no data."""
        return not any(other is not subflow and other.is_usable for other in self._connection.subflows)

    def _is_contiguous(self, subflow: Subflow) -> bool:
        """Whether both streams go on where the subflow does: nothing is missing, and nothing went twice."""
        connection = self._connection
        distance = connection.outgoing.nxt - subflow.out.end
        in_flight = (mapping for mapping in subflow.declared if mapping.length)
        return connection.incoming.is_contiguous and all(
            mapping.data_start - mapping.start == distance for mapping in in_flight
        )

    def _owe_infinite_mapping(self, subflow: Subflow) -> bool:
        """Prepare an infinite mapping; return whether what is unacknowledged is contiguous, as it has to be.

        13: it acts from the start of the last segment that was Data ACKed, or from the first octet. Both
        directions turn at once, so that nothing may be missing in what was received either.
        """
        connection = self._connection
        if not self._is_contiguous(subflow):
            return False
        distance = connection.outgoing.nxt - subflow.out.end
        intact = subflow.last_intact
        start, data_start = (intact.start, intact.data_start) if intact is not None else (1, 1 + distance)
        self.infinite = Mapping(start, data_start, 0, 0 if connection.checksum else None)
        return True

    # -- 15 and 16: after it -----------------------------------
    # 15: only subflow ACKs free data (`Sending.acknowledged`), and Data ACKs end (`signalling.compose`).

    def infinite_mapping_arrived(self, subflow: Subflow, mapping: Mapping, now: int) -> None:
        """The peer's data needs no mappings from here on, and no Data ACKs (15)."""
        connection = self._connection
        dsn = connection.peer_dsn(mapping.data_start)
        words = f"received: subflow sequence number {mapping.start} is {dsn}"
        connection.tell(Kind.INFINITE_MAPPING, words, CLAUSE, subflow)
        if not connection.mode.may(ModeEvent.INFINITE_MAPPING):
            return
        if not self._is_alone(subflow):
            self.reset(subflow, "infinite mapping while there are other subflows", now)
        elif not self._is_contiguous(subflow):
            # What was passed over for want of a mapping is part of what this one maps, and is gone; and the
            # peer takes what we have in flight for a stream.
            self.reset(subflow, "infinite mapping while octets are missing or go twice", now)
        else:
            if connection.mode.state is Mode.CHECKSUM_FAILED:
                self._owe_infinite_mapping(subflow)
            self._turn(ModeEvent.INFINITE_MAPPING, "infinite mapping received", subflow, now, mapping)

    def infinite_acknowledged(self) -> None:
        """The infinite mapping has arrived: no option is sent any more."""
        self._connection.mode.fire_if_possible(ModeEvent.INFINITE_ACKED)

    def _turn(
        self,
        event: ModeEvent,
        why: str,
        subflow: Subflow | None,
        now: int,
        mapping: Mapping | None = None,
        clause: str = CLAUSE,
    ) -> None:
        """Turn to regular TCP, never to return, on the one subflow that is left (16).

        mapping: the peer's infinite one, where it came.
        """
        connection = self._connection
        self.give_up_at = self.again_at = None
        connection.mode.fire(event)
        connection.tell(Kind.FALLBACK, why, clause)
        for other in list(connection.subflows):
            if other is not subflow:
                other.abort(now)
            other.unmapped_since = None
        connection.became_regular(now)
        if subflow is not None and not subflow.is_over:
            connection.release(subflow, now, mapping)

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when something is due, run clock, or None."""
        wait = self._connection.configuration.unmapped_wait
        times = [at for at in (self.answer_at, self.again_at, self.give_up_at) if at is not None]
        times += [
            subflow.unmapped_since + wait
            for subflow in self._connection.subflows
            if subflow.unmapped_since is not None
        ]
        return min(times) if times else None

    def handle_timer(self, now: int) -> None:
        """Answer late where the profile says so; give up on a peer that does not answer MP_FAIL."""
        subflows = self._connection.subflows
        self._end_waiting(now)
        if self.answer_at is not None and now >= self.answer_at:
            self.answer_at = None
            if subflows:
                subflows[0].acknowledge(now, self._own_fail())
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

    def _end_waiting(self, now: int) -> None:
        """Reset subflows whose octets have waited for a mapping long enough (7)."""
        wait = self._connection.configuration.unmapped_wait
        for subflow in list(self._connection.subflows):
            since = subflow.unmapped_since
            if since is not None and now >= since + wait:
                self.reset(subflow, "data without a mapping", now)

    def failed_dsn(self) -> int | None:
        """Return the data sequence number that MP_FAIL names on every ACK now, or None."""
        if self._connection.mode.state is not Mode.CHECKSUM_FAILED or self.failed_at is None:
            return None
        return self._connection.peer_dsn(self.failed_at) & MASK_64
