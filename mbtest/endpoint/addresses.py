"""Addresses of both sides and their IDs: ADD_ADDR, its echo and repetition, REMOVE_ADDR (RFC 8684 §3.4)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mbtest.endpoint.configuration import SECOND, Address
from mbtest.endpoint.events import Kind
from mbtest.endpoint.states import Mode
from mbtest.endpoint.subflow import HANDSHAKE, Subflow
from mbtest.errors import LocalProtocolError
from mbtest.wire.keys import add_addr_hmac
from mbtest.wire.mptcp import AddAddr, RemoveAddr

if TYPE_CHECKING:
    from mbtest.endpoint.connection import Connection

REPEAT_AFTER = 1 * SECOND
"""How long an echo is waited for; RFC 8684 §3.4.1 leaves it to local policy."""
ATTEMPTS = 3
MOST_AT_ONCE = 2
"""Duplicate ACKs in a row for signals alone: no more (RFC 8684 §3.4.1)."""
PACE = SECOND // 5
"""Between ACKs for signals alone, where there are more."""
PROBE = 2
"""Retransmission timeouts that a path which is to be removed has to show signs of life (§3.4.2)."""
MOST_IDS = 256


class _Announcement(NamedTuple):
    option: AddAddr
    attempts: int
    again_at: int


class Addresses:
    """What a connection knows of addresses."""

    def __init__(self, connection: Connection) -> None:
        """Begin with the addresses of the initial subflow, whose ID is 0 (RFC 8684 §3.2)."""
        self._connection = connection
        self._own: dict[Address, int] = {}
        self._announced: dict[int, _Announcement] = {}
        self.peer: dict[int, tuple[Address, int]] = {}
        """The peer's announced addresses and ports, by address ID."""
        self._news: list[tuple[int, Address, int]] = []
        """Announcements that the path manager has not heard of."""
        self.used_signals = 0
        """How many announcements led to an attempt to join."""
        self.failed: set[tuple[Address, int]] = set()
        """Addresses and ports that a join to failed: not tried again unless announced anew (§3.4.1)."""

    def own_id(self, address: Address) -> int:
        """Return the ID of an own address, 0 to 255. Raises LocalProtocolError where there is none left."""
        connection = self._connection
        if connection.initial is not None and address == connection.initial.local:
            return 0
        known = self._own.get(address)
        if known is None:
            known = len(self._own) + 1
            if known >= MOST_IDS:
                raise LocalProtocolError(f"{address} is one address too many; an address ID has 8 bits")
            self._own[address] = known
        return known

    # -- Announcing -----------------------------------

    def announce_all(self, addresses: Sequence[Address], port: int | None, now: int) -> None:
        """Tell the peer of addresses, each until it echoes it (§3.4.1)."""
        connection = self._connection
        for address in addresses:
            identifier = self.own_id(address)
            own, peer = connection.own_key, connection.peer_key or 0
            proof = add_addr_hmac(own, peer, identifier, address, port or 0)
            option = AddAddr(identifier, address, port, proof)
            if self._fits(option):
                self._announced[identifier] = _Announcement(option, 0, now)
            else:
                # RFC 7323 §3.2 has timestamps on every segment; an IPv6 address with a port is too long.
                connection.tell(Kind.ADDRESS, f"no room to announce {address}", "RFC 8684 §3.4.1")
        self._repeat(now)

    def _fits(self, option: AddAddr) -> bool:
        """Whether an option has room beside the timestamps of any subflow, or there is none yet."""
        usable = self._connection.usable()
        return not usable or any(subflow.options_room >= _size(option) for subflow in usable)

    def remove(self, address: Address, now: int) -> None:
        """Withdraw an own address, and reset its subflows (§3.4.2)."""
        connection = self._connection
        identifier = self.own_id(address)
        self._announced.pop(identifier, None)
        connection.tell(Kind.ADDRESS, f"ID {identifier} withdrawn", "RFC 8684 §3.4.2")
        others = [subflow for subflow in connection.usable() if subflow.address_id != identifier]
        for subflow in others[:1]:
            subflow.acknowledge(now, RemoveAddr(bytes((identifier,))))
        for subflow in list(connection.subflows):
            if subflow.address_id == identifier:
                subflow.abort(now)

    def _repeat(self, now: int) -> None:
        connection = self._connection
        if connection.mode.state is not Mode.MULTIPATH:
            # Before the first DSS it can wait; after a fallback nothing is announced any more (§3.7).
            if connection.mode.state is not Mode.CONFIRMING:
                self._announced.clear()
            return
        subflows = connection.usable()
        sent = 0
        for identifier, known in list(self._announced.items()):
            if known.again_at > now:
                continue
            if sent == MOST_AT_ONCE:
                self._announced[identifier] = known._replace(again_at=now + PACE)
                continue
            if known.attempts >= ATTEMPTS:
                del self._announced[identifier]
                connection.tell(Kind.ADDRESS, f"ID {identifier}: no echo", "RFC 8684 §3.4.1")
                continue
            self._announced[identifier] = _Announcement(known.option, known.attempts + 1, now + REPEAT_AFTER)
            fit = [subflow for subflow in subflows if subflow.options_room >= _size(known.option)]
            if fit:
                sent += 1
                fit[0].acknowledge(now, known.option)

    # -- Listening -----------------------------------

    def add_arrived(self, subflow: Subflow, option: AddAddr, now: int) -> None:
        """ADD_ADDR came: an announcement, or the echo of one of ours (§3.4.1)."""
        connection = self._connection
        if option.echo:
            known = self._announced.get(option.address_id)
            if (
                known is not None
                and known.option.address == option.address
                and known.option.port == option.port
            ):
                del self._announced[option.address_id]
                connection.tell(Kind.ADDRESS, f"ID {option.address_id}: echoed", "RFC 8684 §3.4.1", subflow)
            return
        proof = add_addr_hmac(
            connection.peer_key or 0, connection.own_key, option.address_id, option.address, option.port or 0
        )
        if option.hmac is None or not hmac.compare_digest(proof, option.hmac):
            connection.tell(Kind.IGNORED, "ADD_ADDR with a wrong HMAC", "RFC 8684 §3.4.1", subflow)
            return
        subflow.acknowledge(now, AddAddr(option.address_id, option.address, option.port, None, 1))
        port = option.port or subflow.remote_port
        known_peer = self.peer.get(option.address_id)
        if known_peer is not None and known_peer[0] != option.address:
            # §3.4.1: an ID that is in use keeps its address until it is removed.
            connection.tell(
                Kind.IGNORED, f"ADD_ADDR with the ID {option.address_id} of another", "RFC 8684 §3.4.1"
            )
            return
        if known_peer is None and len(self.peer) >= connection.configuration.address_limit:
            connection.tell(Kind.REFUSED, "ADD_ADDR: the address list is full", "RFC 8684 §3.4.1", subflow)
            return
        self.peer[option.address_id] = (option.address, port)
        self.failed.discard((option.address, port))
        # §3.4: a subflow that the peer opened from there has brought the ID already; another port is news.
        if (known_peer is None or known_peer[1] == port) and self._is_connected(option.address_id):
            return
        connection.tell(
            Kind.ADDRESS, f"ID {option.address_id}: {option.address}:{port}", "RFC 8684 §3.4.1", subflow
        )
        if (news := (option.address_id, option.address, port)) not in self._news:
            self._news.append(news)

    def pass_on(self, now: int) -> None:
        """Tell the path manager of what the peer announced.

        Not while the segment is read, since a DATA_FIN in it may end what an address would be used for; nor
        before the first DSS, which an ADD_ADDR can overtake (§3.1).
        """
        if self._connection.mode.state is not Mode.MULTIPATH:
            return
        news, self._news = self._news, []
        for identifier, address, port in news:
            self._connection.paths.announced(self._connection, identifier, address, port, now)

    def _is_connected(self, identifier: int) -> bool:
        return any(subflow.remote_id == identifier for subflow in self._connection.subflows)

    def remove_arrived(self, subflow: Subflow, option: RemoveAddr, now: int) -> None:
        """REMOVE_ADDR came: see first whether the paths are still in use (§3.4.2)."""
        connection = self._connection
        for identifier in option.address_ids:
            self.peer.pop(identifier, None)
            affected = [
                other
                for other in connection.subflows
                if other.remote_id == identifier and (identifier or other is not subflow)
            ]
            if affected:
                connection.tell(
                    Kind.ADDRESS, f"ID {identifier} withdrawn by the peer", "RFC 8684 §3.4.2", subflow
                )
            for other in affected:
                if other.tcp.state in HANDSHAKE:
                    other.abort(now)
                    continue
                other.keep_alive(now)
                other.probe_at = now + PROBE * other.rtt.rto

    # -- Time -----------------------------------

    def next_timer(self) -> int | None:
        """Return when an announcement is repeated, run clock, or None."""
        if self._connection.mode.state is not Mode.MULTIPATH:
            return None  # What was announced before the first DSS goes out once that has come.
        return min((known.again_at for known in self._announced.values()), default=None)

    def handle_timer(self, now: int) -> None:
        """Repeat what was not echoed."""
        if self._announced:
            self._repeat(now)


def _size(option: AddAddr) -> int:
    """Return the octets that an option takes in a header, padding included."""
    return -(-len(option.encode()) // 4) * 4
