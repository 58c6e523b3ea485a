"""Rules on DSS and what it maps (RFC 8684 §3.3.1, §3.3.3, §3.3.8)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import (
    BACKUP,
    DATA,
    DATA_FIN,
    EARLY,
    ENDING,
    INITIAL,
    JOINED,
    MAPPING,
    SEVERAL,
    URGENT,
)
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import CHECKED, END, MUST, SHOULD, rule
from mbtest.observe.state import PATIENCE, Duty
from mbtest.wire import SYN, Dss

LOOKED_AT = 256
"""Mappings of a subflow, the latest, that are looked at for what was sent before."""


@rule(
    "dss.mapping-changed",
    MUST,
    "RFC8684-3.3.1/mapping-unchanged",
    "A mapping, once declared, is never changed",
    MAPPING,
)
def mapping_changed(host: HostTrace, m: Moment) -> str | None:
    """An octet of a subflow stands for one octet of the stream."""
    assert m.mapping is not None
    if m.mapping.infinite:
        return None
    other = m.subflow.own.mapped.clash(m.mapping)
    if other is None:
        return None
    return (
        f"octet {m.mapping.start} of the subflow is mapped to {m.mapping.data}; "
        f"frame {other.frame} maps {other.start} to {other.data}"
    )


@rule(
    "dss.checksum-present",
    MUST,
    ("RFC8684-3.3.1/checksum-when-negotiated", "RFC8684-3.1/checksum-if-either"),
    "A mapping has a checksum where they were agreed on",
    MAPPING,
)
def checksum_present(host: HostTrace, m: Moment) -> str | None:
    """In a DSS; for MP_CAPABLE see capable.checksum."""
    assert m.mapping is not None
    c = m.connection
    if m.dss is None or c.checksum is not True or c.doubtful or m.mapping.checksum is not None:
        return None
    return None if m.mapping.infinite else "no checksum"


@rule(
    "dss.checksum-unasked",
    MUST,
    "RFC8684-3.3.1/checksum-when-negotiated",
    "A mapping has no checksum where none was agreed on",
    MAPPING,
)
def checksum_unasked(host: HostTrace, m: Moment) -> str | None:
    """The option is two octets longer then."""
    assert m.mapping is not None
    c = m.connection
    if m.dss is None or c.checksum is not False or c.doubtful or m.mapping.checksum is None:
        return None
    return "a checksum, which was not agreed on"


@rule(
    "dss.checksum-reset",
    MUST,
    ("RFC8684-3.3/checksum-not-negotiated", "RFC8684-3.3/checksum-missing"),
    "A subflow with a mapping that has a checksum too many, or too few, is reset",
    END,
    exact=True,
)
def checksum_reset(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """Against what was agreed on."""
    return overdue(host, now, Duty.CHECKSUM)


@rule(
    "dss.checksum-right",
    MUST,
    "RFC8684-3.3.1/checksum-right",
    "The checksum of a mapping is that of its octets",
    CHECKED,
)
def checksum_right(host: HostTrace, m: Moment, mapping: Mapping) -> str | None:
    """All of them, as they were first sent."""
    return f"checksum {mapping.checksum:#06x} of octets {mapping.data} to {mapping.data + mapping.length - 1}"


@rule(
    "dss.checksum-of-fin",
    MUST,
    "RFC8684-3.3.3/data-fin-alone-checksum",
    "The checksum of a lone DATA_FIN is right",
    DATA_FIN,
)
def checksum_of_fin(host: HostTrace, m: Moment) -> str | None:
    """It covers the pseudo-header alone."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if mapping.length or mapping.checksum is None or m.connection.checksum is not True:
        return None
    if stream.base is None or not stream.wide or m.dss is None or m.dss.subflow_sequence:
        return None
    return None if mapping.is_right(stream.base) else f"checksum {mapping.checksum:#06x} is wrong"


@rule(
    "dss.same-checksum",
    MUST,
    ("RFC8684-3.3.1/mapping-unchanged", "RFC8684-3.3.1/checksum-right"),
    "A mapping that is sent again has the same checksum",
    MAPPING,
)
def same_checksum(host: HostTrace, m: Moment) -> str | None:
    """Octets and numbers are the same."""
    assert m.mapping is not None
    other = m.subflow.own.mapped.same(m.mapping) if m.mapping.length else None
    if other is None or other.data != m.mapping.data or other.fin != m.mapping.fin:
        return None
    if None in (other.checksum, m.mapping.checksum) or other.checksum == m.mapping.checksum:
        return None
    return f"checksum {m.mapping.checksum:#06x}; frame {other.frame} had {other.checksum:#06x}"


@rule(
    "dss.same-octets",
    MUST,
    "RFC8684-3.3.1/same-octet-same-dsn",
    "What is sent again under a data sequence number has the octets of the first time",
    MAPPING | DATA,
)
def same_octets(host: HostTrace, m: Moment) -> str | None:
    """On another subflow, or further on; as far as the first time was not acknowledged there."""
    mapping, own = m.mapping, m.subflow.own
    assert mapping is not None
    # What TCP retransmits has a rule of its own: tcp.same-octets.
    start, end = max(m.start, mapping.start, own.top), min(m.start + m.size, mapping.end)
    shift = mapping.data - mapping.start
    if start >= end or start + shift >= m.connection.own.top:
        return None
    octets = m.segment.payload[start - m.start : end - m.start]
    for subflow in m.connection.subflows:
        half = subflow.own
        for other in half.mapped.found[-LOOKED_AT:] if half.held else ():
            back = other.start - other.data
            low, high = max(start + shift, other.data), min(end + shift, other.data + other.length)
            if low < high and half.differs(low + back, octets[low - shift - start : high - shift - start]):
                return (
                    f"octets {low} to {high - 1} are other ones than on {subflow.name}, frame {other.frame}"
                )
    return None


@rule(
    "dss.reserved",
    MUST,
    "RFC8684-3.3/dss-reserved-zero",
    "The reserved bits of DSS are zero",
    Dss,
)
def reserved(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """Seven."""
    return f"reserved bits {option.reserved:#04x}" if option.reserved else None


@rule(
    "dss.mapping-on-each",
    MUST,
    "RFC8684-3.7/dss-until-data-ack",
    "Data has a mapping beside it until the first Data ACK",
    DATA | EARLY | INITIAL,
)
def mapping_on_each(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow; MP_CAPABLE with a length is one."""
    c = m.connection
    if not c.is_mptcp:
        return None
    if m.mapping is not None or m.flags & SYN or not m.options:
        # Without any option of MPTCP this is a fallback, which has rules of its own.
        return None if m.mapping is not None or m.flags & SYN else _bare(m)
    return "data without a mapping, and no Data ACK has come"


def _bare(m: Moment) -> str | None:
    c, own = m.connection, m.subflow.own
    if m.start + m.size <= own.acked or c.may_be_tcp:
        return None
    covered = own.mapped.covers(max(m.start, own.acked), m.start + m.size)
    return "data without a mapping, and no Data ACK has come" if covered else None


@rule(
    "dss.no-mapping",
    MUST,
    ("RFC8684-3.3.1/mapping", "RFC8684-3.3.1/relative-subflow-sequence"),
    "Data on a joined subflow has a mapping",
    DATA | JOINED,
)
def no_mapping(host: HostTrace, m: Moment) -> str | None:
    """Its own, or one that was sent before."""
    own = m.subflow.own
    if m.mapping is not None or not m.connection.is_mptcp:
        return None
    low = max(m.start, own.acked)
    if low >= m.start + m.size or own.mapped.covers(low, m.start + m.size):
        return None
    return f"octets {low} to {m.start + m.size - 1} of the subflow have no mapping"


@rule("dss.empty", MUST, "RFC8684-3.3/dss-content", "A DSS has a Data ACK, a mapping, or both", Dss)
def empty(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """Either or both can be signalled."""
    return "a DSS with neither" if option.dsn is None and option.data_ack is None else None


@rule(
    "dss.fin-alone",
    MUST,
    "RFC8684-3.3.3/data-fin-alone",
    "A DATA_FIN without data has subflow sequence number 0",
    DATA_FIN,
)
def fin_alone(host: HostTrace, m: Moment) -> str | None:
    """And a length of 1."""
    assert m.mapping is not None
    if m.dss is None or m.size or m.mapping.length:
        return None
    wrong = m.dss.subflow_sequence != 0
    return f"DATA_FIN alone, with subflow sequence number {m.dss.subflow_sequence}" if wrong else None


@rule(
    "dss.fin-mapped",
    MUST,
    ("RFC8684-3.3.3/data-fin-takes-one-octet", "RFC8684-3.3.1/infinite-length-zero"),
    "A DATA_FIN has a mapping that counts it",
    Dss,
)
def fin_mapped(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """A length of 1 at least."""
    if not option.data_fin:
        return None
    if option.dsn is None:
        return "DATA_FIN without a mapping"
    return "DATA_FIN with a length of 0" if not option.length else None


@rule(
    "dss.fin-moved",
    MUST,
    ("RFC8684-3.3.3/data-fin-takes-one-octet", "RFC8684-3.3.3/nothing-after-data-fin"),
    "The DATA_FIN stays where it is",
    DATA_FIN | ENDING,
)
def fin_moved(host: HostTrace, m: Moment) -> str | None:
    """It is the last octet of the stream."""
    fin, mapping = m.connection.own.fin, m.mapping
    assert mapping is not None
    if fin is None or mapping.data + mapping.length == fin:
        return None
    return f"DATA_FIN at {mapping.data + mapping.length}, after {fin}"


@rule(
    "dss.after-fin",
    MUST,
    "RFC8684-3.3.3/nothing-after-data-fin",
    "No data after the DATA_FIN",
    MAPPING | ENDING,
)
def after_fin(host: HostTrace, m: Moment) -> str | None:
    """What was sent before may be sent again."""
    fin, mapping = m.connection.own.fin, m.mapping
    assert mapping is not None
    if fin is None or not mapping.length or mapping.data + mapping.length <= fin:
        return None
    return f"data up to {mapping.data + mapping.length - 1}; the DATA_FIN is {fin}"


@rule(
    "dss.fin-inside",
    MUST,
    ("RFC8684-3.3.3/data-fin-takes-one-octet", "RFC8684-3.3.3/nothing-after-data-fin"),
    "The DATA_FIN comes after all data that was sent",
    DATA_FIN,
)
def fin_inside(host: HostTrace, m: Moment) -> str | None:
    """It says that there is no more."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if stream.fin is not None or mapping.data + mapping.length >= stream.top:
        return None
    return f"DATA_FIN at {mapping.data + mapping.length}; mappings reach up to {stream.top}"


@rule(
    "dss.urgent",
    MUST,
    "RFC8684-3.3.1/no-urgent-within-mapping",
    "The urgent pointer does not interrupt a mapping",
    DATA | URGENT,
)
def urgent(host: HostTrace, m: Moment) -> str | None:
    """Not in MPTCP mode."""
    return "control bit URG" if m.connection.is_mptcp else None


@rule(
    "dss.backup",
    SHOULD,
    ("RFC8684-3.3.8/backup-respected", "RFC8684-3.3.8/priority-respected"),
    "No new data on a backup while another is idle",
    MAPPING | DATA | BACKUP,
    exact=True,
)
def backup(host: HostTrace, m: Moment) -> str | None:
    """A subflow that the peer has not marked, and on which nothing has waited for an acknowledgement."""
    c, mapping, marked = m.connection, m.mapping, m.subflow.peer
    assert mapping is not None
    if mapping.data < c.own.top or not c.is_mptcp or m.time - marked.backup_at < PATIENCE:
        return None
    for subflow in c.subflows:
        own, peer = subflow.own, subflow.peer
        if subflow is m.subflow or not subflow.usable or own.backup or peer.backup or peer.fin is not None:
            continue
        since = max(own.waiting, peer.backup_at)
        room = own.edge is not None and own.edge - own.top >= m.size
        if own.top == own.acked and m.time - since >= PATIENCE and room and own.mptcp:
            return f"new data on a backup; {subflow.name} is idle"
    return None


@rule(
    "dss.two",
    MUST,
    ("RFC8684-3.3/one-dss", "RFC8684-3.1/capable-in-place-of-dss"),
    "A segment has one DSS at most",
    SEVERAL,
)
def two(host: HostTrace, m: Moment) -> str | None:
    """Or MP_CAPABLE with a length in its place."""
    count = sum(isinstance(option, Dss) for option in m.options)
    both = m.dss is not None and m.dss.dsn is not None
    if count > 1:
        return f"{count} DSS options"
    return "DSS and MP_CAPABLE, each with a mapping" if both and _has_length(m) else None


def _has_length(m: Moment) -> bool:
    return m.capable is not None and m.capable.data_length is not None
