"""A box that lets no segment with certain options pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.errors import UsageError
from mbtest.middlebox import Direction, Middlebox, Parameter
from mbtest.middlebox.forged import reset_for
from mbtest.middlebox.options import Forms, NamedOptions, bare
from mbtest.wire import Segment, TcpOption


class RejectOptions(Middlebox):
    """Drops or resets what carries given options, by default MPTCP's, as firewalls and IDS do.

    An option is rejected when any of `forms`, `kinds` and `subtypes` names it or, where `known` is given,
    when it is not of a kind that the device knows; what cannot be read is of none. The segment's sender gets
    a RST as from a closed port (RFC 9293 §3.10.7.1), a RST gets none. All other segments pass as they are.
    """

    forms: Annotated[Forms, Parameter("option classes of mbtest.wire, one or several: MpCapable, ...")] = ()
    kinds: Annotated[tuple[int, ...], Parameter("option kinds", low=2, high=255)] = ()
    subtypes: Annotated[tuple[int, ...], Parameter("subtypes of MPTCP options", low=0, high=15)] = ()
    known: Annotated[
        tuple[int, ...] | None, Parameter("option kinds that pass, all others do not", low=2, high=255)
    ] = None
    answer: Annotated[
        Literal["drop", "reset"], Parameter("what becomes of them: nothing, or a RST to the sender")
    ] = "drop"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.known is not None and (self.forms or self.kinds or self.subtypes):
            raise UsageError(
                f"RejectOptions: known={self.known}: says what passes; leave out forms, kinds and subtypes"
            )

    def start(self) -> None:
        self._named = NamedOptions(self.forms, self.kinds, self.subtypes)

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not any(self._is_rejected(option) for option in bare(segment.options)):
            return (segment,)
        self.note(segment, "dropped it for its options")
        if self.answer == "reset" and not segment.rst:
            self.send(reset_for(segment), direction.reverse, "reset it for its options")
        return ()

    def _is_rejected(self, option: TcpOption) -> bool:
        return option in self._named if self.known is None else option.kind not in self.known
