"""A chain of boxes on one path: packets go in at one end and come out at the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import NamedTuple

from mbtest.errors import HarnessError, UsageError
from mbtest.middlebox.aim import Sight
from mbtest.middlebox.clock import Clock, Timer
from mbtest.middlebox.contract import Middlebox
from mbtest.middlebox.direction import Direction
from mbtest.middlebox.record import Action, Deed, Record
from mbtest.middlebox.whereabouts import raised
from mbtest.wire import Packet, Segment
from mbtest.wire.describe import one_line

Deliver = Callable[[Packet, Direction], None]


class BoxError(HarnessError):
    """A box raised, or returned what cannot be sent; names the box, the packet and the line."""


class Standing(NamedTuple):
    """How much a box has done."""

    box: Middlebox
    deeds: int
    """Packets that it changed, split, withheld or sent."""
    matches: int
    """Segments that met all of its aim but the counting conditions."""
    hits: int
    """Segments that its aim left to it."""


class Chain:
    """Boxes in a row, the first at the client's end.

    boxes: parameters only; the chain works on fresh copies, so that a box can stand on several paths.
    Boxes whose aim names another path are left out. index: the path's number in its topology.
    """

    def __init__(self, boxes: Sequence[Middlebox] = (), path: str = "", index: int = 0) -> None:
        """Choose the boxes that stand on this path."""
        self.path = path
        self.index = index
        self.boxes: tuple[Middlebox, ...] = tuple(
            box.fresh() for box in boxes if box.aim is None or box.aim.includes_path(path, index)
        )
        self.record: Record | None = Record()
        """The deeds of the boxes; None keeps none, for speed."""
        self.last_timer: Middlebox | None = None
        """The box whose timer was called last."""
        self._clock: Clock | None = None
        self._deliver: Deliver = _nowhere
        self._slots: tuple[_Slot, ...] = ()
        self._ways: dict[Direction, tuple[_Slot, ...]] = {}

    def attach(self, clock: Clock, random: Random, path: str, deliver: Deliver) -> None:
        """Begin a run: start every box.

        random: the source of each box's own generator. deliver: takes what boxes send later than
        `forward` returns.
        """
        self.path, self._clock, self._deliver = path, clock, deliver
        self._slots = tuple(
            _Slot(self, position, box, Random(random.getrandbits(64)))
            for position, box in enumerate(self.boxes)
        )
        self._ways = {Direction.TO_SERVER: self._slots, Direction.TO_CLIENT: self._slots[::-1]}
        for slot in self._slots:
            slot.start()

    @property
    def clock(self) -> Clock:
        """The clock of the run. Raises HarnessError before `attach`."""
        if self._clock is None:
            raise HarnessError("a chain of boxes was used before it was attached to a network")
        return self._clock

    @property
    def addresses(self) -> set[IPv4Address | IPv6Address]:
        """The addresses that boxes answer for."""
        return {address for box in self.boxes for address in box.addresses}

    def forward(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Return what leaves the chain at once when `packet` enters it. Raises BoxError."""
        ways = self._ways[direction]
        if len(ways) == 1:
            return ways[0].step(packet, direction)
        return self._through(ways, (packet,), direction)

    def _through(
        self, ways: Sequence[_Slot], packets: Sequence[Packet], direction: Direction
    ) -> Sequence[Packet]:
        for slot in ways:
            if len(packets) == 1:
                packets = slot.step(packets[0], direction)
            else:
                packets = [out for packet in packets for out in slot.step(packet, direction)]
        return packets

    def continue_from(self, slot: _Slot, packet: Packet, direction: Direction) -> None:
        """Carry on a packet that a box sends, through the boxes that are ahead of it, and deliver it."""
        ways = self._ways[direction]
        ahead = ways[ways.index(slot) + 1 :]
        for out in self._through(ahead, (packet,), direction):
            self._deliver(out, direction)

    def comment(self, packet: Packet) -> str | None:
        """Return in words what boxes did with a packet that entered or left; None where nothing."""
        if self.record is None:
            return None
        actions = self.record.history(packet) or self.record.of(packet)
        return "; ".join(action.words() for action in actions) or None

    def deeds(self, box: type[Middlebox] | str) -> int:
        """Return how many packets the boxes of this class changed, split, withheld or sent."""
        return sum(slot.deeds for slot in self._slots if _is_a(slot.box, box))

    def did(self, box: type[Middlebox] | str, what: str) -> int:
        """Return how often the boxes of this class did what they count in these words."""
        return sum(slot.counts[what] for slot in self._slots if _is_a(slot.box, box))

    def tally(self) -> list[tuple[Middlebox, int]]:
        """Return each box with the number of packets that it changed, split, withheld or sent."""
        return [(slot.box, slot.deeds) for slot in self._slots]

    def standing(self) -> list[Standing]:
        """Return how much each box did, and how much its aim left to it; boxes without one have no hits."""
        return [
            Standing(slot.box, slot.deeds, *((0, 0) if slot.sight is None else slot.sight.counted()))
            for slot in self._slots
        ]

    def describe(self) -> list[str]:
        """Return the boxes with their parameters, the client's end first."""
        return [box.describe() for box in self.boxes]


class _Slot:
    """The place of one box in a chain (the `Place` of the contract)."""

    def __init__(self, chain: Chain, position: int, box: Middlebox, random: Random) -> None:
        self.chain = chain
        self.position = position
        self.box = box
        self.random = random
        self.path = chain.path
        self.path_index = chain.index
        self.deeds = 0
        self.counts: Counter[str] = Counter()
        """What the box counts of itself, in its words."""
        self._way: Direction | None = None
        """The direction of the packet that the box has in hand; None while it has none."""
        self._ahead: list[Packet] = []
        """What the box sent in that direction: it goes before what the box returns."""
        self.sight = Sight(box.aim) if box.aim is not None else None
        self._notes: dict[int, str] = {}

    @property
    def now(self) -> int:
        return self.chain.clock.now

    def start(self) -> None:
        """Put the box in its place."""
        try:
            self.box.place(self)
        except (HarnessError, UsageError):
            raise
        except Exception as error:
            raise BoxError(f"{self.box.name} raised in start(): {raised(self.box, error)}") from error

    def call_later(self, delay: int, callback: Callable[[], None]) -> Timer:
        def guarded() -> None:
            self.chain.last_timer = self.box
            try:
                callback()
            except HarnessError:
                raise
            except Exception as error:
                raise BoxError(f"{self.box.name} raised in a timer: {raised(self.box, error)}") from error

        return self.chain.clock.call_at(self.now + delay, guarded)

    def send(self, packet: Packet, direction: Direction, why: str) -> None:
        self._check((packet,), None)
        self._did(Deed.SENT, direction, None, (packet,), why)
        self._emit(packet, direction)

    def release(self, packet: Packet, direction: Direction) -> None:
        self.deeds -= 2  # the withholding and this
        self._did(Deed.RELEASED, direction, packet, (packet,), "")
        self._emit(packet, direction)

    def _emit(self, packet: Packet, direction: Direction) -> None:
        if direction is self._way:
            self._ahead.append(packet)
        else:
            self.chain.continue_from(self, packet, direction)

    def note(self, packet: Packet, words: str) -> None:
        self._notes[id(packet)] = words

    def did(self, what: str) -> None:
        self.counts[what] += 1

    def step(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Return what the box makes of one packet."""
        # A box that answers one way can be answered by a neighbour before this step is over.
        outer = self._way, self._ahead
        self._way, self._ahead = direction, []
        try:
            result = self._handle(packet, direction)
        except HarnessError:
            raise  # of a neighbour, by way of what this box sent
        except Exception as error:
            raise BoxError(
                f"{self.box.name} raised on {one_line(packet)}: {raised(self.box, error)}"
            ) from error
        finally:
            ahead = self._ahead
            self._way, self._ahead = outer
        if type(result) not in (list, tuple) or len(result) != 1 or result[0] is not packet:
            result = self._took(packet, direction, result)
        if self._notes:
            self._notes.clear()
        return [*ahead, *result] if ahead else result

    def _handle(self, packet: Packet, direction: Direction) -> Sequence[Packet]:
        """Call the box."""
        if not isinstance(packet, Segment):
            return self.box.process_other(packet, direction)
        if self.sight is not None and not self.sight.hits(packet, direction, self.now):
            return self.box.pass_by(packet, direction)
        return self.box.process(packet, direction)

    def _took(self, packet: Packet, direction: Direction, result: Sequence[Packet]) -> Sequence[Packet]:
        """Return what a box made of a packet, checked and on record."""
        self._check(result, packet)
        if len(result) == 1 and result[0] == packet:
            return (packet,)
        if not result:
            deed = Deed.WITHHELD
        elif len(result) == 1:
            deed = Deed.CHANGED
        else:
            deed = Deed.SPLIT
        noted = [self._notes.pop(id(one), "") for one in (packet, *result)] if self._notes else ()
        why = "; ".join(words for words in noted if words)
        self._did(deed, direction, packet, tuple(result), why)
        return result

    def _did(
        self, deed: Deed, direction: Direction, before: Packet | None, after: tuple[Packet, ...], why: str
    ) -> None:
        self.deeds += 1
        if self.chain.record is not None:
            self.chain.record.add(
                Action(self.now, self.box.name, self.position, direction, deed, before, after, why)
            )

    def _check(self, packets: object, cause: Packet | None) -> None:
        """Raise BoxError unless `packets` is a sequence of packets."""
        if isinstance(packets, (list, tuple)) and all(isinstance(packet, Packet) for packet in packets):
            return
        on = f" on {one_line(cause)}" if cause is not None else ""
        raise BoxError(f"{self.box.name} gave {packets!r:.80}{on}; a box gives a list of segments")


def _nowhere(packet: Packet, _: Direction) -> None:
    raise HarnessError(f"a box sent {one_line(packet)} before its chain was attached to a network")


def _is_a(box: Middlebox, wanted: type[Middlebox] | str) -> bool:
    return box.name == wanted if isinstance(wanted, str) else isinstance(box, wanted)
