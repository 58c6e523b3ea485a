"""Rules on how connections and subflows end (RFC 8684 §3.3.3, §3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import DATA, END, MUST, ON_FIN, ON_SYN, rule
from mbtest.observe.state import Duty, Moment
from mbtest.wire import ACK, SYN, MpFastclose, MpJoinSyn


@rule(
    "close.fin-loses-data",
    MUST,
    "RFC8684-3.3.3/last-subflow-kept",
    "The last subflow is not closed before all is Data ACKed",
    ON_FIN,
    exact=True,
)
def fin_loses_data(host: HostTrace, m: Moment) -> str | None:
    """But for the DATA_FIN alone."""
    c, own = m.connection, m.connection.own
    if not c.is_mptcp or m.subflow.own.fin is not None or not own.known:
        return None
    others = [s for s in c.subflows if s is not m.subflow and s.usable]
    if others or c.fastclose_sent or c.fastclose_received:
        return None
    fin = own.fin
    if m.mapping is not None and m.mapping.fin:
        fin = m.mapping.data + m.mapping.length
    top = own.top if m.mapping is None else max(own.top, m.mapping.data + m.mapping.length)
    end = fin if fin is not None else top
    if end <= 1 or (own.acked or 1) >= end:
        return None
    return f"a FIN on the last subflow; octets {own.acked or 1} to {end - 1} are not Data ACKed"


@rule(
    "close.fins",
    MUST,
    "RFC8684-3.3.3/subflows-closed-at-end",
    "Once both DATA_FINs are acknowledged, subflows are closed",
    END,
    exact=True,
)
def fins(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """By a FIN, or a RST."""
    return overdue(host, now, Duty.FIN)


@rule(
    "close.data-fin-acked",
    MUST,
    "RFC8684-3.3.3/data-fin",
    "A DATA_FIN is Data ACKed once all data has come",
    END,
    exact=True,
)
def data_fin_acked(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """By a Data ACK one higher than its number."""
    for number, frame, time, words in overdue(host, now, Duty.DATA_ACK):
        peer = host.connections[number - 1].peer
        if peer.fin is not None and peer.arrived.front > peer.fin and (peer.acked or 0) <= peer.fin:
            yield number, frame, time, f"the DATA_FIN of frame {peer.fin_frame}: {words}"


@rule(
    "close.join-after",
    MUST,
    "RFC8684-3.3.3/no-join-after-end",
    "No join once both DATA_FINs are acknowledged",
    ON_SYN,
)
def join_after(host: HostTrace, m: Moment) -> str | None:
    """The connection is closed."""
    if m.flags & ACK or not m.connection.data_fin_acked or m.subflow.own.syns:
        return None
    joins = any(isinstance(option, MpJoinSyn) for option in m.options)
    return "MP_JOIN to a connection that is closed" if joins else None


@rule("fastclose.key", MUST, "RFC8684-3.5/fast-close-key", "MP_FASTCLOSE has the receiver's key", MpFastclose)
def fastclose_key(host: HostTrace, m: Moment, option: MpFastclose) -> str | None:
    """As it was declared in the handshake."""
    key = m.connection.peer_key
    return None if key in (None, option.receiver_key) else f"key {option.receiver_key:016x}, not {key:016x}"


@rule(
    "fastclose.reserved",
    MUST,
    "RFC8684-3.5/fast-close-reserved-zero",
    "The reserved bits of MP_FASTCLOSE are zero",
    MpFastclose,
)
def fastclose_reserved(host: HostTrace, m: Moment, option: MpFastclose) -> str | None:
    """Twelve."""
    return f"reserved bits {option.reserved:#05x}" if option.reserved else None


@rule(
    "fastclose.answered",
    MUST,
    "RFC8684-3.5/fast-close-ack-answered",
    "MP_FASTCLOSE on an ACK is answered with a RST",
    END,
    exact=True,
)
def fastclose_answered(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """On the same subflow, where the key is right."""
    return overdue(host, now, Duty.FAST_RESET)


@rule(
    "fastclose.data-after", MUST, "RFC8684-3.5/fast-close-nothing-after", "No data after MP_FASTCLOSE", DATA
)
def fastclose_data_after(host: HostTrace, m: Moment) -> str | None:
    """On any subflow: it is abruptly closed."""
    frame = m.connection.fastclose_sent
    return f"data, after MP_FASTCLOSE in frame {frame}" if frame and not m.flags & SYN else None
