"""Rules on MP_CAPABLE and the first handshake (RFC 8684 §3.1)."""

from __future__ import annotations

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import DATA, EARLY, INITIAL, MAPPING, ON_SYN, OPTIONS, TROUBLED
from mbtest.observe.rules.registry import MUST, rule
from mbtest.observe.state import Manner, Mode
from mbtest.wire import ACK, RST, SYN, Dss, MpCapable, MpJoin, MpTcprst
from mbtest.wire.mptcp import EXTENSIBILITY, HMAC_SHA256

ALGORITHMS = 0x1F
"""Flags D to H."""


def _is_answer(m: Moment) -> bool:
    return m.flags & (SYN | ACK) == SYN | ACK


@rule(
    "capable.syn-form",
    MUST,
    "RFC8684-3.1/capable-forms",
    "MP_CAPABLE of a SYN has no key",
    MpCapable,
)
def syn_form(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Length 4; that of version 0 had one."""
    if m.flags & (SYN | ACK) != SYN or (option.sender_key is None) is (option.version > 0):
        return None
    if not option.version:
        return "MP_CAPABLE of version 0 without a key"
    return "MP_CAPABLE of a SYN with a key"


@rule(
    "capable.answer-form",
    MUST,
    "RFC8684-3.1/capable-forms",
    "MP_CAPABLE of a SYN/ACK has the sender's key alone",
    MpCapable,
)
def answer_form(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Length 12."""
    if not _is_answer(m) or (option.sender_key is not None and option.receiver_key is None):
        return None
    return "MP_CAPABLE of a SYN/ACK without a key" if option.sender_key is None else "with both keys"


@rule(
    "capable.later-form",
    MUST,
    "RFC8684-3.1/capable-forms",
    "MP_CAPABLE after the SYNs has both keys",
    MpCapable,
)
def later_form(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Length 20, 22 or 24."""
    return None if m.flags & SYN or option.receiver_key is not None else "MP_CAPABLE without both keys"


@rule(
    "capable.length-with-data",
    MUST,
    ("RFC8684-3.1/capable-data-length", "RFC8684-3.1/capable-forms"),
    "MP_CAPABLE has a length exactly where it maps data",
    MpCapable,
)
def length_with_data(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Length 20 without data, 22 or 24 with it."""
    if m.flags & SYN or option.receiver_key is None or bool(m.size) is (option.data_length is not None):
        return None
    return "data beside MP_CAPABLE without a length" if m.size else "a length without data"


@rule(
    "capable.version",
    MUST,
    "RFC8684-3.1/version-not-above-offer",
    "The version of the answer is not higher than what was asked",
    MpCapable,
)
def version(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """And MP_CAPABLE later names the version of the answer."""
    offered, accepted = m.subflow.offered, m.connection.version
    if _is_answer(m):
        if isinstance(offered, MpCapable) and option.version > offered.version:
            return f"answers version {option.version} to {offered.version}"
    elif not m.flags & SYN and accepted is not None and option.version != accepted:
        return f"version {option.version} where {accepted} was agreed on"
    return None


@rule(
    "capable.unasked",
    MUST,
    "RFC8684-3.1/capable-not-unasked",
    "A SYN/ACK has MP_CAPABLE only where the SYN had it",
    ON_SYN,
)
def unasked(host: HostTrace, m: Moment) -> str | None:
    """As the SYN reached the host."""
    if not _is_answer(m) or m.capable is None or m.subflow.peer.isn is None:
        return None
    return None if isinstance(m.subflow.offered, MpCapable) else "MP_CAPABLE, which the SYN had not"


@rule("capable.flag-b", MUST, "RFC8684-3.1/flag-b-zero", "Flag B is zero", MpCapable)
def flag_b(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Extensibility."""
    return "flag B is set" if option.flags & EXTENSIBILITY else None


@rule(
    "capable.algorithm",
    MUST,
    ("RFC8684-3.1/flag-h-alone", "RFC8684-3.1/algorithm-named", "RFC8684-3.1/one-algorithm-chosen"),
    "Flag H is set, and flags D to G are not",
    MpCapable,
)
def algorithm(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """HMAC-SHA256 is the only one there is."""
    if option.flags & ALGORITHMS == HMAC_SHA256:
        return None
    return f"flags D to H are {option.flags & ALGORITHMS:05b}"


@rule(
    "capable.answer-to-flag-b",
    MUST,
    "RFC8684-3.1/flag-b-unknown",
    "MP_CAPABLE with flag B is ignored",
    ON_SYN,
)
def answer_to_flag_b(host: HostTrace, m: Moment) -> str | None:
    """The SYN/ACK has none."""
    offered = m.subflow.offered
    if not _is_answer(m) or m.capable is None or not isinstance(offered, MpCapable):
        return None
    return "answers MP_CAPABLE with flag B" if offered.flags & EXTENSIBILITY else None


@rule(
    "capable.answer-to-none",
    MUST,
    "RFC8684-3.1/no-algorithm",
    "MP_CAPABLE without an algorithm is ignored",
    ON_SYN,
)
def answer_to_none(host: HostTrace, m: Moment) -> str | None:
    """None of the flags D to H."""
    offered = m.subflow.offered
    if not _is_answer(m) or m.capable is None or not isinstance(offered, MpCapable):
        return None
    return None if offered.flags & ALGORITHMS else "answers MP_CAPABLE that names no algorithm"


@rule(
    "capable.echoed-key",
    MUST,
    "RFC8684-3.1/echoed-key",
    "The key of the SYN/ACK is echoed as it came",
    MpCapable,
)
def echoed_key(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """On the third ACK and with the first data."""
    peer_key = m.connection.peer_key
    if option.receiver_key is None or m.flags & SYN or peer_key is None or peer_key == option.receiver_key:
        return None
    return f"echoes key {option.receiver_key:016x}; the peer's is {peer_key:016x}"


@rule(
    "capable.same-key",
    MUST,
    "RFC8684-3.1/one-key",
    "A host has one key in a connection",
    MpCapable,
)
def same_key(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """However often it is sent."""
    key = m.connection.key
    if key is None or option.sender_key in (None, key):
        return None
    return f"key {option.sender_key:016x}, after {key:016x}"


@rule(
    "capable.unique-key",
    MUST,
    "RFC8684-3.1/key-unique",
    "A key is of one connection of a host only",
    MpCapable,
)
def unique_key(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Among those that are open at the same time."""
    other = host.keys.get(option.sender_key) if option.sender_key is not None else None
    if other is None or other is m.connection or other.closed_at is not None or m.connection.key is not None:
        return None
    return f"key {option.sender_key:016x}, which connection {other.number} has"


@rule(
    "capable.checksum-confirmed",
    MUST,
    "RFC8684-3.1/checksum-confirmed",
    "Flag A after the SYNs says what was agreed on",
    MpCapable,
)
def checksum_confirmed(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Set where either SYN had it."""
    agreed = m.connection.checksum
    if m.flags & SYN or agreed is None or option.checksum_required is agreed:
        return None
    return "flag A is missing" if agreed else "flag A is set, which no SYN had"


@rule(
    "capable.checksum",
    MUST,
    ("RFC8684-3.1/capable-data-length", "RFC8684-3.1/checksum-if-either"),
    "MP_CAPABLE with data has a checksum where they are used",
    MpCapable,
)
def checksum(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """And none where they are not."""
    agreed = m.connection.checksum
    if option.data_length is None or agreed is None or agreed is (option.checksum is not None):
        return None
    return "no checksum" if agreed else "a checksum, which was not agreed on"


@rule(
    "capable.first-subflow",
    MUST,
    "RFC8684-3.1/capable-first-subflow-only",
    "MP_CAPABLE is on the first subflow only",
    MpCapable,
)
def first_subflow(host: HostTrace, m: Moment, option: MpCapable) -> str | None:
    """Others have MP_JOIN."""
    return "MP_CAPABLE on a further subflow" if m.subflow.kind == "join" else None


@rule(
    "capable.third-ack",
    MUST,
    ("RFC8684-3.1/capable-on-third-ack", "RFC8684-3.1/capable-handshake"),
    "The opener's first segment after the SYN has MP_CAPABLE",
    OPTIONS | EARLY | INITIAL,
)
def third_ack(host: HostTrace, m: Moment) -> str | None:
    """Unless it speaks regular TCP from there on: judged by the first other option of MPTCP."""
    c = m.connection
    if not m.subflow.opened_here or m.flags & (SYN | RST):
        return None
    if c.capable_sent or m.capable is not None or c.mode is not Mode.MPTCP:
        return None
    return f"{m.options[0].name}, and MP_CAPABLE with both keys was never sent"


@rule(
    "capable.first-data",
    MUST,
    "RFC8684-3.1/capable-on-first-data",
    "First data has MP_CAPABLE, unless the peer has shown that it knows",
    DATA | EARLY | INITIAL,
)
def first_data(host: HostTrace, m: Moment) -> str | None:
    """A DSS from the peer shows that the third ACK reached it."""
    c, own = m.connection, m.subflow.own
    if not m.subflow.opened_here or not c.is_mptcp or c.seen_dss:
        return None
    if m.start != 1 or m.flags & SYN or m.capable is not None or own.mapped.taken.front > 1:
        return None
    return "first data without MP_CAPABLE, and no DSS has come from the peer" if m.dss is not None else None


@rule(
    "capable.refused",
    MUST,
    "RFC8684-3.1/syn-ack-without-capable",
    "No option of MPTCP where the SYN or the answer had no MP_CAPABLE",
    OPTIONS | TROUBLED | INITIAL,
)
def refused(host: HostTrace, m: Moment) -> str | None:
    """As they reached the host."""
    c = m.connection
    if c.mode is not Mode.TCP or m.flags & SYN or c.fallback is None:
        return None
    if c.fallback.manner not in (Manner.REFUSED, Manner.NOT_ASKED):
        return None
    if all(isinstance(option, MpTcprst) for option in m.options):
        return None
    return f"{m.options[0].name} on a connection that is regular TCP: {c.fallback.manner.value}"


@rule(
    "capable.unconfirmed",
    MUST,
    "RFC8684-3.1/ack-without-capable",
    "Regular TCP where the third ACK has no MP_CAPABLE",
    OPTIONS | EARLY | INITIAL,
    exact=True,
)
def unconfirmed(host: HostTrace, m: Moment) -> str | None:
    """As it reached the host, and nothing with an option of MPTCP since."""
    if not m.subflow.lacks_proof or m.flags & (SYN | RST):
        return None
    if m.subflow.peer.mptcp or m.connection.mode is not Mode.MPTCP:
        return None
    if m.dss is not None and m.mapping is not None and m.mapping.infinite:
        return None
    return f"{m.options[0].name}, and no segment after the SYN had MP_CAPABLE"


@rule(
    "capable.on-syn",
    MUST,
    "RFC8684-3/option-form",
    "A SYN has MP_CAPABLE or MP_JOIN, and no other option of MPTCP",
    ON_SYN,
)
def on_syn(host: HostTrace, m: Moment) -> str | None:
    """And not both."""
    for option in m.options:
        if not isinstance(option, MpCapable | MpJoin | Dss):
            return f"{option.name} on a SYN"
    kinds = {type(option) for option in m.options if isinstance(option, MpCapable | MpJoin)}
    return "MP_CAPABLE and MP_JOIN on one SYN" if len(kinds) > 1 else None


@rule(
    "capable.first-octet",
    MUST,
    ("RFC8684-3.1/syn-takes-one-octet", "RFC8684-3.1/idsn", "RFC8684-3.1/key-byte-order"),
    "A host's first octet of data has its IDSN plus one",
    DATA | MAPPING | EARLY,
)
def first_octet(host: HostTrace, m: Moment) -> str | None:
    """Whatever the length of the number."""
    c = m.connection
    if m.mapping is None or not m.mapping.length or not c.own.known or c.own.top > 1 or m.mapping.data == 1:
        return None
    return f"the first mapping begins at octet {m.mapping.data}"
