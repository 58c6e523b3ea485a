"""A segment arrives at a subflow: RFC 9293 §3.10.7, in its order, with RFC 5961 and RFC 7323 as they apply.

Everything that is not acceptable is answered as the RFC asks, and changes nothing.
"""

from __future__ import annotations

from mbtest.endpoint import acknowledgement as acknowledgements
from mbtest.endpoint import timers
from mbtest.endpoint.configuration import SECOND
from mbtest.endpoint.departure import LARGEST_SHIFT, MASK_32
from mbtest.endpoint.states import Tcp, TcpEvent
from mbtest.endpoint.subflow import SMALLEST_MSS, Subflow
from mbtest.endpoint.unwrap import unwrap32
from mbtest.wire.block import MAX_OPTIONS
from mbtest.wire.options import MaximumSegmentSize, SackPermitted, TcpOption, Timestamps, WindowScale
from mbtest.wire.packet import ACK, RST, Segment

PAWS_IDLE = 24 * 24 * 3600 * SECOND
"""After this long without a segment a timestamp says nothing (RFC 7323 §5.5)."""
CHALLENGES, CHALLENGE_PERIOD = 10, 5 * SECOND
"""At most so many ACKs in answer to what is not acceptable in so long, on each subflow (RFC 5961 §7)."""
NO_MORE_DATA = frozenset({Tcp.CLOSE_WAIT, Tcp.CLOSING, Tcp.LAST_ACK, Tcp.TIME_WAIT})


def take_syn_options(subflow: Subflow, segment: Segment, now: int) -> None:
    """Agree on options with a peer's SYN or SYN/ACK, and take its initial sequence number."""
    subflow.irs = int(segment.seq)
    mss = segment.option(MaximumSegmentSize)
    if mss is not None:
        subflow.mss = min(max(mss.size, SMALLEST_MSS), subflow.own_mss)
    scale = segment.option(WindowScale)
    subflow.scaling = subflow.scaling and scale is not None
    if subflow.scaling and scale is not None:
        subflow.send_shift = min(scale.shift, LARGEST_SHIFT)  # RFC 7323 §2.3
    else:
        subflow.receive_shift = 0
    subflow.sack = subflow.sack and segment.option(SackPermitted) is not None
    times = segment.option(Timestamps)
    subflow.timestamps = subflow.timestamps and times is not None
    if times is not None:
        subflow.ts_recent, subflow.ts_recent_at = times.value, now
    # RFC 7323 §2.2: the window of a SYN is not scaled.
    subflow.send_window = subflow.largest_window = segment.window
    subflow.window_from = (0, 0)


def arrive(subflow: Subflow, segment: Segment, now: int) -> None:
    """Take in a segment that belongs to a subflow which is neither CLOSED nor LISTEN."""
    subflow.now = now
    if subflow.tcp.state is Tcp.SYN_SENT:
        _arrive_in_syn_sent(subflow, segment, now)
        return
    offset = unwrap32(int(segment.seq) - subflow.irs, subflow.receive_next)
    length = segment.sequence_length
    # Second in the RFC, but judged by its sequence number alone (RFC 5961 §3.2), and never by PAWS.
    if segment.rst:
        _take_reset(subflow, segment, offset, now)
        return
    if segment.syn and subflow.tcp.state is Tcp.SYN_RECEIVED:
        _take_syn_again(subflow, segment, offset, now)
        return
    # PAWS (RFC 7323 §5.3, R1), before the sequence number is looked at. `options` decodes them all, once.
    times = segment.option(Timestamps) if segment.options and subflow.timestamps else None
    # Deviates from RFC 7323 §3.2, by which a segment without agreed timestamps should be dropped: boxes
    # strip them, and the connection would not survive it. Linux takes such segments as well.
    if times is not None and _is_old(subflow, times, now):
        _answer(subflow, segment, now)
        return
    # First, the sequence number (§3.10.7.4).
    if not _is_acceptable(subflow, offset, length):
        _refuse(subflow, segment, offset, length, now)
        return
    # Fourth, SYN: never taken at its word (RFC 5961 §4.2).
    if segment.syn:
        _challenge(subflow, now)
        return
    # Fifth, ACK.
    if not segment.has_ack:
        return
    acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
    if not _ack_is_acceptable(subflow, segment, acknowledgement, now):
        return
    subflow.probe_at = None  # The path is alive (RFC 8684 §3.4.2).
    if times is not None and offset <= subflow.last_ack_sent:
        subflow.ts_recent, subflow.ts_recent_at = times.value, now  # RFC 7323 §4.3
    if subflow.tcp.state is Tcp.SYN_RECEIVED and not _complete_passive_open(subflow, segment, now):
        return
    # Only now: MPTCP's signals pass TCP's checks first (RFC 8684 §3.4.1).
    if not subflow.owner.signals_arrived(subflow, segment, now):
        return
    acknowledgements.take(subflow, segment, offset, length, acknowledgement, now)
    # Sixth, the urgent pointer: the data is delivered in line (RFC 6093 §4), so that it says nothing more.
    # Seventh, data, and eighth, FIN.
    if length and not subflow.is_over:
        _take_data(subflow, segment, offset, now)


def _arrive_in_syn_sent(subflow: Subflow, segment: Segment, now: int) -> None:
    """§3.10.7.3."""
    if segment.has_ack and unwrap32(int(segment.ack) - subflow.iss, subflow.out.una) != 1:
        if not segment.rst:
            subflow.owner.emit(reset_for(segment))
        return
    if segment.rst:
        if segment.has_ack:
            # Its options say why a join is refused (RFC 8684 §3.6).
            subflow.owner.signals_arrived(subflow, segment, now)
            subflow.over(now, "ECONNREFUSED")
        return
    if not segment.syn:
        return
    # Data on it is not taken, and comes again (§3.10.7.2 would have it queued).
    take_syn_options(subflow, segment, now)
    if segment.has_ack:
        _synchronised(subflow, segment, now)
        return
    # Simultaneous open (RFC 9293 §3.5, figure 7).
    subflow.tcp.fire(TcpEvent.SYN)
    if subflow.owner.signals_arrived(subflow, segment, now):
        subflow.send_chunk(subflow.out.under_way[0], now)


def _take_syn_again(subflow: Subflow, segment: Segment, offset: int, now: int) -> None:
    """A SYN in SYN-RECEIVED: the same as before, or the answer in a simultaneous open, or another one."""
    if offset == 0 and not segment.has_ack:
        # So our SYN/ACK did not arrive.
        subflow.send_chunk(subflow.out.under_way[0], now)
    elif offset == 0 and subflow.active:
        if unwrap32(int(segment.ack) - subflow.iss, subflow.out.una) != 1:
            subflow.owner.emit(reset_for(segment))
        elif subflow.owner.signals_arrived(subflow, segment, now):
            _synchronised(subflow, segment, now)
    elif not subflow.active and _is_acceptable(subflow, offset, segment.sequence_length):
        # §3.10.7.4, fourth: back to LISTEN. The peer has forgotten about the first one.
        subflow.over(now, "ECONNRESET")
    else:
        _challenge(subflow, now)


def _synchronised(subflow: Subflow, segment: Segment, now: int) -> None:
    """A SYN/ACK answers our SYN; or our SYN of a simultaneous open is answered."""
    _take_handshake_ack(subflow, segment, now)
    if subflow.tcp.state is Tcp.SYN_SENT:
        subflow.tcp.fire(TcpEvent.SYN_ACK)
        if not subflow.owner.signals_arrived(subflow, segment, now):
            return
    else:
        subflow.tcp.fire(TcpEvent.SYN_ACKED)
    subflow.acknowledge(now)
    subflow.owner.handshake_over(subflow)


def _complete_passive_open(subflow: Subflow, segment: Segment, now: int) -> bool:
    """The third ACK: whoever accepts the connection has to agree first. Return whether to read on."""
    if not subflow.owner.signals_arrived(subflow, segment, now):
        return False
    subflow.send_window = segment.window << subflow.send_shift
    _take_handshake_ack(subflow, segment, now)
    subflow.tcp.fire(TcpEvent.SYN_ACKED)
    subflow.owner.handshake_over(subflow)
    return not subflow.is_over


def _take_handshake_ack(subflow: Subflow, segment: Segment, now: int) -> None:
    """Our SYN is acknowledged."""
    result = subflow.out.acknowledge(1, (), now)
    acknowledgements.measure(subflow, result, segment, now)
    syn_was_lost = subflow.timeouts > 0
    if syn_was_lost:
        subflow.rtt.syn_was_lost()
    # RFC 5681 §3.1: one segment is the initial window after a lost SYN.
    subflow.begin_congestion(subflow.mss if syn_was_lost else None)
    subflow.timeouts = 0
    subflow.retransmit_at = None


def _is_old(subflow: Subflow, times: Timestamps, now: int) -> bool:
    age = (times.value - subflow.ts_recent) & MASK_32
    return age >= 0x8000_0000 and now - subflow.ts_recent_at < PAWS_IDLE


def _is_acceptable(subflow: Subflow, offset: int, length: int) -> bool:
    """The four cases of §3.10.7.4, table 6; the window is all that was ever advertised."""
    following = subflow.receive_next
    edge = max(subflow.advertised, following)
    if length == 0 or edge == following:
        return offset == following or (length == 0 and following <= offset < edge)
    return offset < edge and offset + length > following


def _refuse(subflow: Subflow, segment: Segment, offset: int, length: int, now: int) -> None:
    """Answer what is outside of the window with an ACK."""
    # §3.10.7.4: with a closed window, valid ACKs are still taken.
    if length and offset == subflow.receive_next and segment.has_ack and not segment.syn:
        acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
        if subflow.out.una <= acknowledgement <= subflow.out.nxt:
            subflow.owner.signals_arrived(subflow, segment, now)
            if subflow.is_over:
                return
            acknowledgements.take(subflow, segment, offset, length, acknowledgement, now)
    if subflow.tcp.state is Tcp.TIME_WAIT and segment.fin:
        timers.begin_time_wait(subflow, now)
    if segment.payload_length and offset + segment.payload_length <= subflow.receive_next:
        # Octets that were taken before: RFC 2883 §4 has them reported.
        subflow.held.insert(offset, segment.payload)
    if not subflow.is_over:
        _answer(subflow, segment, now)


def _answer(subflow: Subflow, segment: Segment, now: int) -> None:
    """Answer an unacceptable segment.

    Without limit where it carries data or a FIN, for its sender has to learn where we are; with one
    otherwise, or two hosts that disagree answer each other for ever.
    """
    if segment.sequence_length and not segment.syn:
        subflow.acknowledge(now)
    else:
        _challenge(subflow, now)


def _challenge(subflow: Subflow, now: int) -> None:
    """Answer with an ACK, as far as the limit allows (RFC 5961 §3.2, §4.2, §5.2)."""
    if now - subflow.challenged_at >= CHALLENGE_PERIOD:
        subflow.challenged_at, subflow.challenges = now, 0
    subflow.challenges += 1
    if subflow.challenges <= CHALLENGES:
        subflow.acknowledge(now)


def _take_reset(subflow: Subflow, segment: Segment, offset: int, now: int) -> None:
    """A RST counts only at exactly RCV.NXT; elsewhere in the window it is asked about (RFC 5961 §3.2)."""
    if offset == subflow.receive_next:
        passive = subflow.tcp.state is Tcp.SYN_RECEIVED and not subflow.active
        # Options first, as they say why.
        subflow.owner.signals_arrived(subflow, segment, now)
        if not subflow.is_over:
            subflow.over(now, "ECONNREFUSED" if passive else "ECONNRESET")
    elif subflow.receive_next < offset < subflow.advertised:
        _challenge(subflow, now)


def _ack_is_acceptable(subflow: Subflow, segment: Segment, acknowledgement: int, now: int) -> bool:
    """RFC 9293 §3.10.7.4, fifth; RFC 5961 §5.2."""
    out = subflow.out
    if subflow.tcp.state is Tcp.SYN_RECEIVED:
        if acknowledgement != 1:
            subflow.owner.emit(reset_for(segment))
        return acknowledgement == 1
    # Neither of what was never sent, nor older than the largest window that the peer ever offered.
    if out.una - subflow.largest_window <= acknowledgement <= out.nxt:
        return True
    _answer(subflow, segment, now)
    return False


def _take_data(subflow: Subflow, segment: Segment, offset: int, now: int) -> None:
    """Seventh and eighth: octets and FIN, in whatever order they come."""
    held = subflow.held
    if subflow.tcp.state in NO_MORE_DATA:
        subflow.acknowledge(now)
        return
    start = held.next
    payload = _fitting(subflow, segment, offset)
    was_held = held.held
    new = held.insert(offset, payload) if payload else 0
    in_order = held.next > start
    if in_order:
        subflow.owner.octets_arrived(subflow, start, held.take(), now)
        if subflow.is_over:
            return
    if held.next == subflow.fin_at and not subflow.fin_taken:
        subflow.fin_taken = 1
        _take_fin(subflow, now)
        return
    subflow.unacknowledged += 1
    # At once: out of order, or a gap filled (RFC 5681 §4.2); every second segment; the last of a burst.
    if (
        not in_order
        or was_held
        or new < segment.payload_length
        or subflow.unacknowledged >= 2
        or (segment.psh and len(payload) < subflow.own_mss - MAX_OPTIONS)
    ):
        subflow.acknowledge(now)
    elif subflow.ack_at is None:
        subflow.ack_at = now + subflow.owner.configuration.delayed_ack


def _fitting(subflow: Subflow, segment: Segment, offset: int) -> bytes:
    """Return the octets of a segment that lie in the window and before the FIN; note where that is."""
    payload = segment.payload
    end = offset + len(payload)
    edge = max(subflow.advertised, subflow.held.next)
    # A FIN before octets that were accepted contradicts them, and the first to say something is believed.
    if segment.fin and subflow.fin_at is None and subflow.held.end <= end <= edge:
        subflow.fin_at = end
    if subflow.fin_at is not None:
        edge = min(edge, subflow.fin_at)
    return payload if end <= edge else payload[: max(0, edge - offset)]


def _take_fin(subflow: Subflow, now: int) -> None:
    subflow.tcp.fire(TcpEvent.FIN)
    if subflow.tcp.state is Tcp.TIME_WAIT:
        timers.begin_time_wait(subflow, now)
    subflow.owner.fin_arrived(subflow, now)
    if not subflow.is_over:
        subflow.acknowledge(now)


def reset_for(segment: Segment, *signals: TcpOption) -> Segment:
    """Return the RST that answers a segment which belongs nowhere (RFC 9293 §3.10.7.1)."""
    acknowledges = segment.has_ack
    return Segment.build(
        segment.destination,
        segment.source,
        segment.destination_port,
        segment.source_port,
        seq=int(segment.ack) if acknowledges else 0,
        ack=0 if acknowledges else int(segment.next_seq),
        flags=RST if acknowledges else RST | ACK,
        window=0,
        options=signals,
    )
