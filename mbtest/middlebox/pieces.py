"""Segments cut to pieces that say the same, and pieces joined to one segment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mbtest.errors import LocalProtocolError
from mbtest.wire import (
    ACK,
    CWR,
    ECE,
    FIN,
    PSH,
    SYN,
    URG,
    EndOfOptionList,
    MptcpOption,
    NoOperation,
    Segment,
    TcpOption,
)

_ON_FIRST = SYN | CWR
_ON_LAST = FIN | PSH


def cut(segment: Segment, sizes: Sequence[int]) -> list[Segment]:
    """Return the segment in pieces of `sizes` (octets of data), the way segmentation offload cuts.

    Every piece has all options. SYN and CWR stay on the first piece, FIN and PSH on the last; the urgent
    pointer goes on pointing at the same octet, and pieces behind it have none. IPv4 identifications
    count up. The checksums of pieces are right, so do not cut a segment whose checksum is wrong.
    Raises LocalProtocolError unless the sizes are those of all the data.
    """
    if sum(sizes) != segment.payload_length or any(size < 0 for size in sizes):
        raise LocalProtocolError(f"{sizes} do not add up to {segment.payload_length} octets of data")
    if len(sizes) < 2:
        return [segment]
    payload, flags, urgent = segment.payload, segment.flags, segment.urgent
    identification = segment.identification if segment.version == 4 else None
    pieces = []
    start, last = 0, len(sizes) - 1
    for number, size in enumerate(sizes):
        piece_flags, pointer = flags, urgent
        if number > 0:
            piece_flags &= ~_ON_FIRST
            pointer = max(0, urgent - start)
            if pointer == 0:
                piece_flags &= ~URG
        if number < last:
            piece_flags &= ~_ON_LAST
        pieces.append(
            segment.replace(
                seq=segment.seq + (start + segment.syn if number else 0),
                flags=piece_flags,
                urgent=pointer,
                payload=payload[start : start + size],
                identification=None if identification is None else (identification + number) & 0xFFFF,
            )
        )
        start += size
    return pieces


def sized(length: int, size: int) -> list[int]:
    """Return the sizes of the pieces of `length` octets: `size` each, the last what is left."""
    sizes = [size] * (length // size)
    return [*sizes, length % size] if length % size or not sizes else sizes


def divided(length: int, number: int) -> list[int]:
    """Return the sizes of `number` pieces of `length` octets, as even as can be, none of them empty."""
    number = max(1, min(number, length))
    size, larger = divmod(length, number)
    return [size + 1] * larger + [size] * (number - larger)


def can_join(segment: Segment) -> bool:
    """Whether `segment` is plain data: no control bit but ACK, PSH and ECE, and a right checksum."""
    plain = segment.payload_length > 0 and segment.flags & ~(PSH | ECE) == ACK
    return plain and segment.checksum_is_right()


def follows(segment: Segment, earlier: Segment) -> bool:
    """Whether plain data of a flow goes on from `earlier`, under headers that one segment can have."""
    return (
        segment.seq == earlier.next_seq
        and segment.ack >= earlier.ack
        and (segment.flags ^ earlier.flags) & ECE == 0
        and segment.traffic_class == earlier.traffic_class
        and segment.ttl == earlier.ttl
    )


def join(segments: Sequence[Segment], options: Iterable[TcpOption]) -> Segment:
    """Return one segment with the data of all, each of which `follows` the one before.

    Acknowledgment and window are those of the last, PSH is that of any, the IP header is the first's.
    """
    last = segments[-1]
    return segments[0].replace(
        payload=b"".join([segment.payload for segment in segments]),
        options=options,
        ack=last.ack,
        window=last.window,
        flags=last.flags | (PSH if any(segment.psh for segment in segments) else 0),
    )


def joined_options(first: Sequence[TcpOption], second: Sequence[TcpOption]) -> tuple[TcpOption, ...]:
    """Return the MPTCP options of both, each once, behind the other options of the second.

    The others, timestamps say, cannot stand twice in a segment.
    """
    signals = [option for option in (*first, *second) if isinstance(option, MptcpOption)]
    left_out = (MptcpOption, NoOperation, EndOfOptionList)
    return (*(option for option in second if not isinstance(option, left_out)), *dict.fromkeys(signals))
