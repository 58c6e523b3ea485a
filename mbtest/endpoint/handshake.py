"""MP_CAPABLE and MP_JOIN (RFC 8684 §3.1, §3.2): what SYNs and the third ACK carry, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.events import Kind
from mbtest.endpoint.mappings import Mapping
from mbtest.endpoint.states import Join, JoinEvent, Mode, ModeEvent, Tcp
from mbtest.endpoint.subflow import Subflow
from mbtest.wire.keys import join_hmac
from mbtest.wire.mptcp import (
    CHECKSUM_REQUIRED,
    EXTENSIBILITY,
    HMAC_SHA256,
    MP_CAPABLE,
    NO_JOIN_TO_THIS_ADDRESS,
    MpCapable,
    MpJoin,
    MpJoinAck,
    MpJoinSyn,
    MpJoinSynAck,
    MptcpOption,
    MpTcprst,
    Reason,
)
from mbtest.wire.packet import Segment

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection

VERSION = 1
ALGORITHMS = 0x1F
"""Flags D to H of MP_CAPABLE."""
CAPABLE_ATTEMPTS = 3
"""SYNs with MP_CAPABLE; later ones go without: a box may drop those with unknown options (§3.1)."""


def capable_flags(connection: Connection) -> int:
    """Return the flags that our MP_CAPABLE has."""
    flags = HMAC_SHA256
    if connection.checksum:
        flags |= CHECKSUM_REQUIRED
    if connection.configuration.deny_join:
        flags |= NO_JOIN_TO_THIS_ADDRESS
    return flags


def acceptable(option: MpCapable | None, connection: Connection) -> str:
    """Return in words why an MP_CAPABLE of a SYN or SYN/ACK cannot be agreed to; nothing where it can."""
    if option is None:
        return "no MP_CAPABLE"
    if option.flags & EXTENSIBILITY:
        return "MP_CAPABLE with flag B"
    if not option.flags & ALGORITHMS:
        return "MP_CAPABLE without an algorithm, flags D to H"
    if not option.flags & HMAC_SHA256:
        return "MP_CAPABLE without HMAC-SHA256, flag H"
    if option.checksum_required and connection.configuration.refuse_checksum:
        return "MP_CAPABLE requires checksums"
    return ""


# -- What SYNs and third ACKs carry -----------------------------------


def syn_option(connection: Connection, subflow: Subflow, sends: int) -> MptcpOption | None:
    """Return the MPTCP option of a SYN or SYN/ACK. sends: how often it has been sent, this time included."""
    answering = subflow.tcp.state is Tcp.SYN_RECEIVED
    if subflow.joins:
        backup = int(subflow.own_backup)
        if answering:
            proof = join_hmac(
                connection.own_key, connection.peer_key or 0, subflow.own_nonce, subflow.peer_nonce
            )
            return MpJoinSynAck(
                subflow.address_id, int.from_bytes(proof[:8], "big"), subflow.own_nonce, backup
            )
        return MpJoinSyn(subflow.address_id, connection.peer_token, subflow.own_nonce, backup)
    if connection.mode.state is not Mode.NEGOTIATING:
        return None
    if answering:
        return MpCapable(capable_flags(connection), connection.own_key)
    return MpCapable(capable_flags(connection)) if sends <= CAPABLE_ATTEMPTS else None


def ack_option(connection: Connection, subflow: Subflow) -> MptcpOption | None:
    """Return the option of the third ACK, which is repeated until it is known to have arrived; None after."""
    if subflow.joins:
        if subflow.join.state is not Join.PRE_ESTABLISHED:
            return None
        proof = join_hmac(connection.own_key, connection.peer_key or 0, subflow.own_nonce, subflow.peer_nonce)
        return MpJoinAck(proof[:20])
    return keys_option(connection, subflow)


def keys_option(connection: Connection, subflow: Subflow) -> MpCapable | None:
    """Return the MP_CAPABLE with both keys, until it is known to have arrived (§3.1)."""
    if subflow.joins or not subflow.active or connection.mode.state is not Mode.CONFIRMING:
        return None
    return MpCapable(capable_flags(connection), connection.own_key, connection.peer_key)


def first_data_option(connection: Connection, mapping: Mapping) -> MpCapable:
    """Return the MP_CAPABLE of the initiator's first data: both keys, and its mapping (§3.1)."""
    return MpCapable(
        capable_flags(connection),
        connection.own_key,
        connection.peer_key,
        mapping.length + mapping.data_fin,
        mapping.checksum,
    )


# -- MP_CAPABLE arrives -----------------------------------


def syn_arrived(connection: Connection, segment: Segment, now: int) -> None:
    """The listener sees a SYN: agree to MPTCP or not (§3.1)."""
    option = segment.option(MpCapable)
    why = "MPTCP is off here" if not connection.configuration.mptcp else acceptable(option, connection)
    if not why and option is not None and option.version < VERSION:
        # The answer may only name a version up to the one offered; this endpoint has no other than 1.
        why = f"MP_CAPABLE of version {option.version}"
    if not why and option is not None and option.sender_key is not None:
        why = "MP_CAPABLE with a key on a SYN, as in version 0"
    if why:
        connection.fallback.no_capable(f"SYN: {why}", now)
        return
    if option is not None and option.checksum_required:
        connection.checksum = True
    if option is not None and option.flags & NO_JOIN_TO_THIS_ADDRESS:
        connection.peer_denies_join = True


def syn_ack_arrived(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> bool:
    """The initiator sees the SYN/ACK; return whether to read on."""
    if subflow.joins:
        return _join_syn_ack_arrived(connection, subflow, segment, now)
    if connection.mode.state is not Mode.NEGOTIATING:
        return True
    option = segment.option(MpCapable)
    why = acceptable(option, connection)
    if not why and option is not None and option.version != VERSION:
        # §3.1: the answer has to be a version up to ours, and 0 works in another way.
        why = f"MP_CAPABLE of version {option.version}"
    if not why and option is not None and (option.sender_key is None or option.receiver_key is not None):
        why = "MP_CAPABLE of a SYN/ACK without its sender's key alone"
    if why or option is None or option.sender_key is None:
        connection.fallback.no_capable(f"SYN/ACK: {why}", now)
        return True
    if option.checksum_required:
        connection.checksum = True
    connection.peer_denies_join = bool(option.flags & NO_JOIN_TO_THIS_ADDRESS)
    connection.learn_peer_key(option.sender_key)
    connection.mode.fire(ModeEvent.KEYS_EXCHANGED)
    return True


def third_ack_arrived(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> bool:
    """The listener sees what completes the handshake; return whether to read on."""
    if subflow.joins:
        return _join_ack_arrived(connection, subflow, segment, now)
    if connection.mode.state is not Mode.NEGOTIATING:
        return True
    option = segment.option(MpCapable)
    if option is None:
        if any(isinstance(one, MptcpOption) and one.subtype != MP_CAPABLE for one in segment.options):
            # What overtook the third ACK, or followed it where it was lost: MPTCP is alive, only not here
            # yet. It comes again, after MP_CAPABLE.
            return False
        connection.fallback.no_capable("third ACK: no MP_CAPABLE", now)
        return True
    if option.sender_key is None or option.receiver_key != connection.own_key:
        connection.fallback.no_capable("third ACK: MP_CAPABLE does not echo the key", now)
        return True
    if words := acceptable(option, connection):
        # §3.1: neither SYN said so; what contradicts them was tampered with.
        connection.fallback.no_capable(f"third ACK: {words}", now)
        return True
    if option.checksum_required != connection.checksum:
        # §3.1: the third packet confirms the decision; what contradicts it was tampered with.
        connection.fallback.no_capable("third ACK: flag A contradicts what was negotiated", now)
        return True
    connection.learn_peer_key(option.sender_key)
    connection.mode.fire(ModeEvent.KEYS_EXCHANGED)
    return True


# -- MP_JOIN arrives -----------------------------------


def join_refusal(connection: Connection, segment: Segment) -> MpTcprst | None:
    """Return the option of the RST that refuses a MP_JOIN SYN now; None where it is taken (§3.2)."""
    initial = connection.initial
    own = None if initial is None else (initial.local, initial.local_port)
    if connection.configuration.deny_join and (segment.destination, segment.destination_port) == own:
        return MpTcprst(Reason.PROHIBITED)  # §3.1: flag C says so of the initial subflow's address and port.
    # The peer may open subflows once a DSS has reached it (§3.1). Its SYN can overtake its own first DSS.
    if connection.mode.state not in (Mode.CONFIRMING, Mode.MULTIPATH):
        # §3.7: after a fallback only one subflow carries data.
        return MpTcprst(Reason.MPTCP_ERROR)
    if connection.further_subflows() >= connection.configuration.subflows or connection.is_ending:
        return MpTcprst(Reason.PROHIBITED)
    return None


def join_syn_arrived(subflow: Subflow, option: MpJoinSyn) -> None:
    """The responder sees a SYN with a token that it knows: remember who joins."""
    subflow.peer_nonce = option.nonce
    subflow.remote_id = option.address_id
    subflow.backup = option.backup


def _join_syn_ack_arrived(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> bool:
    option = segment.option(MpJoin)
    if not isinstance(option, MpJoinSynAck):
        return _refuse(connection, subflow, "SYN/ACK without MP_JOIN", now)
    subflow.peer_nonce = option.nonce
    proof = join_hmac(connection.peer_key or 0, connection.own_key, option.nonce, subflow.own_nonce)
    if option.hmac != int.from_bytes(proof[:8], "big"):
        return _refuse(connection, subflow, "MP_JOIN of the SYN/ACK has a wrong HMAC", now)
    subflow.remote_id = option.address_id
    subflow.backup = option.backup
    subflow.join.fire(JoinEvent.SYN_ACK_VERIFIED)
    # §3.2: the third ACK is the only segment with this HMAC, so that it is repeated until it is answered.
    subflow.join_at = now + subflow.rtt.rto
    return True


def _join_ack_arrived(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> bool:
    if subflow.join.state is not Join.UNVERIFIED:
        return True
    option = segment.option(MpJoin)
    if not isinstance(option, MpJoinAck):
        return _refuse(connection, subflow, "third ACK without MP_JOIN", now)
    proof = join_hmac(connection.peer_key or 0, connection.own_key, subflow.peer_nonce, subflow.own_nonce)
    if option.hmac != proof[:20]:
        return _refuse(connection, subflow, "MP_JOIN of the third ACK has a wrong HMAC", now)
    subflow.join.fire(JoinEvent.ACK_VERIFIED)
    return True


def _refuse(connection: Connection, subflow: Subflow, why: str, now: int) -> bool:
    """RFC 8684 §3.2: the subflow is closed with a RST, reason "MPTCP specific error"."""
    connection.tell(Kind.REFUSED, f"join: {why}", "RFC 8684 §3.2", subflow)
    subflow.abort(now, MpTcprst(Reason.MPTCP_ERROR), why="EPROTO")
    return False
