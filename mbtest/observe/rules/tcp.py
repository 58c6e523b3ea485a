"""Rules of RFC 9293, and of the options of TCP, that boxes endanger."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import (
    AGAIN,
    DATA,
    ENDING,
    LATER,
    OF_SYNS,
    ON_SYN,
    SACK,
    SEGMENT,
    STAMPED,
    TROUBLED,
    UNSTAMPED,
)
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import Mode
from mbtest.wire import (
    ACK,
    FIN,
    RST,
    SYN,
    WindowScale,
)
from mbtest.wire.packet import RESERVED

DEFAULT_MSS = {4: 536, 6: 1_220}


@rule(
    "tcp.checksum",
    MUST,
    "RFC9293-3.1/checksum-sent",
    "The TCP checksum is right",
    SEGMENT,
    exact=True,
)
def checksum(host: HostTrace, m: Moment) -> str | None:
    """Only where packets are seen after they were sent: before, an interface may still owe the checksum."""
    return None if m.segment.checksum_is_right() else f"checksum {m.segment.checksum:#06x} is wrong"


@rule(
    "tcp.reserved",
    MUST,
    "RFC9293-3.1/reserved-zero",
    "The reserved bits of the header are zero",
    SEGMENT,
)
def reserved(host: HostTrace, m: Moment) -> str | None:
    """All three: AE has a meaning by now."""
    return f"reserved bits {(m.flags & RESERVED) >> 9:03b}" if m.flags & RESERVED else None


@rule(
    "tcp.ack-bit",
    MUST,
    "RFC9293-3.1/ack-after-syn",
    "Each segment after the SYN has the control bit ACK",
    LATER,
)
def ack_bit(host: HostTrace, m: Moment) -> str | None:
    """A RST may lack it."""
    return None if m.flags & ACK else "no control bit ACK"


@rule(
    "tcp.ack-beyond",
    MUST,
    "RFC9293-3.4/ack-of-received-only",
    "Nothing is acknowledged that did not arrive",
    LATER,
    exact=True,
)
def ack_beyond(host: HostTrace, m: Moment) -> str | None:
    """Up to the first hole."""
    peer = m.subflow.peer
    if m.ack is None or peer.isn is None or m.ack <= peer.mapped.taken.front:
        return None
    return f"acknowledges up to {m.ack}; only octets below {peer.mapped.taken.front} arrived without a hole"


@rule(
    "tcp.ack-backwards",
    MUST,
    "RFC9293-3.4/ack-never-back",
    "The acknowledgement number never goes back",
    LATER,
)
def ack_backwards(host: HostTrace, m: Moment) -> str | None:
    """In the order in which segments were sent."""
    last = m.subflow.own.last_ack
    if m.ack is None or last is None or m.ack >= last:
        return None
    return f"acknowledges up to {m.ack}, after {last}"


@rule(
    "tcp.beyond-window",
    MUST,
    "RFC9293-3.8.6/window-obeyed",
    "Nothing is sent beyond the window",
    DATA,
    exact=True,
)
def beyond_window(host: HostTrace, m: Moment) -> str | None:
    """By regular TCP; for a subflow of MPTCP see dss.beyond-subflow-window."""
    return None if m.connection.is_mptcp else beyond(m)


def beyond(m: Moment) -> str | None:
    """Return in words what a segment has beyond the window; one octet may be, as a probe (§3.8.6.1)."""
    edge, end = m.subflow.own.edge, m.start + m.size
    if edge is None or m.flags & (SYN | RST) or end <= edge + 1:
        return None
    return f"data up to {end}; the window ends at {edge}"


@rule(
    "tcp.window-shrink",
    SHOULD,
    "RFC9293-3.8.6/window-not-shrunk",
    "The right edge of the window does not go back",
    LATER | TROUBLED,
)
def window_shrink(host: HostTrace, m: Moment) -> str | None:
    """By more than scaling rounds off; in MPTCP it is the data window that counts (RFC 8684 §3.3.4)."""
    edge, own = m.subflow.peer.edge, m.subflow.own
    if edge is None or m.ack is None or m.window < 0 or m.connection.mode is not Mode.TCP:
        return None
    if m.ack + m.window + (1 << (own.scale or 0)) > edge or m.connection.subflows[0].own.segments == 0:
        return None
    return f"the window ends at {m.ack + m.window}, after {edge}"


@rule(
    "tcp.after-fin",
    MUST,
    "RFC9293-3.6/nothing-after-fin",
    "Nothing comes after the FIN, which stays where it is",
    LATER | ENDING,
)
def after_fin(host: HostTrace, m: Moment) -> str | None:
    """Retransmissions end where the FIN is, or before."""
    fin, end = m.subflow.own.fin, m.start + m.size
    if fin is None:
        return None
    if end > fin and m.size:
        return f"data up to {end}, after a FIN at {fin}"
    return f"FIN at {end}, after a FIN at {fin}" if m.flags & FIN and end != fin else None


@rule(
    "tcp.gap",
    MUST,
    "RFC9293-3.4/numbers-in-order",
    "Sequence numbers are used in order, none skipped",
    END,
)
def gap(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """But for segments that changed places on their way to the capture, as IP IDs or timestamps show."""
    for connection in host.connections:
        for subflow in connection.subflows:
            for skip in subflow.own.skips:
                if not skip.is_filled:
                    words = f"octet {skip.end} is sent; the next one was {skip.start}"
                    yield connection.number, skip.frame, skip.time, words


@rule(
    "tcp.same-octets",
    MUST,
    ("RFC9293-3.4/same-octet-same-number", "RFC8684-6/same-data-same-number"),
    "What is sent again has the octets of the first time",
    DATA | AGAIN,
)
def same_octets(host: HostTrace, m: Moment) -> str | None:
    """As far as it was not acknowledged: no more is kept."""
    own = m.subflow.own
    start = m.start + (1 if m.flags & SYN else 0)
    if start >= own.top or not own.held:
        return None
    if not own.differs(start, m.segment.payload):
        return None
    return f"octets {start} to {start + m.size - 1} are not all the same as before"


@rule(
    "tcp.mss",
    MUST,
    "RFC9293-3.7.1/mss-respected",
    "Segments are no larger than the peer's MSS",
    DATA,
    exact=True,
)
def mss(host: HostTrace, m: Moment) -> str | None:
    """Options included: the MSS is that of a segment without any."""
    peer = m.subflow.peer
    if peer.isn is None or m.flags & SYN:
        return None
    most = peer.mss if peer.mss is not None else DEFAULT_MSS[m.segment.version]
    size = m.size + len(m.segment.option_block)
    return None if size <= most else f"{size} octets of options and data; the MSS is {most}"


@rule(
    "tcp.syn-options",
    MUST,
    "RFC9293-3.2/on-syns-only",
    "MSS, window scale and SACK-permitted come on SYNs only",
    LATER | OF_SYNS,
)
def syn_options(host: HostTrace, m: Moment) -> str | None:
    """RFC 9293 §3.7.1, RFC 7323 §2.2, RFC 2018 §2."""
    return f"{type(m.syn_option).__name__} on a segment that is no SYN"


@rule(
    "tcp.scale-answer",
    MUST,
    "RFC7323-2.2/scale-not-unasked",
    "A SYN/ACK has window scale only where the SYN had it",
    ON_SYN,
)
def scale_answer(host: HostTrace, m: Moment) -> str | None:
    """As the SYN reached the host."""
    peer = m.subflow.peer
    if not m.flags & ACK or peer.isn is None or peer.scale is not None:
        return None
    return "window scale was not asked for" if m.segment.option(WindowScale) else None


@rule(
    "tcp.sack-unasked",
    MUST,
    "RFC2018-4/sack-not-unasked",
    "SACK is sent only where it was permitted",
    LATER | SACK,
)
def sack_unasked(host: HostTrace, m: Moment) -> str | None:
    """By the peer's SYN."""
    peer = m.subflow.peer
    if peer.isn is None or peer.sack:
        return None
    return "SACK that the peer has not permitted"


@rule(
    "tcp.sack-arrived",
    MUST,
    "RFC2018-4/sack-of-received-only",
    "SACK reports only what arrived",
    LATER | SACK,
    exact=True,
)
def sack_arrived(host: HostTrace, m: Moment) -> str | None:
    """Whole blocks."""
    peer = m.subflow.peer
    if peer.isn is None or peer.anchor is None or m.sack is None:
        return None
    for left, right in m.sack.blocks:
        near = peer.top
        low = near + ((left - peer.anchor - near + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        high = low + ((right - left) & 0xFFFF_FFFF)
        if not peer.mapped.taken.has(low, high):
            return f"SACK of {low} to {high - 1}, which did not arrive"
    return None


@rule(
    "tcp.timestamps-kept",
    MUST,
    "RFC7323-3.2/timestamps-kept",
    "Once agreed on, timestamps are on every segment",
    LATER | UNSTAMPED,
)
def timestamps_kept(host: HostTrace, m: Moment) -> str | None:
    """A RST may lack them."""
    if not (m.subflow.own.timestamps and m.subflow.peer.timestamps):
        return None
    return "no timestamps, which both SYNs had"


@rule(
    "tcp.timestamps-unasked",
    MUST,
    "RFC7323-3.2/timestamps-not-unasked",
    "Timestamps come only where both SYNs had them",
    LATER | STAMPED,
)
def timestamps_unasked(host: HostTrace, m: Moment) -> str | None:
    """As the peer's SYN reached the host."""
    if m.subflow.peer.isn is None or m.subflow.peer.timestamps:
        return None
    return "timestamps, which the peer's SYN had not"


@rule(
    "tcp.after-reset",
    MUST,
    "RFC9293-3.10.5/nothing-after-rst",
    "After a RST of its own a host sends nothing more",
    LATER | ENDING,
)
def after_reset(host: HostTrace, m: Moment) -> str | None:
    """But another RST."""
    rst = m.subflow.own.rst
    return None if rst is None else f"a segment after the RST in frame {rst}"
