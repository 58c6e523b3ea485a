"""How much may be in flight on a subflow: NewReno, and the coupled increase of RFC 6356.

A window is in octets and never below one segment. The algorithms count octets alone: which ones were
lost, and when recovery ends, is the sender's to know (RFC 6582, RFC 6675).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mbtest.endpoint.rto import RoundTripTime
from mbtest.errors import LocalProtocolError

# RFC 5681 §3.1: as high as can be, that is the largest window that TCP can advertise.
UNLIMITED = 65_535 << 14


class CongestionControl(Protocol):
    """What a sender tells its congestion control, and reads from it."""

    window: int
    """cwnd: octets that may be in flight, at least one segment."""
    mss: int
    """Payload of a full segment, in octets."""
    threshold: int
    """ssthresh: the window, in octets, at which slow start ends."""

    def acked(self, octets: int, in_flight: int, now: int) -> None:
        """Take notice that data was acknowledged for the first time.

        octets: by how many the cumulative acknowledgement advanced. in_flight: how many were in
        flight when the sender last had the chance to send, that is before this acknowledgement and
        any other that arrived along with it. now: run clock, microseconds.
        """

    def enter_recovery(self, in_flight: int) -> None:
        """Shrink the window after a loss; called once for each window of data (RFC 6582 §3.2).

        in_flight: octets sent and not yet cumulatively acknowledged. The window is not inflated by
        duplicate ACKs: the sender takes off what has left the network (RFC 6675 §4, "pipe").
        """

    def leave_recovery(self) -> None:
        """Grow again: all that was in flight at the loss has been acknowledged."""

    def timed_out(self, in_flight: int) -> None:
        """Start from one segment; the retransmission timer expired. This ends a recovery.

        in_flight: octets sent and not yet acknowledged when it expired. RFC 5681 §3.1.
        """

    def idle(self, elapsed: int, rto: int) -> None:
        """Go back to the initial window at most, if nothing was sent for longer than a timeout.

        To be called before sending with nothing in flight. elapsed: since the last segment was sent;
        rto: both in microseconds. RFC 5681 §4.1.
        """

    def close(self) -> None:
        """Take notice that the subflow is over: it counts in no group any longer."""


class Coupling:
    """The subflows of a connection whose windows grow together (RFC 6356)."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        """Begin without subflows."""
        self._members: list[Coupled] = []

    def join(self, member: Coupled) -> None:
        """Add a subflow."""
        self._members.append(member)

    def leave(self, member: Coupled) -> None:
        """Take a subflow out, if it is in."""
        if member in self._members:
            self._members.remove(member)

    def octets_per_segment(self) -> float:
        """Return how many octets are to be acknowledged on a subflow before it grows by a segment.

        This is cwnd_total / alpha. RFC 6356 §3 has

            alpha = cwnd_total * max(cwnd_i / rtt_i^2) / (sum(cwnd_i / rtt_i))^2

        so that cwnd_total drops out. Subflows whose round trip was never measured are left out;
        0 when that leaves none.
        """
        total = best = 0.0
        for member in self._members:
            srtt = member.rtt.srtt
            if srtt is not None:
                # Virtual time may stand still for a round trip.
                srtt = srtt or 1
                rate = member.window / srtt
                total += rate
                rate /= srtt
                best = max(best, rate)
        return total * total / best if best else 0.0


class NewReno:
    """Slow start and congestion avoidance by octets, and recovery (RFC 5681, RFC 3465, RFC 6582)."""

    __slots__ = (
        "_after_timeout",
        "_credit",
        "_initial",
        "_recovering",
        "_unanswered",
        "mss",
        "threshold",
        "window",
    )

    def __init__(self, mss: int, window: int | None = None) -> None:
        """Begin in slow start.

        mss: payload of a full segment, octets, at least 1. window: the initial window in octets, by
        default that of RFC 6928 §2, ten segments of up to 1460 octets; it is to be one segment when
        the SYN was lost (RFC 5681 §3.1).
        """
        if mss < 1:
            raise LocalProtocolError(f"a segment carries at least 1 octet, not {mss}")
        self.mss = mss
        self._initial = max(mss, min(10 * mss, max(2 * mss, 14_600)) if window is None else window)
        self.window = self._initial
        self.threshold = UNLIMITED
        self._credit = 0
        """Octets acknowledged in congestion avoidance that no growth was given for."""
        # What the sender is in the middle of: it says so by its calls, and keeps the states itself.
        self._recovering = False
        self._after_timeout = False
        """In the slow start that follows a timeout."""
        self._unanswered = False
        """Nothing was acknowledged since the last timeout."""

    def acked(self, octets: int, in_flight: int, now: int) -> None:  # noqa: ARG002 - others go by time
        """See `CongestionControl`."""
        self._unanswered = False
        window = self.window
        if self._recovering or octets <= 0:
            return
        mss = self.mss
        if window < self.threshold:
            # A window that nobody fills says nothing of the path. In slow start it doubles in a round
            # trip, so that half of it is enough to be close.
            if 2 * in_flight >= window or window - in_flight <= 3 * mss:
                # RFC 3465 §2.3: L is 2 segments, and 1 after a timeout, when an acknowledgement may
                # cover much that had arrived before.
                limit = mss if self._after_timeout else 2 * mss
                window += octets if octets < limit else limit
                if window >= self.threshold:
                    window = self.threshold
                    self._after_timeout = False
                self.window = window
        elif window - in_flight <= 3 * mss:
            self._credit += octets
            # RFC 3465 §2.1: one segment for each window of octets, however they were acknowledged.
            if self._credit >= window and self._credit >= (needed := self._octets_per_segment()):
                self._credit -= needed
                self.window = min(window + mss, UNLIMITED)

    def _octets_per_segment(self) -> int:
        """Return how many octets pay for one segment of growth, never fewer than the window."""
        return self.window

    def enter_recovery(self, in_flight: int) -> None:
        """See `CongestionControl`."""
        # RFC 5681 §3.1, equation 4: half of what was in flight, which may be less than the window. It
        # may be more after a timeout, when old flights are still unanswered: a loss widens nothing.
        self.window = self.threshold = max(min(in_flight, self.window) // 2, 2 * self.mss)
        self._credit = 0
        self._recovering = True
        self._after_timeout = False

    def leave_recovery(self) -> None:
        """See `CongestionControl`."""
        if self._recovering:
            self._recovering = False
            self.window = self.threshold

    def timed_out(self, in_flight: int) -> None:
        """See `CongestionControl`."""
        # RFC 5681 §3.1: the threshold is held when the same segment times out again.
        if not self._unanswered:
            self.threshold = max(in_flight // 2, 2 * self.mss)
        self.window = self.mss
        self._credit = 0
        self._recovering = False
        self._after_timeout = True
        self._unanswered = True

    def idle(self, elapsed: int, rto: int) -> None:
        """See `CongestionControl`."""
        if elapsed > rto and self.window > self._initial:
            self.window = self._initial
            self._credit = 0

    def close(self) -> None:
        """See `CongestionControl`."""


class Coupled(NewReno):
    """The Linked Increases Algorithm: all subflows together take what one TCP would on the best path.

    Only the growth in congestion avoidance differs from NewReno (RFC 6356 §3); with a single subflow
    nothing does. Each acknowledgement is to add the lesser of alpha * acked * mss / cwnd_total and
    acked * mss / cwnd: a segment for each max(cwnd_total / alpha, cwnd) octets.
    """

    __slots__ = ("_coupling", "rtt")

    def __init__(self, mss: int, coupling: Coupling, rtt: RoundTripTime, window: int | None = None) -> None:
        """Join `coupling`, with the round-trip time that the subflow measures in `rtt`."""
        super().__init__(mss, window)
        self.rtt = rtt
        self._coupling = coupling
        coupling.join(self)

    def _octets_per_segment(self) -> int:
        if self.rtt.srtt is None:
            return self.window
        return max(self.window, int(self._coupling.octets_per_segment()))

    def close(self) -> None:
        """See `CongestionControl`."""
        self._coupling.leave(self)


CongestionFactory = Callable[[int, Coupling, RoundTripTime, int | None], CongestionControl]
"""Makes one from the segment size in octets, the group, the estimator, and the initial window or None."""


def _new_reno(mss: int, _coupling: Coupling, _rtt: RoundTripTime, window: int | None) -> NewReno:
    return NewReno(mss, window)


class _Registry(dict[str, CongestionFactory]):
    """A mapping whose KeyError is a LocalProtocolError that says what there is."""

    def __missing__(self, name: str) -> CongestionFactory:
        raise LocalProtocolError(f"no congestion control {name!r}; there are: {', '.join(sorted(self))}")


CONGESTION: Mapping[str, CongestionFactory] = _Registry(coupled=Coupled, newreno=_new_reno)
"""Congestion controls by name."""
