"""Rules on wrong checksums and MP_FAIL (RFC 8684 §3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import DATA_ACK, MAPPING, ON_RST, TROUBLED
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.fallback import other_in_use
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import Duty
from mbtest.wire import RST, MpFail


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
    other = other_in_use(m)
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
    "fallback.fail-reserved",
    MUST,
    "RFC8684-3.7/mp-fail-reserved-zero",
    "The reserved bits of MP_FAIL are zero",
    MpFail,
)
def fail_reserved(host: HostTrace, m: Moment, option: MpFail) -> str | None:
    """Twelve."""
    return f"reserved bits {option.reserved:#05x}" if option.reserved else None
