"""Rules on fallback, MP_FAIL and infinite mappings (RFC 8684 §3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import DATA, DATA_ACK, END, LATER, MAPPING, MUST, ON_RST, SHOULD, rule
from mbtest.observe.state import Duty, Manner, Moment
from mbtest.wire import RST, Dss, MpFail, MpTcprst

REACTION = 100_000
"""Microseconds that a host may take until what reached it shows in what it sends."""


@rule(
    "fallback.dss-after",
    MUST,
    (
        "RFC8684-3.7/no-options-after-fallback",
        "RFC8684-3.7/never-mptcp-again",
    ),
    "No DSS after a fallback, other than an infinite mapping",
    Dss,
)
def dss_after(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """Once data was sent without any option of MPTCP, it stays regular TCP."""
    c = m.connection
    if c.fallback is None or m.subflow.own.plain is None or option.infinite or m.subflow.kind == "join":
        return None
    if c.fallback.manner in (Manner.REFUSED, Manner.NOT_ASKED):
        return None
    return f"a DSS, after data without one in frame {m.subflow.own.plain}"


@rule(
    "fallback.mapping-after-infinite",
    MUST,
    "RFC8684-3.7/never-mptcp-again",
    "No other mapping after an infinite one",
    MAPPING,
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
    Dss,
)
def infinite_checksum(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """Where it has one."""
    if not option.infinite or option.data_fin or not option.checksum:
        return None
    return f"an infinite mapping with checksum {option.checksum:#06x}"


@rule(
    "fallback.infinite-moved",
    MUST,
    "RFC8684-3.3.1/mapping-unchanged",
    "An infinite mapping that is sent again is the same",
    MAPPING,
)
def infinite_moved(host: HostTrace, m: Moment) -> str | None:
    """As far as octets of the subflow stand for the same octets of the stream."""
    infinite, mapping = m.subflow.own.mapped.infinite, m.mapping
    assert mapping is not None
    if infinite is None or not mapping.infinite or not m.connection.own.known:
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
    (
        "RFC8684-3.7/infinite-mapping-start",
        "RFC8684-3.3.1/mapping-unchanged",
    ),
    "An infinite mapping agrees with the mappings before it",
    MAPPING,
)
def infinite_start(host: HostTrace, m: Moment) -> str | None:
    """It acts retroactively, and a mapping is never changed."""
    mapping, mapped = m.mapping, m.subflow.own.mapped
    assert mapping is not None
    if not mapping.infinite or mapped.infinite is not None:
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
    MAPPING,
)
def infinite_beyond(host: HostTrace, m: Moment) -> str | None:
    """It acts retroactively."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if not mapping.infinite or not stream.known or mapping.data <= stream.top:
        return None
    return f"an infinite mapping from octet {mapping.data}; octets below {stream.top} were sent"


@rule(
    "fallback.infinite-among-several",
    MUST,
    "RFC8684-3.7/one-subflow-after-infinite",
    "An infinite mapping is sent on the only subflow",
    MAPPING,
)
def infinite_among_several(host: HostTrace, m: Moment) -> str | None:
    """All others are closed first."""
    mapping = m.mapping
    assert mapping is not None
    if not mapping.infinite:
        return None
    others = [s for s in m.connection.subflows if s is not m.subflow and s.usable and not s.peer.fin]
    return f"an infinite mapping, and {others[0].name} is in use" if others else None


@rule(
    "fallback.one-subflow",
    MUST,
    "RFC8684-3.7/one-subflow-after-infinite",
    "After a fallback only one subflow has data",
    DATA,
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
    MUST,
    "RFC8684-3.7/last-infinite-mapping",
    "A sender that gives MPTCP up says so by an infinite mapping",
    DATA,
)
def signalled(host: HostTrace, m: Moment) -> str | None:
    """Before data without a mapping, unless the peer has sent one."""
    c, own = m.connection, m.subflow.own
    if not c.is_mptcp or m.subflow.kind != "initial" or m.options or c.infinite_received:
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
    (
        "RFC8684-3.7/mp-fail",
        "RFC8684-3.7/mp-fail-rst",
        "RFC8684-3.3.1/checksum-failure-acted-on",
    ),
    "A wrong checksum is answered by MP_FAIL, or by a RST",
    END,
    exact=True,
)
def failure_told(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """By MP_FAIL alone on the only subflow, by a RST with MP_FAIL among several."""
    return overdue(host, now, Duty.FAILURE)


@rule(
    "fallback.failure-reset",
    MUST,
    "RFC8684-3.7/mp-fail-rst",
    "The RST for a wrong checksum has MP_FAIL",
    ON_RST,
    exact=True,
)
def failure_reset(host: HostTrace, m: Moment) -> str | None:
    """It says from where on data has to be sent again."""
    if m.subflow.own.mapped.infinite or m.subflow.peer.mapped.broken_at is None or m.connection.fallback:
        return None
    if m.subflow.own.rst is not None or m.connection.fail_frame is not None or m.connection.fastclose_sent:
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
    others = [s for s in m.connection.subflows if s is not m.subflow and s.usable and s.peer.fin is None]
    if m.flags & RST or not others or m.connection.fail_received:
        return None
    # The other one may have been opened a moment ago.
    if all(m.time - other.opened_at < REACTION for other in others):
        return None
    return f"MP_FAIL without a RST, and {others[0].name} is in use"


@rule(
    "fallback.fail-dsn",
    MUST,
    (
        "RFC8684-3.7/mp-fail-dsn",
        "RFC8684-3.7/mp-fail-64-bits",
    ),
    "MP_FAIL names the start of the mapping that failed",
    MpFail,
    exact=True,
)
def fail_dsn(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """All 64 bits of it; in an answer it says nothing."""
    c = m.connection
    if not c.failures or c.fail_received or c.peer.base is None or not c.peer.wide:
        return None
    right = [(failed.data + c.peer.base) & 0xFFFF_FFFF_FFFF_FFFF for failed in c.failures]
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
    if c.failures or c.fail_received or c.infinite_received or c.mode.value == "unknown" or c.fail_frame:
        return None
    return "MP_FAIL, and no mapping came with a wrong checksum"


@rule(
    "fallback.failed-acked",
    MUST,
    "RFC8684-3.7/failed-data-not-acked",
    "What failed its checksum is not Data ACKed",
    DATA_ACK,
    exact=True,
)
def failed_acked(host: HostTrace, m: Moment) -> str | None:
    """After MP_FAIL on the only subflow nothing beyond its number is."""
    failed = m.connection.fail_sent
    if failed is None or m.data_ack is None or m.data_ack <= failed or m.flags & RST:
        return None
    if m.connection.peer.arrived.front >= m.data_ack or not m.connection.failures:
        return None
    return f"Data ACK {m.data_ack}, after MP_FAIL of {failed}"


@rule(
    "fallback.after-fail",
    MUST,
    (
        "RFC8684-3.7/infinite-mapping-next-packet",
        "RFC8684-3.7/infinite-mapping",
    ),
    "After MP_FAIL no new mapping but the infinite one",
    MAPPING,
    exact=True,
)
def after_fail(host: HostTrace, m: Moment) -> str | None:
    """But for what was under way."""
    c, mapping = m.connection, m.mapping
    assert mapping is not None
    if c.fail_received is None or c.infinite_time is None or mapping.infinite or not mapping.length:
        return None
    if m.time - c.infinite_time < REACTION or m.subflow.own.mapped.same(mapping) is not None:
        return None
    return f"a mapping of octet {mapping.data}, after MP_FAIL in frame {c.fail_received}"


@rule(
    "fallback.data-ack-after",
    SHOULD,
    "RFC8684-3.7/no-data-acks-after-infinite",
    "No Data ACKs after the peer's infinite mapping",
    DATA_ACK,
    exact=True,
)
def data_ack_after(host: HostTrace, m: Moment) -> str | None:
    """But for what was under way."""
    c = m.connection
    if c.infinite_received is None or c.infinite_time is None or m.time - c.infinite_time < REACTION:
        return None
    if m.mapping is not None and m.mapping.infinite:
        return None
    return f"a Data ACK, after the infinite mapping in frame {c.infinite_received}"


@rule(
    "fallback.path-broken",
    MUST,
    "RFC8684-3.7/data-acked-without-data-ack",
    "Regular TCP where first data gets no Data ACK",
    MAPPING,
    exact=True,
)
def path_broken(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow, before any other, and before any Data ACK."""
    c, mapping = m.connection, m.mapping
    assert mapping is not None
    if c.path_broken is None or mapping.infinite or not mapping.length or m.time - c.path_broken < REACTION:
        return None
    if c.own.acked is not None or m.subflow.own.mapped.same(mapping) is not None:
        return None
    return f"a new mapping of octet {mapping.data}, and data was acknowledged without a Data ACK"


@rule(
    "reset.flags", MUST, "RFC8684-3.6/reason-flags-zero", "Flags U, V and W of MP_TCPRST are zero", MpTcprst
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
    "fallback.signals-after",
    MUST,
    "RFC8684-3.7/no-options-after-fallback",
    "No signals of MPTCP once a connection is regular TCP",
    LATER,
)
def signals_after(host: HostTrace, m: Moment) -> str | None:
    """Addresses and priorities; for DSS see fallback.dss-after."""
    if m.connection.fallback is None or not m.options or m.subflow.own.plain is None:
        return None
    for option in m.options:
        if option.name in ("ADD_ADDR", "REMOVE_ADDR", "MP_PRIO"):
            return f"{option.name}, after data without a mapping in frame {m.subflow.own.plain}"
    return None
