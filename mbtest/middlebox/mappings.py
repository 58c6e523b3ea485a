"""Mappings of data sequence numbers as a box sees them, over the stream offsets of a subflow."""

from __future__ import annotations

from typing import NamedTuple

from mbtest.wire import Dss, MpCapable, Segment, Seq64
from mbtest.wire.keys import initial_data_sequence_number


class Mapping(NamedTuple):
    """Stream offsets from `start` to `end`, of which the first has the data sequence number `dsn`."""

    start: int
    end: int
    dsn: Seq64
    data_fin: bool = False
    """Whether the number behind the last octet is that of a DATA_FIN."""


class Mappings:
    """The mappings with checksums that were declared for one direction of a subflow.

    Those with DSNs of 32 bits are not kept, as a checksum is of all 64. The box has to see the SYN, and at
    most 4 GiB: subflow sequence numbers have 32 bits.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._declared: list[Mapping] = []

    def learn(self, segment: Segment) -> Mapping | None:
        """Keep and return the mapping that a segment declares; forget all with an infinite one."""
        dss = segment.option(Dss)
        if dss is not None and dss.infinite:
            self._declared.clear()
            return None
        mapping = _declared(segment.option(MpCapable), dss)
        if mapping is not None and mapping not in self._declared[-1:]:
            self._declared.append(mapping)
        return mapping

    def parts(self, start: int, end: int, most: int) -> list[Mapping]:
        """Return the mappings of `start` to `end`, cut to at most `most` octets; none if an octet has none.

        Of several mappings of an octet the latest counts.
        """
        parts: list[Mapping] = []
        while start < end:
            whole = next((one for one in reversed(self._declared) if one.start <= start < one.end), None)
            if whole is None:
                return []
            stop = min(end, whole.end, start + most)
            is_last = whole.data_fin and stop == whole.end
            parts.append(Mapping(start, stop, whole.dsn + (start - whole.start), is_last))
            start = stop
        return parts


def _declared(capable: MpCapable | None, dss: Dss | None) -> Mapping | None:
    if capable is not None and capable.sender_key is not None and capable.data_length is not None:
        first = initial_data_sequence_number(capable.sender_key) + 1
        return Mapping(0, capable.data_length, first) if capable.checksum is not None else None
    if dss is None or dss.dsn is None or not dss.dsn_64 or dss.checksum is None:
        return None
    # A DATA_FIN without data has the subflow sequence number 0, and maps none (RFC 8684 §3.3.3).
    if dss.subflow_sequence == 0:
        return None
    start = dss.subflow_sequence - 1
    return Mapping(start, start + dss.length - dss.data_fin, Seq64(dss.dsn), dss.data_fin)
