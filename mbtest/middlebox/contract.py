"""The box contract: what a middlebox is given, what it may do, what it must return.

A box takes a segment and the direction in which it travels, and returns the segments to send on, in
order: none drops it, one forwards it, several split it. A box that holds packets, sends some toward
the sender, or acts later, has `now`, `call_later` and `send`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Annotated, Any, Protocol, Self, dataclass_transform

from mbtest.middlebox import parameters
from mbtest.middlebox.aim import Aim
from mbtest.middlebox.arguments import checked
from mbtest.middlebox.clock import Timer
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.parameters import Parameter
from mbtest.wire import Packet, Segment


class Place(Protocol):
    """Where a box stands: its view of the chain, the path and the run."""

    path: str
    """The name of the path."""
    path_index: int
    """The number of the path in its topology, from 0."""
    random: Random

    @property
    def now(self) -> int:
        """Microseconds since the run began."""

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `delay` microseconds."""

    def send(self, packet: Packet, direction: Direction, why: str) -> None:
        """Send a packet on from here, through the boxes that are still ahead of it."""

    def release(self, packet: Packet, direction: Direction) -> None:
        """Send on a packet that was withheld and is no other than it was: no deed."""

    def note(self, packet: Packet, words: str) -> None:
        """Say of a packet that enters or leaves this box what was done to it."""

    def did(self, what: str) -> None:
        """Count that the box did this."""


@dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(eq=False)
class Middlebox:
    """One interference on a path.

    A subclass is a dataclass: its annotated fields are its parameters, given by position or by name,
    described and limited by `Annotated[..., Parameter(...)]`. State of a run is made in `start`.
    `aim` limits the box to some segments; the others pass it by.
    """

    aim: Annotated[Aim | None, Parameter("the segments that it acts on; none: all")] = dataclasses.field(
        default=None, kw_only=True
    )

    def __init_subclass__(cls, **options: Any) -> None:
        """Turn the subclass into a dataclass whose parameters, where they do not fit, end in a UsageError."""
        super().__init_subclass__(**options)
        dataclasses.dataclass(eq=False)(cls)
        meaning = functools.partial(parameters.meaning, cls)
        cls.__init__ = checked(cls.__init__, cls.__name__, meaning)  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Check the parameters. Raises UsageError that names box, parameter and range."""
        parameters.check(self)

    # -- what a box implements --------------------------------------------------------------------

    def start(self) -> None:
        """Make the state of a run. Called before the first packet; `path` and `random` are there."""

    def process(self, segment: Segment, direction: Direction) -> Sequence[Packet]:
        """Return what to send on in place of `segment`, in order: segments, most often; fragments of it."""
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def pass_by(self, segment: Segment, direction: Direction) -> Sequence[Packet]:  # noqa: ARG002 - for subclasses
        """Return the segments to send on in place of one that the aim leaves out: it, unless told otherwise.

        A box that did something to a flow before says here what that means for the rest of the flow:
        acknowledgments to be mended, held data that goes first.
        """
        return (segment,)

    def process_other(self, packet: Packet, direction: Direction) -> Sequence[Packet]:  # noqa: ARG002 - for subclasses
        """Return the packets to send on in place of one that is no TCP segment. ICMP, say."""
        return (packet,)

    def delivers(self, stream: bytes, direction: Direction) -> bytes:  # noqa: ARG002 - for subclasses
        """Return what an application behind this box reads when regular TCP carries `stream` through it.

        Octets that a box rewrites on purpose are not corruption by a stack.
        """
        return stream

    @property
    def addresses(self) -> frozenset[IPv4Address | IPv6Address]:
        """Addresses that the box answers for, once started: the outside of a NAT."""
        return frozenset()

    # -- what a box can use -----------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Microseconds since the run began."""
        return self._place.now

    @property
    def random(self) -> Random:
        """The box's own generator, seeded by the run."""
        return self._place.random

    @property
    def path(self) -> str:
        """The name of the path that the box stands on."""
        return self._place.path

    @property
    def path_index(self) -> int:
        """The number of the path that the box stands on, from 0 in the topology's order."""
        return self._place.path_index

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `delay` microseconds."""
        return self._place.call_later(delay, callback)

    def send(self, packet: Packet, direction: Direction, why: str = "sent") -> None:
        """Send a packet on from where the box stands, in either direction, from a timer or in `process`.

        What `process` sends in the direction of its segment goes before what it returns.
        why: in a few words, for the record: "flushed after 5 ms", "forged".
        """
        self._place.send(packet, direction, why)

    def release(self, packet: Packet, direction: Direction) -> None:
        """Send on, as `send` does, a packet that was withheld for a while and that nothing came of.

        Neither that nor the withholding then counts as a deed; a box whose point is delay uses `send`.
        """
        self._place.release(packet, direction)

    def note(self, packet: Packet, words: str) -> None:
        """Say of a packet that `process` takes or returns what was done to it, better than the record can."""
        self._place.note(packet, words)

    def did(self, what: str) -> None:
        """Count that the box did what it is there for, where the packets that it changes do not tell.

        what: in a few words that a case asks for with `Did`: "forgot a mapping".
        """
        self._place.did(what)

    # -- for the harness --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of the box in records and reports: its class."""
        return type(self).__name__

    def describe(self) -> str:
        """Return the box with those of its parameters that are not the default."""
        words = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.init and field.name != "aim" and value != field.default:
                words.append(f"{field.name}={parameters.written(value):.60}")
        if self.aim is not None:
            words.append(f"aim=Aim({self.aim.describe()})")
        return f"{self.name}({', '.join(words)})"

    def fresh(self) -> Self:
        """Return a box of the same parameters, not yet started."""
        return copy.copy(self)

    def place(self, place: Place) -> None:
        """Put the box where it stands for a run."""
        self._place = place
        self.start()
