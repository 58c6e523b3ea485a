"""Rules on fallback and infinite mappings (RFC 8684 §3.7); for MP_FAIL see `failures`."""

from __future__ import annotations

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import (
    BARE,
    DATA,
    DATA_ACK,
    INFINITE,
    INITIAL,
    LATER,
    MAPPING,
    OPTIONS,
    TROUBLED,
)
from mbtest.observe.rules.registry import MUST, SHOULD, rule
from mbtest.observe.state import PATIENCE, Manner, Subflow


@rule(
    "fallback.dss-after",
    MUST,
    ("RFC8684-3.7/no-options-after-fallback", "RFC8684-3.7/never-mptcp-again"),
    "No DSS after a fallback, other than an infinite mapping",
    OPTIONS | TROUBLED,
)
def dss_after(host: HostTrace, m: Moment) -> str | None:
    """Once data was sent without any option of MPTCP, it stays regular TCP."""
    c = m.connection
    if c.fallback is None or m.subflow.own.plain is None or m.subflow.kind == "join":
        return None
    if m.dss is None or m.dss.infinite:
        return None
    if c.fallback.manner in (Manner.REFUSED, Manner.NOT_ASKED):
        return None
    return f"a DSS, after data without one in frame {m.subflow.own.plain}"


@rule(
    "fallback.mapping-after-infinite",
    MUST,
    "RFC8684-3.7/never-mptcp-again",
    "No other mapping after an infinite one",
    MAPPING | TROUBLED,
)
def mapping_after_infinite(host: HostTrace, m: Moment) -> str | None:
    """Of octets that it acts on; what was declared before may be sent again."""
    infinite, mapping = m.subflow.own.mapped.infinite, m.mapping
    assert mapping is not None
    if infinite is None or mapping.infinite:
        return None
    if mapping.length and m.subflow.own.mapped.same(mapping) is not None:
        return None
    return f"a mapping of octet {mapping.data}, after the infinite one in frame {infinite.frame}"


@rule(
    "fallback.infinite-checksum",
    MUST,
    "RFC8684-3.3.1/infinite-checksum-zero",
    "An infinite mapping has a checksum of zero",
    INFINITE,
)
def infinite_checksum(host: HostTrace, m: Moment) -> str | None:
    """Where it has one."""
    assert m.mapping is not None
    sum_ = m.mapping.checksum
    return f"an infinite mapping with checksum {sum_:#06x}" if sum_ else None


@rule(
    "fallback.infinite-moved",
    MUST,
    "RFC8684-3.3.1/mapping-unchanged",
    "An infinite mapping that is sent again is the same",
    INFINITE,
)
def infinite_moved(host: HostTrace, m: Moment) -> str | None:
    """As far as octets of the subflow stand for the same octets of the stream."""
    infinite, mapping = m.subflow.own.mapped.infinite, m.mapping
    assert mapping is not None
    if infinite is None or not m.connection.own.known:
        return None
    if mapping.data - mapping.start == infinite.data - infinite.start:
        return None
    return (
        f"octet {mapping.start} of the subflow to {mapping.data}; "
        f"frame {infinite.frame} has {infinite.start} to {infinite.data}"
    )


@rule(
    "fallback.infinite-start",
    MUST,
    ("RFC8684-3.7/infinite-mapping-start", "RFC8684-3.3.1/mapping-unchanged"),
    "An infinite mapping agrees with the mappings before it",
    INFINITE,
)
def infinite_start(host: HostTrace, m: Moment) -> str | None:
    """It acts retroactively, and a mapping is never changed."""
    mapping, mapped = m.mapping, m.subflow.own.mapped
    assert mapping is not None
    if mapped.infinite is not None:
        return None
    known = mapped.at(mapping.start)
    if known is None or known.data - known.start == mapping.data - mapping.start:
        return None
    return (
        f"octet {mapping.start} of the subflow to {mapping.data}; "
        f"frame {known.frame} maps {known.start} to {known.data}"
    )


@rule(
    "fallback.infinite-beyond",
    MUST,
    "RFC8684-3.7/infinite-mapping-start",
    "An infinite mapping begins no later than the next octet",
    INFINITE,
)
def infinite_beyond(host: HostTrace, m: Moment) -> str | None:
    """It acts retroactively."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if not stream.known or mapping.data <= stream.top:
        return None
    return f"an infinite mapping from octet {mapping.data}; octets below {stream.top} were sent"


@rule(
    "fallback.infinite-among-several",
    MUST,
    "RFC8684-3.7/one-subflow-after-infinite",
    "An infinite mapping is sent on the only subflow",
    INFINITE,
)
def infinite_among_several(host: HostTrace, m: Moment) -> str | None:
    """All others are closed first."""
    other = other_in_use(m)
    return f"an infinite mapping, and {other.name} is in use" if other is not None else None


def other_in_use(m: Moment) -> Subflow | None:
    """Return another subflow that is in use, and that the peer has not ended."""
    for subflow in m.connection.subflows:
        if subflow is not m.subflow and subflow.in_use and subflow.peer.fin is None:
            return subflow
    return None


@rule(
    "fallback.one-subflow",
    MUST,
    "RFC8684-3.7/one-subflow-after-infinite",
    "After a fallback only one subflow has data",
    DATA | TROUBLED,
)
def one_subflow(host: HostTrace, m: Moment) -> str | None:
    """New data, on another subflow than that of the infinite mapping."""
    for subflow in m.connection.subflows:
        is_other = subflow is not m.subflow and subflow.own.mapped.infinite is not None
        if is_other and m.start + m.size > m.subflow.own.top:
            return f"new data, after an infinite mapping on {subflow.name}"
    return None


@rule(
    "fallback.signalled",
    SHOULD,
    ("RFC8684-3.7/last-infinite-mapping", "RFC8684-3.7/infinite-mapping"),
    "A sender that gives MPTCP up says so by an infinite mapping",
    DATA | BARE | INITIAL,
)
def signalled(host: HostTrace, m: Moment) -> str | None:
    """Before data without a mapping, unless the peer has sent one."""
    c, own = m.connection, m.subflow.own
    if not c.is_mptcp or c.is_tcp_to_peer:
        return None
    if c.has_reverted and (c.fail_frame or 0) < (c.fail_received or 0):
        # It found the failure, and the answer is there: its peer is the one to send an infinite mapping.
        return None
    low = max(m.start, own.acked)
    if low >= m.start + m.size or own.mapped.covers(low, m.start + m.size) or own.plain is not None:
        return None
    if c.own.top <= 1 and not own.mptcp:
        # Nothing of MPTCP was sent since the SYN: the peer falls back by that.
        return None
    return f"octets {low} to {m.start + m.size - 1} have no mapping, and no infinite mapping was sent"


@rule(
    "fallback.data-ack-after",
    SHOULD,
    "RFC8684-3.7/no-data-acks-after-infinite",
    "No Data ACKs after the peer's infinite mapping",
    DATA_ACK | TROUBLED,
    exact=True,
)
def data_ack_after(host: HostTrace, m: Moment) -> str | None:
    """But for what was under way."""
    c = m.connection
    if c.infinite_arrival is None or not c.infinite_arrival.is_known(m):
        return None
    if m.mapping is not None and m.mapping.infinite:
        return None
    return f"a Data ACK, after the infinite mapping in frame {c.infinite_arrival.frame}"


@rule(
    "fallback.path-broken",
    MUST,
    "RFC8684-3.7/data-acked-without-data-ack",
    "Regular TCP where first data gets no Data ACK",
    MAPPING | TROUBLED,
    exact=True,
)
def path_broken(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow, before any other, and before any Data ACK."""
    c, mapping = m.connection, m.mapping
    assert mapping is not None
    if c.path_broken is None or not mapping.length or not c.path_broken.is_known(m):
        return None
    if (c.own.acked or 1) > 1 or m.subflow.own.mapped.same(mapping) is not None:
        return None
    is_new = not c.own.arrived.has(mapping.data, mapping.data + 1)
    if is_new and m.time - c.path_broken.time < PATIENCE:
        # It may have waited on the subflow since before, with its mapping; what is sent again has not.
        return None
    return f"a new mapping of octet {mapping.data}, and data was acknowledged without a Data ACK"


@rule(
    "fallback.broken-kept",
    SHOULD,
    ("RFC8684-3.7/options-lost-later", "RFC8684-6/unmapped-data"),
    "A subflow on which mappings are missing is reset, and does not go on as regular TCP",
    LATER | BARE,
    exact=True,
)
def broken_kept(host: HostTrace, m: Moment) -> str | None:
    """Once Data ACKs were exchanged; before that, the connection becomes regular TCP."""
    c, own, peer = m.connection, m.subflow.own, m.subflow.peer
    if not peer.mapped.lacked or m.ack is None or m.ack <= (own.last_ack or 1) or not c.is_mptcp:
        return None
    if own.fin is not None or c.infinite_received or c.failures or not peer.data_acked:
        return None
    if c.path_broken is not None:
        # Its own first data was acknowledged without a Data ACK: it has to become regular TCP.
        return None
    return f"acknowledges octets below {m.ack} of the subflow without a Data ACK; some have no mapping"


@rule(
    "fallback.signals-after",
    MUST,
    "RFC8684-3.7/no-options-after-fallback",
    "No signals of MPTCP once a connection is regular TCP",
    LATER | OPTIONS | TROUBLED,
)
def signals_after(host: HostTrace, m: Moment) -> str | None:
    """Addresses and priorities; for DSS see fallback.dss-after."""
    if m.connection.fallback is None or not m.options or m.subflow.own.plain is None:
        return None
    for option in m.options:
        if option.name in ("ADD_ADDR", "REMOVE_ADDR", "MP_PRIO"):
            return f"{option.name}, after data without a mapping in frame {m.subflow.own.plain}"
    return None
