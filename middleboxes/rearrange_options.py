"""A box that puts options in another order, number or size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.options import Forms, NamedOptions, bare, refitted
from mbtest.wire import NoOperation, Segment, TcpOption, UnknownOption


class RearrangeOptions(Middlebox):
    """Duplicates, reorders, pads, shortens or lengthens options, as normalisers do that write headers anew.

    Padding goes, and is put where alignment needs it. A shortened or lengthened option says its new length.
    Options that are not named keep their content and, among themselves, their order, unless all is reversed.
    Segments without a named option, or without room for the result, pass as they are.
    """

    manner: Annotated[
        Literal["duplicate", "first", "last", "reverse", "pad", "shorten", "lengthen"],
        Parameter("what is done with the named options; all options are reversed"),
    ]
    forms: Annotated[Forms, Parameter("option classes; none: MPTCP's")] = ()
    octets: Annotated[
        int, Parameter("NOPs put before each, octets cut off its end, zeros put there", "octets", 1, 38)
    ] = 1
    largest: Annotated[int, Parameter("largest IP packet made", "octets", 68, 65535)] = 1500

    def start(self) -> None:
        self._named = NamedOptions(self.forms)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        options = bare(segment.options)
        named = self._named.among(options)
        if not named:
            return (segment,)
        others = tuple(option for option in options if option not in self._named)
        if self.manner == "reverse":
            arranged = options[::-1]
        elif self.manner == "first":
            arranged = named + others
        elif self.manner == "last":
            arranged = others + named
        else:
            arranged = tuple(
                out
                for option in options
                for out in (self._made(option) if option in self._named else [option])
            )
        return (refitted(segment, arranged, self.largest),)

    def _made(self, option: TcpOption) -> list[TcpOption]:
        """Return what stands in the place of a named option."""
        if self.manner == "duplicate":
            return [option, option]
        if self.manner == "pad":
            return [*[NoOperation()] * self.octets, option]
        content = option.encode()[2:]
        left = content[: -self.octets] if self.manner == "shorten" else content + bytes(self.octets)
        return [UnknownOption(option.kind, left)]
