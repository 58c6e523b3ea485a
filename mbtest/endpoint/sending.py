"""Data on its way out: which octets, on which subflow, under which mapping, and when again.

RFC 8684 §3.3.1 (mappings), §3.3.2 (what frees the buffer), §3.3.5 (both windows), §3.3.6 (sending again), and
the sender's side of §3.7 as far as it decides what a segment carries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint import handshake
from mbtest.endpoint.closing import DATA_FIN_PENDING
from mbtest.endpoint.events import Kind
from mbtest.endpoint.fallback import REGULAR
from mbtest.endpoint.mappings import Mapping
from mbtest.endpoint.schedulers import usable
from mbtest.endpoint.states import Closing, ClosingEvent, Mode
from mbtest.endpoint.subflow import Subflow
from mbtest.endpoint.transmission import Acknowledged
from mbtest.wire.packet import Segment

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection

LONGEST_MAPPING = 65_534
"""Octets: a data-level length has 16 bits, and a DATA_FIN takes one."""


LONGEST_TIMEOUT = 60_000_000
"""Of the connection's own retransmissions, microseconds: as RFC 6298 §2.5 allows for a subflow's."""


class Sending:
    """What a connection sends."""

    def __init__(self, connection: Connection) -> None:
        """Begin with nothing to send."""
        self._connection = connection
        self._distance = 0
        """After a fallback: from an offset on the subflow to one in the stream."""
        self._data_at: int | None = None
        """When data without a Data ACK is sent again (RFC 8684 §3.3.6)."""
        self._backoff = 0
        self._vain = 0
        """Timeouts in a row at which nothing of the stream was under way."""
        self.persist_at: int | None = None
        """When a closed shared window is probed."""
        self._persist_backoff = 0

    # -- New data -----------------------------------

    def flush(self, now: int) -> None:
        """Send what the windows let out."""
        connection = self._connection
        stream = connection.outgoing
        if not connection.established or connection.mode.state is Mode.NEGOTIATING:
            return
        if connection.closing.state is Closing.FASTCLOSE_WAIT:
            return  # RFC 8684 §3.5: the connection is being closed abruptly.
        if stream.nxt < stream.end or stream.next_again() is not None:
            self._send_data(now)
        for subflow in connection.subflows:
            if subflow.out.waiting or subflow.out.next_lost() is not None:
                subflow.transmit(now)
        if stream.ended:
            connection.ending.send_fin(now)

    def _send_data(self, now: int) -> None:
        connection = self._connection
        stream = connection.outgoing
        regular = connection.mode.state in REGULAR
        while True:
            again = stream.next_again()
            if again is None and stream.nxt >= stream.end:
                return
            ready = self._candidates()
            if not ready:
                return
            start, end = (again[0], again[1]) if again is not None else (stream.nxt, stream.end)
            rooms = {subflow: self._room(subflow, start, end, regular) for subflow in ready}
            fit = [subflow for subflow in ready if rooms[subflow] > 0]
            if not fit:
                self._wait_for_window(ready, now)
                return
            chosen = connection.scheduler.pick(fit)
            length = min(rooms[subflow] for subflow in chosen)
            if again is not None:
                stream.took_again(start + length)
                connection.tell(Kind.REINJECTION, f"{length} octets", "RFC 8684 §3.3.6", chosen[0])
            else:
                stream.nxt = start + length
            for subflow in chosen:
                self._push(subflow, start, length, regular)
                subflow.transmit(now)
            if not regular:
                self.set_timer(now)

    def _candidates(self) -> list[Subflow]:
        """Return the subflows that could carry the next stretch, as far as congestion control goes."""
        connection = self._connection
        able = connection.scheduler.eligible(usable(connection.subflows))
        ready = [subflow for subflow in able if subflow.has_room()]
        again = connection.outgoing.next_again()
        if again is None or len(able) == 1:
            return ready
        # The same subflow would only repeat what it has under way, or has lost a mapping of.
        return [subflow for subflow in ready if subflow.number != again[2]]

    def _room(self, subflow: Subflow, start: int, end: int, regular: bool) -> int:
        """Return how many octets a mapping that begins at `start` may have on a subflow (§3.3.5)."""
        connection = self._connection
        # The infinite mapping needs room as any other; after it, all is for data.
        segment = subflow.payload_room(regular and connection.fallback.infinite is None)
        first = self._is_first(subflow, start)
        most = (
            segment
            if first or regular
            else min(segment * connection.profile.segments_per_mapping, LONGEST_MAPPING)
        )
        wanted = min(most, end - start)
        allowed = subflow.window_room()
        if not regular:
            allowed = min(allowed, connection.outgoing.edge - start)
        if allowed >= wanted:
            return wanted
        # RFC 9293 §3.8.6.2.1: no small segments only because the window has opened a little, unless that is
        # a good part of all it ever was; after a while, a probe takes what there is.
        return allowed if allowed >= min(segment, max(1, subflow.largest_window // 2)) else 0

    def _is_first(self, subflow: Subflow, start: int) -> bool:
        """Whether this is the initiator's first data, which MP_CAPABLE maps (§3.1)."""
        connection = self._connection
        return (
            connection.mode.state is Mode.CONFIRMING
            and subflow.active
            and not connection.dss_seen
            and start == 1
            and subflow.out.end == 1
        )

    def _push(self, subflow: Subflow, start: int, length: int, regular: bool) -> None:
        """Hand a stretch of the stream to a subflow, cut into segments."""
        connection = self._connection
        stream = connection.outgoing
        payload = stream.octets(start, start + length)
        if regular:
            subflow.push(payload, connection.take_infinite(), True, last=start + length == stream.end)
            return
        mapping = Mapping(subflow.out.end, start, length, capable=self._is_first(subflow, start))
        if (
            stream.ended
            and start + length == stream.end
            and not mapping.capable
            and stream.next_again() is None
            and connection.mode.state is not Mode.CHECKSUM_FAILED
        ):
            # §3.3.3: the DATA_FIN goes with the last octets.
            mapping.data_fin = True
            connection.closing.fire_if_possible(ClosingEvent.DATA_FIN_SENT)
        if connection.checksum:
            mapping.checksum = mapping.expected_checksum(connection.own_idsn, payload)
        subflow.declared.append(mapping)
        segment = subflow.payload_room(False)
        for at in range(0, length, segment):
            carries = at == 0 or not connection.profile.mapping_once
            last = start + at + segment >= stream.end
            subflow.push(payload[at : at + segment], mapping, carries, last=last)

    def _wait_for_window(self, ready: list[Subflow], now: int) -> None:
        """Have a closed window probed, unless an answer is under way that tells (RFC 9293 §3.8.6.1).

        ready: the subflows that only their windows, or the shared one, keep from sending.
        """
        connection = self._connection
        if self.persist_at is not None or any(subflow.out.under_way for subflow in ready):
            return
        outstanding = connection.outgoing.una < connection.outgoing.nxt
        if outstanding and not self._is_regular() and any(subflow.window_room() > 0 for subflow in ready):
            return  # What has no Data ACK yet is sent again, and the answer to that tells.
        self.persist_at = now + (max(subflow.rtt.rto for subflow in ready) << self._persist_backoff)

    def _is_regular(self) -> bool:
        return self._connection.mode.state in REGULAR

    def _probe(self, now: int) -> None:
        """Send what the window has room for, and one octet in spite of it where it has none."""
        stream = self._connection.outgoing
        self.persist_at = None
        ready = [subflow for subflow in self._candidates() if not subflow.out.under_way]
        again = stream.next_again()
        if not ready or (again is None and stream.nxt >= stream.end):
            return
        self._persist_backoff = min(self._persist_backoff + 1, 8)
        subflow, regular = ready[0], self._is_regular()
        start, end = (again[0], again[1]) if again is not None else (stream.nxt, stream.end)
        allowed = subflow.window_room() if regular else min(subflow.window_room(), stream.edge - start)
        room = subflow.payload_room(regular and self._connection.fallback.infinite is None)
        length = max(1, min(allowed, room, end - start))
        if again is not None:
            stream.took_again(start + length)
        else:
            stream.nxt = start + length
        self._push(subflow, start, length, regular)
        subflow.send_chunk(subflow.out.waiting[0], now)
        if not regular:
            self.set_timer(now)

    # -- Acknowledgements -----------------------------------

    def acknowledged(self, subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
        """A subflow's peer acknowledged chunks."""
        connection = self._connection
        mode = connection.mode.state
        if mode in REGULAR:
            # RFC 8684 §3.7: after an infinite mapping only subflow ACKs free data.
            fin = False
            for chunk in result.chunks:
                fin = fin or chunk.fin
                if chunk.mapping is not None and chunk.mapping.infinite:
                    connection.fallback.infinite_acknowledged()
            stream = connection.outgoing
            stream.acknowledge(min(subflow.out.una + self._distance, stream.nxt))
            if fin:
                connection.ending.acknowledged(now)
            return
        connection.fallback.acknowledged(subflow, result, segment, now)

    def begin_regular(self) -> None:
        """From here on the stream goes on where the one subflow is."""
        connection = self._connection
        self.stop()
        for subflow in connection.subflows[:1]:
            self._distance = connection.outgoing.nxt - max(subflow.out.end, 1)
            # What the peer acknowledged there counts from now on.
            connection.outgoing.acknowledge(min(subflow.out.una + self._distance, connection.outgoing.nxt))

    # -- Once more -----------------------------------

    def reinject(self, subflow: Subflow) -> None:
        """Have what a subflow holds, and is not Data ACKed, sent on another one (RFC 8684 §3.3.6)."""
        connection = self._connection
        if connection.mode.state in REGULAR:
            return
        gone = subflow.is_over
        if not gone and not any(other is not subflow for other in connection.usable()):
            return
        una = connection.outgoing.una
        for mapping in subflow.declared:
            if mapping.data_end > una and mapping.length:
                start = mapping.data_start
                connection.outgoing.again(start, start + mapping.length, None if gone else subflow.number)

    def set_timer(self, now: int) -> None:
        """Watch for a Data ACK, if nobody does yet."""
        if self._data_at is None:
            self._data_at = now + self._timeout()

    def stop(self) -> None:
        """Watch for none."""
        self._data_at = None
        self._backoff = self._vain = 0

    def progressed(self, now: int) -> None:
        """A Data ACK came: watch for the next, if one is due."""
        self._backoff = self._vain = self._persist_backoff = 0
        connection = self._connection
        outstanding = connection.outgoing.una < connection.sent_end
        self._data_at = now + self._timeout() if outstanding else None

    def _timeout(self) -> int:
        """Return how long a Data ACK may take: longer than any subflow takes to find a loss of its own."""
        rto = max((subflow.rtt.rto for subflow in self._connection.subflows), default=1_000_000)
        delay = self._connection.configuration.delayed_ack
        return min((2 * rto + delay) << self._backoff, LONGEST_TIMEOUT)

    def _data_timeout(self, now: int) -> None:
        """The head of the stream has no Data ACK for too long (RFC 8684 §3.3.6)."""
        connection = self._connection
        self._data_at = None
        stream = connection.outgoing
        able = usable(connection.subflows)
        if connection.mode.state in REGULAR or stream.una >= connection.sent_end:
            return
        head = stream.una
        # What is on its way, or waits for a window, has timers of its own that decide when to give up.
        if head >= stream.end or not any(_holds(subflow, head) for subflow in able):
            self._vain += 1
        if self._vain > connection.configuration.retries:
            connection.fail("ETIMEDOUT")
            connection.ending.abort(now)
            return
        if head < stream.end:
            self._send_head_again(head, able, now)
        elif able and connection.closing.state in DATA_FIN_PENDING:
            self._backoff += 1
            # The subflow that it went on first may be what loses it: each in its turn. Backups too, as an
            # ACK has no timer of its subflow's that would tell that the others have failed.
            every = connection.usable()
            subflow = every[self._backoff % len(every)]
            keys = handshake.keys_option(connection, subflow)
            if keys is not None:
                subflow.acknowledge(now, keys)
            subflow.acknowledge(now)
        if connection.subflows:
            self._data_at = now + self._timeout()

    def _send_head_again(self, head: int, able: list[Subflow], now: int) -> None:
        """Have the head of the stream sent again where no subflow has it under way, or on another one."""
        connection = self._connection
        stream = connection.outgoing
        holders = [subflow for subflow in able if _holds(subflow, head)]
        others = [subflow for subflow in able if subflow not in holders]
        passed = [subflow for subflow in others if _declares(subflow, head)]
        if passed == able and len(able) == 1 and not passed[0].last_had_dss:
            # Its peer may have fallen back without our hearing of it: to that one, what is sent again would
            # be new data. An ACK that has to be answered does no harm, and may bring the Data ACK.
            connection.fallback.not_heard(passed[0], now)
            return
        self._backoff += 1
        for subflow in passed:
            # Its peer acknowledged these octets, and does not Data ACK them.
            connection.fallback.not_data_acked(subflow, now)
        others = [subflow for subflow in others if subflow.is_usable]
        if not others:
            return
        avoid = next((subflow.number for subflow in (*holders, *passed)), None)
        stream.again(head, min(head + others[0].payload_room(False), stream.nxt), avoid)
        # Whatever else those peers acknowledged has been passed over as the head was.
        under_way = {mapping.data_start for subflow in able for mapping in _mappings(subflow)}
        for subflow in passed:
            for mapping in subflow.declared:
                if mapping.length and mapping.data_start not in under_way:
                    start = mapping.data_start
                    stream.again(start, start + mapping.length, subflow.number)

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when something is due, run clock, or None."""
        if self._data_at is None:
            return self.persist_at
        return self._data_at if self.persist_at is None else min(self._data_at, self.persist_at)

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        if self._data_at is not None and now >= self._data_at:
            self._data_timeout(now)
        if self.persist_at is not None and now >= self.persist_at:
            self._probe(now)


def _holds(subflow: Subflow, offset: int) -> bool:
    """Whether any of the mapping of an octet of the stream is under way on a subflow, or waits there."""
    return any(
        mapping.data_start <= offset < mapping.data_start + mapping.length for mapping in _mappings(subflow)
    )


def _mappings(subflow: Subflow) -> list[Mapping]:
    """Return the mappings of what a subflow has under way, or waiting."""
    return [
        chunk.mapping
        for queue in (subflow.out.under_way, subflow.out.waiting)
        for chunk in queue
        if chunk.mapping is not None
    ]


def _declares(subflow: Subflow, offset: int) -> bool:
    """Whether a mapping that the subflow declared covers an offset of the stream."""
    return any(mapping.data_start <= offset < mapping.data_end for mapping in subflow.declared)
