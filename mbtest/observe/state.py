"""What one host knows of its connections, by what it sent and what reached it: values that a trace fills in.

Offsets do not wrap: see `mappings`. What a capture does not show is None.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from mbtest.observe.directions import Half, Stream
from mbtest.observe.mappings import Mapping
from mbtest.wire import AddAddr, MptcpOption

if TYPE_CHECKING:
    from mbtest.observe.moment import Arrival


class Mode(enum.Enum):
    """What a connection is to one host."""

    NEGOTIATING = "negotiating"
    MPTCP = "MPTCP"
    TCP = "regular TCP"
    UNKNOWN = "unknown"
    """The capture began after its handshake."""


class Manner(enum.Enum):
    """How a connection became regular TCP."""

    NOT_ASKED = "the SYN asked for no MPTCP"
    REFUSED = "the answer to the SYN had no MP_CAPABLE"
    INFINITE_SENT = "by an infinite mapping that it sent"
    INFINITE_RECEIVED = "by an infinite mapping that it received"
    SILENT = "without a signal"


class Fallback(NamedTuple):
    """When and how a connection became regular TCP to a host."""

    frame: int
    time: int
    manner: Manner
    offset: int | None = None
    """The offset in the host's own stream from which an infinite mapping acts."""


class Duty(enum.Enum):
    """What a host can owe."""

    ECHO = "an echo of ADD_ADDR"
    FAIL_ANSWER = "an answer to MP_FAIL"
    FAILURE = "MP_FAIL, or a reset, for a wrong checksum"
    RESET = "a reset of a join that failed"
    CHECKSUM = "a reset for a checksum too many or too few"
    JOIN_ACK = "an acknowledgement of the HMAC of a join"
    JOIN_HMAC = "the HMAC of its join once more"
    FAST_RESET = "a reset in answer to MP_FASTCLOSE"
    DATA_ACK = "a Data ACK of what came in order"
    FIN = "a FIN after both DATA_FINs"
    RETRANSMISSION = "data that nobody acknowledged once more"


class Owed(NamedTuple):
    """Something that a host owes since a moment."""

    duty: Duty
    frame: int
    time: int
    subject: object = None


PATIENCE = 1_000_000
"""Microseconds after which a host has taken in what reached it, however busy its machine is."""


class Subflow:
    """A TCP connection as one host saw it. own: what the host sent; peer: what reached it."""

    __slots__ = (
        "accepted",
        "answered",
        "bad_hmac",
        "connection",
        "first_peer",
        "id",
        "join_option",
        "key",
        "kind",
        "last_time",
        "name",
        "offer_bad",
        "offered",
        "opened_at",
        "opened_here",
        "own",
        "path",
        "peer",
        "proof_sent",
        "proved",
    )  # fmt: skip

    def __init__(self, key: tuple[bytes, bytes], name: str, path: str, opened_here: bool | None) -> None:
        """Begin a subflow. opened_here: whether the host sent its SYN, None where that is not known."""
        self.key = key
        self.name = name
        self.path = path
        self.opened_here = opened_here
        self.opened_at = 0
        self.last_time = 0
        self.own = Half()
        self.peer = Half()
        self.kind = "unknown"
        """`initial`, `join`, `unknown`."""
        self.id: int | None = None
        """The host's own address ID on it."""
        self.connection: Connection = None  # type: ignore[assignment]
        self.offered: MptcpOption | None = None
        """MP_CAPABLE or MP_JOIN of the SYN."""
        self.accepted: MptcpOption | None = None
        """MP_CAPABLE or MP_JOIN of the SYN/ACK."""
        self.bad_hmac = False
        """Whether the peer's HMAC was wrong or missing: the host has to reset it."""
        self.proof_sent: int | None = None
        """The frame in which the opener proved itself."""
        self.proved = False
        """Whether the opener's HMAC came, and was right."""
        self.answered = False
        """Whether anything acknowledged that."""
        self.first_peer: bool | None = None
        """Whether the first segment of the peer after its SYN had an MPTCP option; None before it came."""

    @property
    def closed(self) -> bool:
        """Whether a RST, or a FIN each way, ended it."""
        own, peer = self.own, self.peer
        return bool(own.rst or peer.rst) or (own.fin is not None and peer.fin is not None)

    @property
    def is_settled(self) -> bool:
        """Whether the host knows how its handshake ended."""
        return self.first_peer is not None and (self.answered or self.kind != "join" or not self.opened_here)

    @property
    def lacks_proof(self) -> bool:
        """Whether the third ACK came without MP_CAPABLE: the listener is regular TCP then (RFC 8684 §3.1)."""
        return self.first_peer is False and self.kind == "initial" and self.opened_here is False

    @property
    def established(self) -> bool:
        """Whether data may be sent on it (RFC 8684 §3.2)."""
        if self.kind != "join":
            return self.own.isn is not None and self.peer.isn is not None
        return self.answered if self.opened_here else self.proved

    @property
    def usable(self) -> bool:
        """Whether data can be sent on it by the host."""
        own, peer = self.own, self.peer
        return self.established and own.fin is None and own.rst is None and peer.rst is None

    @property
    def in_use(self) -> bool:
        """Whether the host has shown, by what it sent on it, to know that it is usable."""
        # The opener's third ACK comes before it knows.
        by_opener = self.kind == "join" and bool(self.opened_here)
        return self.usable and self.own.segments > by_opener


class Connection:
    """A connection as one host saw it."""

    __slots__ = (
        "announced",
        "capable_sent",
        "checksum",
        "checksums_checked",
        "clashed",
        "closed_at",
        "data_owed",
        "doubtful",
        "ended_at",
        "fail_arrival",
        "fail_frame",
        "fail_on_reset",
        "fail_received",
        "fail_sent",
        "failed",
        "failures",
        "fallback",
        "fastclose_received",
        "fastclose_sent",
        "fresh_at",
        "handshake",
        "ids",
        "ids_removed",
        "infinite_arrival",
        "infinite_received",
        "infinite_sent",
        "joins_seen",
        "key",
        "last_time",
        "misannounced",
        "misplaced",
        "mode",
        "narrow_seen",
        "no_join",
        "number",
        "opened_at",
        "opened_here",
        "owed",
        "own",
        "path_broken",
        "peer",
        "peer_addresses",
        "peer_key",
        "peer_token",
        "reinjections",
        "right_edge",
        "seen_dss",
        "send_edge",
        "subflows",
        "token",
        "version",
        "wide_seen",
    )  # fmt: skip

    def __init__(self, number: int, opened_here: bool | None) -> None:  # noqa: PLR0915 - one line a field
        """Begin a connection. number: from 1, in the order of their first segments at the host."""
        self.number = number
        self.opened_here = opened_here
        self.mode = Mode.NEGOTIATING
        self.fallback: Fallback | None = None
        self.version: int | None = None
        self.checksum: bool | None = None
        """Whether DSS checksums are used."""
        self.key: int | None = None
        self.peer_key: int | None = None
        self.token: int | None = None
        self.peer_token: int | None = None
        self.own = Stream()
        self.peer = Stream()
        self.subflows: list[Subflow] = []
        self.no_join: bool = False
        """Whether the peer set flag C."""
        self.seen_dss = False
        """Whether a DSS reached the host."""
        self.wide_seen = self.narrow_seen = False
        """Whether mappings of 64, and of 32 bits, reached the host."""
        self.ids: dict[int, IPv4Address | IPv6Address] = {}
        """The host's own address IDs."""
        self.ids_removed: set[int] = set()
        self.announced: dict[tuple[int, IPv4Address | IPv6Address, int | None], AddAddr] = {}
        """What the peer announced, and the host may echo."""
        self.misannounced: set[tuple[int, IPv4Address | IPv6Address, int | None]] = set()
        """What came with a wrong HMAC."""
        self.peer_addresses: set[tuple[IPv4Address | IPv6Address, int]] = set()
        """Addresses with ports that the peer announced."""
        self.fail_sent: int | None = None
        """The lowest offset in the peer's stream that MP_FAIL named outside a RST, with no subflow left."""
        self.fail_received: int | None = None
        """The frame of the peer's first MP_FAIL outside a RST."""
        self.fail_on_reset: int | None = None
        """The frame of the peer's first MP_FAIL on a RST."""
        self.fail_arrival: Arrival | None = None
        """The first MP_FAIL outside a RST that came in time for TCP."""
        self.misplaced: int | None = None
        """The frame of a mapping with a checksum, of octets some of which had come under another one.

        A host may keep none of those, so that its sum is of others than ours.
        """
        self.failures: list[Mapping] = []
        """Mappings that reached the host with a wrong checksum, the latest few."""
        self.failed: int | None = None
        """The lowest offset in the peer's stream of any that did."""
        self.infinite_sent: int | None = None
        self.infinite_received: int | None = None
        self.infinite_arrival: Arrival | None = None
        """The first infinite mapping of the peer's that came in order and in time for TCP."""
        self.fastclose_sent: int | None = None
        self.fastclose_received: int | None = None
        self.owed: list[Owed] = []
        self.right_edge: int | None = None
        """The highest right edge of the data window that the host granted."""
        self.send_edge: int | None = None
        """The highest right edge of the data window that was granted to the host."""
        self.ended_at: int | None = None
        """When both DATA_FINs were acknowledged."""
        self.reinjections = self.checksums_checked = 0
        self.clashed = False
        """Whether data reached the host with a mapping of other octets, or one at odds with another."""
        self.joins_seen = False
        self.fresh_at = 0
        """When the peer's stream last grew at its front."""
        self.data_owed: Owed | None = None
        """Since when the host has data in order that it has not Data ACKed."""
        self.closed_at: int | None = None
        """When the last subflow ended."""
        self.opened_at = self.last_time = 0
        self.fail_frame: int | None = None
        """The first MP_FAIL that the host sent."""
        self.capable_sent = False
        """Whether the host sent MP_CAPABLE with both keys."""
        self.doubtful = False
        """Whether the handshake reached the host changed: it has to stop speaking MPTCP (RFC 8684 §3.1)."""
        self.handshake = True
        """Whether the capture has the connection's first SYN."""
        self.path_broken: Arrival | None = None
        """Data was acknowledged without a Data ACK, before any was (RFC 8684 §3.7)."""

    def owe(self, duty: Duty, frame: int, time: int, subject: object = None) -> None:
        """Write down what the host owes, unless it owes it already."""
        if not any(owed.duty is duty and owed.subject == subject for owed in self.owed):
            self.owed.append(Owed(duty, frame, time, subject))

    def settle(self, duty: Duty, subject: object = None) -> None:
        """Cross out what the host owed; a subject of None stands for every one."""
        if self.owed:
            self.owed = [
                owed
                for owed in self.owed
                if owed.duty is not duty or (subject is not None and owed.subject != subject)
            ]

    @property
    def is_mptcp(self) -> bool:
        """Whether the host has to speak MPTCP on it."""
        return self.mode is Mode.MPTCP and self.fallback is None and not self.doubtful

    @property
    def has_reverted(self) -> bool:
        """Whether MP_FAIL went each way: both hosts are regular TCP from then on (RFC 8684 §3.7)."""
        return self.fail_frame is not None and self.fail_received is not None

    @property
    def is_ending(self) -> bool:
        """Whether the host has sent its DATA_FIN, or MP_FASTCLOSE."""
        return self.own.fin is not None or self.fastclose_sent is not None

    @property
    def is_troubled(self) -> bool:
        """Whether anything happened that makes it regular TCP, or may."""
        if self.fallback is not None or self.failed is not None or self.path_broken is not None:
            return True
        return self.fail_received is not None

    @property
    def is_tcp_to_peer(self) -> bool:
        """Whether the peer has shown itself to be regular TCP, to what the host has to become as well."""
        first = self.subflows[0]
        return first.lacks_proof or first.peer.plain is not None or self.infinite_received is not None

    @property
    def may_be_tcp(self) -> bool:
        """Whether the host has had any reason to become regular TCP."""
        return self.is_troubled or self.infinite_sent is not None or self.doubtful or self.is_tcp_to_peer
