"""Rules on fallback, MP_FAIL and infinite mappings (RFC 8684 §3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.rules.conditions import (
    BARE,
    DATA,
    DATA_ACK,
    INFINITE,
    INITIAL,
    LATER,
    MAPPING,
    ON_RST,
    OPTIONS,
    TROUBLED,
)
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import PATIENCE, Duty, Manner, Moment, Subflow
from mbtest.wire import RST, MpFail


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
    other = _other_in_use(m)
    return f"an infinite mapping, and {other.name} is in use" if other is not None else None


def _other_in_use(m: Moment) -> Subflow | None:
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
    "fallback.fail-answered",
    MUST,
    "RFC8684-3.7/mp-fail-answered",
    "MP_FAIL is answered with MP_FAIL",
    END,
    exact=True,
)
def fail_answered(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """Where it came on the only subflow, and not with a RST."""
    return overdue(host, now, Duty.FAIL_ANSWER)


@rule(
    "fallback.failure-told",
    MUST,
    ("RFC8684-3.7/mp-fail", "RFC8684-3.7/mp-fail-rst", "RFC8684-3.3.1/checksum-failure-acted-on"),
    "A wrong checksum is answered by MP_FAIL, or by a RST",
    END,
    exact=True,
)
def failure_told(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """By MP_FAIL alone on the only subflow, by a RST with MP_FAIL among several.

    §3.7 says that it will be sent, without a word of RFC 2119. It is a MUST to us: what §3.7 asks for with
    one, the answer and regular TCP on both sides, begins with it; without it data is read twice.
    """
    return overdue(host, now, Duty.FAILURE)


@rule(
    "fallback.failure-reset",
    MUST,
    "RFC8684-3.7/mp-fail-rst",
    "The RST for a wrong checksum has MP_FAIL",
    ON_RST | TROUBLED,
    exact=True,
)
def failure_reset(host: HostTrace, m: Moment) -> str | None:
    """It says from where on data has to be sent again."""
    c, own = m.connection, m.subflow.own
    if own.mapped.infinite or m.subflow.peer.mapped.broken_at is None or c.fallback:
        return None
    if own.rst is not None or own.fin is not None or c.fail_frame is not None or c.fastclose_sent:
        return None
    told = any(isinstance(option, MpFail) or option.name == "MP_FASTCLOSE" for option in m.options)
    return None if told else "a RST after a wrong checksum, without MP_FAIL"


@rule(
    "fallback.fail-among-several",
    MUST,
    "RFC8684-3.7/mp-fail-rst",
    "Among several subflows MP_FAIL comes on a RST",
    MpFail,
    exact=True,
)
def fail_among_several(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """The others go on."""
    if m.flags & RST or m.connection.fail_received:
        return None
    other = _other_in_use(m)
    return f"MP_FAIL without a RST, and {other.name} is in use" if other is not None else None


@rule(
    "fallback.fail-dsn",
    MUST,
    ("RFC8684-3.7/mp-fail-dsn", "RFC8684-3.7/mp-fail-64-bits"),
    "MP_FAIL names the start of the mapping that failed",
    MpFail,
    exact=True,
)
def fail_dsn(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """All 64 bits of it; in an answer it says nothing."""
    c = m.connection
    if not c.failures or c.fail_received or c.peer.base is None or not c.peer.wide:
        return None
    failures = [*c.failures, *(s.peer.mapped.broken_at for s in c.subflows if s.peer.mapped.broken_at)]
    right = [(failed.data + c.peer.base) & 0xFFFF_FFFF_FFFF_FFFF for failed in failures]
    if option.dsn in right:
        return None
    return f"MP_FAIL of {option.dsn:#x}; what failed began at {right[-1]:#x}"


@rule(
    "fallback.fail-cause",
    SHOULD,
    "RFC8684-3.7/mp-fail-cause",
    "MP_FAIL is sent for a wrong checksum, or as an answer",
    MpFail,
    exact=True,
)
def fail_cause(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """Or for whatever higher layer saw the payload changed: hence no more than advice."""
    c = m.connection
    if c.failures or c.misplaced or c.fail_received or c.fail_on_reset or c.fail_frame:
        return None
    if c.infinite_received or c.mode.value == "unknown":
        return None
    return "MP_FAIL, and no mapping came with a wrong checksum"


@rule(
    "fallback.failed-acked",
    MUST,
    "RFC8684-3.7/failed-data-not-acked",
    "What failed its checksum is not Data ACKed",
    DATA_ACK | TROUBLED,
    exact=True,
)
def failed_acked(host: HostTrace, m: Moment) -> str | None:
    """Until it has come again, and was right, or MP_FAIL was answered.

    The sentence stands where several subflows are spoken of. On a single one it holds until the answer as
    well: what was Data ACKed is by §3.7 what was delivered intact, and where an infinite mapping starts.
    """
    return None if m.connection.has_reverted else _failed_acked(m)


def _failed_acked(m: Moment) -> str | None:
    failed = m.connection.failed
    if failed is None or m.data_ack is None or m.data_ack <= failed or m.flags & RST:
        return None
    if m.connection.peer.arrived.front >= m.data_ack:
        return None
    return f"Data ACK {m.data_ack}; the checksum of octets from {failed} on was wrong"


@rule(
    "fallback.failed-acked-later",
    SHOULD,
    ("RFC8684-3.7/no-data-acks-after-infinite", "RFC8684-3.7/failed-data-not-acked"),
    "Once MP_FAIL was answered, what failed its checksum is not Data ACKed either",
    DATA_ACK | TROUBLED,
    exact=True,
)
def failed_acked_later(host: HostTrace, m: Moment) -> str | None:
    """Both hosts are regular TCP then, to which Data ACKs mean nothing, and which has taken the octets."""
    c = m.connection
    return _failed_acked(m) if c.has_reverted and c.infinite_received is None else None


@rule(
    "fallback.after-fail",
    MUST,
    ("RFC8684-3.7/infinite-mapping-next-packet", "RFC8684-3.7/infinite-mapping"),
    "After MP_FAIL no new mapping but the infinite one",
    MAPPING | TROUBLED,
    exact=True,
)
def after_fail(host: HostTrace, m: Moment) -> str | None:
    """But for what was under way."""
    c, mapping = m.connection, m.mapping
    assert mapping is not None
    if c.fail_arrival is None or not mapping.length or not c.fail_arrival.is_known(m):
        return None
    if m.subflow.own.mapped.same(mapping) is not None:
        return None
    return f"a mapping of octet {mapping.data}, after MP_FAIL in frame {c.fail_arrival.frame}"


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
    "fallback.fail-reserved",
    MUST,
    "RFC8684-3.7/mp-fail-reserved-zero",
    "The reserved bits of MP_FAIL are zero",
    MpFail,
)
def fail_reserved(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """Twelve."""
    return f"reserved bits {option.reserved:#05x}" if option.reserved else None


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
