"""Under which conditions a host sends a segment: bits that a rule puts together to say what it is about.

Most rules are about few segments. Those that are about one are looked up by the conditions that it meets, so
that the others cost nothing.
"""

from __future__ import annotations

from typing import Final

from mbtest.observe.moment import Moment
from mbtest.wire import FIN, RST, SYN, URG

SEGMENT: Final = 0
"""Any segment."""
ON_SYN: Final = 1 << 0
ON_RST: Final = 1 << 1
ON_FIN: Final = 1 << 2
LATER: Final = 1 << 3
"""Neither SYN nor RST."""
DATA: Final = 1 << 4
AGAIN: Final = 1 << 5
"""It begins below what the host had sent before."""
URGENT: Final = 1 << 6
OPTIONS: Final = 1 << 7
"""Any option of MPTCP."""
SEVERAL: Final = 1 << 8
"""More than one of them."""
BARE: Final = 1 << 9
"""No option of MPTCP."""
NO_DSS: Final = 1 << 10
MAPPING: Final = 1 << 11
"""Of a DSS, or of MP_CAPABLE."""
INFINITE: Final = 1 << 12
"""An infinite mapping."""
DATA_FIN: Final = 1 << 13
"""A mapping with a DATA_FIN."""
DATA_ACK: Final = 1 << 14
SACK: Final = 1 << 15
STAMPED: Final = 1 << 16
"""Timestamps."""
UNSTAMPED: Final = 1 << 17
OF_SYNS: Final = 1 << 18
"""An option that only SYNs have."""
INITIAL: Final = 1 << 19
"""On the first subflow."""
JOINED: Final = 1 << 20
"""On a further subflow."""
EARLY: Final = 1 << 21
"""Before any data of the host's was Data ACKed."""
TROUBLED: Final = 1 << 22
"""After anything that makes a connection regular TCP, or may."""
ENDING: Final = 1 << 23
"""After the host's FIN or RST on the subflow, its DATA_FIN or MP_FASTCLOSE."""
BACKUP: Final = 1 << 24
"""On a subflow that the peer wants as a backup."""
EXACT: Final = 1 << 25
"""Seen at the host itself."""

_LOW_FLAGS = FIN | SYN | RST
_FLAGS = [
    (ON_FIN if flags & FIN else 0) | (ON_SYN if flags & SYN else ON_RST if flags & RST else LATER)
    for flags in range(_LOW_FLAGS + 1)
]
_PLACES = {"initial": INITIAL, "join": JOINED, "unknown": 0}


def conditions(m: Moment, *, exact: bool) -> int:
    """Return the conditions under which a host sends a segment that is about to be taken in."""
    flags, mapping = m.flags, m.mapping
    met = _FLAGS[flags & _LOW_FLAGS]
    if m.size:
        met |= DATA
        if m.start < m.subflow.own.top:
            met |= AGAIN
        if flags & URG:
            met |= URGENT
    if m.options:
        met |= OPTIONS if len(m.options) == 1 else OPTIONS | SEVERAL
        if m.dss is None:
            met |= NO_DSS
        if mapping is not None:
            met |= MAPPING
            if mapping.fin:
                met |= DATA_FIN
            elif not mapping.length:
                met |= INFINITE
        if m.data_ack is not None:
            met |= DATA_ACK
    else:
        met |= BARE | NO_DSS
    met |= STAMPED if m.stamps is not None else UNSTAMPED
    if m.sack is not None:
        met |= SACK
    if m.syn_option is not None:
        met |= OF_SYNS
    return met | EXACT | _before(m) if exact else met | _before(m)


def _before(m: Moment) -> int:
    """Return those of the conditions that come from what was there before the segment."""
    subflow, connection = m.subflow, m.connection
    own, acked = subflow.own, connection.own.acked
    met = _PLACES[subflow.kind]
    if acked is None or acked <= 1:
        met |= EARLY
    if connection.is_troubled:
        met |= TROUBLED
    if own.fin is not None or own.rst is not None or connection.is_ending:
        met |= ENDING
    if subflow.peer.backup:
        met |= BACKUP
    return met
