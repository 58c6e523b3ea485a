"""MPTCP options on the segments of an open subflow: which go out, and what is made of those that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from mbtest.endpoint import handshake
from mbtest.endpoint.closing import DATA_FIN_PENDING, data_fin_mapping
from mbtest.endpoint.events import Kind
from mbtest.endpoint.fallback import MOST_TOLD, REGULAR
from mbtest.endpoint.mappings import MASK_64, Mapping
from mbtest.endpoint.profiles import Carrier
from mbtest.endpoint.states import Join, JoinEvent, Mode, ModeEvent, Tcp
from mbtest.endpoint.unwrap import unwrap32, unwrap64
from mbtest.wire.mptcp import (
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoinAck,
    MpPrio,
    MptcpOption,
    MpTcprst,
    Reason,
    RemoveAddr,
    UnknownMptcp,
)
from mbtest.wire.packet import Segment

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection
    from mbtest.endpoint.subflow import Subflow
    from mbtest.endpoint.transmission import Chunk

MASK_32 = 0xFFFF_FFFF


# -- Out -----------------------------------


def compose(
    connection: Connection, subflow: Subflow, carrier: Carrier, chunk: Chunk | None
) -> list[MptcpOption]:
    """Return the MPTCP options that a segment carries by itself, before the profile's word on them."""
    mode = connection.mode.state
    if carrier is Carrier.SYN:
        option = handshake.syn_option(connection, subflow, chunk.sends if chunk is not None else 1)
        return [] if option is None else [option]
    if mode is Mode.REGULAR or mode is Mode.NEGOTIATING:
        return []
    mapping = chunk.mapping if chunk is not None and chunk.carries_mapping else None
    if mode is Mode.INFINITE:
        # RFC 8684 §3.7: one final mapping, an infinite one; and after it no option.
        if chunk is None and connection.fallback.told < MOST_TOLD:
            # There is no data for it to go with, and the peer is to hear of it.
            mapping = connection.fallback.infinite
            connection.fallback.told += mapping is not None
        return [_dss(connection, mapping, with_data_ack=False)] if mapping and mapping.infinite else []
    if subflow.joins and subflow.join.state is not Join.ESTABLISHED:
        proof = handshake.ack_option(connection, subflow)
        return [] if proof is None else [proof]
    if mode is Mode.CONFIRMING and subflow.active and not connection.dss_seen:
        if mapping is not None and mapping.capable:
            return [handshake.first_data_option(connection, mapping)]
        # A DATA_FIN that follows no data has nobody else to carry it; `Sending` repeats the keys beside it.
        ending = connection.closing.state in DATA_FIN_PENDING
        if carrier is Carrier.ACK and not ending and (chunk is None or not chunk.fin):
            return [
                MpCapable(handshake.capable_flags(connection), connection.own_key, connection.peer_key),
            ]
    if carrier is Carrier.DATA:
        return [_dss(connection, mapping)]
    failed = connection.fallback.failed_dsn()
    if failed is not None:
        # Before a DATA_FIN, which would leave no room for it: that one is of no use to the peer now.
        return [MpFail(failed), _dss(connection, None)]
    if connection.closing.state in DATA_FIN_PENDING:
        # RFC 8684 §3.3.3: repeated on every ACK until it is Data ACKed.
        return [_dss(connection, data_fin_mapping(connection))]
    return [_dss(connection, None)]


def _dss(connection: Connection, mapping: Mapping | None, *, with_data_ack: bool = True) -> Dss:
    """Return a DSS with the Data ACK of now, and a mapping."""
    connection.dss_sent = True
    data_ack: int | None = None
    wide = connection.peer_is_wide
    if with_data_ack:
        data_ack = (connection.peer_idsn + connection.incoming.next) & MASK_64
    if mapping is None:
        return Dss(data_ack, data_ack_64=wide)
    alone = mapping.data_fin and not mapping.length
    return Dss(
        data_ack,
        (connection.own_idsn + mapping.data_start) & MASK_64,
        0 if alone else mapping.start & MASK_32,
        mapping.length + mapping.data_fin,
        mapping.checksum,
        mapping.data_fin,
        wide and with_data_ack,
        True,
    )


def narrowed(option: MptcpOption) -> MptcpOption:
    """Return an option with its Data ACK cut to the 32 bits that it is to have (RFC 8684 §3.3.2)."""
    if isinstance(option, Dss) and option.data_ack is not None and not option.data_ack_64:
        return replace(option, data_ack=option.data_ack & MASK_32)
    return option


# -- In -----------------------------------


def take(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> bool:
    """Act on the options of a segment that passed TCP's checks; return whether it is to be read on."""
    if segment.syn:
        if not segment.has_ack:
            # Simultaneous open: RFC 8684 has no MP_CAPABLE for it.
            if subflow.joins:
                subflow.abort(now, why="EPROTO")
                return False
            if connection.mode.may(ModeEvent.NO_CAPABLE):
                connection.fallback.no_capable("simultaneous open", now)
            return True
        return handshake.syn_ack_arrived(connection, subflow, segment, now)
    if segment.rst:
        _take_reset(connection, subflow, segment, now)
        return False
    if subflow.tcp.state is Tcp.SYN_RECEIVED:
        return handshake.third_ack_arrived(connection, subflow, segment, now)
    if subflow.joins and subflow.join.state is Join.PRE_ESTABLISHED:
        subflow.join.fire(JoinEvent.JOIN_ACKED)
        subflow.join_at = None
        subflow.timeouts = 0
        connection.joined(subflow)
    if connection.mode.state is Mode.REGULAR:
        return True
    subflow.last_had_dss = segment.option(Dss) is not None
    for option in segment.options:
        if isinstance(option, MptcpOption) and not _take_option(connection, subflow, segment, option, now):
            return False
    return not subflow.is_over


def _take_option(
    connection: Connection, subflow: Subflow, segment: Segment, option: MptcpOption, now: int
) -> bool:
    if isinstance(option, Dss):
        return _take_dss(connection, subflow, segment, option, now)
    if connection.mode.state is Mode.INFINITE and not isinstance(option, MpFail | MpFastclose):
        return True  # RFC 8684 §3.7: no answer to anything else would be allowed any more.
    if isinstance(option, MpCapable):
        if not subflow.joins and not subflow.active:
            _take_first_data(connection, subflow, option, now)
    elif isinstance(option, AddAddr):
        connection.addresses.add_arrived(subflow, option, now)
    elif isinstance(option, RemoveAddr):
        connection.addresses.remove_arrived(subflow, option, now)
    elif isinstance(option, MpPrio):
        subflow.backup = option.backup
        connection.tell(
            Kind.PRIORITY, f"the peer asks for B={int(option.backup)}", "RFC 8684 §3.3.8", subflow
        )
    elif isinstance(option, MpFail):
        connection.fallback.fail_arrived(subflow, option, now)
    elif isinstance(option, MpFastclose):
        return not connection.ending.fastclose_arrived(subflow, option, now)
    elif isinstance(option, MpJoinAck):
        # RFC 8684 §3.2: the third ACK is answered, and so is each repetition: the answer got lost.
        if subflow.joins and not subflow.active:
            subflow.acknowledge(now)
    elif isinstance(option, UnknownMptcp):
        connection.tell(
            Kind.IGNORED, f"MPTCP option of {len(option.content)} octets in no known form", "", subflow
        )
    return not subflow.is_over


def _take_reset(connection: Connection, subflow: Subflow, segment: Segment, now: int) -> None:
    """A RST says more with MP_FASTCLOSE, MP_FAIL or MP_TCPRST (RFC 8684 §3.5 to §3.7)."""
    if connection.mode.state in REGULAR:
        return
    fastclose = segment.option(MpFastclose)
    if fastclose is not None and connection.ending.fastclose_arrived(subflow, fastclose, now):
        return
    fail = segment.option(MpFail)
    if fail is not None:
        connection.tell(
            Kind.MP_FAIL, f"received on a RST, data sequence number {fail.dsn}", "RFC 8684 §3.7", subflow
        )
    reason = segment.option(MpTcprst)
    if reason is not None:
        transient = "transient" if reason.transient else "permanent"
        connection.tell(
            Kind.RESET, f"MP_TCPRST, reason {reason.reason}, {transient}", "RFC 8684 §3.6", subflow
        )


def _take_dss(connection: Connection, subflow: Subflow, segment: Segment, option: Dss, now: int) -> bool:
    if connection.mode.state is Mode.CONFIRMING:
        connection.dss_arrived()
    if option.data_ack is not None:
        _take_data_ack(connection, subflow, segment, option, now)
    if subflow.is_over:
        return False
    if option.dsn is None or (connection.mode.state is Mode.INFINITE and option.length):
        return True
    if option.length and not _checksum_as_negotiated(connection, subflow, option.checksum, now):
        return False
    incoming = connection.incoming
    raw = option.dsn - connection.peer_idsn
    if option.dsn_64:
        data_start = unwrap64(raw, incoming.next)
        connection.peer_is_wide = True
    else:
        data_start = unwrap32(raw, incoming.next)
        connection.peer_is_wide = False
    mapping = Mapping(
        unwrap32(option.subflow_sequence, subflow.receive_next),
        data_start,
        option.length - (option.data_fin and option.length > 0),
        option.checksum if connection.checksum else None,
        option.data_fin and option.length > 0,
    )
    if mapping.infinite:
        if option.data_fin:
            return True
        connection.fallback.infinite_mapping_arrived(subflow, mapping, now)
        return not subflow.is_over
    _declare(connection, subflow, mapping, now)
    return not subflow.is_over


def _checksum_as_negotiated(connection: Connection, subflow: Subflow, checksum: int | None, now: int) -> bool:
    """Whether a mapping has a checksum if, and only if, that was negotiated; the subflow is reset if not.

    RFC 8684 §3.3: such a subflow does not behave as negotiated, or is broken.
    """
    if (checksum is not None) == connection.checksum:
        return True
    words = "mapping without the checksum" if connection.checksum else "mapping with a checksum not"
    connection.tell(Kind.RESET, f"{words} negotiated", "RFC 8684 §3.3", subflow)
    subflow.abort(now, MpTcprst(Reason.MPTCP_ERROR), why="EPROTO")
    return False


def _declare(connection: Connection, subflow: Subflow, mapping: Mapping, now: int) -> None:
    """Keep a mapping that the peer declares, and note its DATA_FIN."""
    if mapping.length:
        subflow.mapping_seen = True
        if mapping.end > subflow.inbox_start:
            words = subflow.mappings.add(mapping)
            if words:
                connection.tell(Kind.IGNORED, words, "RFC 8684 §3.3.1", subflow)
                return
    elif not mapping.is_intact(connection.peer_idsn, b""):
        connection.tell(Kind.IGNORED, "DATA_FIN with a wrong checksum", "RFC 8684 §3.3.3", subflow)
        return
    if mapping.data_fin:
        connection.data_fin_arrived(subflow, mapping, now)
    if subflow.inbox:
        connection.sort(subflow, now)


def _take_first_data(connection: Connection, subflow: Subflow, option: MpCapable, now: int) -> None:
    """MP_CAPABLE with data: a mapping of the first octets, as if by a DSS (RFC 8684 §3.1)."""
    if option.data_length is None:
        return
    if (option.sender_key, option.receiver_key) != (connection.peer_key, connection.own_key):
        connection.tell(Kind.IGNORED, "MP_CAPABLE with other keys", "RFC 8684 §3.1", subflow)
        return
    if connection.mode.state is Mode.CONFIRMING:
        connection.dss_arrived()
    if not _checksum_as_negotiated(connection, subflow, option.checksum, now):
        return
    connection.peer_is_wide = True
    mapping = Mapping(1, 1, option.data_length, option.checksum if connection.checksum else None)
    if mapping.length:
        _declare(connection, subflow, mapping, now)


def _take_data_ack(connection: Connection, subflow: Subflow, segment: Segment, option: Dss, now: int) -> None:
    """RFC 8684 §3.3.2, §3.3.5: free what is Data ACKed, and learn the shared window."""
    if connection.mode.state is Mode.INFINITE:
        # §3.7: from the infinite mapping on, only subflow ACKs count.
        return
    outgoing = connection.outgoing
    raw = (option.data_ack or 0) - connection.own_idsn
    offset = unwrap64(raw, outgoing.una) if option.data_ack_64 else unwrap32(raw, outgoing.una)
    if offset > connection.sent_end:
        connection.tell(Kind.IGNORED, "Data ACK of what was not sent", "RFC 8684 §3.3.2", subflow)
        return
    if unwrap32(int(segment.ack) - subflow.iss, subflow.out.una) > 1:
        # §3.7: a Data ACK proves that options pass once it comes with an ACK of data.
        subflow.data_ack_seen = True
    edge = offset + (segment.window << subflow.send_shift)
    if edge > outgoing.edge:
        outgoing.edge = edge
        connection.window_opened()
    if offset > outgoing.una:
        connection.data_acknowledged(offset, now)
