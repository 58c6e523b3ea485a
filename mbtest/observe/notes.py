"""Lines for a timeline, kept while a capture is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mbtest.observe.moment import Moment

if TYPE_CHECKING:
    from mbtest.observe.host import HostTrace

KEPT_NOTES = 1_000


class Note(NamedTuple):
    """A line of a timeline."""

    frame: int
    time: int
    connection: int
    subflow: int
    """From 1, in the order in which the host saw them begin."""
    words: str


def note(host: HostTrace, moment: Moment, words: str, *, found: bool = False) -> None:
    """Keep a line about what the host sent, while there is room.

    found: it is something that the host finds out, so that what it received counts as well.
    """
    if (moment.sent or found) and len(host.notes) < KEPT_NOTES:
        connection = moment.connection
        subflow = connection.subflows.index(moment.subflow) + 1
        host.notes.append(Note(moment.frame, moment.time, connection.number, subflow, words))
