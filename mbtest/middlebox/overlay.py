"""Octets of a stream that give way to as many others, at places of their own or again and again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Places:
    """Stream offsets in their order, the last of them repeated.

    every: at which distance, in octets; None for no repetition.
    """

    at: tuple[int, ...]
    every: int | None = None

    def met(self, start: int, end: int, span: int) -> Iterator[int]:
        """Give the places at which a change of `span` octets meets the octets from `start` to `end`."""
        yield from (place for place in self.at if place < end and place + span > start)
        if self.every:
            place = self.at[-1] + max(1, -((self.at[-1] + span - 1 - start) // self.every)) * self.every
            yield from range(place, end, self.every)


@dataclasses.dataclass(frozen=True)
class Overlay:
    """What becomes of the octets at each place: `put` stands in their stead, or says which bits flip."""

    places: Places
    put: bytes
    flips: bool

    def over(self, start: int, data: bytes, now: range) -> bytes:
        """Return `data`, which stands at `start`, of which the octets `now` are changed."""
        octets, span = bytearray(data), len(self.put)
        for place in self.places.met(now.start, now.stop, span):
            for position in range(max(place, now.start), min(place + span, now.stop)):
                at, number = position - start, position - place
                octets[at] = octets[at] ^ self.put[number] if self.flips else self.put[number]
        return bytes(octets)
