"""How long a round trip takes, and how long to wait before data is sent again (RFC 6298)."""

from __future__ import annotations

from mbtest.errors import LocalProtocolError

GRANULARITY = 1_000
"""Clock granularity G of RFC 6298 §2, in microseconds: the timestamps of TCP tick in milliseconds."""

# Deviates from RFC 6298 §2.4 (1 s) as every deployed stack does.
MINIMUM = 200_000
INITIAL = 1_000_000
MAXIMUM = 60_000_000
AFTER_LOST_SYN = 3_000_000


class RoundTripTime:
    """Estimates the round-trip time of one subflow. All times are in microseconds.

    Which measurements count is the caller's to know: by Karn's algorithm none is made on data that
    was sent twice, unless a timestamp tells which copy was acknowledged (RFC 6298 §3).
    """

    __slots__ = ("_base", "_maximum", "_minimum", "rto", "rttvar", "srtt")

    def __init__(self, minimum: int = MINIMUM, initial: int = INITIAL, maximum: int = MAXIMUM) -> None:
        """Begin without a measurement; `rto` is then `initial`.

        Raises LocalProtocolError unless 0 < minimum <= initial <= maximum.
        """
        if not 0 < minimum <= initial <= maximum:
            raise LocalProtocolError(
                "retransmission timeouts are to be 0 < minimum <= initial <= maximum, not "
                f"{minimum}, {initial}, {maximum}"
            )
        self._minimum = minimum
        self._maximum = maximum
        self._base = initial
        """The timeout before any backoff."""
        self.rto = initial
        """How long to wait for an acknowledgement; to be read only."""
        self.srtt: int | None = None
        """The smoothed round-trip time; None before the first sample."""
        self.rttvar: int | None = None
        """Its variation; None before the first sample."""

    def sample(self, rtt: int) -> None:
        """Take a measured round-trip time, and forget any backoff.

        rtt: at least 0. Raises LocalProtocolError below. RFC 6298 §2.2-2.5.
        """
        if rtt < 0:
            raise LocalProtocolError(f"a round trip takes at least 0 µs, not {rtt}")
        srtt = self.srtt
        if srtt is None or self.rttvar is None:
            self.srtt = rtt
            self.rttvar = rtt >> 1
        else:
            # RFC 6298 §2.3: the variation first, as it needs the old mean; beta is 1/4, alpha 1/8.
            self.rttvar = (3 * self.rttvar + abs(srtt - rtt)) >> 2
            self.srtt = (7 * srtt + rtt) >> 3
        variation = 4 * self.rttvar
        rto = self.srtt + (variation if variation > GRANULARITY else GRANULARITY)
        if rto < self._minimum:
            rto = self._minimum
        elif rto > self._maximum:
            rto = self._maximum
        self._base = self.rto = rto

    def back_off(self) -> None:
        """Double the timeout, up to the maximum, after it expired (RFC 6298 §5.5)."""
        rto = self.rto << 1
        self.rto = rto if rto < self._maximum else self._maximum

    def progress(self) -> None:
        """Forget any backoff, since new data was acknowledged.

        Deviates from Karn's algorithm, which waits for a sample: without timestamps every flight of a
        lossy subflow may hold a retransmission, and the timeout would stay at its maximum. Linux too.
        """
        self.rto = self._base

    def syn_was_lost(self) -> None:
        """Begin the transfer of data with 3 s, as the timer expired on the SYN (RFC 6298 §5.7).

        To be called when the handshake is over. Changes nothing once there is a sample: with
        timestamps even a SYN that was sent twice gives one.
        """
        if self.srtt is None:
            self._base = self.rto = min(max(self._base, AFTER_LOST_SYN), self._maximum)
