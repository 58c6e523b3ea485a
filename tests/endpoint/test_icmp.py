from __future__ import annotations

from ipaddress import ip_address
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbtest.endpoint.icmp import PLATEAUS, TooBig, too_big
from mbtest.wire import ACK, Address, Packet, Segment, decode
from mbtest.wire.checksum import finish, ones_sum
from mbtest.wire.fragments import fragments
from tests.endpoint.pair import HOSTS, Pair, delivers

ROUTER = {4: ip_address("203.0.113.9"), 6: ip_address("2001:db8:9::9")}
VERSIONS = pytest.mark.parametrize("version", [4, 6])


def segment(version: int, payload: int = 1_400) -> Segment:
    own, peer = HOSTS[version]
    return Segment.build(own, peer, 50_000, 80, seq=0xFFFF_FFF0, flags=ACK, payload=bytes(payload))


def error(
    about: bytes,
    version: int,
    mtu: int,
    *,
    kind: tuple[int, int] | None = None,
    to: Address | None = None,
    octets: int = 8,
) -> Packet:
    """Return the error of a router on the way; octets: of the quoted TCP header."""
    source, destination = ROUTER[version], to or HOSTS[version][0]
    head = bytes(kind or ((3, 4) if version == 4 else (2, 0))) + bytes(2) + mtu.to_bytes(4, "big")
    message = bytearray(head + about[: (20 if version == 4 else 40) + octets])
    pseudo = 0
    if version == 6:
        pseudo = ones_sum(source.packed) + ones_sum(destination.packed) + len(message) + 58
    message[2:4] = finish(pseudo + ones_sum(message)).to_bytes(2, "big")
    if version == 4:
        header = bytearray.fromhex("4500000000000000400100000000000000000000")
        header[2:4] = (20 + len(message)).to_bytes(2, "big")
        header[12:20] = source.packed + destination.packed
        header[10:12] = finish(ones_sum(header)).to_bytes(2, "big")
    else:
        header = bytearray.fromhex("60000000") + len(message).to_bytes(2, "big") + bytes((58, 64))
        header += source.packed + destination.packed
    return decode(bytes(header + message))


@VERSIONS
@pytest.mark.parametrize("octets", [8, 20, 1_000])
def test_an_error_says_which_segment_was_too_long_and_what_would_fit(version: int, octets: int) -> None:
    about = segment(version)
    assert too_big(error(about.raw, version, 1_300, octets=octets)) == TooBig(about.flow, 0xFFFF_FFF0, 1_300)


@pytest.mark.parametrize(("payload", "mtu"), [(1_460, 1_492), (1_452, 1_006), (960, 508), (8_000, 4_352)])
def test_a_router_that_names_no_size_has_the_next_plateau_tried(payload: int, mtu: int) -> None:
    """RFC 1191 §5."""
    found = too_big(error(segment(4, payload).raw, 4, 0))
    assert found is not None
    assert found.mtu == mtu
    assert mtu in PLATEAUS


@VERSIONS
def test_an_error_that_cannot_be_right_is_not_believed(version: int) -> None:
    about = segment(version)
    length = len(about.raw)
    least = {4: 68, 6: 1_280}[version]
    assert too_big(error(about.raw, version, length - 1)) is not None
    assert too_big(error(about.raw, version, length)) is None
    assert too_big(error(about.raw, version, least)) is not None
    assert too_big(error(about.raw, version, least - 1)) is None
    # Of a packet that somebody else sent.
    other = HOSTS[version][1]
    assert too_big(error(about.raw, version, 1_300, to=other)) is None
    # Cut off before the sequence number, or no TCP.
    assert too_big(error(about.raw, version, 1_300, octets=7)) is None
    udp = bytearray(about.raw)
    udp[9 if version == 4 else 6] = 17
    assert too_big(error(bytes(udp), version, 1_300)) is None


@VERSIONS
@pytest.mark.parametrize("kind", [(3, 1), (11, 0), (1, 0), (8, 0), (129, 0)])
def test_other_messages_are_no_such_error(version: int, kind: tuple[int, int]) -> None:
    assert too_big(error(segment(version).raw, version, 1_300, kind=kind)) is None


@VERSIONS
def test_a_wrong_checksum_is_not_believed(version: int) -> None:
    raw = bytearray(error(segment(version).raw, version, 1_300).raw)
    raw[-1] ^= 1
    assert too_big(decode(bytes(raw))) is None


def test_an_error_in_the_wrong_family_is_not_believed() -> None:
    assert too_big(error(segment(6).raw, 4, 1_300, octets=60)) is None


@given(st.sampled_from((4, 6)), st.binary(max_size=80), st.integers(0, 70), st.integers(0, 70_000))
def test_nothing_that_arrives_raises(version: int, junk: bytes, kept: int, mtu: int) -> None:
    quote = segment(version).raw[:kept] + junk
    found = too_big(error(quote, version, mtu, octets=60))
    assert found is None or found.mtu in (mtu & 0xFFFF if version == 4 else mtu, *PLATEAUS)


@VERSIONS
@pytest.mark.parametrize("settings", [{"mptcp": False}, {}])
def test_a_path_that_takes_less_is_found_out(version: int, settings: dict[str, object]) -> None:
    pair = Pair(settings, settings, family=version)

    def router(about: Segment, sender: int) -> list[Segment]:
        if len(about.raw) <= 1_300:
            return [about]
        pair.endpoints[sender].receive(error(about.raw, version, 1_300, to=about.source).raw, pair.now)
        return []

    pair.hook = router
    assert delivers(pair, bytes(range(256)) * 400, bytes(range(255, -1, -1)) * 400)
    assert max(len(sent.raw) for at, _, sent in pair.log if at > 100_000) <= 1_300


@VERSIONS
def test_a_path_that_cuts_packets_does_no_harm(version: int) -> None:
    pair = Pair(family=version)
    number = count()

    def tunnel(about: Segment, sender: int) -> list[Segment]:
        if len(about.raw) <= 600:
            return [about]
        for piece in reversed(fragments(about, 600, next(number))):
            pair.endpoints[1 - sender].receive(piece.raw, pair.now)
        return []

    pair.hook = tunnel
    assert delivers(pair, bytes(range(256)) * 400, bytes(range(255, -1, -1)) * 400)
    assert next(number) > 100
