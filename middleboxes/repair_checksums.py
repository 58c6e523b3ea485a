"""A box that knows MPTCP and mends the checksums of data that others changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, FlowTable, HalfFlow, Middlebox, Parameter, cut
from mbtest.middlebox.mappings import Mapping, Mappings
from mbtest.middlebox.options import MAX_OPTIONS, bare, changed, octets
from mbtest.wire import Dss, MpCapable, MptcpOption, Segment, TcpOption
from mbtest.wire.checksum import dss_checksum

_HEADER = 60
"""Octets of the largest TCP header."""


class RepairChecksums(Middlebox):
    """Gives data DSS checksums that fit it, as a gateway that knows MPTCP does (RFC 8684 §3.7, §6).

    It stands behind the box that changed data and left its length. A checksum covers a whole mapping, most
    of which has not come yet when its first segment goes on: so each segment gets a mapping of its own,
    which says of its octets what the sender's said. Data without checksums, data that no mapping seen here
    covers or for whose mapping there is no room, and data with DSNs of 32 bits pass as they are.
    """

    largest: Annotated[
        int, Parameter("largest IP packet made; what a mapping makes larger is cut", "octets", 576, 65535)
    ] = 1500

    def start(self) -> None:
        self._flows = FlowTable()
        self._mappings: defaultdict[HalfFlow, Mappings] = defaultdict(Mappings)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        half = self._flows.flow(segment, direction).half(segment, direction)
        seen = self._flows.sight(segment, direction)
        own = self._mappings[half].learn(segment)
        if not segment.payload_length or not segment.checksum_is_right():
            return (segment,)
        most = segment.payload_length if own else self.largest - segment.transport - _HEADER
        parts = self._mappings[half].parts(seen.start, seen.end, most)
        if not parts:
            return (segment,)
        pieces = cut(segment, [part.end - part.start for part in parts])
        options = [_options(piece, part) for piece, part in zip(pieces, parts, strict=True)]
        if max(octets(some) for some in options) > MAX_OPTIONS:
            return (segment,)
        return [piece.with_options(some) for piece, some in zip(pieces, options, strict=True)]


def _options(piece: Segment, part: Mapping) -> Sequence[TcpOption]:
    """Return the options of a piece with the mapping and the checksum that fit its data."""
    capable, dss = piece.option(MpCapable), piece.option(Dss)
    length = part.end - part.start + part.data_fin
    checksum = dss_checksum(part.dsn, part.start + 1, length, piece.payload)
    if capable is not None and part.start == 0:
        signal: MptcpOption = changed(capable, data_length=length, checksum=checksum)
    else:
        signal = changed(
            dss or Dss(),
            dsn=int(part.dsn),
            dsn_64=True,
            subflow_sequence=part.start + 1,
            length=length,
            checksum=checksum,
            data_fin=part.data_fin,
        )
    carrier = capable or dss
    if carrier is None:
        return (*bare(piece.options), signal)
    options = [signal if option is carrier else option for option in piece.options]
    return options if octets(options) <= MAX_OPTIONS else bare(options)
