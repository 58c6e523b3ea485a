"""Rules on how connections and subflows end (RFC 8684 §3.3.3, §3.5, §3.6)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import DATA, ENDING, ON_FIN, ON_RST, ON_SYN
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import PATIENCE, Duty
from mbtest.wire import ACK, RST, SYN, MpFastclose, MpJoinSyn, MpTcprst
from mbtest.wire.mptcp import Reason


@rule(
    "close.fin-loses-data",
    MUST,
    "RFC8684-3.3.3/last-subflow-kept",
    "The last subflow is not closed before all is Data ACKed",
    ON_FIN,
    exact=True,
)
def fin_loses_data(host: HostTrace, m: Moment) -> str | None:
    """But for the DATA_FIN alone, and where the host may have become regular TCP."""
    c, own = m.connection, m.connection.own
    if not c.is_mptcp or m.subflow.own.fin is not None or not own.known:
        return None
    others = [s for s in c.subflows if s is not m.subflow and s.usable]
    if others or c.fastclose_sent or c.fastclose_received or c.may_be_tcp:
        return None
    if m.mapping is not None and m.mapping.infinite:
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
    "close.fin-with-data-fin",
    MUST,
    "RFC8684-3.3.3/fin-with-data-fin",
    "A FIN comes with the DATA_FIN only where no other subflow has data outstanding",
    ON_FIN,
    exact=True,
)
def fin_with_data_fin(host: HostTrace, m: Moment) -> str | None:
    """Else that data may have to go on the subflow that is closed. What is repeated ends nothing."""
    if m.mapping is None or not m.mapping.fin or m.connection.own.fin is not None or m.connection.may_be_tcp:
        return None
    acked = m.connection.own.acked or 1
    for subflow in m.connection.subflows:
        for mapping in subflow.own.mapped.found if subflow is not m.subflow and subflow.usable else ():
            if mapping.data + mapping.length > acked and mapping.end > subflow.own.acked:
                last = mapping.data + mapping.length - 1
                return f"FIN and DATA_FIN, and octets up to {last} are outstanding on {subflow.name}"
    return None


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
    "close.fin-on-each",
    SHOULD,
    "RFC8684-3.3.3/fin-on-every-subflow",
    "Subflows end by FIN once both DATA_FINs are acknowledged",
    ON_RST,
    exact=True,
)
def fin_on_each(host: HostTrace, m: Moment) -> str | None:
    """A RST may end one on which data is outstanding, as it says or as is to be seen."""
    own, peer = m.subflow.own, m.subflow.peer
    if m.connection.ended_at is None or not m.subflow.in_use or own.top > own.acked or peer.fin is not None:
        return None
    if m.connection.fastclose_sent or m.connection.fastclose_received:
        return None
    if any(isinstance(option, MpTcprst) and option.reason == Reason.OUTSTANDING for option in m.options):
        return None
    return "a RST, and both DATA_FINs are acknowledged"


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
    ended = m.connection.ended_at
    if m.flags & ACK or ended is None or m.time - ended < PATIENCE or m.subflow.own.syns:
        return None
    joins = any(isinstance(option, MpJoinSyn) for option in m.options)
    return "MP_JOIN to a connection that is closed" if joins else None


@rule(
    "fastclose.key",
    MUST,
    "RFC8684-3.5/fast-close-key",
    "MP_FASTCLOSE has the receiver's key",
    MpFastclose,
)
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
    "fastclose.data-after",
    MUST,
    "RFC8684-3.5/fast-close-nothing-after",
    "No data after MP_FASTCLOSE",
    DATA | ENDING,
)
def fastclose_data_after(host: HostTrace, m: Moment) -> str | None:
    """On any subflow: it is abruptly closed."""
    frame = m.connection.fastclose_sent
    return f"data, after MP_FASTCLOSE in frame {frame}" if frame and not m.flags & SYN else None


@rule(
    "reset.flags",
    MUST,
    "RFC8684-3.6/reason-flags-zero",
    "Flags U, V and W of MP_TCPRST are zero",
    MpTcprst,
)
def reset_flags(host: HostTrace, m: Moment, option: MpTcprst) -> str | None:
    """T alone has a meaning."""
    return f"flags {option.flags:04b}" if option.flags & 0x0E else None


@rule("reset.carrier", MUST, "RFC8684-3.6/reason-on-rst-only", "MP_TCPRST comes on a RST", MpTcprst)
def reset_carrier(host: HostTrace, m: Moment, option: MpTcprst) -> str | None:
    """Nowhere else."""
    return None if m.flags & RST else "MP_TCPRST on a segment that is no RST"


@rule(
    "reset.reason",
    MUST,
    "RFC8684-3.6/reason-known",
    "The reason of MP_TCPRST is one that is defined",
    MpTcprst,
)
def reset_reason(host: HostTrace, m: Moment, option: MpTcprst) -> str | None:
    """0 to 6."""
    return f"reason {option.reason}" if option.reason > 6 else None
