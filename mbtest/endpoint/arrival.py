"""A segment arrives at a subflow: RFC 9293 §3.10.7, in its order, with RFC 5961 and RFC 7323 where they apply.

Everything that is not acceptable is answered as the RFC asks, and changes nothing.
"""

from __future__ import annotations

from mbtest.endpoint.configuration import MILLISECOND, SECOND
from mbtest.endpoint.states import Tcp, TcpEvent
from mbtest.endpoint.subflow import FIN_PENDING, LARGEST_SHIFT, MASK_32, Subflow
from mbtest.endpoint.transmission import DUPLICATE_THRESHOLD, Acknowledged
from mbtest.endpoint.unwrap import unwrap32
from mbtest.wire.options import (
    MaximumSegmentSize,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)
from mbtest.wire.packet import ACK, RST, Segment

PAWS_IDLE = 24 * 24 * 3600 * SECOND
"""After this long without a segment a timestamp says nothing (RFC 7323 §5.5)."""
NO_MORE_DATA = frozenset({Tcp.CLOSE_WAIT, Tcp.CLOSING, Tcp.LAST_ACK, Tcp.TIME_WAIT})


def take_syn_options(subflow: Subflow, segment: Segment, now: int) -> None:
    """Agree on options with a peer's SYN or SYN/ACK, and take its initial sequence number."""
    subflow.irs = int(segment.seq)
    mss = segment.option(MaximumSegmentSize)
    if mss is not None:
        # A size of nothing, or of next to nothing, would never end: RFC 9293 §3.7.1 has no lower limit.
        subflow.mss = min(max(mss.size, 100), subflow.own_mss)
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
    subflow.congestion.mss = subflow.mss


def arrive(subflow: Subflow, segment: Segment, now: int) -> None:
    """Take in a segment that belongs to a subflow which is neither CLOSED nor LISTEN."""
    subflow.now = now
    if subflow.tcp.state is Tcp.SYN_SENT:
        _arrive_in_syn_sent(subflow, segment, now)
        return
    offset = unwrap32(int(segment.seq) - subflow.irs, subflow.receive_next)
    length = segment.sequence_length
    if subflow.probe_at is not None:
        subflow.probe_at = None  # The path is alive.
    # PAWS (RFC 7323 §5.3, R1), before the sequence number is looked at; never for a RST.
    times = segment.option(Timestamps) if subflow.timestamps else None
    if times is not None and not segment.rst and _is_old(subflow, times, now):
        subflow.acknowledge(now)
        return
    # First, the sequence number (§3.10.7.4).
    if not _is_acceptable(subflow, segment, offset, length):
        _refuse(subflow, segment, offset, length, now)
        return
    # Second, RST: only at exactly RCV.NXT; within the window it is asked about (RFC 5961 §3.2).
    if segment.rst:
        if offset == subflow.receive_next:
            _reset(subflow, segment, now)
        else:
            subflow.acknowledge(now)
        return
    # Fourth, SYN: never taken at its word (RFC 5961 §4.2).
    if segment.syn:
        if subflow.tcp.state is Tcp.SYN_RECEIVED and offset == 0:
            subflow.owner.signals_arrived(subflow, segment, now)
            _synchronised(subflow, segment, now)
            return
        subflow.acknowledge(now)
        return
    # Fifth, ACK.
    if not segment.has_ack:
        return
    acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
    if not _ack_is_acceptable(subflow, acknowledgement, now):
        return
    if times is not None and offset <= subflow.last_ack_sent:
        subflow.ts_recent, subflow.ts_recent_at = times.value, now  # RFC 7323 §4.3
    if subflow.tcp.state is Tcp.SYN_RECEIVED and not _complete_passive_open(
        subflow, segment, acknowledgement, now
    ):
        return
    # Only now: MPTCP's signals pass TCP's checks first (RFC 8684 §3.4.1).
    if not subflow.owner.signals_arrived(subflow, segment, now):
        return
    _take_acknowledgement(subflow, segment, offset, length, acknowledgement, now)
    if subflow.is_over:
        return
    # Sixth, the urgent pointer: the data is delivered in line (RFC 6093 §4), so that it says nothing more.
    # Seventh, data, and eighth, FIN.
    if length:
        _take_data(subflow, segment, offset, now)


def _arrive_in_syn_sent(subflow: Subflow, segment: Segment, now: int) -> None:
    """§3.10.7.3."""
    acknowledges = False
    if segment.has_ack:
        acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
        if not 0 < acknowledgement <= subflow.out.nxt:
            if not segment.rst:
                subflow.owner.emit(reset_for(segment))
            return
        acknowledges = True
    if segment.rst:
        if acknowledges:
            subflow.over(now, "ECONNREFUSED")
        return
    if not segment.syn:
        return
    take_syn_options(subflow, segment, now)
    if not acknowledges:
        # Simultaneous open (RFC 9293 §3.5, figure 8).
        subflow.tcp.fire(TcpEvent.SYN)
        if subflow.owner.signals_arrived(subflow, segment, now):
            chunk = subflow.out.under_way[0]
            subflow.send_chunk(chunk, now)
        return
    _synchronised(subflow, segment, now)


def _synchronised(subflow: Subflow, segment: Segment, now: int) -> None:
    """A SYN/ACK answers our SYN; or our SYN of a simultaneous open is answered."""
    acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
    if not segment.has_ack or acknowledgement < 1:
        return
    result = subflow.out.acknowledge(acknowledgement, (), now)
    _measure(subflow, result, segment, now)
    subflow.timeouts = 0
    subflow.retransmit_at = None
    if subflow.tcp.state is Tcp.SYN_SENT:
        subflow.tcp.fire(TcpEvent.SYN_ACK)
        if not subflow.owner.signals_arrived(subflow, segment, now):
            return
    else:
        subflow.tcp.fire(TcpEvent.SYN_ACKED)
    subflow.acknowledge(now)
    subflow.owner.handshake_over(subflow, now)


def _is_old(subflow: Subflow, times: Timestamps, now: int) -> bool:
    age = (times.value - subflow.ts_recent) & MASK_32
    return age >= 0x8000_0000 and now - subflow.ts_recent_at < PAWS_IDLE


def _is_acceptable(subflow: Subflow, segment: Segment, offset: int, length: int) -> bool:
    """The four cases of §3.10.7.4, table 6; the window is all that was ever advertised."""
    following = subflow.receive_next
    edge = max(subflow.advertised, following)
    window = edge - following
    if window == 0:
        return length == 0 and offset == following
    if length == 0:
        return following <= offset < edge or offset == following
    return offset < edge and offset + length > following


def _refuse(subflow: Subflow, segment: Segment, offset: int, length: int, now: int) -> None:
    """Answer what is outside of the window with an ACK, unless it is a RST."""
    if segment.rst:
        return
    # §3.10.7.4: with a closed window, valid ACKs are still taken.
    if length and offset == subflow.receive_next and segment.has_ack and not segment.syn:
        acknowledgement = unwrap32(int(segment.ack) - subflow.iss, subflow.out.una)
        if subflow.out.una <= acknowledgement <= subflow.out.nxt:
            subflow.owner.signals_arrived(subflow, segment, now)
            if subflow.is_over:
                return
            _take_acknowledgement(subflow, segment, offset, length, acknowledgement, now)
    if subflow.tcp.state is Tcp.SYN_RECEIVED and segment.syn:
        # The SYN again: so our SYN/ACK did not arrive.
        subflow.send_chunk(subflow.out.under_way[0], now)
        return
    if subflow.tcp.state is Tcp.TIME_WAIT and segment.fin:
        subflow.over_at = now + subflow.owner.configuration.time_wait
    end = offset + segment.payload_length
    if segment.payload_length and end <= subflow.receive_next:
        # Octets that were taken before: RFC 2883 §4 has them reported.
        subflow.held.insert(offset, segment.payload)
    if not subflow.is_over:
        subflow.acknowledge(now)


def _reset(subflow: Subflow, segment: Segment, now: int) -> None:
    """A valid RST: options on it are read first, as they say why."""
    passive = subflow.tcp.state is Tcp.SYN_RECEIVED and not subflow.active
    subflow.owner.signals_arrived(subflow, segment, now)
    if not subflow.is_over:
        subflow.over(now, "ECONNREFUSED" if passive else "ECONNRESET")


def _ack_is_acceptable(subflow: Subflow, acknowledgement: int, now: int) -> bool:
    out = subflow.out
    if acknowledgement > out.nxt:
        # RFC 5961 §5.2, RFC 9293 §3.10.7.4: an ACK for what was never sent.
        if subflow.tcp.state is not Tcp.SYN_RECEIVED:
            subflow.acknowledge(now)
        return False
    # RFC 5961 §5.2: not further behind than the largest window that the peer ever offered.
    if acknowledgement < out.una - max(subflow.largest_window, 65_535):
        subflow.acknowledge(now)
        return False
    return True


def _complete_passive_open(subflow: Subflow, segment: Segment, acknowledgement: int, now: int) -> bool:
    """The third ACK: whoever accepts the connection has to agree first. Return whether to read on."""
    if acknowledgement < 1:
        return False
    if not subflow.owner.signals_arrived(subflow, segment, now):
        return False
    subflow.send_window = segment.window << subflow.send_shift
    result = subflow.out.acknowledge(1, (), now)
    _measure(subflow, result, segment, now)
    subflow.timeouts = 0
    subflow.retransmit_at = None
    subflow.tcp.fire(TcpEvent.SYN_ACKED)
    subflow.owner.handshake_over(subflow, now)
    return not subflow.is_over


def _take_acknowledgement(
    subflow: Subflow, segment: Segment, offset: int, length: int, acknowledgement: int, now: int
) -> None:
    """Free what is acknowledged, find what is lost, and learn the window (§3.10.7.4, RFC 5681, RFC 6675)."""
    out = subflow.out
    if acknowledgement < out.una:
        return
    blocks: list[tuple[int, int]] = []
    if subflow.sack and out.under_way:
        sack = segment.option(Sack)
        if sack is not None:
            iss, nxt = subflow.iss, out.nxt
            for left, right in sack.blocks:
                first = unwrap32(left - iss, out.una)
                last = unwrap32(right - iss, out.una)
                if last <= nxt:
                    blocks.append((first, last))
    flight = out.in_flight
    advance = acknowledgement - out.una
    window = segment.window << subflow.send_shift
    duplicate = not advance and not length and bool(out.under_way) and window == subflow.send_window
    _learn_window(subflow, window, offset, acknowledgement)
    if not advance and not blocks and not duplicate:
        return
    result = out.acknowledge(acknowledgement, blocks, now)
    if advance:
        _measure(subflow, result, segment, now)
        subflow.timeouts = 0
        subflow.rtt.progress()
        subflow.persist_at = None
        subflow.retransmit_at = now + subflow.rtt.rto if out.under_way else None
        subflow.congestion.acked(advance, flight, now)
    _recover(subflow, result, duplicate, segment)
    if advance:
        # The connection first: to it, a FIN that is acknowledged is a stream that has ended well.
        subflow.owner.acknowledged(subflow, result, segment, now)
        if subflow.tcp.state in FIN_PENDING and any(chunk.fin for chunk in result.chunks):
            _fin_acknowledged(subflow, now)


def _learn_window(subflow: Subflow, window: int, offset: int, acknowledgement: int) -> None:
    """SND.WND, SND.WL1, SND.WL2 (§3.10.7.4)."""
    if subflow.window_from <= (offset, acknowledgement):
        subflow.window_from = (offset, acknowledgement)
        subflow.send_window = window
        subflow.largest_window = max(subflow.largest_window, window)
        if window and subflow.persist_at is not None:
            subflow.persist_at = None


def _measure(subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
    if result.rtt is not None:
        subflow.rtt.sample(result.rtt)
    elif subflow.timestamps:
        # RFC 7323 §4: the echoed timestamp tells which copy of a retransmitted segment this answers.
        times = segment.option(Timestamps)
        if times is not None and times.echo:
            ticks = ((now // MILLISECOND + subflow.iss) - times.echo) & MASK_32
            if ticks < 0x8000_0000:
                subflow.rtt.sample(ticks * MILLISECOND)


def _recover(subflow: Subflow, result: Acknowledged, duplicate: bool, segment: Segment) -> None:
    """Fast retransmit and recovery (RFC 5681 §3.2, RFC 6582 §3.2, RFC 6675 §5)."""
    out = subflow.out
    lost = False
    if subflow.sack:
        if result.sacked:
            lost = out.find_lost()
    elif result.octets:
        subflow.duplicate_acks = 0
        if subflow.recovery_end is not None and out.una < subflow.recovery_end:
            out.lose_first()  # RFC 6582 §3.2, step 3: a partial acknowledgement.
    elif duplicate and not _has_signals_other_than_dss(segment):
        subflow.duplicate_acks += 1
        if subflow.duplicate_acks == DUPLICATE_THRESHOLD and subflow.recovery_end is None:
            lost = out.lose_first()
    if subflow.recovery_end is not None and out.una >= subflow.recovery_end:
        subflow.recovery_end = None
        subflow.congestion.leave_recovery()
    if lost and subflow.recovery_end is None:
        subflow.recovery_end = out.nxt
        subflow.congestion.enter_recovery(out.nxt - out.una)


def _has_signals_other_than_dss(segment: Segment) -> bool:
    """RFC 8684 §3.4.1: duplicate ACKs with MPTCP options other than DSS are no sign of congestion."""
    return any(
        option.kind == 30 and option.subtype != 2  # type: ignore[attr-defined]
        for option in segment.options
    )


def _fin_acknowledged(subflow: Subflow, now: int) -> None:
    subflow.tcp.fire(TcpEvent.FIN_ACKED)
    if subflow.tcp.state is Tcp.TIME_WAIT:
        _begin_time_wait(subflow, now)
    elif subflow.tcp.state is Tcp.CLOSED:
        subflow.stop(now, "")


def _begin_time_wait(subflow: Subflow, now: int) -> None:
    subflow.over_at = now + subflow.owner.configuration.time_wait


def _take_data(subflow: Subflow, segment: Segment, offset: int, now: int) -> None:
    """Seventh and eighth: octets and FIN, in whatever order they come."""
    held = subflow.held
    if subflow.tcp.state in NO_MORE_DATA:
        subflow.acknowledge(now)
        return
    payload = segment.payload
    start = held.next
    edge = max(subflow.advertised, start)
    if offset + len(payload) > edge:
        payload = payload[: max(0, edge - offset)]
    elif segment.fin and subflow.fin_at is None:
        subflow.fin_at = offset + len(payload)
    was_held = held.held
    new = held.insert(offset, payload) if payload else 0
    in_order = held.next > start
    if in_order:
        subflow.owner.octets_arrived(subflow, start, held.take(), now)
        if subflow.is_over:
            return
    if subflow.fin_at is not None and held.next >= subflow.fin_at and not subflow.fin_taken:
        subflow.fin_taken = 1
        _take_fin(subflow, now)
        return
    subflow.unacknowledged += 1
    # At once: out of order, or a gap filled (RFC 5681 §4.2); every second segment; the last of a burst.
    if not in_order or was_held or new < len(payload) or segment.psh or subflow.unacknowledged >= 2:
        subflow.acknowledge(now)
    elif subflow.ack_at is None:
        subflow.ack_at = now + subflow.owner.configuration.delayed_ack


def _take_fin(subflow: Subflow, now: int) -> None:
    subflow.tcp.fire(TcpEvent.FIN)
    if subflow.tcp.state is Tcp.TIME_WAIT:
        _begin_time_wait(subflow, now)
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
