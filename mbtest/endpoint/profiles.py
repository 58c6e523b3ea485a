"""Behaviour to order: stated departures from RFC 8684, so that a peer's tolerance can be tested.

A profile does not change the endpoint. It has the last word on each MPTCP option that the endpoint is about
to send, and a few numbers that the endpoint asks it for. What it departs from is in its summary.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from mbtest.wire.mptcp import (
    CHECKSUM_REQUIRED,
    EXTENSIBILITY,
    HMAC_SHA256,
    AddAddr,
    Dss,
    MpCapable,
    MpFail,
    MpJoinAck,
    MpJoinSynAck,
    MptcpOption,
)


class Carrier(enum.Enum):
    """What kind of segment an option is about to travel on."""

    SYN = enum.auto()
    ACK = enum.auto()
    """No data, no SYN, no RST."""
    DATA = enum.auto()
    RST = enum.auto()


class Profile:
    """The endpoint as RFC 8684 wants it. One instance for each endpoint: departures may remember."""

    name: ClassVar[str] = "strict"
    summary: ClassVar[str] = "No departure: RFC 8684 as it stands"
    segments_per_mapping: ClassVar[int] = 1
    """How many full segments one mapping covers at most."""
    mapping_once: ClassVar[bool] = False
    """Whether only the first segment of a mapping carries it."""
    fail_answer_after: ClassVar[int] = 0
    """Microseconds from an MP_FAIL to the answer."""

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Return what goes out in an option's place, None for nothing."""
        return option


class NoDataAcksOnAcks(Profile):
    """Data ACKs only beside data."""

    name = "no-data-acks-on-acks"
    summary = "Never a Data ACK on a segment without data (§3.3.2 has the Data ACK free the sender's buffer)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave the Data ACK out of pure ACKs, and the option where nothing else is in it."""
        if isinstance(option, Dss) and carrier is Carrier.ACK and option.data_ack is not None:
            return replace(option, data_ack=None, data_ack_64=False) if option.has_mapping else None
        return option


class NoDataAcks(Profile):
    """No Data ACK at all."""

    name = "no-data-acks"
    summary = "Never a Data ACK, on any segment (§3.7: the sender has to fall back)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave every Data ACK out."""
        if isinstance(option, Dss) and option.data_ack is not None:
            return replace(option, data_ack=None, data_ack_64=False) if option.has_mapping else None
        return option


class WideNumbers(Profile):
    """All numbers in 64 bits."""

    name = "wide-numbers"
    summary = "Data ACKs of 64 bits even for mappings of 32 (§3.3.2 leaves that open)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Mark the numbers as wide; the endpoint gives 64 bits of them in any case."""
        return replace(option, data_ack_64=True, dsn_64=True) if isinstance(option, Dss) else option


class NarrowNumbers(Profile):
    """Data sequence numbers in 32 bits."""

    name = "narrow-numbers"
    summary = "Data sequence numbers of 32 bits throughout (§3.3.1 allows that on slow connections)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Keep the low half of the DSN."""
        if isinstance(option, Dss) and option.dsn is not None:
            return replace(option, dsn=option.dsn & 0xFFFF_FFFF, dsn_64=False)
        return option


class NarrowDataAcks(Profile):
    """Data ACKs in 32 bits, whatever arrived."""

    name = "narrow-data-acks"
    summary = "Data ACKs of 32 bits even for mappings of 64 (§3.3.2 forbids it)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Keep the low half of the Data ACK."""
        if isinstance(option, Dss) and option.data_ack is not None:
            return replace(option, data_ack=option.data_ack & 0xFFFF_FFFF, data_ack_64=False)
        return option


class LongMappings(Profile):
    """One mapping for several segments, on each of them."""

    name = "long-mappings"
    summary = "One mapping for up to eight segments, repeated on each of them (§3.3.1 allows that)"
    segments_per_mapping = 8


class SparseMappings(Profile):
    """One mapping for several segments, on the first only."""

    name = "sparse-mappings"
    summary = (
        "One mapping for up to eight segments, on the first only, from the start (§3.7 wants it on each)"
    )
    segments_per_mapping = 8
    mapping_once = True


class LateFailAnswer(Profile):
    """The answer to MP_FAIL comes late."""

    name = "late-mp-fail"
    summary = "Answers MP_FAIL only after 500 ms (§3.7)"
    fail_answer_after = 500_000


class NoFail(Profile):
    """No MP_FAIL, neither of its own nor in answer."""

    name = "no-mp-fail"
    summary = "Never MP_FAIL, neither first nor in answer (§3.7 asks for both)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave MP_FAIL out."""
        return None if isinstance(option, MpFail) else option


class NoInfiniteMapping(Profile):
    """No infinite mapping."""

    name = "no-infinite-mapping"
    summary = "Never an infinite mapping: options simply end (§3.7 asks for one)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave infinite mappings out."""
        return None if isinstance(option, Dss) and option.infinite else option


class InfiniteWithChecksum(Profile):
    """An infinite mapping with a checksum that is not zero."""

    name = "infinite-checksum"
    summary = "Infinite mappings have a checksum other than zero (§3.3.1)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Set a checksum."""
        return replace(option, checksum=0xBEEF) if isinstance(option, Dss) and option.infinite else option


class WrongChecksumOnce(Profile):
    """One wrong DSS checksum."""

    name = "wrong-checksum-once"
    summary = "The fourth mapping has a wrong checksum (§3.3.1, §3.7)"
    at: ClassVar[int] = 4

    def __init__(self) -> None:
        """Begin before the first mapping."""
        self._seen: list[int] = []

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Invert one bit of one mapping's checksum, each time that the mapping is sent."""
        dsn: int | None = None
        if isinstance(option, Dss) and option.length:
            dsn = option.dsn
        elif isinstance(option, MpCapable) and option.checksum is not None:
            dsn = -1
        if dsn is None or option.checksum is None:  # type: ignore[attr-defined]
            return option
        if dsn not in self._seen and len(self._seen) < self.at:
            self._seen.append(dsn)
        if len(self._seen) == self.at and dsn == self._seen[-1]:
            return replace(option, checksum=option.checksum ^ 1)  # type: ignore[attr-defined]
        return option


class FirstChecksumWrong(WrongChecksumOnce):
    """The first mapping's checksum is wrong."""

    name = "first-checksum-wrong"
    summary = "The first mapping, on MP_CAPABLE with data or on a DSS, has a wrong checksum (§3.7)"
    at = 1


class NoEchoedKeys(Profile):
    """Keys are never echoed."""

    name = "no-echoed-keys"
    summary = "No MP_CAPABLE after the SYN (§3.1 wants both keys on the third ACK and the first data)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave MP_CAPABLE out of all but SYNs."""
        return None if isinstance(option, MpCapable) and carrier is not Carrier.SYN else option


class WrongEchoedKey(Profile):
    """The peer's key is echoed wrong."""

    name = "wrong-echoed-key"
    summary = "MP_CAPABLE after the SYN echoes another key than the peer's (§3.1)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Change a bit of the echoed key."""
        if isinstance(option, MpCapable) and option.receiver_key is not None:
            return replace(option, receiver_key=option.receiver_key ^ 1)
        return option


class WrongJoinHmac(Profile):
    """HMACs of joins are wrong."""

    name = "wrong-join-hmac"
    summary = "The HMACs of MP_JOIN are wrong (§3.2: the subflow has to be reset)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Change a bit of the HMAC."""
        if isinstance(option, MpJoinSynAck):
            return replace(option, hmac=option.hmac ^ 1)
        if isinstance(option, MpJoinAck):
            return replace(option, hmac=bytes((option.hmac[0] ^ 1,)) + option.hmac[1:])
        return option


class NoAddAddrEcho(Profile):
    """Announced addresses are not echoed."""

    name = "no-add-addr-echo"
    summary = "Never echoes ADD_ADDR (§3.4.1: the echo makes it reliable)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Leave the echo out."""
        return None if isinstance(option, AddAddr) and option.echo else option


class WrongAddAddrHmac(Profile):
    """Announcements are not authenticated."""

    name = "wrong-add-addr-hmac"
    summary = "The HMAC of ADD_ADDR is wrong (§3.4.1: the announcement is to be ignored)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Change a bit of the HMAC."""
        if isinstance(option, AddAddr) and option.hmac is not None:
            return replace(option, hmac=option.hmac[:-1] + bytes((option.hmac[-1] ^ 1,)))
        return option


class OldVersion(Profile):
    """Offers version 0."""

    name = "version-0"
    summary = "MP_CAPABLE of the SYN names version 0 in version 1's form (§3.1)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Change the version on SYNs."""
        if isinstance(option, MpCapable) and carrier is Carrier.SYN:
            return replace(option, version=0)
        return option


class FutureVersion(Profile):
    """Offers version 2."""

    name = "version-2"
    summary = "MP_CAPABLE of the SYN names version 2 (§3.1: the listener answers with its own, or without)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Change the version on SYNs."""
        if isinstance(option, MpCapable) and carrier is Carrier.SYN:
            return replace(option, version=2)
        return option


class ExtensibilityFlag(Profile):
    """Flag B is set."""

    name = "flag-b"
    summary = "MP_CAPABLE of the SYN has flag B (§3.1: the option has to be ignored)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Set the flag on SYNs."""
        if isinstance(option, MpCapable) and carrier is Carrier.SYN:
            return replace(option, flags=option.flags | EXTENSIBILITY)
        return option


class NoAlgorithm(Profile):
    """No HMAC algorithm is offered."""

    name = "no-algorithm"
    summary = "MP_CAPABLE of the SYN has none of the flags D to H (§3.1: it has to be ignored)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Clear the flags on SYNs."""
        if isinstance(option, MpCapable) and carrier is Carrier.SYN:
            return replace(option, flags=option.flags & ~HMAC_SHA256)
        return option


class ChecksumFlagLater(Profile):
    """Flag A comes and goes."""

    name = "checksum-flag-lost"
    summary = "MP_CAPABLE after the SYN lacks flag A though checksums were negotiated (§3.1)"

    def outgoing(self, option: MptcpOption, carrier: Carrier) -> MptcpOption | None:
        """Clear the flag on all but SYNs."""
        if isinstance(option, MpCapable) and carrier is not Carrier.SYN:
            return replace(option, flags=option.flags & ~CHECKSUM_REQUIRED)
        return option


STRICT = Profile

PROFILES: Mapping[str, type[Profile]] = {
    profile.name: profile
    for profile in (
        Profile, NoDataAcksOnAcks, NoDataAcks, WideNumbers, NarrowNumbers, NarrowDataAcks, LongMappings,
        SparseMappings, LateFailAnswer, NoFail, NoInfiniteMapping, InfiniteWithChecksum, WrongChecksumOnce,
        FirstChecksumWrong, NoEchoedKeys, WrongEchoedKey, WrongJoinHmac, NoAddAddrEcho, WrongAddAddrHmac,
        OldVersion, FutureVersion, ExtensibilityFlag, NoAlgorithm, ChecksumFlagLater,
    )
}  # fmt: skip
"""All profiles, by name."""
