"""The timers of a subflow: retransmission (RFC 6298), persist (RFC 9293 §3.8.6.1), and the shorter ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.states import TcpEvent

if TYPE_CHECKING:
    from mbtest.endpoint.subflow import Subflow


def next_due(subflow: Subflow) -> int | None:
    """Return when the next timer is due, run clock, or None."""
    due = subflow.retransmit_at
    for at in (subflow.ack_at, subflow.persist_at, subflow.over_at, subflow.join_at, subflow.probe_at):
        if at is not None and (due is None or at < due):
            due = at
    return due


def expire(subflow: Subflow, now: int) -> None:
    """Do what is due."""
    if subflow.over_at is not None and now >= subflow.over_at:
        subflow.tcp.fire_if_possible(TcpEvent.TIMEOUT)
        subflow.stop(now, "")
        return
    if subflow.probe_at is not None and now >= subflow.probe_at:
        subflow.probe_at = None
        subflow.abort(now, why="ENETUNREACH")
        return
    if subflow.ack_at is not None and now >= subflow.ack_at:
        subflow.acknowledge(now)
    if subflow.join_at is not None and now >= subflow.join_at:
        _repeat_join(subflow, now)
    if subflow.retransmit_at is not None and now >= subflow.retransmit_at:
        _send_again(subflow, now)
    if subflow.persist_at is not None and now >= subflow.persist_at:
        _probe_window(subflow, now)


def begin_time_wait(subflow: Subflow, now: int) -> None:
    """Begin TIME-WAIT, or begin it anew (RFC 9293 §3.10.7.4, §3.6.1)."""
    subflow.over_at = now + subflow.owner.configuration.time_wait


def set_persist(subflow: Subflow, now: int) -> None:
    """Have the peer's window asked for, if nothing under way will bring news of it."""
    if subflow.persist_at is None and not subflow.out.under_way:
        subflow.persist_at = now + subflow.rtt.rto


def _repeat_join(subflow: Subflow, now: int) -> None:
    """Send the third ACK again: it is acknowledged, so it is repeated until it is (RFC 8684 §3.2)."""
    subflow.timeouts += 1
    if subflow.timeouts > subflow.owner.configuration.retries:
        subflow.abort(now, *subflow.owner.farewell(), why="ETIMEDOUT")
        return
    subflow.rtt.back_off()
    subflow.join_at = now + subflow.rtt.rto
    subflow.acknowledge(now)


def _send_again(subflow: Subflow, now: int) -> None:
    """The retransmission timer expired (RFC 6298 §5.4 to §5.6)."""
    out, configuration = subflow.out, subflow.owner.configuration
    subflow.retransmit_at = None
    if not out.under_way:
        return
    first = out.under_way[0]
    subflow.timeouts += 1
    if subflow.timeouts > (configuration.syn_retries if first.syn else configuration.retries):
        subflow.abort(now, *subflow.owner.farewell(), why="ETIMEDOUT")
        return
    subflow.rtt.back_off()
    # A closed window is no congestion; what a lost SYN means is seen to at the end of the handshake.
    if not first.syn and subflow.window_takes(first):
        subflow.congestion.timed_out(out.nxt - out.una)
    out.lose_all()
    subflow.recovery_end = None
    subflow.recovery_from = out.nxt
    subflow.duplicate_acks = 0
    subflow.send_chunk(first, now)
    subflow.owner.timed_out(subflow)
    if not subflow.is_over:
        subflow.transmit(now)


def _probe_window(subflow: Subflow, now: int) -> None:
    """Send one octet in spite of a closed window (RFC 9293 §3.8.6.1); the retransmission timer repeats it."""
    subflow.persist_at = None
    out = subflow.out
    if out.under_way or not out.waiting:
        return
    if subflow.window_takes(out.waiting[0]):
        subflow.transmit(now)
        return
    subflow.send_chunk(out.split_first(1), now)
