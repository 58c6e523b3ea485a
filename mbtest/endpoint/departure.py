"""A segment leaves a subflow: its flags, its window, its options (RFC 9293 §3.1, RFC 7323, RFC 2018).

When something is to be sent is decided in `subflow` and `timers`; here it gets its form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mbtest.endpoint.configuration import MILLISECOND
from mbtest.endpoint.profiles import Carrier
from mbtest.endpoint.states import Tcp
from mbtest.wire.block import MAX_OPTIONS
from mbtest.wire.mptcp import MptcpOption
from mbtest.wire.options import (
    MaximumSegmentSize,
    NoOperation,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)
from mbtest.wire.packet import ACK, FIN, PSH, RST, SYN

if TYPE_CHECKING:
    from mbtest.endpoint.subflow import Subflow
    from mbtest.endpoint.transmission import Chunk

MASK_32 = 0xFFFF_FFFF
LARGEST_SHIFT = 14
LARGEST_FIELD = 65_535
_NOP = NoOperation()


def shift_for(buffer: int) -> int:
    """Return the window scale that lets a whole buffer be advertised (RFC 7323 §2.2, §2.3)."""
    return min(max(0, buffer.bit_length() - LARGEST_FIELD.bit_length()), LARGEST_SHIFT)


def clock(subflow: Subflow) -> int:
    """Return the timestamp clock: milliseconds (RFC 7323 §5.4 has 1 ms to 1 s a tick), 32 bits."""
    return (subflow.now // MILLISECOND + subflow.iss) & MASK_32


def send_syn(subflow: Subflow, chunk: Chunk) -> None:
    """Send the SYN or SYN/ACK. Its window is not scaled (RFC 7323 §2.2)."""
    answering = subflow.tcp.state is Tcp.SYN_RECEIVED
    options: list[TcpOption] = [MaximumSegmentSize(subflow.own_mss)]
    if subflow.sack:
        options.append(SackPermitted())
    if subflow.timestamps:
        options.append(Timestamps(clock(subflow), subflow.ts_recent if answering else 0))
    if subflow.scaling:
        options += [_NOP, WindowScale(subflow.receive_shift)]
    options += subflow.owner.signals(subflow, Carrier.SYN, chunk)
    window = subflow.owner.window_field(0, subflow.own_mss)
    subflow.advertised = max(subflow.advertised, 1 + window)
    _emit(subflow, 0, SYN | ACK if answering else SYN, b"", options, window)


def send_chunk(subflow: Subflow, chunk: Chunk) -> None:
    """Send data, a FIN, or both."""
    flags = ACK
    if chunk.fin:
        flags |= FIN
    if chunk.payload and chunk.pushes and not subflow.out.waiting:
        flags |= PSH
    carrier = Carrier.DATA if chunk.payload else Carrier.ACK
    _send(subflow, chunk.start, flags, chunk.payload, subflow.owner.signals(subflow, carrier, chunk))


def send_ack(subflow: Subflow, signals: Sequence[MptcpOption]) -> None:
    """Send an ACK, with these options before those that belong on any, as far as there is room."""
    options = _departing(subflow, signals, Carrier.ACK)
    room = subflow.options_room - _size(options)
    for option in subflow.owner.signals(subflow, Carrier.ACK, None):
        size = len(option.encode())
        if size <= room:
            options.append(option)
            room -= size
    _send(subflow, subflow.out.nxt, ACK, b"", options)


def send_keep_alive(subflow: Subflow) -> None:
    """Send an ACK for what was acknowledged before, which its receiver has to answer (RFC 9293 §3.8.4)."""
    _send(subflow, subflow.out.nxt - 1, ACK, b"", [])


def send_reset(subflow: Subflow, signals: Sequence[MptcpOption]) -> None:
    """Send a RST at SND.NXT (RFC 9293 §3.10.5)."""
    _send(subflow, subflow.out.nxt, RST | ACK, b"", _departing(subflow, signals, Carrier.RST))


def _departing(subflow: Subflow, signals: Sequence[MptcpOption], carrier: Carrier) -> list[MptcpOption]:
    return [option for signal in signals if (option := subflow.owner.depart(signal, carrier)) is not None]


def _send(subflow: Subflow, offset: int, flags: int, payload: bytes, signals: Sequence[TcpOption]) -> None:
    options: list[TcpOption] = []
    if subflow.timestamps:
        options += (_NOP, _NOP, Timestamps(clock(subflow), subflow.ts_recent))
    options += signals
    if subflow.sack and not payload:
        _add_sack(subflow, options)
    _emit(subflow, offset, flags, payload, options, _window_field(subflow))


def _window_field(subflow: Subflow) -> int:
    """Return the window field, in the unit agreed on, and remember how far it lets the peer go."""
    field = subflow.owner.window_field(subflow.receive_shift, subflow.own_mss)
    edge = subflow.receive_next + (field << subflow.receive_shift)
    subflow.advertised = max(subflow.advertised, edge)
    return field


def _add_sack(subflow: Subflow, options: list[TcpOption]) -> None:
    """Report what is held out of order, as far as there is room (RFC 2018 §3, RFC 2883)."""
    held = subflow.held
    duplicate = held.duplicate
    if duplicate is None and not held.held:
        return
    room = (MAX_OPTIONS - _size(options) - 4) // 8
    if room < 1:
        return
    blocks = [duplicate] if duplicate is not None else []
    blocks += held.blocks(room)
    irs = subflow.irs
    wire = tuple((irs + left & MASK_32, irs + right & MASK_32) for left, right in blocks[:room])
    options += (_NOP, _NOP, Sack(wire))


def _emit(
    subflow: Subflow, offset: int, flags: int, payload: bytes, options: Sequence[TcpOption], window: int
) -> None:
    acknowledgement = 0
    if flags & ACK:
        subflow.last_ack_sent = subflow.receive_next
        acknowledgement = subflow.irs + subflow.last_ack_sent & MASK_32
    sequence = subflow.iss + offset & MASK_32
    subflow.owner.emit(subflow.template.build(sequence, acknowledgement, flags, window, options, payload))


def _size(options: Sequence[TcpOption]) -> int:
    return sum(len(option.encode()) for option in options)
