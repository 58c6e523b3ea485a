"""What waits for a stack that is attached to the fabric: packets are handed over later, never at once.

A stack may answer what it receives. Were it given a packet while the fabric is still taking that packet's
neighbours through the boxes, its answer would meet boxes in the middle of their work.
"""

from collections import deque
from functools import partial

from mbtest.errors import LocalProtocolError
from mbtest.middlebox import Clock
from mbtest.network.fabric import Transmit
from mbtest.network.topology import Role


class Inbox:
    """The packets on their last hop to a host whose stack is attached, in the order in which they came."""

    def __init__(self, role: Role, clock: Clock, latency_us: int = 0) -> None:
        """Begin empty. latency_us: how long the last hop takes; 0 leaves it to the loop's next timers."""
        self._clock = clock
        self._latency_us = latency_us
        self._receive: Transmit = partial(_nobody, role)
        self._waiting: deque[tuple[int, bytes]] = deque()

    def attach(self, receive: Transmit) -> None:
        """Have packets given to `receive` from now on."""
        self._receive = receive

    def put(self, raw: bytes) -> None:
        """Take a packet that has come out of the boxes and the link."""
        arrival = self._clock.now + self._latency_us
        self._waiting.append((arrival, raw))
        if len(self._waiting) == 1:
            self._clock.call_at(arrival, self._hand_over)

    def _hand_over(self) -> None:
        """Give the stack what has arrived; come back for the next."""
        waiting, now, receive = self._waiting, self._clock.now, self._receive
        while waiting and waiting[0][0] <= now:
            receive(waiting.popleft()[1])
        if waiting:
            self._clock.call_at(waiting[0][0], self._hand_over)


def _nobody(role: Role, _: bytes) -> None:
    raise LocalProtocolError(f"a packet for the {role}, to which no stack was attached before traffic began")
