"""What lies between the boxes and the far end of a path, one way, as stated.

Delay, rate, queue, loss, packets that others overtake, packets that arrive twice.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random

from mbtest.middlebox import Clock
from mbtest.network.topology import NetworkPath
from mbtest.wire import Packet

Onward = Callable[[bytes, int | None, Packet | None], None]
"""Takes an IP packet, the frame that it came from, and the packet that boxes made or changed, if they did."""

Fate = Callable[[int | None, str], None]
"""Takes the frame that a packet came from, and in words what the link did to it."""


class Link:
    """One direction of a path. What is sent arrives later, in order and once, unless it is stated otherwise.

    The line takes one packet at a time at the path's rate, by its octets from the IP header on; what comes
    while it is busy waits in the queue, and is dropped when the queue has no room for the whole packet.
    Packets are held back and doubled at the line's far end: neither takes of the line's time.
    """

    def __init__(
        self, path: NetworkPath, clock: Clock, random: Random, arrive: Onward, lost: Fate, told: Fate
    ) -> None:
        """Lay a link as the path states.

        random: decides which packets are lost, held back and doubled. lost: is told of those that do not
        arrive. told: of those that arrive otherwise than in order and once.
        """
        self._path = path
        self._clock = clock
        self._random = random
        self._arrive = arrive
        self._lost = lost
        self._told = told
        self._disorders = bool(path.reorder or path.duplicate)
        self._free_ns = 0
        self._flying: deque[tuple[int, bytes, int | None, Packet | None]] = deque()

    def send(self, raw: bytes, origin: int | None, packet: Packet | None) -> None:
        """Send a packet on its way."""
        path, now = self._path, self._clock.now
        if path.loss and self._random.random() < path.loss:
            self._lost(origin, f"lost by the link (stated loss {path.loss * 100:g} %)")
            return
        arrival = now
        if path.rate_bps is not None:
            # In nanoseconds: at 10 Gbit/s a packet takes about one microsecond.
            start = max(now * 1000, self._free_ns)
            if path.queue_bytes is not None and start > now * 1000:
                waiting = (start - now * 1000) * path.rate_bps // 8_000_000_000
                if waiting + len(raw) > path.queue_bytes:
                    self._lost(
                        origin, f"dropped by the link (stated queue of {path.queue_bytes} octets full)"
                    )
                    return
            self._free_ns = start + len(raw) * 8_000_000_000 // path.rate_bps
            arrival = -(-self._free_ns // 1000)
        arrival += path.delay_us
        if self._disorders:
            self._send_disorderly(arrival, raw, origin, packet)
        else:
            self._send_in_order(arrival, raw, origin, packet)

    def _send_disorderly(self, arrival: int, raw: bytes, origin: int | None, packet: Packet | None) -> None:
        """Send a packet that may be doubled, and each copy of which may be held back."""
        path, copies = self._path, 1
        if path.duplicate and self._random.random() < path.duplicate:
            copies = 2
            self._told(origin, f"doubled by the link (stated duplication {path.duplicate * 100:g} %)")
        for _ in range(copies):
            if path.reorder and self._random.random() < path.reorder:
                held, stated = path.reorder_by_us, path.reorder * 100
                self._told(origin, f"held back by the link for {held} us (stated reordering {stated:g} %)")
                self._clock.call_at(arrival + held, partial(self._arrive, raw, origin, packet))
            else:
                self._send_in_order(arrival, raw, origin, packet)

    def _send_in_order(self, arrival: int, raw: bytes, origin: int | None, packet: Packet | None) -> None:
        """Have a packet arrive after those that were sent before it; at once where it takes no time."""
        if arrival <= self._clock.now and not self._flying:
            self._arrive(raw, origin, packet)
            return
        self._flying.append((arrival, raw, origin, packet))
        if len(self._flying) == 1:
            self._clock.call_at(arrival, self._land)

    def _land(self) -> None:
        """Hand over what has arrived; come back for the next."""
        flying, now = self._flying, self._clock.now
        while flying and flying[0][0] <= now:
            _, raw, origin, packet = flying.popleft()
            self._arrive(raw, origin, packet)
        if flying:
            self._clock.call_at(flying[0][0], self._land)
