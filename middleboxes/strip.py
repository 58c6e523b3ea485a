"""A box that removes TCP options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions
from mbtest.wire import EndOfOptionList, NoOperation, Segment, TcpOption


class StripOptions(Middlebox):
    """Removes TCP options, as an option-scrubbing firewall does; where none is named, all of MPTCP's.

    An option goes when any of the three parameters names it. Deleting moves up those behind it;
    overwriting with NOPs leaves all in place; End of Option List hides all that stands behind it, too
    (seen in the field). Data, numbers and the options that are not named pass as they are.
    """

    forms: Annotated[Forms, Parameter("option classes of mbtest.wire, one or several: MpCapable, ...")] = ()
    kinds: Annotated[tuple[int, ...], Parameter("option kinds", low=2, high=255)] = ()
    subtypes: Annotated[tuple[int, ...], Parameter("subtypes of MPTCP options", low=0, high=15)] = ()
    manner: Annotated[
        Literal["delete", "nop", "end-of-list"], Parameter("what is left in the option's place")
    ] = "delete"

    def start(self) -> None:
        self._named = NamedOptions(self.forms, self.kinds, self.subtypes)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if self.manner == "delete" and not self.kinds and not self.subtypes:
            return (segment.without_options(*self._named.forms),)
        options = segment.options
        named = [option in self._named for option in options]
        if not any(named):
            return (segment,)
        left: list[TcpOption] = []
        for option, goes in zip(options, named, strict=True):
            if not goes:
                left.append(option)
            elif self.manner == "nop":
                left += [NoOperation()] * len(option.encode())
            elif self.manner == "end-of-list":
                used = sum(len(option.encode()) for option in left)
                left.append(EndOfOptionList(bytes(len(segment.option_block) - used - 1)))
                break
        return (segment.with_options(left),)
