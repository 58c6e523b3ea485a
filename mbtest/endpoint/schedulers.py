"""Which subflow carries the next data (RFC 8684 §3.3.8 leaves it to local policy)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mbtest.endpoint.subflow import Subflow
from mbtest.errors import LocalProtocolError


class Scheduler(Protocol):
    """Chooses among subflows that can take data now: established, with room in their windows."""

    def eligible(self, able: Sequence[Subflow]) -> Sequence[Subflow]:
        """Return those of the established subflows to be considered at all; it may wait for them."""

    def pick(self, ready: Sequence[Subflow]) -> Sequence[Subflow]:
        """Return the subflows that carry the next stretch, at least one of `ready`; it is not empty."""


class _Every:
    """Considers every subflow."""

    def eligible(self, able: Sequence[Subflow]) -> Sequence[Subflow]:
        """See `Scheduler`."""
        return able


class LowestRtt(_Every):
    """The subflow with the lowest smoothed round-trip time; those not measured yet come last."""

    def pick(self, ready: Sequence[Subflow]) -> Sequence[Subflow]:
        """See `Scheduler`."""
        if len(ready) == 1:
            return ready
        return (
            min(ready, key=lambda subflow: (subflow.rtt.srtt is None, subflow.rtt.srtt or 0, subflow.number)),
        )


class RoundRobin(_Every):
    """Each subflow in turn."""

    def __init__(self) -> None:
        """Begin with the first."""
        self._last = -1

    def pick(self, ready: Sequence[Subflow]) -> Sequence[Subflow]:
        """See `Scheduler`."""
        later = [subflow for subflow in ready if subflow.number > self._last]
        chosen = min(later or ready, key=lambda subflow: subflow.number)
        self._last = chosen.number
        return (chosen,)


class Redundant(_Every):
    """Every subflow that has room: the data arrives as soon as one of them delivers it (§3.3.6)."""

    def pick(self, ready: Sequence[Subflow]) -> Sequence[Subflow]:
        """See `Scheduler`."""
        return ready


class Backup(LowestRtt):
    """One subflow, the first that was established; another only in its place ("all-or-nothing", §3.3.8)."""

    def eligible(self, able: Sequence[Subflow]) -> Sequence[Subflow]:
        """See `Scheduler`."""
        return [min(able, key=lambda subflow: (subflow.timeouts > 0, subflow.number))] if able else able


class _Registry(dict[str, Callable[[], Scheduler]]):
    """A mapping whose KeyError is a LocalProtocolError that says what there is."""

    def __missing__(self, name: str) -> Callable[[], Scheduler]:
        raise LocalProtocolError(f"no scheduler {name!r}; there are {', '.join(self)}")


SCHEDULERS: Mapping[str, Callable[[], Scheduler]] = _Registry(
    {"lowest-rtt": LowestRtt, "round-robin": RoundRobin, "redundant": Redundant, "backup": Backup}
)
"""Schedulers by name. Which subflows are backups is decided before them."""


def usable(subflows: Sequence[Subflow]) -> list[Subflow]:
    """Return the subflows that may carry data: backups only where nothing else is available (§3.3.8).

    One whose last segments nobody acknowledges in time counts as available only where all do.
    """
    able = [subflow for subflow in subflows if subflow.is_usable]
    answered = [subflow for subflow in able if not subflow.timeouts]
    return [subflow for subflow in answered if not subflow.backup] or answered or able
