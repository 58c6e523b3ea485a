"""Rules on Data ACKs and on the window that goes with them (RFC 8684 §3.3.2, §3.3.4, §3.3.5)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import BARE, DATA, DATA_ACK, EARLY, INITIAL, LATER, MAPPING
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import END, MUST, rule
from mbtest.observe.rules.tcp import beyond
from mbtest.observe.state import Duty, Mode
from mbtest.wire import RST


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
    if c.failed is not None or c.has_reverted:
        # What failed has a rule of its own, fallback.failed-acked; regular TCP needs no mapping.
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
    if not c.peer.known or m.data_ack <= c.peer.top or c.infinite_received or c.has_reverted:
        return None
    return f"Data ACK {m.data_ack}; the mappings end at {c.peer.top}"


@rule(
    "dss.data-ack-below",
    MUST,
    ("RFC8684-3.3.2/data-ack", "RFC8684-3.1/syn-takes-one-octet"),
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
    ("RFC8684-3.3.2/data-ack", "RFC8684-3.1/capable-data-acked"),
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
    LATER | BARE | INITIAL,
    exact=True,
)
def first_data_ack(host: HostTrace, m: Moment) -> str | None:
    """On the first subflow: without one the sender has to fall back."""
    c, s = m.connection, m.subflow
    if s.own.bare or m.size or not c.is_mptcp or c.peer_key is None or s.peer.data_acked:
        return None
    if m.ack is None or m.ack <= max(1, s.own.last_ack or 1) or c.peer.arrived.front <= 1:
        return None
    if (c.peer.acked or 0) > 1 or s.peer.mapped.lacked or c.failures or c.is_tcp_to_peer:
        return None
    return f"acknowledges octets below {m.ack} of the subflow, without a Data ACK"


@rule(
    "dss.window-shrinks",
    MUST,
    ("RFC8684-3.3.4/window-edge-kept", "RFC8684-3.3.4/one-window"),
    "The right edge of the data window never goes back",
    DATA_ACK,
)
def window_shrinks(host: HostTrace, m: Moment) -> str | None:
    """Data ACK plus window; by no more than scaling rounds off."""
    edge = m.connection.right_edge
    assert m.data_ack is not None
    end = m.data_ack + m.window
    if edge is None or end >= edge or m.window < 0 or m.flags & RST or m.subflow.own.scale is None:
        return None
    shift = max((subflow.own.scale or 0) for subflow in m.connection.subflows)
    if end + (1 << shift) > edge or m.connection.fallback is not None:
        return None
    return f"the window ends at {end}, after {edge}"


@rule(
    "dss.beyond-window",
    MUST,
    "RFC8684-3.3.5/data-window-obeyed",
    "Nothing is sent beyond the data window",
    MAPPING | DATA,
    exact=True,
    by_chance=True,
)
def beyond_window(host: HostTrace, m: Moment) -> str | None:
    """Data ACK plus window, the largest that came; one octet more, as a probe."""
    edge, mapping = m.connection.send_edge, m.mapping
    assert mapping is not None
    shift = mapping.data - mapping.start
    if edge is None or m.start + m.size + shift <= edge + 1 or not mapping.length:
        return None
    end = min(m.start + m.size, mapping.end) + shift
    if end <= edge + 1 or m.connection.fallback is not None:
        return None
    return f"data up to {end}; the window ends at {edge}"


@rule(
    "dss.beyond-subflow-window",
    MUST,
    ("RFC8684-3.3.5/subflow-window-obeyed", "RFC9293-3.8.6/window-obeyed"),
    "Nothing is sent on a subflow beyond its window",
    DATA,
    exact=True,
    by_chance=True,
)
def beyond_subflow_window(host: HostTrace, m: Moment) -> str | None:
    """Of MPTCP; for regular TCP see tcp.beyond-window."""
    return beyond(m) if m.connection.is_mptcp else None


@rule(
    "dss.before-keys",
    MUST,
    "RFC8684-3.1/data-ack-needs-key",
    "No DSS from the listener before the opener's key",
    DATA_ACK | EARLY,
    exact=True,
)
def before_keys(host: HostTrace, m: Moment) -> str | None:
    """But a mapping alone, with TCP Fast Open (erratum 6609)."""
    c = m.connection
    if c.opened_here is not False or c.mode is not Mode.MPTCP or c.peer_key is not None:
        return None
    return "a Data ACK, and the opener's key has not come"
