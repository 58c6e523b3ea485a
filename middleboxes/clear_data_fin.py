"""A box that takes DATA_FIN away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import changed
from mbtest.wire import Dss, Segment
from mbtest.wire.checksum import mend


class ClearDataFin(Middlebox):
    """Takes DATA_FIN out of DSS options, as a filter of single MPTCP signals does.

    The octet of data sequence space that it takes goes from the mapping's length, and from the checksum,
    unless they are left; a mapping of nothing else goes altogether. FIN, data, Data ACKs and all other
    options pass as they are.
    """

    length: Annotated[
        Literal["mended", "left"], Parameter("the data-level length, and with it the checksum")
    ] = "mended"

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not any(isinstance(option, Dss) and option.data_fin for option in segment.options):
            return (segment,)
        self.note(segment, "took DATA_FIN away")
        return (
            segment.with_options(
                self._cleared(option) if isinstance(option, Dss) and option.data_fin else option
                for option in segment.options
            ),
        )

    def _cleared(self, option: Dss) -> Dss:
        cleared = changed(option, data_fin=False)
        if self.length == "left" or option.dsn is None or option.infinite:
            return cleared
        length = option.length - 1
        if length == 0:
            return changed(cleared, dsn=None, dsn_64=False, length=0, checksum=None)
        checksum = None if option.checksum is None else mend(option.checksum, option.length, length)
        return changed(cleared, length=length, checksum=checksum)
