"""A box that translates addresses and ports, and forgets how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from mbtest.middlebox import Direction, Parameter
from mbtest.middlebox.forged import reset_for
from mbtest.wire import Segment
from middleboxes.nat import TranslateAddresses

FORGOT = "forgot a mapping"


class ForgetMappings(TranslateAddresses):
    """Forgets its mappings at the first segment that its aim hits, as a router does that restarts.

    So does one whose table is full, or that makes way for a spare; with `idle` it forgets those that are
    not used as well. All else is as with `TranslateAddresses`, whatever the aim. A flow that goes on comes
    from another port then, unless ports are preserved, or `unbound` has it end there.
    """

    idle: Annotated[
        int | None,
        Parameter("time unused after which a mapping is forgotten; none: never", "microseconds", 1),
    ] = None
    unbound: Annotated[
        Literal["bind", "drop", "reset"],
        Parameter(
            "what goes out without a mapping, and is no SYN: gets a new one, is lost, is answered by RST"
        ),
    ] = "bind"

    def start(self) -> None:
        super().start()
        self._forgot = False

    def process(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        if not self._forgot:
            self._forgot = True
            self._forget()
        return self.pass_by(segment, direction)

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Segment]:
        """Translate it all the same."""
        outward = direction is Direction.TO_SERVER
        if self.idle:
            self._forget(self.now - self.idle)
        if outward and self.unbound != "bind" and not segment.syn and not self._bindings.bound(*segment.flow):
            self.note(segment, "dropped it: no mapping")
            if self.unbound == "reset" and not segment.rst:
                self.send(reset_for(segment), Direction.TO_CLIENT, "reset it: no mapping")
            return ()
        passed = super().process(segment, direction)
        for one in passed:
            self._bindings.use(one.flow[0] if outward else segment.flow[1], self.now)
        return passed

    def _forget(self, unused_since: int | None = None) -> None:
        for _ in range(self._bindings.forget(unused_since)):
            self.did(FORGOT)
