"""What handshakes do to what a host knows: MP_CAPABLE and MP_JOIN (RFC 8684 §3.1, §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.observe.moment import Moment
from mbtest.observe.notes import note
from mbtest.observe.state import Connection, Duty, Fallback, Manner, Mode, Subflow
from mbtest.wire import ACK, SYN, MpCapable, MpJoin, MpJoinAck, MpJoinSyn, MpJoinSynAck
from mbtest.wire.describe import option_words
from mbtest.wire.keys import initial_data_sequence_number, join_hmac, token
from mbtest.wire.mptcp import EXTENSIBILITY, HMAC_SHA256, NO_JOIN_TO_THIS_ADDRESS

if TYPE_CHECKING:
    from mbtest.observe.host import HostTrace


def take_capable(host: HostTrace, moment: Moment, option: MpCapable) -> None:
    connection = moment.connection
    if moment.subflow.kind == "join":
        return
    if not moment.sent and _is_doubtful(connection, moment, option):
        connection.doubtful = True
        note(host, moment, "MP_CAPABLE was changed on its way", found=True)
    if not moment.flags & SYN or moment.flags & ACK:
        if option.sender_key is not None:
            learn_key(host, connection, option.sender_key, moment.sent)
        if option.receiver_key is not None and not moment.flags & SYN:
            learn_key(host, connection, option.receiver_key, not moment.sent)
            if moment.sent:
                connection.capable_sent = True
    if not moment.sent and option.flags & NO_JOIN_TO_THIS_ADDRESS:
        connection.no_join = True


def _is_doubtful(connection: Connection, moment: Moment, option: MpCapable) -> bool:
    """Whether MP_CAPABLE is not what it can be after what the host sent and received (RFC 8684 §3.1)."""
    offered = moment.subflow.offered
    if moment.flags & SYN:
        answers_more = isinstance(offered, MpCapable) and option.version > offered.version
        return bool(moment.flags & ACK) and answers_more
    if connection.key is None or connection.doubtful or not connection.handshake:
        return False
    keys = (option.sender_key, option.receiver_key)
    known = (connection.peer_key if connection.peer_key is not None else option.sender_key, connection.key)
    agreed = (connection.version, connection.checksum)
    if keys != known or (option.version, option.checksum_required) != agreed:
        return True
    return bool(option.flags & EXTENSIBILITY) or not option.flags & HMAC_SHA256


def learn_key(host: HostTrace, connection: Connection, key: int, own: bool) -> None:
    """Take in a key, the host's own or the peer's; the first one counts."""
    if own:
        if connection.key is None:
            connection.key, connection.token = key, token(key)
            _rebase(connection, connection.own.begin(initial_data_sequence_number(key)), own=True)
            host.keys.setdefault(key, connection)
            host.tokens.setdefault(connection.token, connection)
    elif connection.peer_key is None:
        connection.peer_key, connection.peer_token = key, token(key)
        _rebase(connection, connection.peer.begin(initial_data_sequence_number(key)), own=False)
        host.peer_tokens.setdefault(connection.peer_token, connection)


def _rebase(connection: Connection, shift: int, *, own: bool) -> None:
    """Count what was mapped before the key came from the IDSN on."""
    if shift:
        for subflow in connection.subflows:
            mapped = (subflow.own if own else subflow.peer).mapped
            for mapping in mapped.found:
                mapping.data += shift


def take_syn_options(host: HostTrace, moment: Moment) -> None:
    """Take in a SYN or SYN/ACK: what is asked for, and what comes of it."""
    subflow, connection = moment.subflow, moment.connection
    option = next((option for option in moment.options if isinstance(option, MpCapable | MpJoin)), None)
    if not moment.flags & ACK:
        first = moment.own.syns == 1
        if first or not moment.other.syns:
            subflow.offered = option
        if first:
            if isinstance(option, MpJoinSyn):
                words = f"asks to join, {option_words(option)}"
            elif isinstance(option, MpCapable):
                words = f"asks for {option_words(option)}"
            else:
                words = "asks for regular TCP"
            note(host, moment, words)
        else:
            note(host, moment, "SYN once more" + ("" if option else ", without MPTCP"))
        return
    if moment.own.syns > 1:
        return
    subflow.accepted = option
    if subflow.kind != "initial":
        return
    if not isinstance(subflow.offered, MpCapable):
        mode, manner = Mode.TCP, Manner.NOT_ASKED
        if isinstance(option, MpCapable):
            connection.mode = Mode.UNKNOWN
            return
    elif isinstance(option, MpCapable):
        connection.mode = Mode.MPTCP
        connection.version = option.version
        connection.checksum = subflow.offered.checksum_required or option.checksum_required
        note(host, moment, f"accepts with {option_words(option)}")
        return
    else:
        mode, manner = Mode.TCP, Manner.REFUSED
    connection.mode = mode
    connection.fallback = Fallback(moment.frame, moment.time, manner)
    note(host, moment, f"regular TCP: {manner.value}", found=True)


def take_join(host: HostTrace, moment: Moment, option: MpJoin) -> None:
    subflow, connection = moment.subflow, moment.connection
    half = moment.own
    connection.joins_seen = True
    if isinstance(option, MpJoinSyn | MpJoinSynAck) and moment.flags & SYN:
        half.nonce, half.backup, half.backup_at = option.nonce, option.backup, moment.time
        if moment.sent:
            subflow.id = option.address_id
            host.nonces.setdefault(option.nonce, subflow.key)
            connection.ids.setdefault(option.address_id, moment.segment.source)
            if isinstance(option, MpJoinSyn):
                connection.settle(Duty.RESET, subflow.key)
        elif isinstance(option, MpJoinSyn):
            if connection.token is None and host.complete and host.exact:
                connection.owe(Duty.RESET, moment.frame, moment.time, subflow.key)
        else:
            right = proof(connection, subflow, 8, own=False)
            if right is not None and right != option.hmac.to_bytes(8, "big"):
                refuse(host, moment, "HMAC of the SYN/ACK is wrong")
    elif isinstance(option, MpJoinAck) and subflow.kind == "join":
        by_opener = moment.sent is subflow.opened_here
        right = proof(connection, subflow, 20, own=moment.sent)
        if not by_opener or right is None:
            return
        if moment.sent:
            if subflow.proof_sent is None:
                note(host, moment, "proves itself with its HMAC")
            subflow.proof_sent = moment.frame
            connection.settle(Duty.JOIN_HMAC, subflow.key)
            if not subflow.answered:
                connection.owe(Duty.JOIN_HMAC, moment.frame, moment.time, subflow.key)
        elif right == option.hmac:
            if not subflow.proved:
                subflow.proved = True
                note(host, moment, "joined: the HMAC is right", found=True)
                connection.owe(Duty.JOIN_ACK, moment.frame, moment.time, subflow.key)
        elif not subflow.proved:
            refuse(host, moment, "HMAC of the third ACK is wrong")


def proof(connection: Connection, subflow: Subflow, octets: int, *, own: bool) -> bytes | None:
    """Return the HMAC that the host, or its peer, has to show on a subflow; None where it is unknown."""
    keys = (connection.key, connection.peer_key)
    nonces = (subflow.own.nonce, subflow.peer.nonce)
    if None in keys or None in nonces:
        return None
    if not own:
        keys, nonces = keys[::-1], nonces[::-1]
    return join_hmac(*keys, *nonces)[:octets]  # type: ignore[arg-type]


def refuse(host: HostTrace, moment: Moment, words: str) -> None:
    """A join failed: the host has to reset it (RFC 8684 §3.2)."""
    if not moment.subflow.bad_hmac:
        moment.subflow.bad_hmac = True
        moment.connection.owe(Duty.RESET, moment.frame, moment.time, moment.subflow.key)
        note(host, moment, f"join fails: {words}", found=True)


def take_handshake_end(host: HostTrace, moment: Moment) -> None:
    """Take in a segment after the SYNs that reached the host: how did the handshake end?"""
    subflow, connection = moment.subflow, moment.connection
    if subflow.first_peer is None and moment.start == 1:
        subflow.first_peer = bool(moment.options)
        waits = subflow.kind == "join" and subflow.opened_here is False and not subflow.proved
        waits = waits and subflow.accepted is not None
        if waits and not any(isinstance(option, MpJoinAck) for option in moment.options):
            refuse(host, moment, "the third ACK has no MP_JOIN")
    waits = subflow.kind == "join" and bool(subflow.opened_here) and not subflow.answered
    if waits and subflow.proof_sent is not None and moment.ack is not None:
        subflow.answered = True
        connection.settle(Duty.JOIN_HMAC, subflow.key)
        note(host, moment, "join is established", found=True)
