"""Option blocks: octets to options, and back without loss.

Every octet of a block belongs to exactly one option. What cannot be an option at all (a length below 2,
or past the end of the block) is kept as `Malformed` with all that follows it. So
`encode_options(decode_options(block)) == block` for every block of whole words.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from mbtest.errors import LocalProtocolError
from mbtest.wire.options import (
    END_OF_LIST,
    EXPERIMENTAL,
    MALFORMED,
    NOP,
    Authentication,
    EndOfOptionList,
    Experimental,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Md5Signature,
    NoOperation,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    UnknownOption,
    UserTimeout,
    WindowScale,
)

MAX_OPTIONS = 40
"""Octets that the options of one segment can take: a data offset of 15 words less the fixed header."""
REMEMBERED = 4096
"""Blocks whose options are kept at hand, about 2 MB: more than a run has on its way at any time."""

_END = EndOfOptionList()
_NOP = NoOperation()
_DECODERS: dict[int, type[TcpOption]] = {
    option.KIND: option
    for option in (
        MaximumSegmentSize, WindowScale, SackPermitted, Sack, Timestamps, UserTimeout,
        Md5Signature, Authentication, FastOpen,
    )
} | dict.fromkeys(EXPERIMENTAL, Experimental)  # fmt: skip


_EVERY_LENGTH: set[type[TcpOption]] = {Md5Signature, Authentication, FastOpen}


def register(kind: int, option: type[TcpOption], *, every_length: bool = False) -> None:
    """Have options of `kind` (2 to 255) decoded by `option.decode`.

    every_length: whether it takes options of every length, so that the kind alone tells what they are.
    """
    _DECODERS[kind] = option
    if every_length:
        _EVERY_LENGTH.add(option)
    _kinds_of.cache_clear()
    decode_options.cache_clear()


def spans(block: bytes) -> list[tuple[int, int, int]]:
    """Return (kind, start, end) of each option of a block, in octets; every octet is in one span.

    The kind is MALFORMED (-1) for the rest of a block from a length that cannot be right.
    """
    found: list[tuple[int, int, int]] = []
    position, size = 0, len(block)
    while position < size:
        kind = block[position]
        if kind == NOP:
            end = position + 1
        elif kind == END_OF_LIST:
            end = size
        else:
            length = block[position + 1] if position + 1 < size else 0
            end = position + length
            if length < 2 or end > size:
                kind, end = MALFORMED, size
        found.append((kind, position, end))
        position = end
    return found


def _decode_option(kind: int, data: bytes) -> TcpOption:
    """Return the option of one span."""
    decoder = _DECODERS.get(kind)
    option = decoder.decode(data) if decoder is not None else None
    if option is not None:
        return option
    if kind == NOP:
        return _NOP
    if kind == END_OF_LIST:
        return EndOfOptionList(data[1:]) if len(data) > 1 else _END
    return UnknownOption(kind, data[2:]) if kind != MALFORMED else Malformed(data)


@lru_cache(maxsize=REMEMBERED)
def decode_options(block: bytes) -> tuple[TcpOption, ...]:
    """Return the options of a block of 0 to 40 octets, every octet accounted for."""
    # Boxes, an endpoint, observation and reports all read the same blocks, one soon after the other.
    return tuple(
        [_NOP if kind == NOP else _decode_option(kind, block[start:end]) for kind, start, end in spans(block)]
    )


def encode_options(options: Iterable[TcpOption]) -> bytes:
    """Return the block of these options, padded with no-operations to a whole number of 32-bit words.

    Padding stands last, or before an End of Option List or a malformed rest that stands last: octets
    put behind those would become part of them. Raises LocalProtocolError where the options take more
    than 40 octets, or where a field of one is out of its range.
    """
    options = list(options)
    try:
        pieces = [option.encode() for option in options]
    except (struct.error, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"an option of {options} cannot be encoded: {error}") from error
    tail = pieces.pop() if options and isinstance(options[-1], (EndOfOptionList, Malformed)) else b""
    block = _aligned(b"".join(pieces), tail)
    if len(block) > MAX_OPTIONS:
        raise LocalProtocolError(f"options take {len(block)} octets; a segment has room for {MAX_OPTIONS}")
    return block


def strip_options(block: bytes, forms: tuple[type[TcpOption], ...]) -> bytes:
    """Return `block` without options of these forms, aligned as by `encode_options`.

    Returns `block` itself where it has none. Only what `forms` may concern is decoded.
    """
    certain, possible = _kinds_of(forms)
    # The walk of `spans`, written out: it runs for every frame.
    pieces: list[bytes] = []
    keep_nops = NOP not in certain and NOP not in possible
    kept_from = last = end = kind = 0
    size = len(block)
    while end < size:
        last = end
        kind = block[last]
        if kind == NOP:
            end += 1
            if keep_nops:
                continue
        elif kind == END_OF_LIST:
            end = size
        else:
            length = block[last + 1] if last + 1 < size else 0
            end += length
            if length < 2 or end > size:
                kind, end = MALFORMED, size
        if kind in certain or (kind in possible and isinstance(_decode_option(kind, block[last:end]), forms)):
            pieces.append(block[kept_from:last])
            kept_from = end
    if not pieces:
        return block
    if kind <= END_OF_LIST and kept_from < size:
        pieces.append(block[kept_from:last])
        return _aligned(b"".join(pieces), block[last:])
    if kept_from < size:
        pieces.append(block[kept_from:])
    left = b"".join(pieces)
    return _aligned(left) if len(left) & 3 else left


@lru_cache(maxsize=256)
def _kinds_of(forms: tuple[type[TcpOption], ...]) -> tuple[frozenset[int], frozenset[int]]:
    """Return the kinds of which every option is of one of `forms`, and those of which some may be."""
    certain, possible = set(), set()
    for form in forms:
        if form in _EVERY_LENGTH or form in (NoOperation, EndOfOptionList):
            certain.add(form.KIND)
        elif form.KIND != MALFORMED:
            possible.add(form.KIND)
        else:
            possible.update(range(-1, 256))
    return frozenset(certain), frozenset(possible)


def _aligned(block: bytes, tail: bytes = b"") -> bytes:
    """Return `block` and `tail` as whole words. tail: what nothing may come after."""
    excess = (len(block) + len(tail)) & 3
    return block + b"\x01\x01\x01"[excess - 1 :] + tail if excess else block + tail
