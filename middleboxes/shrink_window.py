"""A box that lowers windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment


class ShrinkWindow(Middlebox):
    """Lowers the windows that receivers offer, as bandwidth managers and proxies short of memory do.

    The field is changed as it stands, whatever its scale; a window that was open stays open by 1. Aim it
    at the direction in which acknowledgments travel. Everything but the window passes as it is.
    """

    divisor: Annotated[int, Parameter("what windows are divided by", low=1, high=65535)] = 1
    most: Annotated[int, Parameter("largest window field let through", "as on the wire", 1, 65535)] = 65535

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        window = segment.window
        lower = min(window // self.divisor, self.most) or min(window, 1)
        return (segment,) if lower == window else (segment.replace(window=lower),)
