"""Rules on addresses and priorities (RFC 8684 §3.3.8, §3.4), and on forms that no option has."""

from __future__ import annotations

from collections.abc import Iterator

from mbtest.observe.host import HostTrace
from mbtest.observe.moment import Moment
from mbtest.observe.rules.conditions import LATER, NO_DSS, OPTIONS
from mbtest.observe.rules.duties import overdue
from mbtest.observe.rules.registry import END, MUST, SHOULD, rule
from mbtest.observe.state import Duty
from mbtest.wire import FIN, AddAddr, MpPrio, RemoveAddr, UnknownMptcp
from mbtest.wire.keys import add_addr_hmac

NEVER_ALONE = 2
"""Duplicate ACKs in a row that may be sent for the sake of options."""
LONG_AGO = 100_000
"""Microseconds after which another one is no longer taken for a sign of congestion."""


@rule("add-addr.hmac", MUST, "RFC8684-3.4.1/add-addr-hmac", "The HMAC of ADD_ADDR is right", AddAddr)
def hmac(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """Over ID, address and port."""
    c = m.connection
    if option.echo or option.hmac is None or c.key is None or c.peer_key is None:
        return None
    right = add_addr_hmac(c.key, c.peer_key, option.address_id, option.address, option.port or 0)
    return None if right == option.hmac else f"HMAC {option.hmac.hex()}, not {right.hex()}"


@rule(
    "add-addr.flags",
    MUST,
    "RFC8684-3.4.1/add-addr-flags-zero",
    "The unassigned flags of ADD_ADDR are zero",
    AddAddr,
)
def flags(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """Three beside E."""
    return f"flags {option.flags:04b}" if option.flags & 0x0E else None


@rule(
    "add-addr.form",
    MUST,
    ("RFC8684-3.4.1/add-addr-echoed", "RFC8684-3.4.1/add-addr-hmac"),
    "ADD_ADDR has an HMAC, and its echo has none",
    AddAddr,
)
def form(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """That is how long it is."""
    if option.echo is (option.hmac is None):
        return None
    return "an echo with an HMAC" if option.echo else "no HMAC"


@rule(
    "add-addr.echoed",
    MUST,
    "RFC8684-3.4.1/add-addr-echoed",
    "ADD_ADDR is echoed",
    END,
    exact=True,
)
def echoed(host: HostTrace, now: int) -> Iterator[tuple[int, int, int, str]]:
    """Where its HMAC is right."""
    return overdue(host, now, Duty.ECHO)


@rule(
    "add-addr.echo-same",
    MUST,
    "RFC8684-3.4.1/add-addr-echoed",
    "An echo of ADD_ADDR has the ID, address and port that came",
    AddAddr,
)
def echo_same(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """With whatever HMAC: for wrong ones see add-addr.echo-wrong."""
    c = m.connection
    what = (option.address_id, option.address, option.port)
    if not option.echo or not c.handshake or c.key is None or c.peer_key is None:
        return None
    if what in c.announced or what in c.misannounced:
        return None
    return f"an echo of ID {option.address_id} {option.address}, which was not announced"


@rule(
    "add-addr.echo-wrong",
    SHOULD,
    "RFC8684-3.4.1/add-addr-wrong-hmac",
    "ADD_ADDR with a wrong HMAC is not echoed",
    AddAddr,
)
def echo_wrong(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """It is silently ignored."""
    c = m.connection
    what = (option.address_id, option.address, option.port)
    if not option.echo or what not in c.misannounced or what in c.announced:
        return None
    return f"an echo of ID {option.address_id} {option.address}, whose HMAC was wrong"


@rule(
    "add-addr.same-address",
    MUST,
    (
        "RFC8684-3.4.1/id-keeps-address",
        "RFC8684-3.4.1/add-addr-id-unique",
        "RFC8684-3.4.1/id-replaced-after-removal",
    ),
    "An address ID that is announced again has the same address",
    AddAddr,
)
def same_address(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """Until it is removed."""
    known = m.connection.ids.get(option.address_id)
    if option.echo or known is None or known == option.address:
        return None
    return f"address ID {option.address_id} for {option.address}, which stands for {known}"


@rule(
    "add-addr.id-zero",
    MUST,
    "RFC8684-3.2/address-id-zero",
    "Address ID 0 is that of the first subflow's address",
    AddAddr,
)
def id_zero(host: HostTrace, m: Moment, option: AddAddr) -> str | None:
    """Implicitly."""
    first = m.connection.subflows[0]
    if option.echo or option.address_id or first.kind != "initial":
        return None
    octets = first.key[0][:-2]
    return None if octets == option.address.packed else f"address ID 0 for {option.address}"


@rule(
    "add-addr.in-a-row",
    SHOULD,
    "RFC8684-3/two-duplicate-acks",
    "No more than two duplicate ACKs in a row for options",
    LATER | OPTIONS | NO_DSS,
)
def in_a_row(host: HostTrace, m: Moment) -> str | None:
    """Those that carry addresses or priorities alone, and say nothing else."""
    own = m.subflow.own
    if m.size or m.ack != own.last_ack or m.window != own.last_window or m.start != own.top:
        return None
    # An echo answers a segment that came, as any ACK does.
    signals = [
        o for o in m.options if isinstance(o, RemoveAddr | MpPrio) or (isinstance(o, AddAddr) and not o.echo)
    ]
    if not signals or m.capable is not None or m.flags & FIN:
        return None
    is_next = own.lone_number == own.segments and m.time - own.lone_at <= LONG_AGO
    own.lone_acks = own.lone_acks + 1 if is_next else 1
    own.lone_at, own.lone_number = m.time, own.segments + 1
    count = own.lone_acks
    return (
        f"{count} duplicate ACKs in a row, the last with {signals[0].name}" if count > NEVER_ALONE else None
    )


@rule(
    "remove-addr.reserved",
    MUST,
    "RFC8684-3.4.2/remove-addr-reserved-zero",
    "The reserved bits of REMOVE_ADDR are zero",
    RemoveAddr,
)
def remove_reserved(host: HostTrace, m: Moment, option: RemoveAddr) -> str | None:
    """Four."""
    return f"reserved bits {option.reserved:04b}" if option.reserved else None


@rule(
    "remove-addr.known",
    SHOULD,
    "RFC8684-3.4.2/own-ids-removed",
    "Only address IDs that were announced are removed",
    RemoveAddr,
)
def remove_known(host: HostTrace, m: Moment, option: RemoveAddr) -> str | None:
    """Or used in a join, or ID 0."""
    if not m.connection.handshake:
        return None
    unknown = [str(number) for number in option.address_ids if number and number not in m.connection.ids]
    return f"address ID {', '.join(unknown)}, which was never announced" if unknown else None


@rule(
    "prio.reserved",
    MUST,
    "RFC8684-3.3.8/priority-reserved-zero",
    "The reserved bits of MP_PRIO are zero",
    MpPrio,
)
def prio_reserved(host: HostTrace, m: Moment, option: MpPrio) -> str | None:
    """Three beside B."""
    return f"flags {option.flags:04b}" if option.flags & 0x0E else None


@rule(
    "option.form",
    MUST,
    (
        "RFC8684-3/option-form",
        "RFC8684-3.3/dss-length",
        "RFC8684-3.4.1/add-addr-form",
        "RFC8684-3.4.2/remove-addr-form",
    ),
    "An option of MPTCP has one of the forms that there are",
    UnknownMptcp,
)
def option_form(host: HostTrace, m: Moment, option: UnknownMptcp) -> str | None:
    """Subtype and length."""
    return f"subtype {option.subtype} with {len(option.content) + 2} octets"
