"""Rules on DSS: mappings, Data ACKs, checksums, windows (RFC 8684 §3.3.1, §3.3.2, §3.3.4, §3.3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.mappings import Mapping
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import (
    CHECKED,
    DATA,
    DATA_ACK,
    END,
    LATER,
    MAPPING,
    MUST,
    OPTIONS,
    SHOULD,
    rule,
)
from mbtest.observe.state import Duty, Mode, Moment
from mbtest.wire import SYN, URG, Dss


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
    (
        "RFC8684-3.3.1/checksum-when-negotiated",
        "RFC8684-3.1/checksum-if-either",
    ),
    "A mapping has a checksum where they were agreed on",
    MAPPING,
)
def checksum_present(host: HostTrace, m: Moment) -> str | None:
    """In a DSS; for MP_CAPABLE see capable.checksum."""
    assert m.mapping is not None
    if m.dss is None or m.connection.checksum is not True or m.mapping.checksum is not None:
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
    if m.dss is None or m.connection.checksum is not False or m.mapping.checksum is None:
        return None
    return "a checksum, which was not agreed on"


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
    MAPPING,
)
def checksum_of_fin(host: HostTrace, m: Moment) -> str | None:
    """It covers the pseudo-header alone."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if mapping.length or not mapping.fin or mapping.checksum is None or m.connection.checksum is not True:
        return None
    if stream.base is None or not stream.wide or m.dss is None or m.dss.subflow_sequence:
        return None
    return None if mapping.is_right(stream.base) else f"checksum {mapping.checksum:#06x} is wrong"


@rule(
    "dss.same-checksum",
    MUST,
    (
        "RFC8684-3.3.1/mapping-unchanged",
        "RFC8684-3.3.1/checksum-right",
    ),
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


@rule("dss.reserved", MUST, "RFC8684-3.3/dss-reserved-zero", "The reserved bits of DSS are zero", Dss)
def reserved(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """Seven."""
    return f"reserved bits {option.reserved:#04x}" if option.reserved else None


@rule(
    "dss.wide-data-ack",
    MUST,
    "RFC8684-3.3.2/long-dsn-long-data-ack",
    "DSNs of 64 bits are Data ACKed with 64 bits",
    DATA_ACK,
)
def wide_data_ack(host: HostTrace, m: Moment) -> str | None:
    """Where no mapping of 32 bits has come, which may be."""
    c = m.connection
    if m.dss is None or m.dss.data_ack_64 or not c.wide_seen or c.narrow_seen or (m.data_ack or 0) <= 1:
        return None
    return "a Data ACK of 32 bits; all mappings that came had 64"


@rule(
    "dss.data-ack-backwards",
    MUST,
    "RFC8684-3.3.2/data-ack-never-back",
    "The Data ACK never goes back",
    DATA_ACK,
)
def data_ack_backwards(host: HostTrace, m: Moment) -> str | None:
    """On all subflows together, in the order in which segments were sent."""
    last = m.connection.peer.acked
    assert m.data_ack is not None
    return None if last is None or m.data_ack >= last else f"Data ACK {m.data_ack}, after {last}"


@rule(
    "dss.data-ack-beyond",
    MUST,
    (
        "RFC8684-3.3.2/data-ack-of-received-only",
        "RFC8684-3.3.1/unmapped-data-not-data-acked",
        "RFC8684-3.3.3/data-fin-acked-last",
    ),
    "Nothing is Data ACKed that did not arrive",
    DATA_ACK,
    exact=True,
)
def data_ack_beyond(host: HostTrace, m: Moment) -> str | None:
    """Up to the first hole, with a mapping, and a right checksum where there is one."""
    c = m.connection
    assert m.data_ack is not None
    if not c.peer.known or m.data_ack <= c.peer.arrived.front or c.infinite_received or c.fallback:
        return None
    if c.failures and c.fail_sent is not None:
        # What failed has a rule of its own: fallback.failed-acked.
        return None
    return f"Data ACK {m.data_ack}; only octets below {c.peer.arrived.front} arrived without a hole"


@rule(
    "dss.data-ack-unsent",
    MUST,
    "RFC8684-3.3.2/data-ack-of-received-only",
    "Nothing is Data ACKed that was never sent",
    DATA_ACK,
)
def data_ack_unsent(host: HostTrace, m: Moment) -> str | None:
    """Seen from anywhere: the highest octet that a mapping names."""
    c = m.connection
    assert m.data_ack is not None
    if not c.peer.known or m.data_ack <= c.peer.top or c.infinite_received:
        return None
    return f"Data ACK {m.data_ack}; the mappings end at {c.peer.top}"


@rule(
    "dss.data-ack-below",
    MUST,
    (
        "RFC8684-3.3.2/data-ack",
        "RFC8684-3.1/syn-takes-one-octet",
    ),
    "A Data ACK is not below the IDSN plus one",
    DATA_ACK,
)
def data_ack_below(host: HostTrace, m: Moment) -> str | None:
    """The SYN takes the IDSN."""
    assert m.data_ack is not None
    return f"Data ACK {m.data_ack}" if m.connection.peer.known and m.data_ack < 1 else None


@rule(
    "dss.data-acked",
    MUST,
    (
        "RFC8684-3.3.2/data-ack",
        "RFC8684-3.1/capable-data-acked",
    ),
    "Data that arrived in order is Data ACKed",
    END,
    exact=True,
)
def data_acked(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """Within seconds: the sender can free nothing before."""
    return overdue(host, now, Duty.DATA_ACK)


@rule(
    "dss.first-data-ack",
    MUST,
    "RFC8684-3.7/data-ack-with-first-ack",
    "The first acknowledgement of data has a Data ACK",
    LATER,
    exact=True,
)
def first_data_ack(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow: without one the sender has to fall back."""
    c, s = m.connection, m.subflow
    if s.kind != "initial" or s.own.bare or m.options or m.size or not c.is_mptcp or c.peer_key is None:
        return None
    if m.ack is None or m.ack <= max(1, s.own.last_ack or 1) or c.peer.arrived.front <= 1:
        return None
    if (c.peer.acked or 0) > 1 or s.peer.plain is not None or s.peer.mapped.unmapped or c.failures:
        return None
    return f"acknowledges octets below {m.ack} of the subflow, without a Data ACK"


@rule(
    "dss.mapping-on-each",
    MUST,
    "RFC8684-3.7/dss-until-data-ack",
    "Data has a mapping beside it until the first Data ACK",
    DATA,
)
def mapping_on_each(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow; MP_CAPABLE with a length is one."""
    c = m.connection
    if not c.is_mptcp or m.subflow.kind != "initial" or (c.own.acked is not None and c.own.acked > 1):
        return None
    if m.mapping is not None or m.flags & SYN or not m.options:
        # Without any option of MPTCP this is a fallback, which has rules of its own.
        return None if m.mapping is not None or m.flags & SYN or c.path_broken else _bare(m)
    return "data without a mapping, and no Data ACK has come"


def _bare(m: Moment) -> str | None:
    c, own = m.connection, m.subflow.own
    if m.start + m.size <= own.acked or c.fail_received or c.infinite_received or c.infinite_sent:
        return None
    covered = own.mapped.covers(max(m.start, own.acked), m.start + m.size)
    return "data without a mapping, and no Data ACK has come" if covered else None


@rule(
    "dss.no-mapping",
    MUST,
    (
        "RFC8684-3.3.1/mapping",
        "RFC8684-3.3.1/relative-subflow-sequence",
    ),
    "Data on a joined subflow has a mapping",
    DATA,
)
def no_mapping(host: HostTrace, m: Moment) -> str | None:
    """Its own, or one that was sent before."""
    own = m.subflow.own
    if m.subflow.kind != "join" or m.mapping is not None or not m.connection.is_mptcp:
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
    MAPPING,
)
def fin_alone(host: HostTrace, m: Moment) -> str | None:
    """And a length of 1."""
    assert m.mapping is not None
    if m.dss is None or not m.dss.data_fin or m.size or m.mapping.length:
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
    (
        "RFC8684-3.3.3/data-fin-takes-one-octet",
        "RFC8684-3.3.3/nothing-after-data-fin",
    ),
    "The DATA_FIN stays where it is",
    MAPPING,
)
def fin_moved(host: HostTrace, m: Moment) -> str | None:
    """It is the last octet of the stream."""
    fin, mapping = m.connection.own.fin, m.mapping
    assert mapping is not None
    if fin is None or not mapping.fin or mapping.data + mapping.length == fin:
        return None
    return f"DATA_FIN at {mapping.data + mapping.length}, after {fin}"


@rule("dss.after-fin", MUST, "RFC8684-3.3.3/nothing-after-data-fin", "No data after the DATA_FIN", MAPPING)
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
    (
        "RFC8684-3.3.3/data-fin-takes-one-octet",
        "RFC8684-3.3.3/nothing-after-data-fin",
    ),
    "The DATA_FIN comes after all data that was sent",
    MAPPING,
)
def fin_inside(host: HostTrace, m: Moment) -> str | None:
    """It says that there is no more."""
    mapping, stream = m.mapping, m.connection.own
    assert mapping is not None
    if not mapping.fin or stream.fin is not None or mapping.data + mapping.length >= stream.top:
        return None
    return f"DATA_FIN at {mapping.data + mapping.length}; mappings reach up to {stream.top}"


@rule(
    "dss.urgent",
    MUST,
    "RFC8684-3.3.1/no-urgent-within-mapping",
    "The urgent pointer does not interrupt a mapping",
    DATA,
)
def urgent(host: HostTrace, m: Moment) -> str | None:
    """Not in MPTCP mode."""
    return "control bit URG" if m.flags & URG and m.connection.is_mptcp else None


@rule(
    "dss.window-shrinks",
    MUST,
    (
        "RFC8684-3.3.4/window-edge-kept",
        "RFC8684-3.3.4/one-window",
    ),
    "The right edge of the data window never goes back",
    DATA_ACK,
)
def window_shrinks(host: HostTrace, m: Moment) -> str | None:
    """Data ACK plus window; by no more than scaling rounds off."""
    edge, half = m.connection.right_edge, m.subflow.own
    if edge is None or m.window < 0 or m.data_ack is None or m.connection.fallback is not None:
        return None
    shift = max((subflow.own.scale or 0) for subflow in m.connection.subflows)
    if m.flags & 0x04 or m.data_ack + m.window + (1 << shift) > edge or half.scale is None:
        return None
    return f"the window ends at {m.data_ack + m.window}, after {edge}"


@rule(
    "dss.beyond-window",
    MUST,
    "RFC8684-3.3.5/data-window-obeyed",
    "Nothing is sent beyond the data window",
    MAPPING,
    exact=True,
)
def beyond_window(host: HostTrace, m: Moment) -> str | None:
    """Data ACK plus window, the largest that came; one octet more, as a probe."""
    edge, mapping = m.connection.send_edge, m.mapping
    assert mapping is not None
    if edge is None or not m.size or not mapping.length or m.connection.fallback is not None:
        return None
    end = min(m.start + m.size, mapping.end) + mapping.data - mapping.start
    return f"data up to {end}; the window ends at {edge}" if end > edge + 1 else None


@rule(
    "dss.backup",
    SHOULD,
    (
        "RFC8684-3.3.8/backup-respected",
        "RFC8684-3.3.8/priority-respected",
    ),
    "No new data on a backup while another is idle",
    MAPPING,
    exact=True,
)
def backup(host: HostTrace, m: Moment) -> str | None:
    """A subflow that the peer has not marked, and on which nothing waits for an acknowledgement."""
    c, mapping = m.connection, m.mapping
    assert mapping is not None
    if not m.subflow.peer.backup or not m.size or mapping.data < c.own.top or not c.is_mptcp:
        return None
    for subflow in c.subflows:
        own = subflow.own
        idle = subflow.usable and own.top == own.acked and subflow.peer.rst is None
        if idle and subflow is not m.subflow and not subflow.peer.backup and subflow.peer.fin is None:
            room = own.edge is not None and own.edge - own.top >= m.size
            if room and own.mptcp and not own.backup:
                return f"new data on a backup; {subflow.name} is idle"
    return None


@rule(
    "dss.two",
    MUST,
    (
        "RFC8684-3.3/one-dss",
        "RFC8684-3.1/capable-in-place-of-dss",
    ),
    "A segment has one DSS at most",
    OPTIONS,
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


@rule(
    "dss.before-keys",
    MUST,
    "RFC8684-3.1/data-ack-needs-key",
    "No DSS from the listener before the opener's key",
    Dss,
    exact=True,
)
def before_keys(host: HostTrace, m: Moment, option: Dss) -> str | None:
    """But a mapping alone, with TCP Fast Open (erratum 6609)."""
    c = m.connection
    if c.opened_here is not False or c.mode is not Mode.MPTCP or c.peer_key is not None:
        return None
    return None if option.data_ack is None else "a Data ACK, and the opener's key has not come"
