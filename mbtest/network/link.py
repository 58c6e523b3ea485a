"""What lies between the boxes and the far end of a path, one way: delay, rate, queue and loss as stated."""

from collections import deque
from collections.abc import Callable
from random import Random

from mbtest.middlebox import Clock
from mbtest.network.topology import NetworkPath
from mbtest.wire import Packet

Onward = Callable[[bytes, int | None, Packet | None], None]
"""Takes an IP packet, the frame that it came from, and the packet that boxes made or changed, if they did."""

Lost = Callable[[int | None, str], None]
"""Takes the frame that a lost packet came from, and in words why it is lost."""


class Link:
    """One direction of a path. What is sent arrives in the same order, later, or not at all.

    The line takes one packet at a time at the path's rate, by its octets from the IP header on; what comes
    while it is busy waits in the queue, and is dropped when the queue has no room for the whole packet.
    """

    def __init__(self, path: NetworkPath, clock: Clock, random: Random, arrive: Onward, lost: Lost) -> None:
        """Lay a link as the path states. random: decides which packets are lost."""
        self._path = path
        self._clock = clock
        self._random = random
        self._arrive = arrive
        self._lost = lost
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
        if arrival <= now and not self._flying:
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
