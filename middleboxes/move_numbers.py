"""A box that adds to numbers in MPTCP options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import changed
from mbtest.wire import Dss, Segment, TcpOption

_BITS = {"dsn": 64, "data_ack": 64, "subflow_sequence": 32, "length": 16}
_SHORT = 32


class MoveNumbers(Middlebox):
    """Adds to one number of each DSS, as a proxy does that cuts or joins data and miscounts.

    Numbers wrap in as many bits as they have on the wire. `FlipBits` moves a number now up, now down, as
    its bits happen to be; this box goes one way. A DSS checksum is not mended, a DSS without the number
    passes as it is, and so does all else that a segment has.
    """

    field: Annotated[
        Literal["dsn", "data_ack", "subflow_sequence", "length"],
        Parameter("the number, as mbtest.wire names it"),
    ]
    by: Annotated[int, Parameter("what is added", "octets", -(2**63), 2**63)]

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if segment.option(Dss) is None:
            return (segment,)
        return (segment.with_options(map(self._moved, segment.options)),)

    def _moved(self, option: TcpOption) -> TcpOption:
        has_it = isinstance(option, Dss) and (
            option.data_ack is not None if self.field == "data_ack" else option.has_mapping
        )
        if not has_it:
            return option
        is_short = not getattr(option, f"{self.field}_64", True)
        bits = _SHORT if is_short else _BITS[self.field]
        return changed(option, **{self.field: getattr(option, self.field) + self.by & (1 << bits) - 1})
