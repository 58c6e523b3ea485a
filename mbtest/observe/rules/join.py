"""Rules on MP_JOIN and further subflows (RFC 8684 §3.2)."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.handshakes import proof
from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import DATA, JOINED, LATER, ON_RST, ON_SYN
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import Duty
from mbtest.wire import ACK, SYN, MpJoin, MpJoinAck, MpJoinSyn, MpJoinSynAck, MpTcprst


@rule(
    "join.token",
    MUST,
    ("RFC8684-3.2/join-token", "RFC8684-3.1/token", "RFC8684-3.1/key-byte-order"),
    "MP_JOIN has the token of the peer's key",
    MpJoinSyn,
)
def token(host: HostTrace, m: Moment, option: MpJoinSyn) -> str | None:
    """Of the connection that it joins."""
    known = m.connection.peer_token
    return None if known is None or known == option.token else f"token {option.token:08x}, not {known:08x}"


@rule(
    "join.hmac-of-answer",
    MUST,
    "RFC8684-3.2/hmac-on-syn-ack",
    "The HMAC of the SYN/ACK is right",
    MpJoinSynAck,
)
def hmac_of_answer(host: HostTrace, m: Moment, option: MpJoinSynAck) -> str | None:
    """With the nonce that the option has."""
    own = m.subflow.own
    before, own.nonce = own.nonce, option.nonce
    right = proof(m.connection, m.subflow, 8, own=True)
    own.nonce = before
    if right is None or right == option.hmac.to_bytes(8, "big"):
        return None
    return f"HMAC {option.hmac:016x}, not {right.hex()}"


@rule(
    "join.hmac-of-ack",
    MUST,
    "RFC8684-3.2/hmac-on-ack",
    "The HMAC of the third ACK is right",
    MpJoinAck,
)
def hmac_of_ack(host: HostTrace, m: Moment, option: MpJoinAck) -> str | None:
    """20 octets."""
    right = proof(m.connection, m.subflow, 20, own=True)
    return None if right is None or right == option.hmac else f"HMAC {option.hmac.hex()}, not {right.hex()}"


@rule(
    "join.unasked",
    MUST,
    "RFC8684-3.2/join-not-unasked",
    "A SYN/ACK has MP_JOIN only where the SYN had it",
    ON_SYN,
)
def unasked(host: HostTrace, m: Moment) -> str | None:
    """As the SYN reached the host."""
    if not m.flags & ACK or m.subflow.peer.isn is None or m.subflow.kind == "join":
        return None
    return "MP_JOIN, which the SYN had not" if any(isinstance(o, MpJoin) for o in m.options) else None


@rule(
    "join.third-ack",
    MUST,
    "RFC8684-3.2/join",
    "The opener's first segment after the SYN has its HMAC",
    LATER | JOINED,
)
def third_ack(host: HostTrace, m: Moment) -> str | None:
    """It is the only proof that there is."""
    s = m.subflow
    if not s.opened_here or not isinstance(s.accepted, MpJoin) or s.proof_sent is not None:
        return None
    if s.bad_hmac or any(isinstance(option, MpJoinAck) for option in m.options):
        return None
    return "the first segment after the SYN has no MP_JOIN"


@rule(
    "join.data-before-ack",
    MUST,
    "RFC8684-3.2/no-data-before-established",
    "No data from the opener before its HMAC was acknowledged",
    DATA | JOINED,
)
def data_before_ack(host: HostTrace, m: Moment) -> str | None:
    """The subflow is PRE_ESTABLISHED until then."""
    s = m.subflow
    if not s.opened_here or s.answered or s.own.isn is None or m.flags & SYN:
        return None
    return "data, and nothing has acknowledged the HMAC"


@rule(
    "join.data-before-hmac",
    MUST,
    "RFC8684-3.2/no-data-before-proof",
    "No data to the opener before its HMAC was verified",
    DATA | JOINED,
)
def data_before_hmac(host: HostTrace, m: Moment) -> str | None:
    """As it reached the host."""
    s = m.subflow
    if s.opened_here is not False or s.proved or None in (m.connection.key, s.own.nonce):
        return None
    return "data, and no right HMAC has come"


@rule(
    "join.failed",
    MUST,
    ("RFC8684-3.2/wrong-hmac-on-syn-ack", "RFC8684-3.2/wrong-hmac-on-ack", "RFC8684-3.2/ack-without-join"),
    "After a wrong or missing HMAC nothing is sent but a RST",
    LATER | JOINED,
    exact=True,
)
def failed(host: HostTrace, m: Moment) -> str | None:
    """By a host that got it."""
    if not m.subflow.bad_hmac:
        return None
    if m.size or any(isinstance(option, MpJoinAck) for option in m.options):
        return "goes on with a join that failed"
    return None


@rule(
    "join.reset",
    MUST,
    (
        "RFC8684-3.2/wrong-hmac-on-syn-ack",
        "RFC8684-3.2/wrong-hmac-on-ack",
        "RFC8684-3.2/ack-without-join",
        "RFC8684-3.2/syn-ack-without-join",
        "RFC8684-3.2/unknown-token-reset",
    ),
    "A join that failed is reset",
    END,
    exact=True,
)
def reset(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """HMAC wrong or missing, MP_JOIN missing in the answer, token unknown."""
    return overdue(host, now, Duty.RESET)


@rule(
    "join.before-dss",
    MUST,
    "RFC8684-3.1/no-join-before-dss",
    "No join is completed before a DSS has come from the peer",
    MpJoinAck,
)
def before_dss(host: HostTrace, m: Moment, option: MpJoinAck) -> str | None:
    """Only then is it known that the connection is MPTCP. A SYN alone establishes nothing."""
    c = m.connection
    if c.seen_dss or not c.handshake or not m.subflow.opened_here:
        return None
    return "the HMAC of a join, and no DSS has come from the peer"


@rule(
    "join.unwanted",
    MUST,
    "RFC8684-3.1/flag-c-respected",
    "No join to the address and port of a peer that set flag C",
    MpJoinSyn,
)
def unwanted(host: HostTrace, m: Moment, option: MpJoinSyn) -> str | None:
    """To those of its first subflow."""
    first = m.connection.subflows[0]
    if not m.connection.no_join or first.kind != "initial" or first.key[1] != m.subflow.key[1]:
        return None
    return "MP_JOIN to where the peer wants none"


@rule(
    "join.after-fallback",
    MUST,
    ("RFC8684-3.7/no-options-after-fallback", "RFC8684-3.7/one-subflow-after-infinite"),
    "No join to a connection that is regular TCP",
    MpJoinSyn,
)
def after_fallback(host: HostTrace, m: Moment, option: MpJoinSyn) -> str | None:
    """To the host that asks."""
    fallback = m.connection.fallback
    if fallback is None or m.connection.peer_token != option.token or m.subflow.own.syns:
        return None
    return f"MP_JOIN, after the connection fell back in frame {fallback.frame}"


@rule(
    "join.reserved",
    MUST,
    "RFC8684-3.2/join-reserved-zero",
    "The reserved bits of MP_JOIN are zero",
    ON_SYN,
)
def reserved(host: HostTrace, m: Moment) -> str | None:
    """Three beside flag B."""
    for option in m.options:
        if isinstance(option, MpJoinSyn | MpJoinSynAck) and option.flags & 0x0E:
            return f"flags {option.flags:04b}"
    return None


@rule(
    "join.reserved-of-ack",
    MUST,
    "RFC8684-3.2/join-ack-reserved-zero",
    "The reserved bits of the third ACK's MP_JOIN are zero",
    MpJoinAck,
)
def reserved_of_ack(host: HostTrace, m: Moment, option: MpJoinAck) -> str | None:
    """All twelve."""
    return f"reserved bits {option.reserved:#05x}" if option.reserved else None


@rule("join.nonce", MUST, "RFC8684-3.2/join-nonce", "Each join has a nonce of its own", ON_SYN)
def nonce(host: HostTrace, m: Moment) -> str | None:
    """Among all joins of the host; a SYN that is sent again is the same one."""
    for option in m.options:
        if isinstance(option, MpJoinSyn | MpJoinSynAck):
            other = host.nonces.get(option.nonce)
            if other is not None and (other != m.subflow.key or m.subflow.own.nonce is None):
                return f"nonce {option.nonce:08x}, which another join had"
    return None


@rule(
    "join.address-id",
    MUST,
    ("RFC8684-3.2/address-id-unique", "RFC8684-3.2/address-id-zero"),
    "An address ID stands for one address",
    ON_SYN,
)
def address_id(host: HostTrace, m: Moment) -> str | None:
    """Of the sender; ID 0 for that of the first subflow."""
    c = m.connection
    for option in m.options:
        if isinstance(option, MpJoinSyn | MpJoinSynAck):
            source = m.segment.source
            known = c.ids.get(option.address_id)
            first = c.subflows[0]
            if known is None and option.address_id == 0 and first.kind == "initial":
                octets = first.key[0][:-2]
                if octets != source.packed:
                    return f"address ID 0 for {source}, not the first subflow's address"
            if known is not None and known != source:
                return f"address ID {option.address_id} for {source}, which stands for {known}"
    return None


@rule(
    "join.acknowledged",
    MUST,
    "RFC8684-3.2/join-ack-answered",
    "The HMAC of the third ACK is acknowledged",
    END,
    exact=True,
)
def acknowledged(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """By a regular ACK."""
    return overdue(host, now, Duty.JOIN_ACK)


@rule(
    "join.hmac-again",
    MUST,
    "RFC8684-3.2/join-ack-retransmitted",
    "The third ACK of a join is sent again until it is acknowledged",
    END,
    exact=True,
)
def hmac_again(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """Waits for longer than the first few timeouts."""
    return overdue(host, now, Duty.JOIN_HMAC)


@rule(
    "join.refusal-reason",
    SHOULD,
    "RFC8684-3.2/join-failure-reason",
    "The RST of a join that fails says why in MP_TCPRST",
    ON_RST | JOINED,
    exact=True,
)
def refusal_reason(host: HostTrace, m: Moment) -> str | None:
    """An MPTCP-specific error."""
    s = m.subflow
    if not s.bad_hmac or s.own.rst is not None:
        return None
    return (
        None if any(isinstance(o, MpTcprst) for o in m.options) else "RST of a failed join without a reason"
    )


@rule(
    "join.port",
    SHOULD,
    ("RFC8684-3.9.1/join-to-same-port", "RFC8684-3.4.1/announced-port-used"),
    "A join goes to the port of the first subflow",
    MpJoinSyn,
)
def port(host: HostTrace, m: Moment, option: MpJoinSyn) -> str | None:
    """Unless the peer announced another."""
    first = m.connection.subflows[0]
    destination = (m.segment.destination, m.segment.destination_port)
    if first.kind != "initial" or first.key[1][-2:] == m.subflow.key[1][-2:]:
        return None
    if m.connection.opened_here is False or destination in m.connection.peer_addresses:
        return None
    return f"MP_JOIN to port {m.segment.destination_port}, not that of the first subflow"
