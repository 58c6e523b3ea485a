"""Data sequence mappings (RFC 8684 §3.3.1): those that a subflow declares, and those that its peer declares.

Offsets are unwrapped: on a subflow the SYN has offset 0 and the first octet of data 1, which is the relative
subflow sequence number of the wire; in a data stream the MP_CAPABLE has offset 0 and the first octet 1.
"""

from __future__ import annotations

from bisect import bisect_right

from mbtest.wire.checksum import dss_checksum

MASK_64 = 0xFFFF_FFFF_FFFF_FFFF


class Mapping:
    """A mapping: octets of a subflow to octets of the data stream. Never changed once it is declared."""

    __slots__ = ("capable", "checksum", "data_fin", "data_start", "length", "start")

    def __init__(
        self,
        start: int,
        data_start: int,
        length: int,
        checksum: int | None = None,
        data_fin: bool = False,
        capable: bool = False,
    ) -> None:
        """Map `length` octets from `start` of the subflow to `data_start` of the stream.

        length: without the octet that a DATA_FIN takes; 0 with neither payload nor DATA_FIN is an
        infinite mapping. capable: it travels in MP_CAPABLE, not in a DSS.
        """
        self.start = start
        self.data_start = data_start
        self.length = length
        self.checksum = checksum
        self.data_fin = data_fin
        self.capable = capable

    @property
    def end(self) -> int:
        """The offset on the subflow of the first octet that is not mapped."""
        return self.start + self.length

    @property
    def data_end(self) -> int:
        """The offset in the stream after the last one mapped, a DATA_FIN's included."""
        return self.data_start + self.length + self.data_fin

    @property
    def infinite(self) -> bool:
        """Whether this maps all that follows (RFC 8684 §3.3.1, §3.7)."""
        return self.length == 0 and not self.data_fin

    def same_as(self, other: Mapping) -> bool:
        """Whether the other mapping says the same of the same octets; a DATA_FIN may have joined them."""
        return (
            self.start == other.start and self.data_start == other.data_start and self.length == other.length
        )

    def expected_checksum(self, idsn: int, payload: bytes) -> int:
        """Return the checksum that the mapping of this payload has (RFC 8684 §3.3.1, figure 10).

        idsn: the sender's initial data sequence number. A DATA_FIN counts in the length alone.
        """
        # A DATA_FIN without data is mapped with subflow sequence number 0 (§3.3.3).
        return dss_checksum(
            (idsn + self.data_start) & MASK_64,
            self.start if self.length else 0,
            self.length + self.data_fin,
            payload,
        )

    def is_intact(self, idsn: int, payload: bytes) -> bool:
        """Whether the checksum is that of this payload; 0x0000 and 0xffff are one checksum."""
        return self.checksum is None or (self.checksum - self.expected_checksum(idsn, payload)) % 65535 == 0


class PeerMappings:
    """The mappings that a peer declared on one subflow, for octets that were not passed on yet."""

    __slots__ = ("_found", "_limit", "_starts")

    def __init__(self, limit: int) -> None:
        """Begin without any. limit: how many are kept at most."""
        self._limit = limit
        self._starts: list[int] = []
        self._found: list[Mapping] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, mapping: Mapping) -> str:
        """Keep a mapping; return in words why not, where it is not kept, and nothing for one known before.

        RFC 8684 §3.3.1: a mapping, once declared, is never changed; so the first one counts.
        """
        starts = self._starts
        if not starts or mapping.start >= self._found[-1].end:
            if len(starts) >= self._limit:
                return f"{self._limit} mappings without their data are kept; no room for another"
            starts.append(mapping.start)
            self._found.append(mapping)
            return ""
        at = bisect_right(starts, mapping.start)
        for other in self._found[max(0, at - 1) : at + 1]:
            if other.same_as(mapping):
                return ""
            if mapping.start < other.end and other.start < mapping.end:
                return (
                    f"a mapping of {mapping.length} octets at subflow sequence number {mapping.start} "
                    f"contradicts that of {other.length} at {other.start}"
                )
        if len(starts) >= self._limit:
            return f"{self._limit} mappings without their data are kept; no room for another"
        starts.insert(at, mapping.start)
        self._found.insert(at, mapping)
        return ""

    def at(self, offset: int) -> Mapping | None:
        """Return the mapping that covers an offset of the subflow, or None."""
        found = self._found
        if not found:
            return None
        first = found[0]
        if first.start <= offset < first.start + first.length:
            return first
        at = bisect_right(self._starts, offset) - 1
        if at < 0:
            return None
        mapping = found[at]
        return mapping if offset < mapping.start + mapping.length else None

    def first(self) -> Mapping | None:
        """Return the mapping with the lowest offset, or None."""
        return self._found[0] if self._found else None

    def forget_before(self, offset: int) -> None:
        """Drop mappings that end at or before an offset: their octets were passed on."""
        found = self._found
        done = 0
        while done < len(found) and found[done].end <= offset:
            done += 1
        if done:
            del found[:done]
            del self._starts[:done]
