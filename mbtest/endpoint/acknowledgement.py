"""An acknowledgement arrives: what it frees, what it tells of losses, of the round trip and of the window.

RFC 9293 §3.10.7.4 (fifth), RFC 5681, RFC 6582, RFC 6675, RFC 6298, RFC 7323 §4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint import departure, timers
from mbtest.endpoint.configuration import MILLISECOND
from mbtest.endpoint.states import Tcp, TcpEvent
from mbtest.endpoint.transmission import DUPLICATE_THRESHOLD, Acknowledged
from mbtest.endpoint.unwrap import unwrap32
from mbtest.wire.mptcp import Dss, MptcpOption
from mbtest.wire.options import Sack, Timestamps
from mbtest.wire.packet import Segment

if TYPE_CHECKING:
    from mbtest.endpoint.subflow import Subflow

FIN_PENDING = frozenset({Tcp.FIN_WAIT_1, Tcp.CLOSING, Tcp.LAST_ACK})


def take(
    subflow: Subflow, segment: Segment, offset: int, length: int, acknowledgement: int, now: int
) -> None:
    """Act on the acknowledgement of an acceptable segment.

    offset, length: of the segment in the peer's sequence space. acknowledgement: an offset in ours, at
    most SND.NXT.
    """
    out = subflow.out
    if acknowledgement < out.una:
        return
    blocks = _blocks(subflow, segment) if subflow.sack and out.under_way else []
    advance = acknowledgement - out.una
    window = segment.window << subflow.send_shift
    duplicate = (
        not advance and not length and bool(out.under_way) and window == subflow.send_window and window > 0
    )
    _learn_window(subflow, window, offset, acknowledgement, now)
    if not advance and not blocks and not duplicate:
        return
    result = out.acknowledge(acknowledgement, blocks, now)
    if advance:
        measure(subflow, result, segment, now)
        subflow.timeouts = 0
        subflow.rtt.progress()
        subflow.persist_at = None
        subflow.retransmit_at = now + subflow.rtt.rto if out.under_way else None
        subflow.congestion.acked(advance, subflow.filled, now)
    at_once = _recover(subflow, result, duplicate, segment)
    if advance:
        # The connection first: to it, a FIN that is acknowledged is a stream that has ended well.
        subflow.owner.acknowledged(subflow, result, segment, now)
        if subflow.tcp.state in FIN_PENDING and any(chunk.fin for chunk in result.chunks):
            _fin_acknowledged(subflow, now)
    if at_once and not subflow.is_over and (chunk := out.next_lost()) is not None:
        # Whatever the congestion window says: RFC 5681 §3.2 step 3, RFC 6582 §3.2, RFC 6675 §5 step 4.3.
        subflow.send_chunk(chunk, now)


def measure(subflow: Subflow, result: Acknowledged, segment: Segment, now: int) -> None:
    """Take a sample of the round-trip time, where the acknowledgement gives one."""
    if result.rtt is not None:
        subflow.rtt.sample(result.rtt)
    elif subflow.timestamps:
        # RFC 7323 §4.1: the echoed timestamp tells which copy of a retransmitted segment this answers.
        times = segment.option(Timestamps)
        if times is not None and times.echo:
            ticks = (departure.clock(subflow) - times.echo) & departure.MASK_32
            # An echo of what was never sent would put the timer off for long.
            if ticks <= (now - subflow.began_at) // MILLISECOND + 1:
                subflow.rtt.sample(ticks * MILLISECOND)


def _blocks(subflow: Subflow, segment: Segment) -> list[tuple[int, int]]:
    """Return the SACK blocks of a segment as offsets, as far as they are of what was sent."""
    sack = segment.option(Sack)
    if sack is None:
        return []
    iss, una, nxt = subflow.iss, subflow.out.una, subflow.out.nxt
    found = [(unwrap32(left - iss, una), unwrap32(right - iss, una)) for left, right in sack.blocks]
    # Below SND.UNA it is a D-SACK (RFC 2883 §4.1): the octets came twice, and nothing has to be done.
    return [(left, right) for left, right in found if left < right and una < right <= nxt]


def _learn_window(subflow: Subflow, window: int, offset: int, acknowledgement: int, now: int) -> None:
    """SND.WND, SND.WL1, SND.WL2 (§3.10.7.4)."""
    if subflow.window_from <= (offset, acknowledgement):
        was_closed = subflow.send_window == 0
        subflow.window_from = (offset, acknowledgement)
        subflow.send_window = window
        subflow.largest_window = max(subflow.largest_window, window)
        if window:
            subflow.persist_at = None
            if was_closed and subflow.out.under_way:
                _window_opened(subflow, now)
    if not subflow.send_window:
        # RFC 9293 §3.8.6.1, MUST-37: as long as probes are answered, the connection stays.
        subflow.timeouts = 0


def _window_opened(subflow: Subflow, now: int) -> None:
    """The probe that is under way fell outside of the window, and its timer has backed off far."""
    subflow.rtt.progress()
    subflow.out.lose_all()
    subflow.retransmit_at = now + subflow.rtt.rto


def _recover(subflow: Subflow, result: Acknowledged, duplicate: bool, segment: Segment) -> bool:
    """Find losses and shrink the window for them; return whether the first is to be sent again at once."""
    out = subflow.out
    if subflow.recovery_end is not None and out.una >= subflow.recovery_end:
        subflow.recovery_end = None
        subflow.duplicate_acks = 0
        subflow.congestion.leave_recovery()
    # After a timeout all is sent again anyhow: RFC 6582 §3.2 (recover), RFC 6675 §5.1.
    if out.una < subflow.recovery_from:
        return False
    if subflow.recovery_end is not None and result.octets and _without_sack(subflow):
        # RFC 6582 §3.2, step 3: a partial acknowledgement. What it covers was counted as gone before.
        out.lose_first()
        if not subflow.sack:
            subflow.duplicate_acks = max(0, subflow.duplicate_acks - len(result.chunks) + 1)
        return True
    lost = False
    if result.octets and subflow.recovery_end is None:
        subflow.duplicate_acks = 0
    elif duplicate and not (subflow.sack and segment.option(Sack)) and not _signals_only(segment):
        subflow.duplicate_acks += 1
        if subflow.duplicate_acks == DUPLICATE_THRESHOLD and subflow.recovery_end is None:
            lost = out.lose_first()
    if result.sacked or (result.octets and out.sacked):
        lost = out.find_lost() or lost
    if not lost or subflow.recovery_end is not None:
        return False
    subflow.recovery_end = out.nxt
    subflow.congestion.enter_recovery(out.nxt - out.una)
    return True


def _without_sack(subflow: Subflow) -> bool:
    """Whether recovery goes by duplicate ACKs alone: no SACK was agreed on, or a box strips the blocks."""
    return not subflow.sack or subflow.duplicate_acks >= DUPLICATE_THRESHOLD


def _signals_only(segment: Segment) -> bool:
    """RFC 8684 §3.4.1: duplicate ACKs with MPTCP options other than DSS are no sign of congestion."""
    return any(isinstance(option, MptcpOption) and not isinstance(option, Dss) for option in segment.options)


def _fin_acknowledged(subflow: Subflow, now: int) -> None:
    subflow.tcp.fire(TcpEvent.FIN_ACKED)
    if subflow.tcp.state is Tcp.TIME_WAIT:
        timers.begin_time_wait(subflow, now)
    elif subflow.tcp.state is Tcp.CLOSED:
        subflow.stop(now, "")
