"""What each signal, and each octet of data, does to what a host knows.

A host's duties begin here with what reaches it, and end with what it sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.observe import handshakes
from mbtest.observe.directions import Half
from mbtest.observe.mappings import Mapping
from mbtest.observe.moment import Arrival, Moment
from mbtest.observe.notes import note
from mbtest.observe.ranges import unwrap64
from mbtest.observe.state import Connection, Duty, Fallback, Manner, Mode, Owed
from mbtest.wire import (
    RST,
    AddAddr,
    MpCapable,
    MpFail,
    MpFastclose,
    MpJoin,
    MpPrio,
    MptcpOption,
    MpTcprst,
    RemoveAddr,
)
from mbtest.wire.describe import option_words
from mbtest.wire.keys import add_addr_hmac

if TYPE_CHECKING:
    from mbtest.observe.host import HostTrace

KEPT_FAILURES = 8


def take(host: HostTrace, moment: Moment, option: MptcpOption) -> None:
    """Take in one MPTCP option."""
    if option is moment.dss:
        _take_dss(moment)
    elif isinstance(option, MpCapable):
        handshakes.take_capable(host, moment, option)
    elif isinstance(option, MpJoin):
        handshakes.take_join(host, moment, option)
    elif isinstance(option, AddAddr):
        _take_address(host, moment, option)
    elif isinstance(option, RemoveAddr):
        if moment.sent:
            for identifier in option.address_ids:
                moment.connection.ids.pop(identifier, None)
        note(host, moment, option_words(option))
    elif isinstance(option, MpFail):
        _take_fail(host, moment, option)
    elif isinstance(option, MpFastclose):
        _take_fastclose(host, moment, option)
    elif isinstance(option, MpPrio):
        moment.own.backup, moment.own.backup_at = option.backup, moment.time
        note(host, moment, option_words(option))
    elif isinstance(option, MpTcprst):
        note(host, moment, option_words(option))


# -- Data ----------------------------------------------------------------------------------------------------


def _take_dss(moment: Moment) -> None:
    connection = moment.connection
    if not moment.sent:
        connection.seen_dss = True
        # §3.3.2 speaks of data that is received: neither of a lone DATA_FIN nor of a mapping whose octets
        # are not in the segment, which a box may have made up.
        mapping, dss = moment.mapping, moment.dss
        if moment.size and mapping is not None and dss is not None and _maps_any(moment, mapping):
            if dss.dsn_64:
                connection.wide_seen = True
            else:
                connection.narrow_seen = True
    data_ack = moment.data_ack
    if data_ack is None:
        return
    stream = connection.peer if moment.sent else connection.own
    if stream.acked is None or data_ack > stream.acked:
        stream.acked, stream.waiting = data_ack, moment.time
        if moment.sent:
            owed = connection.data_owed
            if owed is not None:
                full = data_ack >= stream.arrived.front or stream.uncertain
                connection.data_owed = None if full else owed._replace(frame=moment.frame, time=moment.time)
    if stream.fin is not None and not stream.fin_acked and data_ack > stream.fin and not moment.late:
        stream.fin_acked = True
        _look_whether_ended(connection, moment)
    if moment.window >= 0 and not moment.flags & RST:
        edge = data_ack + moment.window
        if moment.sent:
            if connection.right_edge is None or edge > connection.right_edge:
                connection.right_edge = edge
        elif connection.send_edge is None or edge > connection.send_edge:
            connection.send_edge = edge


def _maps_any(moment: Moment, mapping: Mapping) -> bool:
    """Whether any octet of a segment is one of a mapping's."""
    return mapping.start < moment.start + moment.size and moment.start < mapping.end


def _look_whether_ended(connection: Connection, moment: Moment) -> None:
    """Look whether both DATA_FINs were acknowledged (RFC 8684 §3.3.3)."""
    if connection.own.fin_acked and connection.peer.fin_acked:
        connection.ended_at = moment.time
        for subflow in connection.subflows:
            if subflow.usable:
                connection.owe(Duty.FIN, moment.frame, moment.time, subflow.key)


def take_mapping(host: HostTrace, moment: Moment, half: Half) -> None:
    """Take in the mapping of a segment."""
    mapping, connection = moment.mapping, moment.connection
    assert mapping is not None
    stream = connection.own if moment.sent else connection.peer
    if mapping.infinite:
        _take_infinite(host, moment, mapping)
    end = mapping.data + mapping.length
    if mapping.fin and stream.fin is None:
        stream.fin, stream.fin_frame = end, moment.frame
        note(host, moment, f"DATA_FIN, octet {end}")
    # A DATA_FIN can be told ahead of the data before it, so that `top` says nothing of that.
    is_new_there = mapping.length and mapping.start >= max(half.top, 1)
    if moment.sent and is_new_there and stream.arrived.has(mapping.data, end):
        connection.reinjections += 1
    if end + mapping.fin > stream.top:
        if (stream.acked or 1) >= stream.top:
            stream.waiting = moment.time
        stream.top = end + mapping.fin
    if mapping.fin and not mapping.length:
        _arrived(connection, moment, end, end + 1)
        return
    if not moment.sent:
        _look_at_presence(moment, mapping)
        _look_at_place(moment, mapping)
    if mapping.fin and _is_of_known(half, mapping):
        _arrived(connection, moment, end, end + 1)
    is_at_odds = half.mapped.clash(mapping) is not None
    if not moment.sent and (
        is_at_odds or (moment.size and mapping.length and not _maps_any(moment, mapping))
    ):
        connection.clashed = True
    if not is_at_odds:
        _pieces(host, moment, half, half.mapped.declare(mapping))


def _look_at_presence(moment: Moment, mapping: Mapping) -> None:
    """Look whether a mapping has a checksum where there is none, or the other way round (RFC 8684 §3.3)."""
    connection = moment.connection
    if moment.dss is None or mapping.infinite or connection.checksum is None or not connection.is_mptcp:
        return
    if (mapping.checksum is None) is connection.checksum:
        moment.own.mapped.lacked = connection.peer.uncertain = True
        if not moment.late:
            connection.owe(Duty.CHECKSUM, moment.frame, moment.time, moment.subflow.key)


def _look_at_place(moment: Moment, mapping: Mapping) -> None:
    """Look whether a mapping claims octets that came before it."""
    mapped, connection = moment.own.mapped, moment.connection
    if mapping.checksum is None or moment.late or mapping.start >= mapped.taken.front:
        return
    if connection.misplaced is None and moment.size and mapped.same(mapping) is None:
        connection.misplaced = moment.frame


def _is_of_known(half: Half, mapping: Mapping) -> bool:
    """Whether a mapping only adds a DATA_FIN: its octets have come, or have a mapping without one."""
    known = half.mapped.same(mapping)
    return half.mapped.taken.has(mapping.start, mapping.end) or (known is not None and not known.fin)


def _take_infinite(host: HostTrace, moment: Moment, mapping: Mapping) -> None:
    connection = moment.connection
    manner = Manner.INFINITE_SENT if moment.sent else Manner.INFINITE_RECEIVED
    if moment.sent:
        if connection.infinite_sent is None:
            connection.infinite_sent = moment.frame
            note(host, moment, f"infinite mapping from octet {mapping.data}")
    else:
        if connection.infinite_received is None:
            connection.infinite_received = moment.frame
            note(host, moment, f"infinite mapping from octet {mapping.data}")
        in_order = moment.start <= moment.subflow.peer.mapped.taken.front
        if connection.infinite_arrival is None and in_order and not moment.late:
            connection.infinite_arrival = Arrival.of(moment)
    if connection.fallback is None:
        connection.fallback = Fallback(moment.frame, moment.time, manner, mapping.data)
        connection.data_owed = None


def take_data(host: HostTrace, moment: Moment, half: Half, start: int) -> None:
    """Take in the octets of a segment. start: the offset of the first one on the subflow."""
    connection = moment.connection
    payload = moment.segment.payload
    # What is new alone, so that they are in order.
    if moment.sent and start + len(payload) > max(half.acked, half.top):
        half.hold(start, payload)
    if connection.mode is Mode.TCP:
        half.mapped.taken.add(start, start + len(payload))
        return
    _pieces(host, moment, half, half.mapped.arrive(start, payload))
    if not moment.options and half.plain is None:
        low = max(start, half.acked)
        infinite = half.mapped.infinite
        if low < start + len(payload) and (
            (infinite is not None and infinite.start <= low)
            or not half.mapped.covers(low, start + len(payload))
        ):
            half.plain = moment.frame
            if moment.sent and moment.subflow.kind == "initial" and connection.is_mptcp:
                manner = Manner.SILENT
                connection.fallback = Fallback(moment.frame, moment.time, manner)
                note(host, moment, f"data without a mapping: regular TCP, {manner.value}")


def _pieces(host: HostTrace, moment: Moment, half: Half, pieces: list[tuple[Mapping, int, int]]) -> None:
    """Pass on what is new of a subflow's octets to the stream that they are of."""
    connection = moment.connection
    for mapping, left, right in pieces:
        shift = mapping.data - mapping.start
        if mapping.checksum is None or mapping.infinite or connection.checksum is not True:
            if half.mapped.broken_at is None:
                fin = mapping.fin and right == mapping.end
                _arrived(connection, moment, left + shift, right + shift + fin)
            continue
        if mapping.until < mapping.end:
            continue
        stream = connection.own if moment.sent else connection.peer
        connection.checksums_checked += 1
        if not (stream.wide and stream.base is not None) or mapping.is_right(stream.base):
            if half.mapped.broken_at is None:
                _arrived(connection, moment, mapping.data, mapping.data + mapping.length + mapping.fin)
        elif moment.sent:
            if host.judge is not None:
                host.judge.checked(host, moment, mapping)
        elif connection.fallback is None and not moment.late:
            # TCP drops a duplicate with what is in it: a mapping there says nothing of what came before it.
            connection.failures = [*connection.failures, mapping][-KEPT_FAILURES:]
            connection.failed = min(mapping.data, connection.failed or mapping.data)
            if half.mapped.broken_at is not None:
                continue
            half.mapped.broken_at = mapping
            last = mapping.data + mapping.length - 1
            note(host, moment, f"the checksum of octets {mapping.data} to {last} is wrong", found=True)
            connection.owe(Duty.FAILURE, moment.frame, moment.time, moment.subflow.key)


def _arrived(connection: Connection, moment: Moment, start: int, end: int) -> None:
    if moment.sent:
        connection.own.arrived.add(start, end)
        return
    stream = connection.peer
    stream.arrived.add(start, end)
    if connection.right_edge is not None and end > connection.right_edge + 1:
        stream.uncertain = True
    owes = (stream.acked or 0) < stream.arrived.front and not stream.uncertain
    if owes and connection.data_owed is None and not moment.late and connection.is_mptcp:
        connection.data_owed = Owed(Duty.DATA_ACK, moment.frame, moment.time)


def take_progress(moment: Moment, ack: int) -> None:
    """Data is acknowledged on a subflow, up to `ack` (RFC 8684 §3.7)."""
    half, connection = moment.other, moment.connection
    if ack <= 1 or half.data_acked or (half.fin is not None and half.acked <= 1 and ack == half.fin + 1 == 2):
        return
    if moment.data_ack is not None:
        half.data_acked = True
        return
    if moment.sent:
        return
    # A Data ACK of the IDSN plus one acknowledges nothing: it goes with the peer's own data (§3.3.2).
    is_first = (connection.own.acked or 1) <= 1 and not connection.joins_seen
    first = moment.subflow.kind == "initial" and is_first
    if first and connection.is_mptcp and half.segments and connection.path_broken is None:
        connection.path_broken = Arrival.of(moment)


# -- Addresses, failures, ends -------------------------------------------------------------------------------


def _take_address(host: HostTrace, moment: Moment, option: AddAddr) -> None:
    connection = moment.connection
    subject = (option.address_id, option.address, option.port)
    if moment.sent:
        if option.echo:
            connection.settle(Duty.ECHO, subject)
        else:
            connection.ids.setdefault(option.address_id, option.address)
            note(host, moment, option_words(option))
        return
    if option.echo or connection.key is None or connection.peer_key is None:
        return
    right = add_addr_hmac(
        connection.peer_key, connection.key, option.address_id, option.address, option.port or 0
    )
    if right != option.hmac:
        note(host, moment, f"{option_words(option)}, whose HMAC is wrong", found=True)
        connection.misannounced.add(subject)
        return
    if subject not in connection.announced:
        note(host, moment, option_words(option))
    connection.announced[subject] = option
    connection.peer_addresses.add((option.address, option.port or 0))
    if connection.is_mptcp and not moment.late:
        connection.owe(Duty.ECHO, moment.frame, moment.time, subject)


def _take_fail(host: HostTrace, moment: Moment, option: MpFail) -> None:
    connection = moment.connection
    reset = bool(moment.flags & RST)
    stream = connection.peer if moment.sent else connection.own
    failed = None
    if stream.base is not None and stream.wide:
        failed = unwrap64(option.dsn - stream.base, stream.arrived.front)
    named = "" if failed is None else f", octet {failed}"
    note(host, moment, f"MP_FAIL{' on a RST' if reset else ''}{named}")
    if moment.sent:
        connection.settle(Duty.FAIL_ANSWER)
        connection.settle(Duty.FAILURE)
        if connection.fail_frame is None:
            connection.fail_frame = moment.frame
        if not reset and connection.fail_sent is None:
            connection.fail_sent = failed
        return
    if reset:
        connection.fail_on_reset = connection.fail_on_reset or moment.frame
    elif connection.fail_received is None:
        connection.fail_received = moment.frame
    if not reset and not moment.late:
        if connection.fail_arrival is None:
            connection.fail_arrival = Arrival.of(moment)
        if connection.fail_frame is None:
            connection.owe(Duty.FAIL_ANSWER, moment.frame, moment.time)


def _take_fastclose(host: HostTrace, moment: Moment, option: MpFastclose) -> None:
    connection = moment.connection
    note(host, moment, "MP_FASTCLOSE")
    if moment.sent:
        connection.fastclose_sent = connection.fastclose_sent or moment.frame
    else:
        connection.fastclose_received = connection.fastclose_received or moment.frame
        if option.receiver_key == connection.key and not moment.flags & RST and not moment.late:
            connection.owe(Duty.FAST_RESET, moment.frame, moment.time, moment.subflow.key)


def take_reset(host: HostTrace, moment: Moment) -> None:
    """Take in the first RST of a direction."""
    note(host, moment, "RST")
    connection = moment.connection
    for duty in (Duty.RESET, Duty.CHECKSUM, Duty.FAST_RESET, Duty.JOIN_ACK, Duty.JOIN_HMAC, Duty.FIN):
        connection.settle(duty, moment.subflow.key)
    if moment.subflow.own.fin is None:
        # After a FIN it is no answer to anything, but the RST of a port that is closed.
        connection.settle(Duty.FAILURE, moment.subflow.key)
    _look_whether_closed(moment)


def take_fin(host: HostTrace, moment: Moment) -> None:
    """Take in the first FIN of a direction."""
    note(host, moment, "FIN")
    if moment.sent:
        moment.connection.settle(Duty.FIN, moment.subflow.key)
    _look_whether_closed(moment)


def _look_whether_closed(moment: Moment) -> None:
    connection = moment.connection
    connection.closed_at = moment.time if all(subflow.closed for subflow in connection.subflows) else None
