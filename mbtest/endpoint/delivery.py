"""From octets in order on a subflow to octets of the data stream (RFC 8684 §3.3.1, §3.3.4).

Octets wait in the subflow's inbox until a mapping is there for them and, with checksums, until all octets of
that mapping are: only then can they be trusted, handed on and Data ACKed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mbtest.endpoint.events import Kind
from mbtest.endpoint.fallback import REGULAR
from mbtest.endpoint.mappings import Mapping
from mbtest.endpoint.states import Closing, Mode

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection
    from mbtest.endpoint.subflow import Subflow


def take(connection: Connection, subflow: Subflow, start: int, octets: bytes, now: int) -> None:
    """Take octets that are in order on the subflow, the first at offset `start`."""
    inbox = subflow.inbox
    if connection.closing.state is Closing.FASTCLOSE_WAIT:
        return  # RFC 8684 §3.5: no data is accepted any more.
    if not inbox:
        subflow.inbox_start = start
        if connection.mode.state in REGULAR:
            subflow.inbox_start = start + len(octets)
            _append(connection, subflow, octets)
            return
        # The common case: a segment with the mapping of just its octets.
        mapping = subflow.mappings.at(start)
        if (
            mapping is not None
            and mapping.start == start
            and mapping.length == len(octets)
            and connection.mode.state is not Mode.CHECKSUM_FAILED
            and (not connection.checksum or mapping.is_intact(connection.peer_idsn, octets))
        ):
            _hand_on(connection, subflow, mapping.data_start, octets)
            subflow.inbox_start = start + len(octets)
            subflow.mappings.forget_before(subflow.inbox_start)
            return
    inbox += octets
    sort(connection, subflow, now)


def sort(connection: Connection, subflow: Subflow, now: int) -> None:
    """Hand on what has a mapping, as far as that goes."""
    inbox, mappings = subflow.inbox, subflow.mappings
    while inbox and not subflow.is_over:
        if connection.mode.state in REGULAR:
            release(connection, subflow)
            return
        if connection.mode.state is Mode.CHECKSUM_FAILED:
            # RFC 8684 §3.7: nothing after the failed octet is trusted until the peer has answered.
            configuration = connection.configuration
            if len(inbox) > max(configuration.receive_buffer, configuration.unmapped_limit):
                connection.fallback.reset(subflow, "MP_FAIL was not answered for a window of data", now)
            return
        mapping = mappings.at(subflow.inbox_start)
        if mapping is not None:
            subflow.unmapped_since = None
        else:
            if not _skip(connection, subflow):
                connection.fallback.unmapped(subflow, now)
                return
            continue
        if connection.checksum:
            if mapping.start < subflow.inbox_start:
                # What begins before was handed on under another mapping, which this one contradicts.
                connection.fallback.checksum_failed(subflow, mapping, now)
                return
            if len(inbox) < mapping.length:
                return
            if not mapping.is_intact(connection.peer_idsn, bytes(inbox[: mapping.length])):
                connection.fallback.checksum_failed(subflow, mapping, now)
                return
        taken = min(mapping.end - subflow.inbox_start, len(inbox))
        octets = bytes(inbox[:taken])
        del inbox[:taken]
        data_start = mapping.data_start + subflow.inbox_start - mapping.start
        subflow.inbox_start += taken
        mappings.forget_before(subflow.inbox_start)
        _hand_on(connection, subflow, data_start, octets)


def _skip(connection: Connection, subflow: Subflow) -> bool:
    """Discard octets without a mapping that later ones with a mapping follow; return whether there were any.

    Whatever carried their mapping has been and gone. They are not Data ACKed, so that they come again under
    another mapping (RFC 8684 §3.3.1: discarded, if there is no room to keep them).
    """
    mapping = subflow.mappings.first()
    if mapping is None:
        return False
    unmapped = mapping.start - subflow.inbox_start
    if not 0 < unmapped < len(subflow.inbox):
        return False
    del subflow.inbox[:unmapped]
    subflow.inbox_start = mapping.start
    connection.tell(Kind.IGNORED, f"{unmapped} octets without a mapping", "RFC 8684 §3.3.1", subflow)
    return True


def release(connection: Connection, subflow: Subflow, mapping: Mapping | None = None) -> None:
    """After a fallback: what waits belongs to the stream as it is, from the first missing octet on.

    RFC 8684 §3.7: the infinite mapping acts retroactively, from the last segment that arrived intact.
    mapping: the infinite one, where it came; if it places what waits before the first missing octet, or
    begins after it, the peer sent those octets again, and only from there on do they count.
    """
    inbox = subflow.inbox
    if not inbox:
        return
    following = connection.incoming.next
    if mapping is not None:
        place = mapping.data_start + subflow.inbox_start - mapping.start
        if place != following:
            skipped = following - place
            if mapping.data_start == following and 0 < skipped <= len(inbox):
                del inbox[:skipped]
                subflow.inbox_start += skipped
    octets = bytes(inbox)
    subflow.inbox_start += len(octets)
    inbox.clear()
    if octets:
        _append(connection, subflow, octets)


def _hand_on(connection: Connection, subflow: Subflow, data_start: int, octets: bytes) -> None:
    words = connection.incoming.insert(data_start, octets)
    if words:
        connection.tell(Kind.IGNORED, f"data: {words}", "RFC 8684 §3.8", subflow)
    connection.data_arrived(subflow)


def _append(connection: Connection, subflow: Subflow, octets: bytes) -> None:
    connection.incoming.append(octets)
    connection.data_arrived(subflow)
