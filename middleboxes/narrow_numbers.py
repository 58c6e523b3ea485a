"""A box that shortens the numbers of DSS options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import changed
from mbtest.wire import Dss, Segment

_LOW = 0xFFFF_FFFF


class NarrowNumbers(Middlebox):
    """Puts the lower 32 bits in the place of DSNs and Data ACKs of 64, as a compressor of headers may.

    So may any sender whose data is slow enough (RFC 8684 §3.3.1). A DSS checksum stays right, as it is of
    the 64 bits in any case; what else a segment has stays as it is.
    """

    numbers: Annotated[Literal["both", "dsn", "data_ack"], Parameter("which numbers are shortened")] = "both"

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if segment.option(Dss) is None:
            return (segment,)
        return (
            segment.with_options(
                self._narrow(option) if isinstance(option, Dss) else option for option in segment.options
            ),
        )

    def _narrow(self, dss: Dss) -> Dss:
        if self.numbers != "data_ack" and dss.dsn is not None:
            dss = changed(dss, dsn=dss.dsn & _LOW, dsn_64=False)
        if self.numbers != "dsn" and dss.data_ack is not None:
            dss = changed(dss, data_ack=dss.data_ack & _LOW, data_ack_64=False)
        return dss
