"""What is owed on connections that get no further: by whom, since when, and which timer would move it.

Everything is told that is outstanding at a moment, without regard to how long a host may take; `waited` says
how long it took. Octets count from 1, as relative data and subflow sequence numbers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mbtest.observe.host import HostTrace
from mbtest.observe.state import Connection, Duty, Mode, Subflow
from mbtest.observe.trace import OTHER, Trace

NO_TIMER = "no timer"
RTO = "its retransmission timeout"
AGAIN = "its retransmission at the connection level"
CLOSE = "its close timeout"
WITHOUT_SUBFLOWS = "its timeout of a connection without subflows"
SLOW = frozenset({CLOSE, WITHOUT_SUBFLOWS})
"""Timers of a minute: whoever waits for one of them is not at fault, however long a run is watched."""
TIMERS: dict[Duty, tuple[str, str]] = {
    Duty.ECHO: ("the announcer's repetition of ADD_ADDR", "RFC 8684 §3.4.1"),
    Duty.FAIL_ANSWER: (NO_TIMER, "RFC 8684 §3.7"),
    Duty.FAILURE: (NO_TIMER, "RFC 8684 §3.7"),
    Duty.CHECKSUM: (NO_TIMER, "RFC 8684 §3.3"),
    Duty.RESET: ("the opener's retransmission timeout", "RFC 8684 §3.2"),
    Duty.JOIN_ACK: ("the opener's timer of the third ACK", "RFC 8684 §3.2"),
    Duty.JOIN_HMAC: ("its timer of the third ACK", "RFC 8684 §3.2"),
    Duty.FAST_RESET: ("the peer's repetition of MP_FASTCLOSE", "RFC 8684 §3.5"),
    Duty.DATA_ACK: ("the peer's retransmission at the connection level", "RFC 8684 §3.3.2"),
    Duty.FIN: (CLOSE, "RFC 8684 §3.3.3"),
    Duty.RETRANSMISSION: (AGAIN, "RFC 8684 §3.3.6"),
}
"""What would have each duty done after all, and where it is written."""


class Owing(NamedTuple):
    """Something that a host owes."""

    who: str
    """`client` or `server`."""
    words: str
    """What, to be read after "owes"."""
    since: int
    """Microseconds, on the clock of the capture."""
    waited: int
    """Microseconds until the moment that was asked about."""
    frame: int
    """The packet that began it; 0 where it was none."""
    timer: str
    """What would move it, in words."""
    clause: str
    connection: int
    """The connection's number at that host."""


class Written(NamedTuple):
    """What an application did with its direction, which packets cannot show."""

    octets: int
    """How many it wrote."""
    ended: bool
    """Whether it said that no more come."""


def owing_hosts(found: Iterable[Owing]) -> set[str]:
    """Return the hosts that others wait for: those that no timer moves if there are any.

    Who waits for a slow timer of its own does what it has to, and is none of them.
    """
    told = list(found)
    return {one.who for one in told if one.timer == NO_TIMER} or {
        one.who for one in told if one.timer not in SLOW
    }


def owed(trace: Trace, now: int | None = None, written: Mapping[str, Written] | None = None) -> list[Owing]:
    """Return what is owed on connections that are not over, what is owed longest first.

    A connection all of whose subflows ended is over, unless `written` shows that it was not done.

    now: the moment that is asked about, on the clock of the capture; the last packet's where it is None.
    written: by host, of the application on the first connection, for what a host was given and never sent.
    """
    until = trace.now if now is None else now
    found = []
    for host in trace.hosts.values():
        for connection in host.connections:
            one = None
            if written is not None and connection is host.connections[0]:
                one = written.get(host.role)
            debtor = _Debtor(host, connection, one)
            is_closed = connection.closed_at is not None and connection.closed_at <= until
            owing = debtor.without_subflows() if is_closed else debtor.all()
            found += [item._replace(waited=max(0, until - item.since)) for item in owing]
    return sorted(found, key=lambda item: (item.since, item.frame, item.who))


class _Debtor:
    """A host, and one connection of its."""

    def __init__(self, host: HostTrace, connection: Connection, written: Written | None) -> None:
        self.host = host
        self.connection = connection
        self.written = written
        self.usable = [subflow for subflow in connection.subflows if subflow.usable]
        self.is_quiet = all(s.own.top <= s.own.acked for s in connection.subflows if not s.closed)
        """Whether nothing is under way on any subflow."""

    def owes(
        self, words: str, since: int, timer: str, clause: str, frame: int = 0, who: str | None = None
    ) -> Owing:
        who = who or self.host.role
        return Owing(who, words, since, 0, frame, timer, clause, self.connection.number)

    def all(self) -> Iterator[Owing]:
        """Give what is owed; `waited` is left at 0."""
        if self.connection.fastclose_sent is None:
            yield from self._duties()
        for subflow in self.connection.subflows:
            if not subflow.closed:
                yield from self._of_subflow(subflow)
        connection = self.connection
        if not connection.is_mptcp:
            yield from self._unsent()
        elif connection.fail_received is not None:
            yield from self._after_failure()
        elif connection.path_broken is not None and (connection.own.acked or 1) <= 1:
            words = "a fallback to regular TCP, as its first data was acknowledged without a Data ACK"
            yield self.owes(words, connection.path_broken.time, NO_TIMER, "RFC 8684 §3.7")
        elif connection.own.top > (connection.own.acked or 1):
            yield from self._not_data_acked()
        else:
            yield from self._unsent()

    def without_subflows(self) -> Iterator[Owing]:
        """Give what is owed where all subflows ended, and the application wrote what was not delivered."""
        connection, written = self.connection, self.written
        if written is None or not connection.is_mptcp or connection.ended_at is not None:
            return
        if connection.fastclose_sent or connection.fastclose_received:
            return
        delivered = (connection.own.acked or 1) - 1
        if written.octets > delivered:
            words = f"a new subflow for octets {delivered + 1} to {written.octets}, as all have ended"
            yield self.owes(words, connection.closed_at or 0, WITHOUT_SUBFLOWS, "RFC 8684 §3.3.3")

    def _duties(self) -> Iterator[Owing]:
        """Give what the host owes its peer in answer to something, and can still do."""
        connection = self.connection
        for one in connection.owed:
            subflow = next((s for s in connection.subflows if s.key == one.subject), None)
            if subflow is None:
                if not connection.is_mptcp and one.duty is not Duty.FAIL_ANSWER:
                    continue
            elif subflow.closed:
                continue
            timer, clause = TIMERS[one.duty]
            on = _named(connection, subflow)
            words = one.duty.value + (f" on {on}" if on else "")
            yield self.owes(words, one.time, timer, clause, one.frame)
        late = connection.data_owed
        if late is not None and connection.is_mptcp and not _has_gone_silent(connection):
            timer, clause = TIMERS[late.duty]
            yield self.owes(late.duty.value, late.time, timer, clause, late.frame)

    def _of_subflow(self, subflow: Subflow) -> Iterator[Owing]:
        """Give what is not acknowledged on a subflow: what the host sent, and what reached it."""
        own, peer = subflow.own, subflow.peer
        on = _named(self.connection, subflow)
        of = f" of {on}" if on else ""
        if own.top > own.acked:
            # Whoever's fault it is, the sender is the one to repeat it.
            what = _octets(own.acked, own.top, own.fin, subflow)
            yield self.owes(f"{what}{of} once more", own.waiting, RTO, "RFC 9293 §3.8.1")
        front = min(peer.mapped.taken.front, peer.top)
        if self.host.exact and subflow.established and front > peer.acked:
            what = _octets(peer.acked, front, peer.fin, subflow)
            yield self.owes(
                f"an ACK of {what}{of}", peer.waiting, "its delayed ACK timer", "RFC 9293 §3.8.6.3"
            )

    def _not_data_acked(self) -> Iterator[Owing]:
        """Give what arrived on subflows, and was not Data ACKed."""
        own = self.connection.own
        if not self.is_quiet:
            return
        what, clause = _data(own.acked or 1, own.top, own.fin)
        yield self.owes(f"{what} once more, as no Data ACK came", own.waiting, AGAIN, clause)

    def _after_failure(self) -> Iterator[Owing]:
        """Give what is owed after MP_FAIL: what failed goes as regular TCP, and no Data ACK will come."""
        connection = self.connection
        if any(one.duty is Duty.FAIL_ANSWER for one in connection.owed):
            return
        unsent = list(self._unsent())
        if unsent or connection.own.top > (connection.own.acked or 1):
            words = "an infinite mapping, and regular TCP from there on, after MP_FAIL"
            failed = connection.fail_arrival
            since = connection.own.waiting if failed is None else failed.time
            yield self.owes(words, since, NO_TIMER, "RFC 8684 §3.7", connection.fail_received or 0)
        yield from unsent

    def _unsent(self) -> Iterator[Owing]:
        """Give what the application wrote, or ended, and the host has not sent."""
        connection, written = self.connection, self.written
        if written is None or not self.usable or not self.is_quiet:
            return
        since = max(connection.own.waiting, *(subflow.own.waiting for subflow in connection.subflows))
        sent, has_ended = _sent(connection)
        if written.octets > sent:
            what = f"octets {sent + 1} to {written.octets}"
            room = _room(connection, self.usable)
            if room is not None and room <= 0:
                words, probe = f"a window for {what}", "the sender's zero-window probes"
                yield self.owes(words, since, probe, "RFC 9293 §3.8.6.1", who=OTHER[self.host.role])
                return
            # Whether the host had not sent them, or its IP layer dropped them, packets do not show.
            words = f"{what}, which its application wrote and which never left it"
            words += "" if room is None else f", with room for {room} in the window"
            yield self.owes(words, since, NO_TIMER, "RFC 9293 §3.8")
        elif written.ended and not has_ended:
            end, clause = ("a FIN", "RFC 9293 §3.6")
            if connection.is_mptcp:
                end, clause = ("a DATA_FIN", "RFC 8684 §3.3.3")
            words = f"the end of its stream, {end}: its application has ended it"
            yield self.owes(words, since, NO_TIMER, clause)


def _named(connection: Connection, subflow: Subflow | None) -> str:
    """Return "subflow 2" where a connection has several, and nothing where it has one."""
    if subflow is None or len(connection.subflows) == 1:
        return ""
    return f"subflow {connection.subflows.index(subflow) + 1}"


def _octets(low: int, high: int, fin: int | None, subflow: Subflow) -> str:
    """Name the numbers `low` up to `high` of a subflow, that one excluded."""
    if high <= 1:
        return "its SYN" if subflow.opened_here else "its SYN/ACK"
    has_fin = fin is not None and fin < high
    first, last = max(low, 1), high - 1 - has_fin
    if first > last:
        return "the FIN"
    return f"octets {first} to {last}{' and the FIN' if has_fin else ''}"


def _data(low: int, high: int, fin: int | None) -> tuple[str, str]:
    """Name the octets `low` up to `high` of a stream, and the clause that has them sent again."""
    has_fin = fin is not None and fin < high
    last = high - 1 - has_fin
    if last < low:
        return "its DATA_FIN", "RFC 8684 §3.3.3"
    words = f"octets {low} to {last} of its stream{' and its DATA_FIN' if has_fin else ''}"
    return words, "RFC 8684 §3.3.6"


def _has_gone_silent(connection: Connection) -> bool:
    """Whether a host sends no options any more, as what came was regular TCP (RFC 8684 §3.1, §3.7)."""
    return any(
        subflow.own.bare
        and (subflow.lacks_proof or subflow.peer.plain is not None or subflow.peer.mapped.unmapped)
        for subflow in connection.subflows
    )


def _sent(connection: Connection) -> tuple[int, bool]:
    """Return how many octets of its stream a host has sent, and whether it has ended it."""
    first = connection.subflows[0].own
    fin = first.fin is not None
    if connection.mode is Mode.TCP:
        return max(0, first.top - 1 - fin), fin
    stream = connection.own
    octets = stream.arrived.end - 1 - (stream.fin is not None and stream.arrived.end > stream.fin)
    octets += sum(len(one) for _, one in first.mapped.unmapped)
    ended = stream.fin is not None or (connection.fallback is not None and fin)
    return max(0, octets), ended


def _room(connection: Connection, usable: list[Subflow]) -> int | None:
    """Return for how many octets more the windows have room; None where none was seen."""
    rooms = [subflow.own.edge - subflow.own.top for subflow in usable if subflow.own.edge is not None]
    room = max(rooms, default=None)
    if connection.is_mptcp and connection.send_edge is not None and room is not None:
        room = min(room, connection.send_edge - connection.own.top)
    return room
