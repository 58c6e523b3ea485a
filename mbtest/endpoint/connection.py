"""One connection: what the application sees, and what holds its subflows together (RFC 8684 §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mbtest.endpoint import delivery
from mbtest.endpoint.addresses import Addresses
from mbtest.endpoint.bundle import Bundle
from mbtest.endpoint.closing import CAN_WRITE, DATA_FIN_PENDING, DONE, Ending
from mbtest.endpoint.configuration import Address, Configuration
from mbtest.endpoint.congestion import Coupling
from mbtest.endpoint.events import Kind
from mbtest.endpoint.fallback import REGULAR, Fallback
from mbtest.endpoint.mappings import MASK_64, Mapping
from mbtest.endpoint.path_managers import PATH_MANAGERS
from mbtest.endpoint.profiles import Profile
from mbtest.endpoint.schedulers import SCHEDULERS
from mbtest.endpoint.sending import Sending
from mbtest.endpoint.states import CLOSING, MODE, Closing, ClosingEvent, Machine, Mode, ModeEvent
from mbtest.endpoint.stream import ReceiveStream, SendStream
from mbtest.endpoint.subflow import HANDSHAKE, Subflow
from mbtest.errors import LocalProtocolError
from mbtest.wire.keys import initial_data_sequence_number, token
from mbtest.wire.mptcp import MpPrio
from mbtest.wire.packet import Segment

CAN_SIGNAL = frozenset({Mode.CONFIRMING, Mode.MULTIPATH})
"""Modes in which options beside the DSS may be sent."""


class Home(Protocol):
    """The endpoint that a connection belongs to."""

    profile: Profile

    @property
    def addresses(self) -> Sequence[Address]:
        """The host's own addresses."""

    def emit(self, segment: Segment) -> None:
        """Send a segment."""

    def new_subflow(
        self, connection: Connection, local: tuple[Address, int], remote: tuple[Address, int], now: int, *,
        active: bool, joins: bool,
    ) -> Subflow | None:  # fmt: skip
        """Make a subflow that segments find from now on; None where there is one or no room."""

    def drop_subflow(self, subflow: Subflow) -> None:
        """Have segments find the subflow no longer."""

    def accepted(self, connection: Connection) -> None:
        """Let the listener's application have a connection."""

    def drop_connection(self, connection: Connection) -> None:
        """Forget a connection that is over."""

    def tell(self, kind: Kind, words: str, clause: str, connection: int | None, subflow: int | None) -> None:
        """Note an event."""

    def random_bits(self, bits: int) -> int:
        """Return a number drawn by chance."""


class _Timed(Protocol):
    def next_timer(self) -> int | None: ...
    def handle_timer(self, now: int) -> None: ...


class Connection:
    """A connection: Multipath TCP as far as it goes, regular TCP where it does not."""

    def __init__(
        self, home: Home, number: int, configuration: Configuration, own_key: int, port: int
    ) -> None:
        """Prepare a connection. own_key: 64 bits; port: of the listener, for those that it accepts."""
        self.home = home
        self.number = number
        self.port = port
        self.configuration = configuration
        self.profile = home.profile
        self.own_addresses = home.addresses
        self.own_key = own_key
        self.own_token = token(own_key)
        self.own_idsn = int(initial_data_sequence_number(own_key))
        self.peer_key: int | None = None
        self.peer_token = 0
        self.peer_idsn = 0
        self.checksum = configuration.checksum
        """Asked for at first, negotiated after the SYNs."""
        self.peer_denies_join = False
        self.peer_is_wide = True
        """The last mapping that arrived had a DSN of 64 bits: so must the Data ACKs (RFC 8684 §3.3.2)."""
        self.dss_seen = False
        """What `Mode.MULTIPATH` began with; modes after it do not tell any more whether it was."""
        self.dss_sent = False
        """Whether the peer may have seen a DSS of ours, and take the path for one that options pass."""
        self.mode: Machine[Mode, ModeEvent] = Machine(MODE, Mode.NEGOTIATING, self._state_moved)
        self.closing: Machine[Closing, ClosingEvent] = Machine(CLOSING, Closing.M_ESTAB, self._state_moved)
        self.outgoing = SendStream(configuration.send_buffer)
        self.incoming = ReceiveStream(configuration.receive_buffer)
        self._joined: set[tuple[Address, Address, int]] = set()
        """From where to where subflows were opened."""
        self.initial: Subflow | None = None
        self.subflows: list[Subflow] = []
        self.coupling = Coupling()
        self.scheduler = SCHEDULERS[configuration.scheduler]()
        self.paths = PATH_MANAGERS[configuration.path_manager]()
        self.addresses = Addresses(self)
        self.fallback = Fallback(self)
        self.ending = Ending(self)
        self.sending = Sending(self)
        self.bundle = Bundle(self)
        self._parts: tuple[_Timed, ...] = (self.sending, self.fallback, self.ending, self.addresses)
        self.established = False
        self.error: str | None = None
        """An errno name, once the connection has ended otherwise than in good order."""
        self.last_error = ""
        self._paths_due = False
        self.is_released = False
        """Whether the application has let go of the connection: nobody reads any more."""
        if not configuration.mptcp:
            self.mode.fire(ModeEvent.NO_CAPABLE)

    # -- The application's calls -----------------------------------

    @property
    def is_mptcp(self) -> bool:
        """Whether the connection is Multipath TCP, and has not fallen back."""
        return self.mode.state not in REGULAR

    def readable(self) -> bool:
        """Whether `receive` has something to tell: octets, the end of the stream, an error."""
        return bool(self.incoming.unread or self.incoming.ended or self.error)

    def writable(self) -> bool:
        """Whether `send` takes octets now, or never will."""
        return bool(self.error) or (
            self.established and self.outgoing.room > 0 and self.closing.state in CAN_WRITE
        )

    def send(self, data: bytes | memoryview, now: int) -> int:  # noqa: ARG002 - sent when packets are fetched
        """Take octets to send; return how many there was room for, 0 after an error or a shutdown."""
        if self.error or not self.established or self.outgoing.ended or self.closing.state not in CAN_WRITE:
            return 0
        return self.outgoing.write(data)

    def receive(self, limit: int, now: int) -> bytes | None:
        """Return at most `limit` octets; none at the end of the stream, None where there are none now."""
        if self.incoming.unread:
            octets = self.incoming.read(limit)
            self._tell_window(now)
            return octets
        return b"" if self.incoming.ended else None

    def shutdown(self, now: int) -> None:  # noqa: ARG002 - as with send
        """Say that no more will be written."""
        if not self.error:
            self.outgoing.ended = True

    def close(self, now: int) -> None:
        """Let go of the connection; what was written is still delivered."""
        self.is_released = True
        if self.incoming.unread and self.closing.state not in DONE:
            # RFC 9293 §3.6: octets that nobody will read are lost, and the peer is to know.
            self.abort(now)
            return
        self.shutdown(now)
        self.ending.orphaned(now)

    def abort(self, now: int) -> None:
        """End the connection at once: MP_FASTCLOSE, or RST for regular TCP."""
        self.is_released = True
        self.ending.abort(now)

    def describe(self) -> dict[str, str | int]:
        """Return what the endpoint says of the connection."""
        return {
            "mptcp": int(self.is_mptcp and self.established),
            "mode": str(self.mode.state),
            "closing": str(self.closing.state),
            "subflows": len(self.subflows),
            "checksum": int(self.checksum),
            "token": self.own_token,
            "unacknowledged": max(0, self.outgoing.end - self.outgoing.una),
        }

    # -- By hand: subflows, addresses, priorities -----------------------------------

    def join(
        self, local: Address, remote: Address, port: int, now: int, *, remote_id: int = 0, own_port: int = 0
    ) -> Subflow | None:
        """Open a subflow (RFC 8684 §3.2); return None where the rules or a limit forbid it.

        Raises LocalProtocolError for an address that is not the host's.
        """
        if local not in self.own_addresses:
            own = ", ".join(str(address) for address in self.own_addresses)
            raise LocalProtocolError(f"{local} is not of this host; its addresses are {own}")
        initial = self.initial
        if self.mode.state is not Mode.MULTIPATH or initial is None or self.is_ending:
            return None
        if self.further_subflows() >= self.configuration.subflows or (remote, port) in self.addresses.failed:
            return None
        if self.peer_denies_join and (remote, port) == (initial.remote, initial.remote_port):
            return None
        # §3.9.1: the ports of the initial subflow, so that boxes and people know them; once, since the peer
        # may have the flow in TIME-WAIT still.
        is_first = (local, remote, port) not in self._joined
        self._joined.add((local, remote, port))
        own_port = own_port or (initial.local_port if is_first else 0)
        subflow = self.home.new_subflow(self, (local, own_port), (remote, port), now, active=True, joins=True)
        if subflow is None:
            return None
        subflow.own_nonce = self.home.random_bits(32)
        subflow.address_id = self.addresses.own_id(local)
        subflow.remote_id = remote_id
        subflow.own_backup = self.configuration.backup
        subflow.open(now)
        return subflow

    def announce(self, address: Address, now: int, port: int | None = None) -> None:
        """Announce an own address (RFC 8684 §3.4.1)."""
        if self.mode.state in CAN_SIGNAL:
            self.addresses.announce_all((address,), port, now)

    def remove(self, address: Address, now: int) -> None:
        """Withdraw an own address (RFC 8684 §3.4.2)."""
        if self.mode.state in CAN_SIGNAL:
            self.addresses.remove(address, now)

    def set_backup(self, subflow: Subflow, backup: bool, now: int) -> None:
        """Ask the peer to use a subflow last, or like any other (RFC 8684 §3.3.8)."""
        subflow.own_backup = backup
        if self.mode.state in CAN_SIGNAL:
            subflow.acknowledge(now, MpPrio(int(backup)))

    # -- What the parts of a connection ask -----------------------------------

    @property
    def is_ending(self) -> bool:
        """Whether the streams are over, or the connection is being aborted."""
        return self.closing.state in DONE or self.closing.state is Closing.FASTCLOSE_WAIT

    @property
    def sent_end(self) -> int:
        """The offset after the last number of our stream that was sent, DATA_FIN included."""
        fin_sent = self.closing.state not in CAN_WRITE
        return self.outgoing.fin_end if fin_sent else self.outgoing.nxt

    def further_subflows(self) -> int:
        """Return how many subflows there are beside the initial one, in the making or open."""
        return sum(subflow.joins for subflow in self.subflows)

    def usable(self) -> list[Subflow]:
        """Return the subflows that can carry data."""
        return [subflow for subflow in self.subflows if subflow.is_usable]

    def peer_dsn(self, offset: int) -> int:
        """Return the data sequence number of an offset in the peer's stream."""
        return (self.peer_idsn + offset) & MASK_64

    def learn_peer_key(self, key: int) -> None:
        """Derive what the peer's key gives."""
        self.peer_key = key
        self.peer_token = token(key)
        self.peer_idsn = int(initial_data_sequence_number(key))

    def tell(self, kind: Kind, words: str, clause: str = "", subflow: Subflow | None = None) -> None:
        """Note an event."""
        self.home.tell(kind, words, clause, self.number, subflow.number if subflow is not None else None)

    def fail(self, why: str) -> None:
        """End the connection for the application with an error, an errno name; the first one counts."""
        # Both streams complete: what comes later loses nothing, and concerns nobody.
        if self.error is None and self.closing.state not in DONE:
            self.error = why
            self.tell(Kind.LOST, why)

    def forget(self, now: int) -> None:  # noqa: ARG002 - as its callers have it
        """The connection is over."""
        self.home.drop_connection(self)

    def take_infinite(self) -> Mapping | None:
        """Return the infinite mapping that is owed, once: the next new segment declares it."""
        mapping, self.fallback.infinite = self.fallback.infinite, None
        return mapping

    def became_regular(self, now: int) -> None:
        """Fit streams and timers to regular TCP."""
        self.outgoing.forget_again()
        self.incoming.forget_end()
        self.sending.begin_regular()
        self.ending.became_regular(now)

    def release(self, subflow: Subflow, now: int, mapping: Mapping | None = None) -> None:  # noqa: ARG002
        """Hand on what waited on the one subflow that is left."""
        delivery.release(self, subflow, mapping)

    def sort(self, subflow: Subflow, now: int) -> None:
        """See whether octets that waited have their mapping now."""
        delivery.sort(self, subflow, now)

    def joined(self, subflow: Subflow) -> None:
        """A further subflow can carry data."""
        self.tell(Kind.SUBFLOW, f"{subflow.local} to {subflow.remote}", "RFC 8684 §3.2", subflow)
        self.ending.made_whole(subflow.now)

    def dss_arrived(self) -> None:
        """The first DSS came: MPTCP passes, and further subflows are possible (RFC 8684 §3.1)."""
        self.dss_seen = True
        self.mode.fire(ModeEvent.DSS_ARRIVED)
        self._paths_due = True

    def flush(self, now: int) -> None:
        """Send what can be sent."""
        if self._paths_due:
            # Not on the arrival of the DSS itself: our answer to it is to go out before any SYN.
            self._paths_due = False
            if self.mode.state is Mode.MULTIPATH:
                self.addresses.handle_timer(now)
                self.paths.confirmed(self, now)
        self.addresses.pass_on(now)
        self.sending.flush(now)

    def data_arrived(self, subflow: Subflow) -> None:
        """Octets found their place in the peer's stream."""
        if self.incoming.unread and self.is_released:
            # RFC 9293 §3.6, §3.10.7.1: nobody will read them.
            self.incoming.discard()
            self.ending.abort(subflow.now)
            return
        if self.incoming.take_fin():
            self.ending.fin_taken(subflow.now)

    def data_fin_arrived(self, subflow: Subflow, mapping: Mapping, now: int) -> None:
        """The peer said where its stream ends (RFC 8684 §3.3.3)."""
        if self.closing.state is Closing.FASTCLOSE_WAIT:
            return
        self.incoming.end_at(mapping.data_end - 1)
        if self.incoming.take_fin():
            self.ending.fin_taken(now)
        if not mapping.length and self.incoming.ended and not subflow.is_over:
            # A DATA_FIN on an ACK asks for an answer as one on data does; but only one that is in order.
            subflow.acknowledge(now)

    def data_acknowledged(self, offset: int, now: int) -> None:
        """The peer Data ACKed up to `offset`."""
        self.outgoing.acknowledge(offset)
        for subflow in self.subflows:
            declared = subflow.declared
            subflow.stale = 0
            while declared and declared[0].data_end <= offset:
                subflow.last_intact = declared.popleft()
        if self.closing.state in DATA_FIN_PENDING and offset >= self.outgoing.fin_end:
            self.ending.acknowledged(now)
        self.sending.progressed(now)
        self.ending.progressed(now)

    def window_opened(self) -> None:
        """The peer's shared window moved."""
        self.sending.persist_at = None

    def set_data_timer(self, now: int) -> None:
        """Watch for a Data ACK."""
        self.sending.set_timer(now)

    def stop_data_timer(self) -> None:
        """Watch for no Data ACK any more."""
        self.sending.stop()

    def _tell_window(self, now: int) -> None:
        """Advertise a window that the application's reading opened (RFC 9293 §3.8.6.2.2)."""
        for subflow in self.subflows:
            # What can be said in the window field, which is less than the buffer where nothing is scaled.
            most = min(self.configuration.receive_buffer, 65_535 << subflow.receive_shift)
            window = min(self.incoming.window, most)
            left = subflow.advertised - subflow.receive_next
            opened = window - left >= min(most // 2, 2 * subflow.own_mss)
            if left < most // 2 and opened and subflow.tcp.state not in HANDSHAKE:
                subflow.acknowledge(now)

    def _state_moved(self, before: object, event: object, after: object) -> None:
        self.tell(Kind.STATE, f"{before} -> {after}: {event}")

    def begin(self, subflow: Subflow) -> None:
        """The handshake of the initial subflow is over."""
        self.established = True
        # The SYN with MP_CAPABLE takes the first number of the stream (RFC 8684 §3.1); until a Data ACK
        # comes, the window of the handshake counts from the next one on.
        self.outgoing.edge = 1 + subflow.send_window
        self.tell(Kind.CONNECTED, f"{subflow.local} and {subflow.remote}", "", subflow)
        if not subflow.active:
            self.home.accepted(self)

    def subflow_closed(self, subflow: Subflow, why: str, now: int) -> None:
        """A subflow is over. why: an errno name, empty where it ended in good order."""
        if subflow not in self.subflows:
            return
        self.subflows.remove(subflow)
        self.home.drop_subflow(subflow)
        self.tell(Kind.SUBFLOW_CLOSED, why or "in good order", "", subflow)
        opened = subflow.mapping_seen or subflow.data_ack_seen
        if subflow.joins and subflow.active and why and not opened:
            self.addresses.failed.add((subflow.remote, subflow.remote_port))
        self.sending.reinject(subflow)
        self.ending.subflow_over(now, why)

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when something of the connection or of its subflows is due, run clock, or None."""
        times = [part.next_timer() for part in (*self.subflows, *self._parts)]
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        for subflow in list(self.subflows):
            subflow.handle_timer(now)
        for part in self._parts:
            part.handle_timer(now)
