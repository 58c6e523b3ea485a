"""A box that changes the scale of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.wire import Segment, WindowScale

LARGEST_SHIFT = 14
"""RFC 7323 §2.3."""


class RewriteWindowScale(Middlebox):
    """Puts another scale in the place of the one that a SYN offers, as proxies of SYNs do.

    A device that answers for a host offers a scale of its own, and may not mend the windows that follow:
    the two ends then read one window in two ways. Windows, and SYNs that offer no scale, pass as they are.
    """

    change: Annotated[int | None, Parameter("added to the scale, up to 14; none removes it", "", -14, 14)] = (
        None
    )

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        scale = segment.option(WindowScale) if segment.syn else None
        if scale is None:
            return (segment,)
        if self.change is None:
            return (segment.without_options(WindowScale),)
        other = WindowScale(min(max(0, scale.shift + self.change), LARGEST_SHIFT))
        return (segment.with_options(other if option == scale else option for option in segment.options),)
